//! `token_file`: a token that somebody else obtained, and puts into a file.

use std::path::Path;

use super::remembered::{Remembered, Removal};
use super::{Attempt, Error};
use crate::token::Token;

pub(crate) struct TokenFile(pub(super) Remembered);

impl TokenFile {
    pub(super) fn new(path: &Path) -> Self {
        Self(Remembered::new(path, Removal::Never))
    }

    /// Read again each time: whoever wrote it may have put a new one there.
    pub(super) fn attempt(&mut self) -> Result<Attempt, Error> {
        let text = self.0.read()?;
        let token = Token::new(text).ok_or_else(|| Error::NoToken {
            path: self.0.path.clone(),
        })?;
        Ok(Attempt::LookUp(token))
    }
}
