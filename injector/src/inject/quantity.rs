//! Kubernetes' resource quantities, as far as they are needed to compare two.
//!
//! Source: `k8s.io/apimachinery/pkg/api/resource`. The text is kept, so that a pod gets what its author wrote.

use serde_json::Value;

/// An amount of CPU or memory.
#[derive(Clone, Debug)]
pub(crate) struct Quantity {
    text: String,
    /// In billionths, the smallest unit that there is.
    nanos: u128,
}

impl Quantity {
    /// Digits, a fraction and a suffix; a sign or an exponent is nothing that resources use.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at_checked(end)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        // Eighteen digits are more than any node has, and few enough for every product below.
        let sound = !whole.is_empty() && whole.len() <= 18 && fraction.len() <= 9;
        if !sound || fraction.contains('.') {
            return None;
        }
        let whole: u128 = whole.parse().ok()?;
        let fraction: u128 = format!("{fraction:0<9}").parse().ok()?;
        let billionths = whole * 1_000_000_000 + fraction;
        Some(Self {
            text: text.to_owned(),
            nanos: scale(billionths, suffix)?,
        })
    }

    /// What was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Whole units, rounded down: bytes of memory.
    pub(crate) fn units(&self) -> u64 {
        u64::try_from(self.nanos / 1_000_000_000).unwrap_or(u64::MAX)
    }
}

/// Writes the quantities of a pod as text where they are numbers.
pub(crate) fn write_as_text(pod: &mut Value) {
    match pod {
        Value::Object(members) => {
            for (key, value) in members {
                match key.as_str() {
                    "limits" | "requests" | "overhead" => values_as_text(value),
                    "sizeLimit" | "divisor" | "storage" => as_text(value),
                    _ => write_as_text(value),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(write_as_text),
        _ => {}
    }
}

fn values_as_text(amounts: &mut Value) {
    if let Value::Object(amounts) = amounts {
        amounts.values_mut().for_each(as_text);
    }
}

fn as_text(amount: &mut Value) {
    if let Value::Number(number) = amount {
        *amount = number.to_string().into();
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

fn scale(billionths: u128, suffix: &str) -> Option<u128> {
    let factor: u128 = match suffix {
        // Rounded up, as Kubernetes does with what is smaller than its smallest unit.
        "n" => return Some(billionths.div_ceil(1_000_000_000)),
        "u" => return Some(billionths.div_ceil(1_000_000)),
        "m" => return Some(billionths.div_ceil(1_000)),
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "P" => 1_000_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "Pi" => 1 << 50,
        _ => return None,
    };
    billionths.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_amounts_and_not_spellings() {
        let parse = |text| Quantity::parse(text).unwrap();
        assert_eq!(parse("1"), parse("1000m"));
        assert_eq!(parse("0.5"), parse("500m"));
        assert_eq!(parse("64Mi"), parse("67108864"));
        assert!(parse("64M") < parse("64Mi"));
        assert!(parse("999999u") < parse("1"));
        assert_eq!(parse("64Mi").units(), 64 << 20);
        assert_eq!(parse("1.5Gi").text(), "1.5Gi");
        assert!(parse("0m").is_zero());
    }

    #[test]
    fn refuses_what_is_no_amount() {
        for text in [
            "",
            "m",
            ".5",
            "-1",
            "+1",
            "1 Gi",
            "1gi",
            "1.2.3",
            "1e3",
            "9999999999999999999",
            "Mi",
        ] {
            assert!(Quantity::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn counts_as_high_as_its_bounds_let_it() {
        assert!(
            Quantity::parse("999999999999999999.999999999Pi").is_none_or(|q| q.units() == u64::MAX)
        );
    }
}
