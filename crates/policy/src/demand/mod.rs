//! Stage 2, resources: what a command asks for by number, against the ceilings of the sandbox, and
//! whether it wants a network that is off.
//!
//! The sandbox holds its ceilings whatever is asked. So this is told, as a violation of limits,
//! and not as a danger; what fills disks and memories without a number is an effect.

mod amount;
mod program;

use std::borrow::Cow;

use ctrlz_core::isolation::Network;
use ctrlz_core::limits::{LimitKind, Limits};
use ctrlz_core::size::ByteSize;
use ctrlz_core::verdict::Risk;

use crate::coverage::needs_network;
use crate::evaluate::{Call, Evaluation};
use crate::source_range::SourceRange;
use crate::verdict::{Finding, Stage};
use amount::Amount;

/// How many demands are told.
const MOST_TOLD: usize = 16;

/// Something that a command asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Demand {
    kind: LimitKind,
    amount: Amount,
    range: SourceRange,
}

/// Tells what is asked for beyond the limits.
pub(crate) fn over_limits(evaluation: &Evaluation, limits: &Limits, findings: &mut Vec<Finding>) {
    if *limits == Limits::default() {
        return;
    }
    let mut told = 0;
    for call in &evaluation.calls {
        for demand in program::demands(call, evaluation) {
            let Some(ceiling) = ceiling(limits, demand.kind) else { continue };
            if demand.amount <= ceiling || told == MOST_TOLD {
                continue;
            }
            told += 1;
            findings.push(Finding {
                rule: Cow::Borrowed(rule(demand.kind)),
                risk: Risk::Medium,
                range: demand.range,
                subject: format!("{} asked, at most {}", demand.amount, ceiling),
                program: call.name.clone(),
                reason: Cow::Borrowed(reason(demand.kind)),
                hint: Cow::Borrowed(hint(demand.kind)),
                ..Finding::of(Stage::Resources)
            });
        }
    }
}

/// Remarks, once, that a network is wanted that is off.
pub(crate) fn network(evaluation: &Evaluation, network: Network, findings: &mut Vec<Finding>) {
    if network != Network::None {
        return;
    }
    let effect = evaluation.effects.iter().find(|effect| needs_network(effect));
    let call = || evaluation.calls.iter().find(|call| program::wants_network(call));
    let (range, subject) = match effect {
        Some(effect) => (effect.range, effect.target.to_string()),
        None => match call() {
            Some(call) => (call.range, call.name.clone()),
            None => return,
        },
    };
    findings.push(Finding {
        rule: Cow::Borrowed("network-off"),
        range,
        subject: crate::content::redact(&subject).into_owned(),
        reason: Cow::Borrowed("it wants the network, which is off, so that part will fail"),
        hint: Cow::Borrowed("turn it on with --net host"),
        ..Finding::of(Stage::Resources)
    });
}

fn ceiling(limits: &Limits, kind: LimitKind) -> Option<Amount> {
    let bytes = |size: Option<ByteSize>| size.map(|size| Amount::Bytes(size.0));
    match kind {
        LimitKind::Memory => bytes(limits.memory),
        LimitKind::Disk => bytes(limits.disk),
        LimitKind::MaxOutput => bytes(limits.max_output),
        LimitKind::Pids => limits.pids.map(|count| Amount::Count(count.into())),
        LimitKind::OpenFiles => limits.open_files.map(Amount::Count),
        LimitKind::Timeout => limits.timeout.map(|time| Amount::Seconds(time.0.as_secs())),
        // More work than processors only takes longer.
        LimitKind::Cpus => None,
    }
}

fn rule(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::Memory => "over-memory",
        LimitKind::Cpus => "over-cpus",
        LimitKind::Pids => "over-processes",
        LimitKind::Disk => "over-disk",
        LimitKind::OpenFiles => "over-open-files",
        LimitKind::MaxOutput => "over-output",
        LimitKind::Timeout => "over-time",
    }
}

fn reason(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::Memory => "it asks for more memory than its limit",
        LimitKind::Cpus => "it asks for more processors than its limit",
        LimitKind::Pids => "it asks for more processes than its limit",
        LimitKind::Disk => "it asks for more disk than its limit",
        LimitKind::OpenFiles => "it asks for more open files than its limit",
        LimitKind::MaxOutput => "it prints more than its limit",
        LimitKind::Timeout => "it takes longer than its limit",
    }
}

fn hint(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::Memory => "ask for less, or raise the limit with --memory",
        LimitKind::Cpus => "ask for less, or raise the limit with --cpus",
        LimitKind::Pids => "ask for fewer, or raise the limit with --pids",
        LimitKind::Disk => "ask for less, or raise the limit with --disk",
        LimitKind::OpenFiles => "ask for fewer, or raise the limit with --open-files",
        LimitKind::MaxOutput => "print less, or raise the limit with --max-output",
        LimitKind::Timeout => "wait less, or raise the limit with --timeout",
    }
}

impl Demand {
    fn new(kind: LimitKind, amount: Amount, call: &Call) -> Self {
        Self { kind, amount, range: call.range }
    }
}
