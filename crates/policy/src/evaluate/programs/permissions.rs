//! chmod, chown and their relatives.

use crate::effect::{EffectKind, Qualities, Target};
use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::expand::Field;
use crate::path_class::PathClass;

impl Evaluator<'_> {
    /// `echo root:secret | chpasswd`
    pub(super) fn passwords(&mut self, call: &Call) {
        let input = self.take_stdin();
        let of_root =
            input.text.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"root:"));
        if of_root {
            let target = Target::Name("root's password".into());
            self.emit(EffectKind::Account, target, Qualities::ALL_OF_THEM, call.range);
        }
    }

    pub(super) fn permissions(&mut self, call: &Call) {
        let owner = matches!(call.name.as_str(), "chown" | "chgrp");
        let letters = if call.name == "setfacl" { "msxMSX" } else { "" };
        // A mode such as `-x` looks like an option.
        let is_mode = |text: &[u8]| {
            !owner
                && text.len() > 1
                && text.starts_with(b"-")
                && text.iter().skip(1).all(|byte| b"rwxXst".contains(byte))
        };
        let (modes, arguments): (Vec<Field>, Vec<Field>) =
            call.arguments.iter().cloned().partition(|field| is_mode(field.text()));
        let options = crate::evaluate::call::Options::read(
            &arguments,
            letters,
            &["reference", "from", "modify", "set"],
            false,
        );
        let mut operands = options.operands.iter();
        let mut quality = Qualities::NONE
            .with_if(options.has("R|recursive"), Qualities::RECURSIVE)
            .with_if(options.has("no-preserve-root"), Qualities::ALL_OF_THEM);
        let mode = match call.name.as_str() {
            "setfacl" => options.value("m|modify|set|s").cloned(),
            _ if !modes.is_empty() => modes.first().cloned(),
            _ if options.has("reference") => None,
            _ => operands.next().map(|field| (*field).clone()),
        };
        if let Some(mode) = &mode
            && !owner
        {
            quality = quality
                .with_if(is_public(mode.text()) && call.name != "chattr", Qualities::PUBLIC)
                .with_if(is_nothing(mode.text()), Qualities::FORCED)
                .with_if(
                    is_setuid(mode.text()) && !only_group(mode.text()) && call.name == "chmod",
                    Qualities::SETUID,
                );
        }
        let group = call.name == "chmod"
            && mode.as_ref().is_some_and(|mode| is_setuid(mode.text()) && only_group(mode.text()));
        let kind = if owner { EffectKind::Owner } else { EffectKind::Permission };
        for operand in operands {
            let resolved = self.resolve(&operand.value);
            if let Some(program) = self.files.program(&resolved.text).map(<[u8]>::to_vec) {
                // A copy of a program, under another name.
                self.touch_path(
                    kind,
                    &crate::evaluate::value::Value::known(program),
                    quality,
                    operand.range,
                );
            }
            // A key that others may read is no secret any more.
            let opens = mode.as_ref().is_some_and(|mode| {
                mode.text().len() >= 3
                    && mode.text().iter().all(u8::is_ascii_digit)
                    && !mode.text().ends_with(b"00")
            });
            let secret = self.class_of(&resolved, EffectKind::Read) == PathClass::Credential;
            let quality = quality
                .with_if(opens && secret && kind == EffectKind::Permission, Qualities::PUBLIC)
                .with_if(group && is_program_place(&resolved.text), Qualities::SETUID);
            self.touch_path(kind, &operand.value, quality, operand.range);
        }
    }
}

/// Whether everybody may write.
fn is_public(mode: &[u8]) -> bool {
    if mode.iter().all(|byte| matches!(byte, b'0'..=b'7')) {
        return mode.last().is_some_and(|digit| matches!(digit, b'2' | b'3' | b'6' | b'7'))
            && mode.len() >= 3;
    }
    mode.split(|byte| *byte == b',').any(|clause| {
        let at = clause.iter().position(|byte| matches!(byte, b'+' | b'='));
        let Some(at) = at else { return false };
        let (who, what) = clause.split_at(at);
        (who.contains(&b'o') || who.contains(&b'a')) && what.contains(&b'w')
    }) || mode.starts_with(b"o:") && mode.contains(&b'w')
        || mode == b"u:nobody:rwx"
}

/// Whether nobody may do anything any more.
fn is_nothing(mode: &[u8]) -> bool {
    !mode.is_empty() && mode.len() >= 3 && mode.iter().all(|byte| *byte == b'0')
        || matches!(
            mode,
            b"-x" | b"a-x" | b"ugo-x" | b"a-r" | b"a-rwx" | b"-rwx" | b"a=" | b"ugo-rwx" | b"ugo="
        )
}

/// Whether the set-user-id or set-group-id bit is set.
pub(super) fn is_setuid(mode: &[u8]) -> bool {
    if mode.iter().all(|byte| matches!(byte, b'0'..=b'7')) {
        let high = mode.len().checked_sub(4).and_then(|at| mode.get(at));
        return high.is_some_and(|digit| matches!(digit, b'2' | b'4' | b'5' | b'6' | b'7' | b'3'));
    }
    mode.split(|byte| *byte == b',').any(|clause| {
        let at = clause.iter().position(|byte| matches!(byte, b'+' | b'='));
        at.and_then(|at| clause.get(at..)).is_some_and(|what| what.contains(&b's'))
    })
}

/// Whether only the set-group-id bit is set. On folders it hands the group down, which teams
/// use for what they share; on a program it gives the group's rights.
fn only_group(mode: &[u8]) -> bool {
    if mode.iter().all(|byte| matches!(byte, b'0'..=b'7')) {
        return mode.len().checked_sub(4).and_then(|at| mode.get(at)) == Some(&b'2');
    }
    mode.split(|byte| *byte == b',')
        .filter(|clause| clause.contains(&b's'))
        .all(|clause| clause.starts_with(b"g+") || clause.starts_with(b"g="))
}

/// Whether programs lie there, as far as the path tells.
fn is_program_place(path: &[u8]) -> bool {
    let mut steps = path.split(|byte| *byte == b'/').rev();
    let last = steps.next().unwrap_or_default();
    matches!(last, b"sh" | b"bash" | b"dash" | b"zsh" | b"ksh")
        || steps.any(|step| matches!(step, b"bin" | b"sbin" | b"libexec" | b"tmp" | b"shm"))
}
