//! What of an operation is far from what is usual for its sandbox.

use ctrlz_core::monitor::{Anomaly, Signal};
use ctrlz_core::operation::{Operation, OperationKind, Outcome};
use serde::{Deserialize, Serialize};

use super::statistics::Robust;

/// With fewer operations before it, nothing is unusual.
pub const LEAST_OPERATIONS: u64 = 8;

/// How many of the newest operations a baseline is made of.
pub(crate) const MOST_OPERATIONS: u32 = 50;

/// So many standard deviations above the median.
const DEVIATIONS: f64 = 6.0;

/// And so many times the median.
const TIMES: f64 = 4.0;

/// Deviations are taken for at least this share of the median.
const LEAST_SHARE: f64 = 0.1;

/// Less than this is never unusual, so that what hardly does anything is not looked at.
fn floor(signal: Signal) -> f64 {
    match signal {
        Signal::Processes | Signal::Writes => 64.0,
        Signal::Deletes => 16.0,
        Signal::Egress => 8.0,
        Signal::Cpu => 5.0,
    }
}

/// How much of each signal an operation had, in [`Signal::unit`]; `None` of what is not known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Values([Option<f64>; 5]);

impl Values {
    /// Of one signal.
    #[must_use]
    pub fn get(&self, signal: Signal) -> Option<f64> {
        Signal::ALL.iter().zip(self.0).find(|(known, _)| **known == signal)?.1
    }

    /// With one more.
    #[must_use]
    pub fn with(mut self, signal: Signal, value: f64) -> Self {
        for (known, place) in Signal::ALL.iter().zip(&mut self.0) {
            if *known == signal {
                *place = Some(value);
            }
        }
        self
    }

    /// Of a command that has ended; `None` of anything else.
    #[must_use]
    pub fn of(operation: &Operation) -> Option<Self> {
        match operation.request.kind {
            OperationKind::Run => Self::of_outcome(&operation.outcome),
            _ => None,
        }
    }

    /// Of what came of a command; `None` when that is not known.
    #[must_use]
    pub fn of_outcome(outcome: &Outcome) -> Option<Self> {
        let command = outcome.command.as_ref()?;
        let mut values = Self::default().with(Signal::Egress, command.network_attempts as f64);
        let usage = &command.usage;
        // Operations of an older ctrlz did not tell.
        if usage.processes > 0 {
            values = values.with(Signal::Processes, usage.processes as f64);
        }
        if let (Some(user), Some(system)) = (usage.user, usage.system) {
            values = values.with(Signal::Cpu, user.0.as_secs_f64() + system.0.as_secs_f64());
        }
        if let Some(counts) = &outcome.counts {
            values = values
                .with(Signal::Writes, (counts.added + counts.modified) as f64)
                .with(Signal::Deletes, counts.deleted as f64);
        }
        Some(values)
    }
}

/// Whether any of them is enough to be unusual, so that it is worth to look what is usual.
#[must_use]
pub fn is_worth_a_look(values: &Values) -> bool {
    Signal::ALL
        .iter()
        .any(|signal| values.get(*signal).is_some_and(|value| value >= floor(*signal)))
}

/// What is usual of one signal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Of what.
    pub signal: Signal,
    /// What it is.
    #[serde(flatten)]
    pub usual: Robust,
    /// From how much on it is unusual; `None` as long as there are too few operations.
    pub limit: Option<f64>,
}

impl Baseline {
    /// Of the values of the operations before; `None` of none.
    fn of(signal: Signal, values: &[f64]) -> Option<Self> {
        let usual = Robust::of(values)?;
        let enough = usual.count >= LEAST_OPERATIONS;
        Some(Self { signal, usual, limit: enough.then(|| limit(signal, &usual)) })
    }
}

/// What is usual for a sandbox.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Baselines(Vec<Baseline>);

