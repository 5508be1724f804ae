//! DNS messages (RFC 1035, section 4): a question, and what an answer to it says.
//!
//! Invariant: an answer is bytes from outside. Whatever they are, reading ends, and nothing but the addresses is kept.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ring::rand::{SecureRandom as _, SystemRandom};

const HEAD: usize = 12;
/// Class "Internet".
const IN: u16 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    A,
    Aaaa,
}

impl Kind {
    const fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
        }
    }
}

#[derive(Debug)]
pub(super) struct Question(Vec<u8>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// None where the name does not exist, or has no address of the kind.
    Addresses(Vec<IpAddr>),
    /// The server could not or would not look it up.
    Failed,
    /// There is more than fits into a datagram.
    Truncated,
}

impl Question {
    /// Fails where `name` cannot be a name, or where there is no randomness.
    pub(super) fn new(name: &str, kind: Kind) -> io::Result<Self> {
        let mut number = [0; 2];
        SystemRandom::new()
            .fill(&mut number)
            .map_err(|_unspecified| io::Error::other("no randomness"))?;
        // One question; the server shall ask others as it needs to.
        let mut bytes = number.to_vec();
        bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        for label in name.trim_end_matches('.').split('.') {
            let length = u8::try_from(label.len()).unwrap_or(u8::MAX);
            if !(1..=63).contains(&length) {
                return Err(unusable(name));
            }
            bytes.push(length);
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        if bytes.len() > HEAD + 255 {
            return Err(unusable(name));
        }
        for field in [kind.number(), IN] {
            bytes.extend(field.to_be_bytes());
        }
        Ok(Self(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// `None` where the bytes are no answer to this question.
    pub(super) fn read(&self, answer: &[u8]) -> Option<Answer> {
        let (head, asked) = self.0.split_at_checked(HEAD)?;
        let flags = answer.get(2..4)?;
        let (first, second) = (*flags.first()?, *flags.last()?);
        let repeats = answer.get(HEAD..)?.get(..asked.len())?;
        // The top bit says that it is an answer.
        let ours = answer.get(..2)? == head.get(..2)?
            && first & 0x80 != 0
            && repeats.eq_ignore_ascii_case(asked);
        if !ours {
            return None;
        }
        Some(match (first & 0x02 != 0, second & 0x0f) {
            (true, _) => Answer::Truncated,
            (false, 0) => self
                .addresses(answer)
                .map_or(Answer::Failed, Answer::Addresses),
            // There is no such name.
            (false, 3) => Answer::Addresses(Vec::new()),
            (false, _) => Answer::Failed,
        })
    }

    /// All of the kind that was asked for: the name of each is the one that was asked for or, through `CNAME`, one that
    /// the server found it to stand for.
    fn addresses(&self, answer: &[u8]) -> Option<Vec<IpAddr>> {
        let kind = self.0.get(self.0.len().checked_sub(4)?..)?;
        let count = u16::from_be_bytes(answer.get(6..8)?.try_into().ok()?);
        let mut rest = answer.get(self.0.len()..)?;
        let mut found = Vec::new();
        for _record in 0..count {
            rest = after_name(rest)?;
            let (fixed, data) = rest.split_at_checked(10)?;
            let length = u16::from_be_bytes(fixed.get(8..)?.try_into().ok()?);
            let (data, next) = data.split_at_checked(length.into())?;
            rest = next;
            if fixed.get(..4)? == kind {
                found.push(address(data)?);
            }
        }
        Some(found)
    }
}

/// What follows a name: labels, up to an empty one or to a pointer to the name's other labels.
fn after_name(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, rest) = bytes.split_first()?;
        match length {
            0 => return Some(rest),
            1..=63 => bytes = rest.get(length.into()..)?,
            0xc0.. => return rest.get(1..),
            _ => return None,
        }
    }
}

fn address(data: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(data) {
        return Some(Ipv4Addr::from(four).into());
    }
    let six = <[u8; 16]>::try_from(data).ok()?;
    Some(Ipv6Addr::from(six).into())
}

fn unusable(name: &str) -> io::Error {
    let text = format!("{name:?} cannot be looked up: it is no name of a host");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "vault.example.com";

    /// An answer to `question` with these records, each as name, kind and data.
    fn answer(question: &Question, flags: [u8; 2], records: &[(&[u8], u16, &[u8])]) -> Vec<u8> {
        let mut bytes = question.0.clone();
        bytes[2..4].copy_from_slice(&flags);
        bytes[7] = u8::try_from(records.len()).unwrap();
        for (name, kind, data) in records {
            bytes.extend(*name);
            bytes.extend(kind.to_be_bytes());
            bytes.extend([0, 1, 0, 0, 0, 60]);
            bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            bytes.extend(*data);
        }
        bytes
    }

    const FOUND: [u8; 2] = [0x81, 0x80];
    const SAME: &[u8] = &[0xc0, 12];

    #[test]
    fn addresses_are_found_behind_an_alias_and_beside_records_of_other_kinds() {
        let question = Question::new(HOST, Kind::A).unwrap();
        let alias: &[u8] = b"\x01a\x07example\xc0\x1a";
        let records = [
            (SAME, 5, alias),
            (alias, 1, &[10, 0, 0, 1][..]),
            (alias, 28, &[0; 16][..]),
            (SAME, 1, &[10, 0, 0, 2][..]),
        ];
        let bytes = answer(&question, FOUND, &records);
        let expected = vec![
            Ipv4Addr::new(10, 0, 0, 1).into(),
            Ipv4Addr::new(10, 0, 0, 2).into(),
        ];
        assert_eq!(question.read(&bytes), Some(Answer::Addresses(expected)));

        let question = Question::new(HOST, Kind::Aaaa).unwrap();
        let six = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
        let bytes = answer(&question, FOUND, &[(SAME, 28, &six.octets())]);
        let expected = Some(Answer::Addresses(vec![six.into()]));
        assert_eq!(question.read(&bytes), expected);
        let shouted = bytes.to_ascii_uppercase();
        assert_eq!(shouted.len(), bytes.len());
    }

    #[test]
    fn an_answer_without_addresses_says_why() {
        let question = Question::new(HOST, Kind::A).unwrap();
        for (flags, expected) in [
            ([0x81, 0x80], Answer::Addresses(Vec::new())),
            ([0x81, 0x83], Answer::Addresses(Vec::new())),
            ([0x81, 0x82], Answer::Failed),
            ([0x81, 0x85], Answer::Failed),
            ([0x83, 0x80], Answer::Truncated),
        ] {
            let bytes = answer(&question, flags, &[]);
            assert_eq!(question.read(&bytes), Some(expected), "{flags:x?}");
        }
    }

    #[test]
    fn what_answers_another_question_is_no_answer() {
        let question = Question::new(HOST, Kind::A).unwrap();
        let right = answer(&question, FOUND, &[(SAME, 1, &[10, 0, 0, 1])]);
        for (place, what) in [
            (0, "number"),
            (2, "kind of message"),
            (14, "name"),
            (32, "type"),
        ] {
            let mut wrong = right.clone();
            wrong[place] ^= 0x80;
            assert_eq!(question.read(&wrong), None, "another {what}");
        }
        assert_eq!(question.read(question.bytes()), None);
    }

    #[test]
    fn cut_short_or_changed_at_any_place_it_is_read_to_an_end() {
        let question = Question::new(HOST, Kind::A).unwrap();
        let right = answer(&question, FOUND, &[(SAME, 1, &[10, 0, 0, 1])]);
        for end in 0..right.len() {
            let read = question.read(&right[..end]);
            assert!(
                matches!(read, None | Some(Answer::Failed)),
                "{end}: {read:?}"
            );
        }
        for place in 0..right.len() {
            for value in 0..=u8::MAX {
                let mut wrong = right.clone();
                wrong[place] = value;
                drop(question.read(&wrong));
            }
        }
    }

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        let long = ["a"; 130].join(".");
        for name in ["", ".", "a..b", &"a".repeat(64), &long] {
            assert!(Question::new(name, Kind::A).is_err(), "{name:?}");
        }
        assert!(Question::new("vault.", Kind::A).is_ok());
    }
}
