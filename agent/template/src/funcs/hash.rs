//! Digests and encodings of bytes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ring::{digest, hmac};

use super::{Function, bytes, done};
use crate::error::Fault;
use crate::value::Value;

pub(super) const TABLE: &[Function] = &[
    Function::own("sha256Hex", "s", |_, values| {
        digest(&digest::SHA256, values)
    }),
    Function::own("md5sum", "s", |_, values| done(hex(&md5(bytes(values, 0))))),
    Function::own("hmacSHA256Hex", "ss", |_, values| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes(values, 1));
        done(hex(hmac::sign(&key, bytes(values, 0)).as_ref()))
    }),
    Function::own("base64Encode", "s", |_, values| {
        done(STANDARD.encode(bytes(values, 0)))
    }),
    Function::own("base64URLEncode", "s", |_, values| {
        done(URL_SAFE.encode(bytes(values, 0)))
    }),
    Function::own("base64Decode", "s", |_, values| {
        done(decode(&STANDARD, values)?)
    }),
    Function::own("base64URLDecode", "s", |_, values| {
        done(decode(&URL_SAFE, values)?)
    }),
    Function::sprig("b64enc", "s", |_, values| {
        done(STANDARD.encode(bytes(values, 0)))
    }),
    Function::sprig("b64dec", "s", |_, values| done(decode(&STANDARD, values)?)),
    Function::sprig("sha256sum", "s", |_, values| {
        digest(&digest::SHA256, values)
    }),
    Function::sprig("sha1sum", "s", |_, values| {
        digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, values)
    }),
];

fn digest(algorithm: &'static digest::Algorithm, values: &[Value]) -> Result<Value, Fault> {
    done(hex(digest::digest(algorithm, bytes(values, 0)).as_ref()))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Line ends within count as nothing, as in Go.
fn decode(alphabet: &impl base64::Engine, values: &[Value]) -> Result<Vec<u8>, Fault> {
    let text = bytes(values, 0).iter().copied();
    let text: Vec<u8> = text.filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let decoded = alphabet.decode(text);
    decoded.map_err(|_where| "the text is not base64".into())
}

/// The sines of the steps' numbers; the C library's own sine would be 20 kB.
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

/// RFC 1321. It protects nothing here: templates name files by it, and old programs want it.
fn md5(text: &[u8]) -> [u8; 16] {
    const SHIFTS: [[u32; 4]; 4] = [
        [7, 12, 17, 22],
        [5, 9, 14, 20],
        [4, 11, 16, 23],
        [6, 10, 15, 21],
    ];
    let mut padded = text.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    let bits = u64::try_from(text.len())
        .unwrap_or(u64::MAX)
        .wrapping_mul(8);
    padded.extend_from_slice(&bits.to_le_bytes());
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded.chunks_exact(64) {
        let word = |index: usize| {
            let bytes = block.get(index * 4..index * 4 + 4);
            bytes
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, u32::from_le_bytes)
        };
        let [mut a, mut b, mut c, mut d] = state;
        for step in 0..64_u32 {
            let index = step as usize;
            let (mixed, from) = match step / 16 {
                0 => ((b & c) | (!b & d), index),
                1 => ((d & b) | (!d & c), 5 * index + 1),
                2 => (b ^ c ^ d, 3 * index + 5),
                _ => (c ^ (b | !d), 7 * index),
            };
            let constant = SINES.get(index).copied().unwrap_or(0);
            let row = SHIFTS.get(index / 16).copied().unwrap_or_default();
            let shift = row.get(index % 4).copied().unwrap_or(0);
            let sum = a
                .wrapping_add(mixed)
                .wrapping_add(constant)
                .wrapping_add(word(from % 16));
            (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(shift)));
        }
        for (part, add) in state.iter_mut().zip([a, b, c, d]) {
            *part = part.wrapping_add(add);
        }
    }
    let mut digest = [0; 16];
    for (bytes, part) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&part.to_le_bytes());
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_is_that_of_the_rfc() {
        for (text, digest) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ] {
            assert_eq!(hex(&md5(text.as_bytes())), digest);
        }
    }
}
