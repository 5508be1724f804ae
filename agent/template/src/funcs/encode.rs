//! JSON, YAML and TOML.

use super::{Function, at, bytes, done, toml, yaml, yaml_read};
use crate::error::Fault;
use crate::eval::Run;
use crate::format::Writer;
use crate::json::{self, Style};
use crate::value::{Entries, Value};

pub(super) const TABLE: &[Function] = &[
    Function::own("toJSON", "a", |run, values| write(run, values, false, true)),
    Function::own("toJSONPretty", "a", |run, values| {
        write(run, values, true, true)
    }),
    Function::own("toUnescapedJSON", "a", |run, values| {
        write(run, values, false, false)
    }),
    Function::own("toUnescapedJSONPretty", "a", |run, values| {
        write(run, values, true, false)
    }),
    Function::own("toYAML", "a", |run, values| {
        done(yaml::write(at(values, 0), run.room())?)
    }),
    Function::own("toTOML", "a", |run, values| {
        done(toml::write(at(values, 0), run.room())?)
    }),
    Function::own("parseJSON", "s", |_, values| {
        if bytes(values, 0).is_empty() {
            return Value::map(Entries::new());
        }
        json::read(bytes(values, 0), false)
    }),
    Function::own("parseYAML", "s", |_, values| {
        if bytes(values, 0).is_empty() {
            return Value::map(Entries::new());
        }
        yaml_read::read(bytes(values, 0))
    }),
    Function::sprig("toJson", "a", |run, values| write(run, values, false, true)),
    Function::sprig("toPrettyJson", "a", |run, values| {
        write(run, values, true, true)
    }),
    Function::sprig("toRawJson", "a", |run, values| {
        write(run, values, false, false)
    }),
    Function::sprig("fromJson", "s", |_, values| {
        Ok(json::read(bytes(values, 0), false).unwrap_or(Value::Nil))
    }),
    Function::sprig("mustFromJson", "s", |_, values| {
        json::read(bytes(values, 0), false)
    }),
];

fn write(run: &mut Run<'_>, values: &[Value], pretty: bool, html: bool) -> Result<Value, Fault> {
    let mut writer = Writer::new(run.room());
    json::write(&mut writer, at(values, 0), Style { pretty, html })?;
    done(writer.finish()?)
}
