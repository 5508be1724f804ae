//! Go's `fmt`: what `print` and `printf` write.

pub(crate) mod float;
mod verb;

use crate::error::Fault;
use crate::funcs::time;
use crate::value::{MAX_DEPTH, Value};

pub(crate) use self::verb::printf;

/// Bytes with a bound: beyond it nothing is kept, and walking ends.
pub(crate) struct Writer {
    out: Vec<u8>,
    room: usize,
    over: bool,
}

impl Writer {
    pub(crate) fn new(room: usize) -> Self {
        Self {
            out: Vec::new(),
            room,
            over: false,
        }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if self.out.len() + bytes.len() > self.room {
            self.over = true;
        } else {
            self.out.extend_from_slice(bytes);
        }
    }

    pub(crate) fn push(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn char(&mut self, c: char) {
        self.push(c.encode_utf8(&mut [0; 4]));
    }

    /// The character as `\u` and four digits.
    pub(crate) fn code(&mut self, c: char) {
        self.push(&format!("\\u{:04x}", u32::from(c)));
    }

    pub(crate) fn blanks(&mut self, count: usize) {
        self.fill(b' ', count);
    }

    pub(crate) fn fill(&mut self, byte: u8, count: usize) {
        if count > self.room {
            self.over = true;
        } else {
            self.bytes(&vec![byte; count]);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// Before going deeper.
    pub(crate) fn check(&self, depth: usize) -> Result<(), Fault> {
        if self.over {
            return Err(TOO_LONG.into());
        }
        if depth > 2 * MAX_DEPTH {
            return Err("the value nests too deep".into());
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>, Fault> {
        if self.over {
            return Err(TOO_LONG.into());
        }
        Ok(self.out)
    }
}

pub(crate) const TOO_LONG: &str = "the text grows beyond the limit";

/// What an action prints.
pub(crate) fn print_result(writer: &mut Writer, value: &Value) -> Result<(), Fault> {
    match value {
        Value::Nil | Value::Null => writer.push("<no value>"),
        Value::Text(text) | Value::Number(text) => writer.bytes(text),
        Value::Counter(..) | Value::Scratch => {
            return Err(format!("a {} cannot be printed", value.type_name()).into());
        }
        // Templates print what a pointer points to.
        Value::Record(record) => verb::record(writer, record)?,
        _ => print_value(writer, value)?,
    }
    Ok(())
}

/// `%v`
pub(crate) fn print_value(writer: &mut Writer, value: &Value) -> Result<(), Fault> {
    verb::plain(writer, value)
}

/// `fmt.Sprint`: blanks between what is no string.
pub(crate) fn print(writer: &mut Writer, values: &[Value]) -> Result<(), Fault> {
    let mut after_text = true;
    for (index, value) in values.iter().enumerate() {
        let is_text = value.bytes().is_some();
        if index > 0 && !is_text && !after_text {
            writer.push(" ");
        }
        after_text = is_text;
        print_value(writer, value)?;
    }
    Ok(())
}

/// `fmt.Sprintln`: blanks between all.
pub(crate) fn println(writer: &mut Writer, values: &[Value]) -> Result<(), Fault> {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            writer.push(" ");
        }
        print_value(writer, value)?;
    }
    writer.push("\n");
    Ok(())
}

/// As `print` gives it, for functions that want text.
pub(crate) fn text(value: &Value, room: usize) -> Result<Vec<u8>, Fault> {
    let mut writer = Writer::new(room);
    print_value(&mut writer, value)?;
    writer.finish()
}

fn scalar(value: &Value) -> Option<String> {
    Some(match value {
        Value::Nil | Value::Null | Value::NoRecord(_) => "<nil>".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(_) | Value::Int64(_) | Value::Uint(_) => value.integer()?.to_string(),
        Value::Float(number) => float::general(*number, None),
        Value::Time(now) => time::display(*now),
        Value::Counter(..) | Value::Scratch => "0xc000000000".to_owned(),
        _ => return None,
    })
}
