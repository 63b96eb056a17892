//! Statistics that a few outliers do not move.

use serde::{Deserialize, Serialize};

/// The middle of `values`, of an even number the mean of the two in the middle; `None` of none. What
/// is no number is passed over.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2).copied()?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = sorted.get((sorted.len() / 2).checked_sub(1)?).copied()?;
    // Halves first: the sum of the two may be infinite.
    Some(lower / 2.0 + upper / 2.0)
}

/// What is usual, and how much it varies: up to half of the values may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Robust {
    /// The median.
    pub median: f64,
    /// The median absolute deviation from it.
    pub deviation: f64,
    /// Of how many values.
    pub count: u64,
}

impl Robust {
    /// Of `values`; `None` of none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let middle = median(values)?;
        let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
        let deviation = median(&distances)?;
        Some(Self { median: middle, deviation, count: values.len() as u64 })
    }

    /// The standard deviation of a normal distribution with that [`Self::deviation`].
    #[must_use]
    pub fn scale(&self) -> f64 {
        /// 1 / Φ⁻¹(3/4)
        const CONSISTENCY: f64 = 1.4826;
        CONSISTENCY * self.deviation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[f64::NAN, 1.0]), Some(1.0));
        assert_eq!(median(&[f64::MAX, f64::MAX]), Some(f64::MAX));
    }

    proptest::proptest! {
        #[test]
        fn the_middle_has_as_many_below_as_above(
            values in proptest::collection::vec(-1e9..1e9_f64, 1..40),
        ) {
            let middle = median(&values).expect("values");
            let below = values.iter().filter(|value| **value < middle).count();
            let above = values.iter().filter(|value| **value > middle).count();
            proptest::prop_assert!(below * 2 <= values.len() && above * 2 <= values.len());
            let moved: Vec<f64> = values.iter().rev().map(|value| value * 2.0).collect();
            proptest::prop_assert_eq!(median(&moved), Some(middle * 2.0));
            let (one, other) = (Robust::of(&values), Robust::of(&moved));
            proptest::prop_assert_eq!(one.map(|one| one.deviation * 2.0), other.map(|one| one.deviation));
        }
    }

    #[test]
    fn outliers_move_nothing() {
        let calm = Robust::of(&[9.0, 10.0, 11.0, 10.0, 12.0]).expect("values");
        assert_eq!((calm.median, calm.deviation), (10.0, 1.0));
        let wild = Robust::of(&[9.0, 10.0, 11.0, 1e9, 1e12]).expect("values");
        assert_eq!((wild.median, wild.deviation), (11.0, 2.0));
        assert_eq!(Robust::of(&[]), None);
    }
}
