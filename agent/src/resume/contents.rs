//! What an earlier process left: auto-auth's token, and what the cache keeps.

use super::form::{Clock, Reader, Refusal, Stamp, Writer};
use crate::cache::Cache;
use crate::cache::store::saved::Saved;
use crate::token::{Live, Token};

const TOKEN: u8 = b'T';

/// What can be gone on with.
#[derive(Default)]
pub(crate) struct Contents {
    /// Of generation 1. It may have ended.
    pub(crate) token: Option<Live>,
    pub(crate) saved: Saved,
}

impl Contents {
    pub(crate) fn read(bytes: &[u8], stamp: &Stamp, clock: Clock) -> Result<Self, Refusal> {
        let mut reader = Reader::open(bytes, stamp, clock)?;
        let mut contents = Self::default();
        while !reader.is_empty() {
            contents.item(&mut reader).ok_or(Refusal::Damaged)?;
        }
        Ok(contents)
    }

    fn item(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        match reader.byte()? {
            TOKEN if self.token.is_none() => {
                self.token = Some(read_token(reader)?);
                Some(())
            }
            letter => self.saved.item(letter, reader),
        }
    }
}

/// The token first, which is always kept, and of the cache as much as fits. What stands for a wrapped token is not the
/// agent's to use again.
pub(super) fn write(writer: &mut Writer, token: Option<&Live>, cache: Option<&Cache>, most: usize) {
    if let Some(live) = token.filter(|live| !live.wrapped) {
        writer.byte(TOKEN);
        writer.text(live.token.expose());
        writer.text(&live.accessor);
        writer.number(live.policies.len() as u64);
        live.policies.iter().for_each(|policy| writer.text(policy));
        writer.time(live.obtained);
        writer.end(live.expires);
    }
    if let Some(cache) = cache {
        cache.save(writer, most);
    }
}

fn read_token(reader: &mut Reader<'_>) -> Option<Live> {
    let token = Token::new(reader.text()?)?;
    let accessor = reader.text()?.to_owned();
    let policies = (0..reader.number()?).map(|_| reader.text().map(str::to_owned));
    Some(Live {
        token,
        wrapped: false,
        accessor,
        policies: policies.collect::<Option<_>>()?,
        generation: 1,
        obtained: reader.time()?,
        expires: reader.end()?,
    })
}
