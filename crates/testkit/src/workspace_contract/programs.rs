//! Programs that notice when a tree is not what they left.

use super::fixture::{Fixture, MakeDriver, sh, skipped};
use super::view::assert_same;

/// Without the maintenance that git leaves running in the background after a commit: a workspace
/// is sealed when nothing runs in it any more.
const GIT: &str = "export HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
    export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
    export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=gc.auto GIT_CONFIG_VALUE_0=0
    export GIT_CONFIG_KEY_1=maintenance.auto GIT_CONFIG_VALUE_1=false
    ";

fn works(program: &str) -> bool {
    std::process::Command::new("sh")
        .args(["-c", program])
        .output()
        .is_ok_and(|output| output.status.success())
}

/// A repository is rolled back, branched and committed, and git finds it whole each time.
pub fn a_git_repository_stays_whole(make: MakeDriver<'_>) {
    if !works("git --version") {
        return skipped("no git");
    }
    let Some(f) = Fixture::new(make, "printf 1 >file; mkdir src; printf s >src/s") else { return };
    let git = |script: &str| format!("{GIT}{script}");
    let one = f.step(&f.create(), &git("git init -q; git add -A; git commit -qm one"));
    let two = f.step(&one, &git("printf 2 >>file; git commit -qam two; git gc -q; git tag v2"));
    let three = f.step(
        &two,
        &git(
            "git checkout -qb other; git rm -q src/s; git commit -qm three; git reset -q --hard v2
              git reflog expire --expire=now --all; git gc -q --prune=now",
        ),
    );
    for (tree, log) in [(&one, "one\n"), (&two, "two\none\n"), (&three, "two\none\n")] {
        let check =
            git("git fsck --full --strict >&2; git status --porcelain; git log --format=%s");
        let output = f.run_in(tree, &check);
        assert!(output.ends_with(log), "{output}");
        assert!(!output.contains(" M ") && !output.contains("error"), "{output}");
    }
    let seen = f.read(&two);
    let (commit, _) = f.commit(&two);
    assert_same("the live directory", &seen, &f.live());
    sh(
        &f.base,
        &git("git fsck --full --strict; test -z \"$(git --no-optional-locks status --porcelain)\""),
    );
    f.revert(commit);
    assert!(!f.live().has(".git"));
}

/// A database is written, rolled back and written again, and passes its own check each time.
pub fn a_database_stays_whole(make: MakeDriver<'_>) {
    if !works("python3 -c 'import sqlite3'") {
        return skipped("no python3 with sqlite3");
    }
    let Some(f) = Fixture::new(make, ":") else { return };
    let write = |from: u32, to: u32| {
        format!(
            "python3 - <<'END'
import sqlite3
db = sqlite3.connect('data.db')
db.execute('pragma journal_mode=wal')
db.execute('create table if not exists t (n integer primary key, text)')
db.executemany('insert into t values (?, ?)', [(n, 'x' * 500) for n in range({from}, {to})])
db.commit()
db.execute('delete from t where n % 7 = 3')
db.commit()
END"
        )
    };
    let check = "python3 - <<'END'
import sqlite3
db = sqlite3.connect('data.db')
print(db.execute('pragma integrity_check').fetchone()[0])
print(db.execute('select count(*) from t').fetchone()[0])
END";
    let one = f.step(&f.create(), &write(0, 700));
    let two = f.step(&one, &write(700, 2100));
    assert_eq!(f.run_in(&two, check), "ok\n1800\n");
    assert_eq!(f.run_in(&one, check), "ok\n600\n");
    let other = f.step(&one, &write(5000, 5070));
    assert_eq!(f.run_in(&other, check), "ok\n660\n");
    f.commit(&two);
    assert_eq!(sh(&f.base, check), "ok\n1800\n");
}
