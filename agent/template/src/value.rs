//! Go's values, as far as templates meet them.
//!
//! Invariant: lists and maps nest at most [`MAX_DEPTH`] deep when they are made, and what `set` hangs into a map is
//! counted by [`crate::eval::Run`]; so dropping and walking a value does not exhaust the stack.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::Text;
use crate::dependency::Now;
use crate::error::Fault;

/// How deeply values may nest.
pub(crate) const MAX_DEPTH: usize = 100;

#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// No value: `nil`, a key that is not there, JSON's null once it was looked up.
    Nil,
    /// A null that a `range` found: as [`Value::Nil`], but its fields are errors.
    Null,
    Bool(bool),
    /// `int`
    Int(i64),
    /// `int64`
    Int64(i64),
    /// `uint64`
    Uint(u64),
    /// `float64`
    Float(f64),
    /// `string`
    Text(Text),
    /// `json.Number`: a number in Vault's answer, as it was sent.
    Number(Text),
    List(Rc<List>),
    Map(Rc<Map>),
    Record(Rc<Record>),
    /// A nil pointer to a record of this type.
    NoRecord(&'static str),
    /// `time.Time`, in UTC.
    Time(Now),
    /// What `loop` gives: the numbers from the first, without the last.
    Counter(i64, i64),
    /// What `scratch` gives; the run has its content.
    Scratch,
}

/// What a list or a map holds, which Go's functions care about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// `interface {}`
    Any,
    /// `string`
    Text,
    /// `int`
    Int,
    /// `[]interface {}`
    Lists,
    /// `interface {}`, in a map whose keys are that too.
    AnyKey,
}

#[derive(Debug)]
pub(crate) struct List {
    pub(crate) items: Vec<Value>,
    pub(crate) of: Of,
    /// A nil slice.
    pub(crate) absent: bool,
    depth: usize,
}

pub(crate) type Entries = BTreeMap<Text, Value>;

#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) entries: RefCell<Entries>,
    pub(crate) of: Of,
    /// A nil map.
    pub(crate) absent: bool,
    /// When it was made or last set; what was set below since is not in it.
    pub(crate) depth: Cell<usize>,
}

/// A Go struct.
#[derive(Debug)]
pub(crate) struct Record {
    /// Of the type, with a `*` where templates see a pointer.
    pub(crate) name: &'static str,
    pub(crate) fields: Vec<(&'static str, Value)>,
}

impl Value {
    pub(crate) fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Text(text.as_ref().into())
    }

    /// A list of anything.
    pub(crate) fn list(items: Vec<Self>) -> Result<Self, Fault> {
        Self::list_of(Of::Any, items)
    }

    pub(crate) fn list_of(of: Of, items: Vec<Self>) -> Result<Self, Fault> {
        let depth = 1 + items.iter().map(Self::depth).max().unwrap_or(0);
        if depth > MAX_DEPTH {
            return Err("values nest too deep".into());
        }
        Ok(Self::List(Rc::new(List {
            items,
            of,
            absent: false,
            depth,
        })))
    }

    /// A nil slice.
    pub(crate) fn no_list(of: Of) -> Self {
        Self::List(Rc::new(List {
            items: Vec::new(),
            of,
            absent: true,
            depth: 1,
        }))
    }

    /// A list of texts.
    pub(crate) fn texts<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(Rc::new(List {
            items: texts.into_iter().map(Self::text).collect(),
            of: Of::Text,
            absent: false,
            depth: 1,
        }))
    }

    /// A map of anything.
    pub(crate) fn map(entries: Entries) -> Result<Self, Fault> {
        Self::map_of(Of::Any, entries)
    }

    pub(crate) fn map_of(of: Of, entries: Entries) -> Result<Self, Fault> {
        let depth = 1 + entries.values().map(Self::depth).max().unwrap_or(0);
        if depth > MAX_DEPTH {
            return Err("values nest too deep".into());
        }
        Ok(Self::Map(Rc::new(Map {
            entries: RefCell::new(entries),
            of,
            absent: false,
            depth: Cell::new(depth),
        })))
    }

    /// A nil map.
    pub(crate) fn no_map() -> Self {
        Self::Map(Rc::new(Map {
            entries: RefCell::default(),
            of: Of::Any,
            absent: true,
            depth: Cell::new(1),
        }))
    }

    /// How deeply it nests; 0 for what holds nothing.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::List(list) => list.depth,
            Self::Map(map) => map.depth.get(),
            Self::Record(record) => {
                let inner = record.fields.iter();
                1 + inner.map(|field| field.1.depth()).max().unwrap_or(0)
            }
            _ => 0,
        }
    }

    pub(crate) fn is_nil(&self) -> bool {
        matches!(self, Self::Nil | Self::Null | Self::NoRecord(_))
    }

    /// Null as nil: what functions get.
    pub(crate) fn settled(self) -> Self {
        if matches!(self, Self::Null) {
            Self::Nil
        } else {
            self
        }
    }

    /// Go's name of its type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil | Self::Null => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Int64(_) => "int64",
            Self::Uint(_) => "uint64",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Number(_) => "json.Number",
            Self::List(list) => match list.of {
                Of::Any | Of::AnyKey => "[]interface {}",
                Of::Text => "[]string",
                Of::Int => "[]int",
                Of::Lists => "[][]interface {}",
            },
            Self::Map(map) => match map.of {
                Of::AnyKey => "map[interface {}]interface {}",
                Of::Text => "map[string]string",
                _ => "map[string]interface {}",
            },
            Self::Record(record) => record.name,
            Self::NoRecord(name) => name,
            Self::Time(_) => "time.Time",
            Self::Counter(..) => "<-chan int64",
            Self::Scratch => "*template.Scratch",
        }
    }

    /// Go's name of its kind.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self {
            Self::Nil | Self::Null => "invalid",
            Self::Number(_) => "string",
            Self::List(_) => "slice",
            Self::Map(_) => "map",
            Self::Counter(..) => "chan",
            Self::Record(record) if !record.name.starts_with('*') => "struct",
            Self::Record(_) | Self::NoRecord(_) | Self::Scratch => "ptr",
            Self::Time(_) => "struct",
            _ => self.type_name(),
        }
    }

    /// What `if` asks.
    pub(crate) fn truth(&self) -> bool {
        match self {
            Self::Nil | Self::Null | Self::NoRecord(_) => false,
            Self::Bool(value) => *value,
            Self::Int(value) | Self::Int64(value) => *value != 0,
            Self::Uint(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) | Self::Number(text) => !text.is_empty(),
            Self::List(list) => !list.items.is_empty(),
            Self::Map(map) => !map.entries.borrow().is_empty(),
            Self::Record(_) | Self::Time(_) | Self::Counter(..) | Self::Scratch => true,
        }
    }

    /// The value of a whole number.
    pub(crate) fn integer(&self) -> Option<i128> {
        match self {
            Self::Int(value) | Self::Int64(value) => Some(i128::from(*value)),
            Self::Uint(value) => Some(i128::from(*value)),
            _ => None,
        }
    }

    /// The bytes of what has the kind of a string.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text),
            _ => None,
        }
    }
}

impl Map {
    /// What a key that is not there has.
    pub(crate) fn nothing(&self) -> Value {
        if self.of == Of::Text {
            Value::text("")
        } else {
            Value::Nil
        }
    }
}
