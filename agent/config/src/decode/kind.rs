//! The type of a block, which its label or its `type` names.

use crate::block::Body;
use crate::node::{Name, Position, Value};
use crate::report::Report;
use crate::scalar;

/// The type that a block's label or its `type` names, and where.
#[derive(Clone, Copy)]
pub(super) struct Type<'a> {
    pub(super) text: &'a str,
    pub(super) at: Position,
}

/// The type of a block; a label and a `type` that differ are a mistake.
pub(super) fn type_of<'a>(report: &mut Report, path: &str, body: &Body<'a>) -> Option<Type<'a>> {
    let label = body.label.map(|Name { at, text }| Type { text, at: *at });
    let mut fields = body.fields.iter().rev();
    let Some(field) = fields.find(|field| field.key.text == "type") else {
        return label;
    };
    let Value::Text(text) = &field.node.value else {
        let what = format!(
            "is {}; write text in double quotes",
            scalar::kind(&field.node)
        );
        report.wrong(field.node.at, format!("{path}.type"), what);
        return label;
    };
    let at = field.node.at;
    match label {
        Some(label) if label.text != text => {
            let what = format!(
                "differs from the label {}; write one of them",
                scalar::quote(label.text)
            );
            report.wrong(at, format!("{path}.type"), what);
            Some(label)
        }
        _ => Some(Type { text, at }),
    }
}
