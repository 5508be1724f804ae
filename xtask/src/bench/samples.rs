//! Several runs of one measurement.

use serde::Serialize;

/// In ascending order; never empty.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    pub(super) fn new(mut values: Vec<f64>) -> anyhow::Result<Self> {
        anyhow::ensure!(!values.is_empty(), "nothing was measured");
        values.sort_by(f64::total_cmp);
        Ok(Self(values))
    }

    pub(super) fn median(&self) -> f64 {
        self.at(0.5)
    }

    pub(super) fn greatest(&self) -> f64 {
        self.at(1.0)
    }

    /// Half of the runs lie between the two.
    pub(super) fn quartiles(&self) -> (f64, f64) {
        (self.at(0.25), self.at(0.75))
    }

    /// The value below which this share of the runs lies, between two runs in proportion.
    fn at(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        #[expect(clippy::cast_precision_loss, reason = "runs are counted in dozens")]
        let place = share * last as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place among dozens"
        )]
        let below = place as usize;
        let value = |index: usize| self.0.get(index.min(last)).copied().unwrap_or(f64::NAN);
        value(below) + (value(below + 1) - value(below)) * place.fract()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_and_quartiles_lie_between_runs_where_they_have_to() {
        for (values, median, quartiles) in [
            (vec![7.0], 7.0, (7.0, 7.0)),
            (vec![3.0, 1.0], 2.0, (1.5, 2.5)),
            (vec![5.0, 1.0, 3.0, 2.0, 4.0], 3.0, (2.0, 4.0)),
        ] {
            let samples = Samples::new(values).unwrap();
            assert!((samples.median() - median).abs() < 1e-9, "{samples:?}");
            let (lower, upper) = samples.quartiles();
            assert!((lower - quartiles.0).abs() < 1e-9, "{samples:?}");
            assert!((upper - quartiles.1).abs() < 1e-9, "{samples:?}");
        }
        Samples::new(Vec::new()).unwrap_err();
    }
}
