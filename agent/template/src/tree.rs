//! What the text means: nodes with their places.

use std::collections::BTreeMap;

use crate::funcs::Function;
use crate::value::Value;

/// A template with the templates that it defines.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) main: Vec<Node>,
    pub(crate) defined: BTreeMap<String, Vec<Node>>,
}

/// Something in a list of things to do.
#[derive(Debug)]
pub(crate) enum Node {
    /// Text as it is.
    Text(Box<str>),
    /// Prints what a pipeline gives, unless it declares.
    Action(Pipe),
    If(Box<Branch>),
    With(Box<Branch>),
    Range(Box<Branch>),
    Template {
        at: usize,
        name: String,
        argument: Option<Pipe>,
    },
    Break,
    Continue,
}

/// A pipeline that decides, and what it decides between.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) then: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
}

/// `$a, $b := command | command`.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) at: usize,
    /// Without the dollar.
    pub(crate) variables: Vec<String>,
    /// `=` rather than `:=`.
    pub(crate) assigns: bool,
    pub(crate) commands: Vec<Command>,
}

/// A function or a value, and its arguments.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) at: usize,
    pub(crate) head: Operand,
    pub(crate) arguments: Vec<Operand>,
}

/// A value's expression and its place.
#[derive(Debug)]
pub(crate) struct Operand {
    pub(crate) at: usize,
    pub(crate) term: Term,
}

#[derive(Debug)]
pub(crate) enum Term {
    Nil,
    Dot,
    Literal(Value),
    /// A whole number that does not fit an `int`, or has fits for both whole and not.
    Number(crate::number::Constant),
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a.b`
    Variable(String, Vec<String>),
    /// `(…).a.b`, `f.a.b`
    Chain(Box<Operand>, Vec<String>),
    Function(&'static Function),
    Pipe(Box<Pipe>),
}
