//! Where mistakes and notes are gathered while reading goes on.

use crate::mistake::{Mistake, Mistakes, Place};
use crate::node::Position;

/// Where a value came from, and what it is called there.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) place: Place,
    pub(crate) field: String,
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Found<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

pub(crate) struct Report {
    /// The sources' names.
    names: Vec<String>,
    mistakes: Vec<Mistake>,
    notes: Vec<Mistake>,
}

impl Report {
    pub(crate) fn new(names: Vec<String>) -> Self {
        let (mistakes, notes) = (Vec::new(), Vec::new());
        Self {
            names,
            mistakes,
            notes,
        }
    }

    pub(crate) fn origin(&self, at: Position, field: impl Into<String>) -> Origin {
        let place = Place::Text {
            index: at.source,
            name: self.names.get(at.source).cloned().unwrap_or_default(),
            line: at.line,
            column: at.column,
        };
        let field = field.into();
        Origin { place, field }
    }

    /// Something at a place in a source is wrong.
    pub(crate) fn wrong(
        &mut self,
        at: Position,
        field: impl Into<String>,
        what: impl Into<String>,
    ) {
        let origin = self.origin(at, field);
        self.wrong_at(&origin, what);
    }

    pub(crate) fn wrong_at(&mut self, origin: &Origin, what: impl Into<String>) {
        self.mistakes.push(mistake(origin.clone(), what));
    }

    /// No single place is wrong.
    pub(crate) fn wrong_overall(&mut self, what: impl Into<String>) {
        let (place, field) = (Place::Whole, String::new());
        self.wrong_at(&Origin { place, field }, what);
    }

    /// Something is accepted and has no effect.
    pub(crate) fn note_at(&mut self, origin: Origin, what: impl Into<String>) {
        self.notes.push(mistake(origin, what));
    }

    /// The notes, or the mistakes if there are any; both by place.
    pub(crate) fn finish(self) -> Result<Vec<Mistake>, Mistakes> {
        if self.mistakes.is_empty() {
            Ok(by_place(self.notes))
        } else {
            Err(Mistakes(by_place(self.mistakes)))
        }
    }
}

/// Stable: what is said of one place stays in the order in which it was found.
fn by_place(mut found: Vec<Mistake>) -> Vec<Mistake> {
    found.sort_by(|a, b| a.place.cmp(&b.place));
    found
}

fn mistake(origin: Origin, what: impl Into<String>) -> Mistake {
    Mistake {
        place: origin.place,
        field: origin.field,
        what: what.into(),
    }
}
