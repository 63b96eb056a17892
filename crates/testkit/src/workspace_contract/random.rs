//! Random operations against the only model there is: what the sandbox itself saw.

use std::collections::BTreeSet;

use ctrlz_core::snapshot::Tree;

use super::fixture::{Fixture, MakeDriver, SANDBOX};
use super::view::{View, assert_same};

/// SplitMix64; the seed is in every message, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or(0)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn path(&mut self) -> String {
        let depth = 1 + self.below(3);
        let names: Vec<_> = (0..depth).map(|_| self.pick(&["a", "b", "c", "d", "'e f'"])).collect();
        names.join("/")
    }

    /// One file operation as shell; it may fail, as a program's operations may.
    fn operation(&mut self) -> String {
        let (p, q, n) = (self.path(), self.path(), self.below(1000));
        match self.below(17) {
            0 | 1 => format!("mkdir -p {p}"),
            // A fifo would hold a writer forever.
            2..=4 => format!("[ -p {p} ] || printf {n} >{p}"),
            5 => format!("[ -p {p} ] || printf {n} >>{p}"),
            6 => format!("rm -rf {p}"),
            7 => format!("rm -rf {p}; mkdir {p}"),
            8 => format!("rm -rf {p}; printf {n} >{p}"),
            9 => format!("mv {p} {q}"),
            10 => format!("ln {p} {q}"),
            11 => format!("ln -sfn {q} {p}"),
            // A directory stays open to an ordinary user, who has to look at it.
            12 => format!("chmod {} {p}", self.pick(&["u+x,go-rwx", "755", "700", "a+x", "750"])),
            13 => format!("touch -h -d @{n}.{n:09} {p}"),
            14 => format!("cp -a {p} {q}"),
            15 => format!("mkfifo {p}"),
            _ => format!("truncate -s {n} {p}"),
        }
    }

    fn script(&mut self) -> String {
        let mut lines = vec!["umask 022".to_owned()];
        for _ in 0..1 + self.below(8) {
            let line = self.operation();
            lines.push(format!("({line}) 2>/dev/null || :"));
        }
        lines.join("\n")
    }
}

const BASE: &str =
    "umask 022; mkdir -p a/b/c b/a d; printf 1 >a/b/c/d; printf 2 >b/a/c; printf 3 >c
    ln -s a/b 'e f'; printf 4 >d/a; chmod 700 b";

/// Many random steps, with returns to random earlier trees and forks from them: each tree is, at
/// any time, what its sandbox saw last; changes applied by commit and undo lead there and back.
pub fn random_operations_are_always_reversible(make: MakeDriver<'_>) {
    let seeds: Vec<u64> = match std::env::var("CTRLZ_CONTRACT_SEED") {
        Ok(seed) => vec![seed.parse().expect("CTRLZ_CONTRACT_SEED is a number")],
        Err(_) => (1..=6).collect(),
    };
    for seed in seeds {
        let Some(f) = Fixture::new(make, BASE) else { return };
        // Told only when the case fails: the test runner keeps it back otherwise.
        println!("CTRLZ_CONTRACT_SEED={seed}");
        run(&f, &mut Random(seed));
    }
}

fn run(f: &Fixture<'_>, random: &mut Random) {
    let base = f.live();
    let start = f.create();
    let mut known: Vec<(Tree, View)> = vec![(start.clone(), base.clone())];
    let mut at = 0;
    for step in 0..25 {
        let script = random.script();
        let (sealed, seen) = f.operate(SANDBOX, &known[at].0, |m| _ = m.run(&script));
        println!("step {step}, on {at}:\n{script}");
        // overlayfs shows two names of one file as two inodes for as long as the file was copied
        // up under this very mount.
        let later = f.read(&sealed.tree);
        assert_same("the tree just sealed", &seen.parted(), &later.parted());
        let new = (sealed.tree, later);
        assert_changes_tell(f, &known[at], &new);
        known.push(new);
        at = if random.below(4) == 0 { random.below(known.len()) } else { known.len() - 1 };
        let (tree, view) = &known[random.below(known.len())];
        f.assert_reads("an earlier tree", tree, view);
    }
    assert_same("the base", &base, &f.live());
    let mut since = Vec::new();
    for _ in 0..4 {
        let index = random.below(known.len());
        println!("commit and revert of {index}");
        let (tree, _) = &known[index];
        since.extend(f.commit_and_revert(tree, &since));
    }
}

/// The paths of a changeset are those at which the two views differ. Hard links are no part of a
/// changeset, and a directory's time is not either.
#[track_caller]
fn assert_changes_tell(f: &Fixture<'_>, from: &(Tree, View), to: &(Tree, View)) {
    let told: BTreeSet<String> =
        f.changes(&from.0, &to.0).into_iter().map(|(path, _)| path).collect();
    let (a, b) = (from.1.parted(), to.1.parted());
    let differing: BTreeSet<String> = a
        .entries
        .keys()
        .chain(b.entries.keys())
        .filter(|path| a.entries.get(*path) != b.entries.get(*path))
        .map(ToString::to_string)
        .collect();
    assert_eq!(differing, told, "left: what differs, right: what is told");
}
