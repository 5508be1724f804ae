//! Numbers as templates write them.

/// A literal's value in every kind that it fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Constant {
    pub(crate) integer: Option<i64>,
    pub(crate) unsigned: Option<u64>,
    pub(crate) float: Option<f64>,
    /// Written as a whole number, without point or exponent.
    pub(crate) whole: bool,
}

/// How long the number is that the text starts with.
pub(crate) fn scan(text: &str) -> usize {
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
    let mut index = usize::from(matches!(at(0), b'+' | b'-'));
    let mut radix = 10;
    if at(index) == b'0' {
        radix = match at(index + 1) | 0x20 {
            b'x' => 16,
            b'o' => 8,
            b'b' => 2,
            _ => 10,
        };
        if radix != 10 {
            index += 2;
        }
    }
    let digits = |mut index: usize, radix: u32| {
        while at(index) == b'_' || char::from(at(index)).is_digit(radix) {
            index += 1;
        }
        index
    };
    let start = index;
    index = digits(index, radix);
    if at(index) == b'.' {
        index = digits(index + 1, radix);
    }
    if index == start {
        return 0;
    }
    let exponent = at(index) | 0x20;
    if (radix == 10 && exponent == b'e') || (radix == 16 && exponent == b'p') {
        index += 1;
        if matches!(at(index), b'+' | b'-') {
            index += 1;
        }
        index = digits(index, 10);
    }
    index
}

/// The value of what [`scan`] found.
pub(crate) fn parse(text: &str) -> Option<Constant> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let unsigned = whole(digits);
    let float = if unsigned.is_some() {
        None
    } else {
        Some(float(digits)?)
    };
    if let Some(float) = float {
        let float = if negative { -float } else { float };
        let rounded = float.trunc();
        let is_whole = float == rounded && rounded.abs() < 9.2e18;
        #[expect(clippy::cast_possible_truncation, reason = "it is in range")]
        let integer = is_whole.then_some(rounded as i64);
        return Some(Constant {
            integer,
            unsigned: integer.and_then(|integer| u64::try_from(integer).ok()),
            float: Some(float),
            whole: false,
        });
    }
    let unsigned = unsigned?;
    let integer = if negative {
        0_i64.checked_sub_unsigned(unsigned)
    } else {
        i64::try_from(unsigned).ok()
    };
    #[expect(clippy::cast_precision_loss, reason = "that is what a float is")]
    let float = if negative {
        -(unsigned as f64)
    } else {
        unsigned as f64
    };
    Some(Constant {
        integer,
        unsigned: (!negative).then_some(unsigned),
        float: Some(float),
        whole: true,
    })
}

/// A whole number with Go's prefixes: `0x`, `0b`, `0o`, or a leading zero for octal.
pub(crate) fn whole(digits: &str) -> Option<u64> {
    let lower = digits.to_ascii_lowercase();
    let (radix, rest) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, lower.get(1..)?)
    } else {
        (10, lower.as_str())
    };
    let starts = if radix == 10 {
        !rest.starts_with('_')
    } else {
        true
    };
    if !starts || rest.ends_with('_') || rest.contains("__") || rest.starts_with(['+', '-']) {
        return None;
    }
    u64::from_str_radix(&rest.replace('_', ""), radix).ok()
}

fn float(digits: &str) -> Option<f64> {
    let lower = digits.to_ascii_lowercase().replace('_', "");
    let Some(hexadecimal) = lower.strip_prefix("0x") else {
        let plain = lower.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        // All digits: it overflows.
        if lower.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        return lower
            .parse()
            .ok()
            .filter(|value: &f64| plain && value.is_finite());
    };
    let (mantissa, exponent) = hexadecimal.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut value = 0.0;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let exponent: i32 = exponent.parse().ok()?;
    let shift = i32::try_from(fraction.len()).ok()?.checked_mul(4)?;
    let value = value * 2_f64.powi(exponent.checked_sub(shift)?);
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        let integer = |text: &str| {
            assert_eq!(scan(text), text.len(), "{text}");
            parse(text).and_then(|constant| constant.integer)
        };
        for (text, value) in [
            ("0x1F", 31),
            ("0b101", 5),
            ("0o17", 15),
            ("017", 15),
            ("1_000", 1000),
            ("1e3", 1000),
            ("-5", -5),
            ("+5", 5),
            ("0x1p4", 16),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(integer(text), Some(value), "{text}");
        }
        assert_eq!(integer("1.5e-7"), None);
        assert_eq!(parse("99999999999999999999"), None);
        assert_eq!(parse("089"), None);
        assert_eq!(parse("9223372036854775808").unwrap().integer, None);
    }
}
