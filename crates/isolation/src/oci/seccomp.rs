//! The system call rules of [`crate::native`] in the words of the OCI runtime specification.

use std::collections::BTreeMap;

use ctrlz_sys::seccomp::{Action, ArgumentTest, Rule};
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};

use crate::native::syscalls::{self, Circumstances};

/// The filter. Runtimes compile it with libseccomp, which knows no rule for the rest of a call's arguments:
/// that is spelled out.
pub(crate) fn filter(circumstances: Circumstances) -> Result<LinuxSeccomp, OciSpecError> {
    let rules = last_of_each(syscalls::allowed(circumstances));
    let mut calls = vec![call(
        named(&rules, Action::Allow),
        LinuxSeccompAction::ScmpActAllow,
        None,
        Vec::new(),
    )?];
    for errno in [libc::EPERM, libc::ENOMEM] {
        let names = named(&rules, Action::Errno(errno as u16));
        if !names.is_empty() {
            let action = LinuxSeccompAction::ScmpActErrno;
            calls.push(call(names, action, Some(errno as u32), Vec::new())?);
        }
    }
    for rule in rules.iter().filter(|rule| always(rule).is_none()) {
        let (Some(test), Some(name)) = (&rule.test, syscalls::name_of(rule.number)) else {
            continue;
        };
        for (condition, action) in conditions(rule, test) {
            let (action, errno) = match action {
                Action::Errno(errno) => (LinuxSeccompAction::ScmpActErrno, Some(errno.into())),
                _ => (LinuxSeccompAction::ScmpActAllow, None),
            };
            calls.push(call(vec![name.to_owned()], action, errno, vec![condition.argument()?])?);
        }
    }
    let Action::Errno(unknown) = syscalls::UNKNOWN else {
        return Err(OciSpecError::Other("the default of the filter is no errno".to_owned()));
    };
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(u32::from(unknown))
        .architectures(architectures())
        .syscalls(calls)
        .build()
}

/// Of several rules of one call, the last one counts.
fn last_of_each(rules: Vec<Rule>) -> Vec<Rule> {
    let mut last: BTreeMap<u32, Rule> = BTreeMap::new();
    for rule in rules {
        last.insert(rule.number, rule);
    }
    last.into_values().collect()
}

fn architectures() -> Vec<Arch> {
    match cfg!(target_arch = "x86_64") {
        true => vec![Arch::ScmpArchX86_64],
        false => vec![Arch::ScmpArchAarch64],
    }
}

/// The calls that are always answered so.
fn named(rules: &[Rule], action: Action) -> Vec<String> {
    rules
        .iter()
        .filter(|rule| always(rule) == Some(action))
        .filter_map(|rule| syscalls::name_of(rule.number).map(str::to_owned))
        .collect()
}

/// What is done with the call, whatever its arguments.
fn always(rule: &Rule) -> Option<Action> {
    (rule.test.is_none() || rule.action == rule.otherwise).then_some(rule.action)
}

fn call(
    names: Vec<String>,
    action: LinuxSeccompAction,
    errno: Option<u32>,
    arguments: Vec<LinuxSeccompArg>,
) -> Result<LinuxSyscall, OciSpecError> {
    let mut builder = LinuxSyscallBuilder::default().names(names).action(action);
    if let Some(errno) = errno {
        builder = builder.errno_ret(errno);
    }
    if !arguments.is_empty() {
        builder = builder.args(arguments);
    }
    builder.build()
}

/// A condition on one argument: of the bits of `mask`, those of `value` are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Condition {
    index: usize,
    mask: u32,
    value: u32,
}

impl Condition {
    fn argument(self) -> Result<LinuxSeccompArg, OciSpecError> {
        LinuxSeccompArgBuilder::default()
            .index(self.index)
            .value(u64::from(self.mask))
            .value_two(u64::from(self.value))
            .op(LinuxSeccompOperator::ScmpCmpMaskedEq)
            .build()
    }
}

/// What is done under which conditions; they leave no call out.
fn conditions(rule: &Rule, test: &ArgumentTest) -> Vec<(Condition, Action)> {
    let index = test.argument as usize;
    let when = |(mask, value)| Condition { index, mask, value };
    let matching = test.values.iter().map(|value| (when((test.mask, *value)), rule.action));
    let others = others(test.mask, test.values).into_iter();
    matching.chain(others.map(|other| (when(other), rule.otherwise))).collect()
}

/// Masks and values that together match every word that is none of `values` under `mask`, and no
/// other: a word is another one from the highest bit on in which it differs.
fn others(mask: u32, values: &[u32]) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    for bit in (0..u32::BITS).rev().map(|n| 1_u32 << n).filter(|bit| mask & bit != 0) {
        let above = mask & !(bit | (bit - 1));
        for value in values {
            let other = (above | bit, (value & above) | (!value & bit));
            let is_one = |one: &u32| one & other.0 == other.1;
            if !values.iter().any(is_one) && !found.contains(&other) {
                found.push(other);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(conditions: &[(u32, u32)], word: u32) -> bool {
        conditions.iter().any(|(mask, value)| word & mask == *value)
    }

    #[test]
    fn all_words_but_some_are_matched() {
        let values = [libc::TIOCSTI as u32, libc::TIOCLINUX as u32];
        let conditions = others(u32::MAX, &values);
        for word in (0..0x1_0000).chain([u32::MAX, 0x8000_5412, 0x1_5412, 1 << 31]) {
            assert_eq!(matches(&conditions, word), !values.contains(&word), "{word:x}");
        }
    }

    #[test]
    fn bits_outside_of_the_mask_do_not_count() {
        let conditions = others(0xf0, &[0x20]);
        for word in 0..0x200 {
            assert_eq!(matches(&conditions, word), word & 0xf0 != 0x20, "{word:x}");
        }
    }

    #[test]
    fn the_filter_names_what_it_refuses() {
        let circumstances = Circumstances {
            emulates_rename: false,
            measures_memory: false,
            fixed_processors: false,
        };
        let filter = filter(circumstances).expect("a filter");
        let calls = filter.syscalls().clone().unwrap_or_default();
        let is_allowed = |name: &str| {
            let named = calls.iter().filter(|call| call.names().iter().any(|one| one == name));
            let allow = LinuxSeccompAction::ScmpActAllow;
            named.map(|call| (call.action() == allow, call.args().is_some())).collect::<Vec<_>>()
        };
        assert_eq!(is_allowed("read"), [(true, false)]);
        assert_eq!(is_allowed("renameat2"), [(true, false)]);
        assert_eq!(is_allowed("mount"), [(false, false)]);
        assert_eq!(is_allowed("clone3"), []);
        let (allowed, refused): (Vec<_>, Vec<_>) =
            is_allowed("clone").into_iter().partition(|(allowed, _)| *allowed);
        assert_eq!((allowed.len(), refused.len()), (1, 7), "a refusal for each kind of namespace");
        assert!(is_allowed("ioctl").contains(&(true, true)));
        assert!(is_allowed("ioctl").contains(&(false, true)));
        let measured = Circumstances { measures_memory: true, ..circumstances };
        let filter = super::filter(measured).expect("a filter");
        let calls = filter.syscalls().clone().unwrap_or_default();
        let named = calls.iter().filter(|call| call.names().iter().any(|one| one == "shmget"));
        assert_eq!(named.count(), 1);
    }
}
