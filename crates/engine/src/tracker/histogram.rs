//! How long operations take, in buckets of fixed bounds, as Prometheus has them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The upper bounds of the buckets in seconds, about three to a power of ten; above the last one is
/// the bucket of all.
pub const BOUNDS: [f64; 19] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 900.0, 3600.0, 21600.0,
];

/// One bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Its upper bound in seconds; `None` for the bucket of all.
    pub le: Option<f64>,
    /// How many took no longer.
    pub count: u64,
}

/// How many operations took how long.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// Those between a bound and the one before.
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(took);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long all of them took together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The buckets; each counts those of the ones before, too.
    #[must_use]
    pub fn buckets(&self) -> Vec<Bucket> {
        let bounds = BOUNDS.iter().copied().map(Some).chain([None]);
        let mut so_far = 0;
        bounds
            .zip(self.counts)
            .map(|(le, count)| {
                so_far += count;
                Bucket { le, count: so_far }
            })
            .collect()
    }

    /// How long the share `quantile` (0 to 1) took at most, as far as the buckets tell: a bound, or
    /// between two as if those in a bucket were spread evenly. `None` of nothing, and where it is
    /// above the last bound.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let rank = quantile * self.count() as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (count, bound) in self.counts.iter().zip(BOUNDS) {
            let count = *count as f64;
            if count > 0.0 && below + count >= rank {
                return Some(lower + (bound - lower) * ((rank - below) / count).clamp(0.0, 1.0));
            }
            below += count;
            lower = bound;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_in_all_buckets_from_its_own_on() {
        let mut histogram = Histogram::default();
        for millis in [1, 1, 7, 800, 100_000_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let count = |le: Option<f64>| {
            histogram.buckets().iter().find(|bucket| bucket.le == le).map(|bucket| bucket.count)
        };
        assert_eq!(count(Some(0.001)), Some(2), "a bound belongs to its bucket");
        assert_eq!(count(Some(0.005)), Some(2));
        assert_eq!(count(Some(0.01)), Some(3));
        assert_eq!(count(Some(1.0)), Some(4));
        assert_eq!(count(None), Some(5));
        assert_eq!(histogram.count(), 5);
        assert_eq!(histogram.sum(), Duration::from_millis(100_000_809));
        assert!(histogram.buckets().is_sorted_by_key(|bucket| bucket.count));
    }

    proptest::proptest! {
        #[test]
        fn a_bucket_counts_what_took_no_longer(
            millis in proptest::collection::vec(0..100_000_000_u64, 0..50),
        ) {
            let mut histogram = Histogram::default();
            millis.iter().for_each(|one| histogram.observe(Duration::from_millis(*one)));
            for Bucket { le, count } in histogram.buckets() {
                let within = |one: &&u64| {
                    le.is_none_or(|le| Duration::from_millis(**one).as_secs_f64() <= le)
                };
                proptest::prop_assert_eq!(count, millis.iter().filter(within).count() as u64);
            }
            proptest::prop_assert_eq!(histogram.sum().as_millis(), u128::from(millis.iter().sum::<u64>()));
        }
    }

    #[test]
    fn quantiles_lie_in_their_bucket() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        (0..100).for_each(|_| histogram.observe(Duration::from_millis(7)));
        let half = histogram.quantile(0.5).expect("known");
        assert!((half - 0.0075).abs() < 1e-9, "{half}");
        (0..300).for_each(|_| histogram.observe(Duration::from_secs(100_000)));
        assert_eq!(histogram.quantile(0.99), None, "above all bounds");
    }
}
