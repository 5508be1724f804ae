//! The profiles as they are now: of each, the last text and the last good reading of it. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Profile, Profiles, read};

/// Texts by the names of their profiles.
pub(crate) type Texts = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub(crate) struct Set(BTreeMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    text: String,
    good: Option<Arc<Profile>>,
    /// What is wrong with `text`.
    wrong: Option<String>,
}

/// What became of one profile whose text changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Loaded,
    Removed,
    /// With what is wrong. Its last good reading is still used where there was one.
    Kept(String),
    Broken(String),
}

impl Set {
    /// Takes over new texts and tells what changed, by name.
    pub(crate) fn update(&mut self, texts: Texts) -> Vec<(String, Change)> {
        let mut changes = Vec::new();
        self.0.retain(|name, _| {
            let stays = texts.contains_key(name);
            if !stays {
                changes.push((name.clone(), Change::Removed));
            }
            stays
        });
        for (name, text) in texts {
            let before = self.0.remove(&name);
            let entry = match before {
                Some(before) if before.text == text => before,
                before => {
                    let entry = Entry::read(&name, text, before.and_then(|before| before.good));
                    changes.push((name.clone(), entry.change()));
                    entry
                }
            };
            self.0.insert(name, entry);
        }
        changes
    }

    /// What pods can name.
    pub(crate) fn profiles(&self) -> Profiles {
        let entries = self.0.iter();
        entries
            .map(|(name, entry)| (name.clone(), entry.good.clone()))
            .collect()
    }

    /// What is wrong now, whether a last good reading stands in or not.
    pub(crate) fn wrong(&self) -> impl Iterator<Item = &str> {
        self.0.values().filter_map(|entry| entry.wrong.as_deref())
    }

    /// The same, of those that were never good.
    pub(crate) fn never_good(&self) -> impl Iterator<Item = &str> {
        let entries = self.0.values().filter(|entry| entry.good.is_none());
        entries.filter_map(|entry| entry.wrong.as_deref())
    }

    /// How many can be used.
    pub(crate) fn usable(&self) -> usize {
        let entries = self.0.values();
        entries.filter(|entry| entry.good.is_some()).count()
    }
}

impl Entry {
    fn read(name: &str, text: String, before: Option<Arc<Profile>>) -> Self {
        match read::profile(name, &text) {
            Ok(profile) => Self {
                text,
                good: Some(Arc::new(profile)),
                wrong: None,
            },
            Err(error) => Self {
                text,
                good: before,
                wrong: Some(error.to_string()),
            },
        }
    }

    fn change(&self) -> Change {
        match (&self.wrong, &self.good) {
            (None, _) => Change::Loaded,
            (Some(wrong), Some(_)) => Change::Kept(wrong.clone()),
            (Some(wrong), None) => Change::Broken(wrong.clone()),
        }
    }
}
