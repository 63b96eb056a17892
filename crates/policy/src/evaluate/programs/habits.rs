//! How single programs treat what they are handed, as far as it differs from what is assumed of a
//! program that nobody described: that a shell among its arguments is started, that its input may
//! be code, that it reads the files it names and prints something else.
//!
//! A program without a habit is judged more strictly; so one has to be earned by what its manual
//! says, and programs whose arguments are read one by one need none.

/// What a program does by habit: a set of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Habits(u8);

impl Habits {
    const NONE: Self = Self(0);
    /// A shell is a file or a setting like others to it, or it says itself what it does with it.
    pub(super) const HOLDS_SHELLS: Self = Self(1);
    /// It names files without reading them.
    pub(super) const NAMES_FILES: Self = Self(1 << 1);
    /// It prints the files that it reads.
    pub(super) const PRINTS_FILES: Self = Self(1 << 2);
    /// It passes on its input, and does nothing with it.
    pub(super) const PASSES_INPUT_ON: Self = Self(1 << 3);

    /// The habits of a program.
    pub(super) fn of(name: &str) -> Self {
        let found = PROGRAMS.binary_search_by_key(&name, |(program, _)| *program);
        found.ok().and_then(|at| PROGRAMS.get(at)).map_or(Self::NONE, |(_, habits)| *habits)
    }

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

const HOLDS: Habits = Habits::HOLDS_SHELLS;
const NAMES: Habits = Habits::NAMES_FILES;
const PRINTS: Habits = Habits::PRINTS_FILES;
const PASSES: Habits = Habits::PASSES_INPUT_ON;

/// Programs and their habits, in the order of their names.
const PROGRAMS: &[(&str, Habits)] = &[
    // No programs: a prompt and the dash of a list, copied along with the command behind them.
    ("$", HOLDS),
    ("-", HOLDS),
    ("add-shell", HOLDS),
    ("adduser", HOLDS),
    ("ansible", HOLDS.with(NAMES)),
    ("ansible-playbook", HOLDS),
    ("apk", HOLDS),
    ("apt-file", HOLDS),
    ("aspell", PRINTS),
    ("auditctl", HOLDS.with(NAMES)),
    ("aws", HOLDS),
    ("az", HOLDS),
    ("base58", PRINTS),
    ("base64", PASSES),
    ("bats", HOLDS),
    ("bwrap", HOLDS),
    ("bzless", PRINTS),
    ("cc", HOLDS),
    ("ccrypt", PRINTS),
    ("chattr", NAMES),
    ("chcon", HOLDS.with(NAMES)),
    ("chezmoi", HOLDS),
    ("chgrp", HOLDS.with(NAMES)),
    ("chmod", HOLDS.with(NAMES)),
    ("chown", HOLDS.with(NAMES)),
    ("chsh", HOLDS),
    ("clang", HOLDS),
    ("cmp", HOLDS.with(PRINTS)),
    ("code", HOLDS),
    ("column", PASSES),
    ("comm", PRINTS),
    ("conda", HOLDS),
    ("cp", HOLDS),
    ("cpio", HOLDS),
    ("csplit", PRINTS),
    ("cupsfilter", PRINTS),
    ("curl", PASSES),
    ("cut", PASSES),
    ("dd", PASSES),
    ("debootstrap", HOLDS),
    ("dialog", PRINTS),
    ("diff", HOLDS.with(PRINTS)),
    ("dnf", HOLDS),
    ("dpkg", HOLDS.with(NAMES)),
    ("dpkg-divert", HOLDS),
    ("dpkg-query", HOLDS),
    ("dpkg-statoverride", NAMES),
    ("dracut", HOLDS),
    ("eqn", PRINTS),
    ("file", HOLDS.with(PRINTS)),
    ("fly", HOLDS),
    ("flyctl", HOLDS),
    ("fold", PASSES),
    ("fuser", HOLDS),
    ("g++", HOLDS),
    ("gcc", HOLDS),
    ("gcloud", HOLDS),
    ("genisoimage", PRINTS),
    ("getcap", HOLDS),
    ("getent", HOLDS),
    ("getfacl", HOLDS.with(NAMES)),
    ("gh", HOLDS.with(NAMES)),
    ("git", HOLDS),
    ("glab", HOLDS),
    ("gpg", PASSES),
    ("gzip", PASSES),
    ("heroku", HOLDS),
    ("hexyl", PRINTS),
    ("highlight", PRINTS),
    ("inotifywait", NAMES),
    ("install", HOLDS),
    ("join", PRINTS),
    ("jq", PRINTS),
    ("killall", HOLDS),
    ("ld", HOLDS),
    ("ldd", HOLDS),
    ("less", PASSES),
    ("ln", HOLDS),
    ("logger", HOLDS.with(NAMES)),
    ("look", PRINTS),
    ("ls", HOLDS.with(NAMES)),
    ("lsattr", HOLDS.with(NAMES)),
    ("lsof", HOLDS),
    ("luseradd", HOLDS),
    ("mail", PASSES),
    ("make", HOLDS),
    ("meson", HOLDS),
    ("mkinitcpio", HOLDS),
    ("mktorrent", HOLDS),
    ("more", PASSES),
    ("msgattrib", PRINTS),
    ("mtr", PRINTS),
    ("mv", HOLDS),
    ("newusers", HOLDS),
    ("nix", HOLDS),
    ("nl", PASSES),
    ("nm", HOLDS),
    ("notify-send", HOLDS),
    ("nroff", PRINTS),
    ("objcopy", HOLDS),
    ("objdump", HOLDS),
    ("openssl", PASSES),
    ("ostree", HOLDS),
    ("pacman", HOLDS),
    ("pandoc", PRINTS),
    ("paste", PASSES),
    ("patchelf", HOLDS),
    ("pbcopy", PASSES),
    ("pgrep", HOLDS),
    ("pkill", HOLDS),
    ("pr", PRINTS),
    ("qemu-system-x86_64", HOLDS),
    ("read", PASSES),
    ("readelf", HOLDS),
    ("remove-shell", HOLDS),
    ("restorecon", HOLDS.with(NAMES)),
    ("rev", PASSES),
    ("rm", HOLDS.with(NAMES)),
    ("rpm", NAMES),
    ("rpmquery", HOLDS),
    ("rsync", HOLDS),
    ("salloc", HOLDS),
    ("scp", HOLDS),
    ("semanage", HOLDS.with(NAMES)),
    ("setcap", HOLDS),
    ("setfacl", HOLDS.with(NAMES)),
    ("shellcheck", HOLDS),
    ("shfmt", HOLDS),
    ("soelim", PRINTS),
    ("sort", PASSES),
    ("sponge", PASSES),
    ("srun", HOLDS),
    ("ss", PRINTS),
    ("strip", HOLDS),
    ("systemctl", HOLDS),
    ("systemd-nspawn", HOLDS),
    ("tac", PASSES),
    ("tar", HOLDS),
    ("tbl", PRINTS),
    ("tee", PASSES),
    ("test", HOLDS.with(NAMES)),
    ("tldr", HOLDS),
    ("touch", HOLDS),
    ("tr", PASSES),
    ("tree", HOLDS),
    ("troff", PRINTS),
    ("ul", PRINTS),
    ("unhide", PRINTS),
    ("uniq", PASSES),
    ("update-alternatives", HOLDS),
    ("useradd", HOLDS),
    ("usermod", HOLDS),
    ("uuencode", PRINTS),
    ("vagrant", HOLDS),
    ("virt-customize", HOLDS),
    ("visudo", NAMES),
    ("wc", PASSES),
    ("xclip", PASSES),
    ("xdg-open", HOLDS),
    ("xmllint", PRINTS),
    ("xxd", PASSES),
    ("yq", PRINTS.with(PASSES)),
    ("yum", HOLDS),
    ("zless", PRINTS),
    ("zypper", HOLDS),
];

#[cfg(test)]
mod tests {
    use super::super::starts_others;
    use super::*;

    #[test]
    fn every_program_is_found() {
        for (name, habits) in PROGRAMS {
            assert_eq!(Habits::of(name), *habits, "{name} stands in the wrong place, or twice");
        }
        assert_eq!(Habits::of("no-such-program"), Habits::NONE);
    }

    #[test]
    fn no_habit_is_told_of_a_program_that_nobody_asks_about_it() {
        for (name, habits) in PROGRAMS.iter().filter(|(name, _)| starts_others(name)) {
            let asked = NAMES.with(PRINTS);
            assert_eq!(habits.0 & !asked.0, 0, "{name} is not judged by its arguments");
        }
    }
}
