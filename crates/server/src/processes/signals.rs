//! The names of signals, as signal(7) has them for x86 and ARM.

/// In the order of their numbers, from 1 on.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The number of a signal that is told by its name, with or without `SIG`, or by its number.
pub(crate) fn number(word: &str) -> Option<u8> {
    if let Ok(number) = word.parse() {
        return ctrlz_core::isolation::GivenStreams::SIGNALS.contains(&number).then_some(number);
    }
    let name = word.strip_prefix("SIG").unwrap_or(word);
    let at = NAMES.iter().position(|known| *known == name)?;
    u8::try_from(at + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        use rustix::process::Signal;
        let known = [
            ("INT", Signal::INT),
            ("SIGTERM", Signal::TERM),
            ("USR2", Signal::USR2),
            ("WINCH", Signal::WINCH),
            ("SYS", Signal::SYS),
            ("CONT", Signal::CONT),
        ];
        for (name, signal) in known {
            assert_eq!(number(name).map(i32::from), Some(signal.as_raw()), "{name}");
        }
        assert_eq!(number("9"), Some(9));
        for wrong in ["", "SIG", "0", "32", "-1", "int", "SIGSIGINT"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }
}
