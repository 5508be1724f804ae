//! Go's floats as text.

/// The digits, at least one, and the exponent of the first.
fn digits(number: f64, precision: Option<usize>) -> (String, i32) {
    let number = number.abs();
    let text = match precision {
        Some(precision) => format!("{number:.precision$e}"),
        None => format!("{number:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (mantissa.replace('.', ""), exponent.parse().unwrap_or(0))
}

/// `+Inf`, `-Inf`, `NaN`
fn special(number: f64) -> Option<String> {
    let text = if number.is_nan() {
        "NaN"
    } else if number == f64::INFINITY {
        "+Inf"
    } else if number == f64::NEG_INFINITY {
        "-Inf"
    } else {
        return None;
    };
    Some(text.to_owned())
}

fn sign(number: f64) -> &'static str {
    if number.is_sign_negative() { "-" } else { "" }
}

/// `%e`, with all digits that are needed where no precision is given.
pub(crate) fn exponent(number: f64, precision: Option<usize>) -> String {
    if let Some(text) = special(number) {
        return text;
    }
    let (digits, exponent) = digits(number, precision);
    format!("{}{}", sign(number), scientific(&digits, exponent))
}

fn scientific(digits: &str, exponent: i32) -> String {
    let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, ""));
    let point = if rest.is_empty() { "" } else { "." };
    let direction = if exponent < 0 { '-' } else { '+' };
    format!("{first}{point}{rest}e{direction}{:02}", exponent.abs())
}

/// `%f`, with all digits that are needed where no precision is given.
pub(crate) fn fixed(number: f64, precision: Option<usize>) -> String {
    if let Some(text) = special(number) {
        return text;
    }
    match precision {
        Some(precision) => format!("{number:.precision$}"),
        None => format!("{number}"),
    }
}

/// From which exponent on the shortest form is scientific.
const SHORTEST: usize = 6;

/// `%g`, and `%v` where no precision is given.
pub(crate) fn general(number: f64, precision: Option<usize>) -> String {
    if let Some(text) = special(number) {
        return text;
    }
    let wanted = precision.map(|precision| precision.max(1));
    let (mut digits, exponent) = digits(number, wanted.map(|wanted| wanted - 1));
    let significant = digits.trim_end_matches('0').len().max(1);
    digits.truncate(significant);
    let limit = match wanted {
        None => SHORTEST,
        Some(wanted) => {
            let before_point = usize::try_from(exponent + 1).unwrap_or(0);
            if wanted > significant && significant >= before_point {
                significant
            } else {
                wanted
            }
        }
    };
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= limit {
        return format!("{}{}", sign(number), scientific(&digits, exponent));
    }
    let decimals = i32::try_from(significant).unwrap_or(0) - 1 - exponent;
    let decimals = usize::try_from(decimals).unwrap_or(0);
    fixed(number, Some(decimals))
}

/// As `encoding/json` has it.
pub(crate) fn json(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = exponent(number, None);
        // Go drops the zero of a short negative exponent, and only that.
        return text.replace("e-0", "e-");
    }
    fixed(number, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_go_writes_them() {
        assert_eq!(general(1e-7, None), "1e-07");
        assert_eq!(general(1_234_567.0, Some(3)), "1.23e+06");
        assert_eq!(general(100_000.0, Some(6)), "100000");
        assert_eq!(general(-1.5, None), "-1.5");
        assert_eq!(general(0.0, None), "0");
        assert_eq!(general(f64::INFINITY, None), "+Inf");
        assert_eq!(exponent(12_345.678, Some(6)), "1.234568e+04");
        assert_eq!(json(1e-7), "1e-7");
        assert_eq!(json(1e21), "1e+21");
        assert_eq!(json(1e20), "100000000000000000000");
    }
}