impl Baselines {
    /// Of a sandbox's newest operations, in any order.
    #[must_use]
    pub fn of<'o>(operations: impl Iterator<Item = &'o Operation>) -> Self {
        let values: Vec<Values> =
            operations.filter_map(Values::of).take(MOST_OPERATIONS as usize).collect();
        let of_signal = |signal: Signal| {
            let values: Vec<f64> = values.iter().filter_map(|one| one.get(signal)).collect();
            Baseline::of(signal, &values)
        };
        Self(Signal::ALL.into_iter().filter_map(of_signal).collect())
    }

    /// Each signal's, as far as it is known.
    #[must_use]
    pub fn all(&self) -> &[Baseline] {
        &self.0
    }

    /// What of `values` is unusual.
    #[must_use]
    pub fn judge(&self, values: &Values) -> Vec<Anomaly> {
        let unusual = |baseline: &Baseline| {
            let value = values.get(baseline.signal)?;
            let usual = baseline.usual;
            let limit = baseline.limit?;
            (value >= limit).then(|| Anomaly {
                signal: baseline.signal,
                value,
                baseline: usual.median,
                spread: usual.deviation,
                factor: value / usual.median.max(1.0),
                operations: usual.count,
            })
        };
        self.0.iter().filter_map(unusual).collect()
    }
}

/// From how much on it is unusual.
fn limit(signal: Signal, usual: &Robust) -> f64 {
    let floor = floor(signal);
    // Where all operations before are alike, their deviation is nothing.
    let scale = usual.scale().max(usual.median * LEAST_SHARE).max(floor / DEVIATIONS / 2.0);
    (usual.median + DEVIATIONS * scale).max(usual.median * TIMES).max(floor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baselines(signal: Signal, values: &[f64]) -> Baselines {
        Baselines(vec![Baseline::of(signal, values).expect("values")])
    }

    fn flags(signal: Signal, before: &[f64], value: f64) -> bool {
        !baselines(signal, before).judge(&Values::default().with(signal, value)).is_empty()
    }

    #[test]
    fn flags_what_is_far_above_the_usual() {
        let few = [2.0, 3.0, 3.0, 4.0, 2.0, 3.0, 5.0, 3.0];
        assert!(flags(Signal::Deletes, &few, 400.0));
        assert!(!flags(Signal::Deletes, &few, 10.0), "little is never unusual");
        assert!(!flags(Signal::Deletes, &few[..7], 400.0), "too few operations");
        let many = [900.0, 1000.0, 1100.0, 1000.0, 950.0, 1050.0, 1000.0, 1000.0];
        assert!(!flags(Signal::Deletes, &many, 3900.0), "less than four times as much");
        assert!(flags(Signal::Deletes, &many, 4500.0));
        let wild = [0.0, 4000.0, 10.0, 900.0, 2000.0, 5.0, 300.0, 3000.0];
        assert!(!flags(Signal::Writes, &wild, 5000.0), "it varies as much");
        assert!(!flags(Signal::Deletes, &many, 0.0), "less is never unusual");
        let alike = [0.0; 8];
        assert!(flags(Signal::Egress, &alike, 8.0));
        assert!(!flags(Signal::Egress, &alike, 7.0));
    }

    #[test]
    fn the_reason_says_how_much_and_what_is_usual() {
        let found = baselines(Signal::Deletes, &[4.0; 9])
            .judge(&Values::default().with(Signal::Deletes, 400.0));
        let expected = Anomaly {
            signal: Signal::Deletes,
            value: 400.0,
            baseline: 4.0,
            spread: 0.0,
            factor: 100.0,
            operations: 9,
        };
        assert_eq!(found, [expected]);
    }

    proptest::proptest! {
        /// A minority of operations, whatever they did, neither hides what is far above the rest nor
        /// makes what is like the rest unusual.
        #[test]
        fn a_minority_decides_nothing(
            rest in proptest::collection::vec(20.0..60.0_f64, 9..30),
            share in 0.0..0.4_f64,
            odd in 0.0..1e9_f64,
        ) {
            let mut values = rest.clone();
            let odd_ones = (rest.len() as f64 * share) as usize;
            values.extend(std::iter::repeat_n(odd, odd_ones));
            for value in rest {
                proptest::prop_assert!(!flags(Signal::Deletes, &values, value));
            }
            proptest::prop_assert!(flags(Signal::Deletes, &values, 1000.0));
        }
    }

    #[test]
    fn what_is_not_worth_a_look_is_never_unusual() {
        for signal in Signal::ALL {
            let little = Values::default().with(signal, floor(signal) - 0.1);
            assert!(!is_worth_a_look(&little));
            assert!(baselines(signal, &[0.0; 20]).judge(&little).is_empty());
            assert!(is_worth_a_look(&Values::default().with(signal, floor(signal))));
        }
        assert!(!is_worth_a_look(&Values::default()));
    }
}
