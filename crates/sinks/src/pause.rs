//! How long to wait before trying again.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_secs(1);
/// The longest one.
const LONGEST: Duration = Duration::from_secs(3600);

/// No pause is longer: the longest one with a quarter of it.
pub(crate) const MOST: Duration = Duration::from_secs(4500);

/// The pause after `failures` failed attempts in a row: doubling from a second to an hour, longer
/// by up to a quarter, so that many senders do not come at once. `spread` is any number.
pub(crate) fn after(failures: u32, spread: u64) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32 << failures.saturating_sub(1).min(16));
    let pause = doubled.min(LONGEST);
    let quarter = pause / 4;
    pause + quarter.mul_f64((spread % 1024) as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_an_hour_and_no_further() {
        let seconds = |failures| after(failures, 0).as_secs();
        assert_eq!([1, 2, 3, 4, 12, 13, 60].map(seconds), [1, 2, 4, 8, 2048, 3600, 3600]);
        assert!(after(u32::MAX, u64::MAX) <= MOST);
        assert!(after(3, 512) > after(3, 0));
    }
}
