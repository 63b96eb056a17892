//! ctrlz and its peers, each as a few lines of shell that do the same with one tree.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::measure::Timed;
use super::super::scene::{Player, Scene};
use super::material::Material;
use crate::failure::{Answer, Failure};
use crate::{prerequisites, program};

pub(super) const PLAIN: &str = "ctrlz";
pub(super) const ENCRYPTED: &str = "ctrlz, encrypted";
pub(super) const TAR: &str = "tar, `zstd -3 -T0`";
pub(super) const TAR_SYNCED: &str = "tar, `zstd -3 -T0`, then `sync`";
pub(super) const AGE: &str = "tar, `zstd -3 -T0`, `age`";
pub(super) const RESTIC: &str = "restic";
pub(super) const BORG: &str = "borg";

/// One per cent of the files, spread over all folders, get another line.
const CHANGE: &str = r#"find "$TREE" -type f | LC_ALL=C sort | awk 'NR % 100 == 50' |
while IFS= read -r file; do echo changed >> "$file"; done"#;

/// The lines of one tool. The tree is `$TREE`; the working folder is the tool's own.
struct Lines {
    name: &'static str,
    /// The folder's name.
    short: &'static str,
    /// The program that has to be there, and Debian's package of it.
    needs: Option<(&'static str, &'static str)>,
    /// Makes an empty archive in the place of what is there.
    fresh: &'static str,
    first: &'static str,
    second: &'static str,
    /// Brings the first one back, into the new folder `$OUT`.
    back: &'static str,
    /// What the archive lies in.
    archive: &'static str,
}

const LINES: [Lines; 7] = [
    Lines {
        name: PLAIN,
        short: "plain",
        needs: None,
        fresh: "rm -rf store && \"$CTRLZ\" new bench --base \"$TREE\"",
        first: "exec \"$CTRLZ\" push --sandbox bench",
        second: "\"$CTRLZ\" snapshot bench && exec \"$CTRLZ\" push snap-2",
        back: "exec \"$CTRLZ\" pull bench.snap-1 --to \"$OUT\"",
        archive: "store/archive",
    },
    Lines {
        name: ENCRYPTED,
        short: "encrypted",
        needs: Some(("age-keygen", "age")),
        fresh: "rm -rf store && \"$CTRLZ\" new bench --base \"$TREE\" &&
                \"$CTRLZ\" archive keys init -R \"$KEYS/recipient\"",
        first: "exec \"$CTRLZ\" push --sandbox bench --identity \"$KEYS/identity\"",
        second: "\"$CTRLZ\" snapshot bench &&
                 exec \"$CTRLZ\" push snap-2 --identity \"$KEYS/identity\"",
        back: "exec \"$CTRLZ\" pull bench.snap-1 --to \"$OUT\" --identity \"$KEYS/identity\"",
        archive: "store/archive",
    },
    Lines {
        name: TAR,
        short: "tar",
        needs: Some(("zstd", "zstd")),
        fresh: "rm -f archive",
        first: "tar -c -C \"$TREE\" . | zstd -3 -T0 -q > archive",
        second: "",
        back: "mkdir \"$OUT\" && zstd -dc < archive | tar -x -C \"$OUT\"",
        archive: "archive",
    },
    Lines {
        name: TAR_SYNCED,
        short: "tar-synced",
        needs: Some(("zstd", "zstd")),
        fresh: "rm -f archive",
        first: "tar -c -C \"$TREE\" . | zstd -3 -T0 -q > archive && sync archive",
        second: "",
        back: "mkdir \"$OUT\" && zstd -dc < archive | tar -x -C \"$OUT\" &&
               sync --file-system \"$OUT\"",
        archive: "archive",
    },
    Lines {
        name: AGE,
        short: "age",
        needs: Some(("age", "age")),
        fresh: "rm -f archive",
        first: "tar -c -C \"$TREE\" . | zstd -3 -T0 -q | age -R \"$KEYS/recipient\" > archive",
        second: "",
        back: "mkdir \"$OUT\" &&
               age -d -i \"$KEYS/identity\" archive | zstd -dc | tar -x -C \"$OUT\"",
        archive: "archive",
    },
    Lines {
        name: RESTIC,
        short: "restic",
        needs: Some(("restic", "restic")),
        fresh: "rm -rf archive cache && restic init",
        first: "cd \"$TREE\" && exec restic backup .",
        second: "cd \"$TREE\" && exec restic backup .",
        back: "exec restic restore latest --target \"$OUT\"",
        archive: "archive",
    },
    Lines {
        name: BORG,
        short: "borg",
        needs: Some(("borg", "borgbackup")),
        fresh: "rm -rf archive base && borg init --encryption repokey",
        first: "cd \"$TREE\" && exec borg create --compression zstd,3 ::first .",
        second: "cd \"$TREE\" && exec borg create --compression zstd,3 ::second .",
        back: "mkdir \"$OUT\" && cd \"$OUT\" && exec borg extract ::first",
        archive: "archive",
    },
];

/// Everything that archives one tree, or why it does not.
pub(super) struct Tools(Vec<(&'static str, Result<Tool, String>)>);

/// One tool and one tree.
pub(super) struct Tool {
    pub(super) name: &'static str,
    lines: &'static Lines,
    folder: PathBuf,
    environment: Vec<(&'static str, PathBuf)>,
    /// Whether what was brought back is removed before the next time.
    tidy: bool,
}

impl Tools {
    /// The tools that are there or can be installed, for `material`.
    pub(super) fn of(
        scene: &Scene,
        player: &Player<'_>,
        material: &Material,
        folder: &Path,
    ) -> Answer<Self> {
        let mut tools = Vec::new();
        for lines in &LINES {
            let tool = match lines.needs.map_or(Ok(()), |(name, package)| get(name, package)) {
                Ok(()) => Ok(Tool::new(scene, player, lines, material, folder)?),
                Err(failure) => Err(failure.to_string()),
            };
            tools.push((lines.name, tool));
        }
        Ok(Self(tools))
    }

    /// The tool of that name, or why it is missing.
    pub(super) fn get(&self, name: &str) -> Result<&Tool, String> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        match found {
            Some((_, tool)) => tool.as_ref().map_err(Clone::clone),
            None => Err(format!("no tool {name}")),
        }
    }

    /// Removes everything that they wrote.
    pub(super) fn clear(&self) -> Answer {
        for tool in self.0.iter().filter_map(|(_, tool)| tool.as_ref().ok()) {
            fs::remove_dir_all(&tool.folder).map_err(Failure::io("remove", &tool.folder))?;
        }
        Ok(())
    }
}

fn get(name: &str, package: &str) -> Answer {
    if program::find(name).is_none() {
        prerequisites::install(&[package])?;
    }
    program::find(name).map(drop).ok_or_else(|| Failure::told(format!("{name} is missing")))
}

impl Tool {
    fn new(
        scene: &Scene,
        player: &Player<'_>,
        lines: &'static Lines,
        material: &Material,
        folder: &Path,
    ) -> Answer<Self> {
        let keys = keys(folder)?;
        let folder = player.make(&format!("archive/{}-{}", material.short, lines.short))?;
        let at = |name: &str| folder.join(name);
        // Nobody finds anything of the user's, and nothing is left where the user would find it.
        let environment = vec![
            ("CTRLZ", scene.binary("ctrlz")),
            ("TREE", material.folder.clone()),
            ("KEYS", keys.clone()),
            ("HOME", at("home")),
            ("XDG_CONFIG_HOME", at("home/.config")),
            ("CTRLZ_HOME", at("store")),
            ("RESTIC_REPOSITORY", at("archive")),
            ("RESTIC_PASSWORD_FILE", keys.join("passphrase")),
            ("RESTIC_CACHE_DIR", at("cache")),
            ("BORG_REPO", at("archive")),
            ("BORG_BASE_DIR", at("base")),
            ("BORG_PASSPHRASE", PathBuf::from("passphrase")),
        ];
        Ok(Self { name: lines.name, lines, folder, environment, tidy: material.is_large })
    }

    fn script(&self, script: &str, before: &[&str]) -> Timed {
        let mut timed = Timed::new(&self.folder, &[&"sh", &"-c", &script]);
        for (name, value) in &self.environment {
            timed = timed.env(name, value);
        }
        // What others left unwritten is written before.
        for script in before.iter().chain(&["sync"]) {
            timed = timed.before(&[&"sh", &"-c", script]);
        }
        timed
    }

    /// The first archive of the tree.
    pub(super) fn written(&self) -> Timed {
        self.script(self.lines.first, &[self.lines.fresh])
    }

    /// The second one, after a change.
    pub(super) fn written_again(&self) -> Timed {
        let Lines { fresh, first, second, .. } = self.lines;
        let first = format!("({first})");
        self.script(second, &[fresh, &first, CHANGE])
    }

    /// What [`Self::written`] left, brought back. Of many files it is removed at the end only: ext4
    /// without a journal is slow to give inodes away that were freed a moment ago.
    pub(super) fn brought_back(&self) -> Timed {
        let script = format!("OUT=\"$PWD/back-$$\"; {}", self.lines.back);
        let tidy = if self.tidy { "rm -rf back-*" } else { "true" };
        self.script(&script, &[tidy])
    }

    /// Removes what was brought back.
    pub(super) fn clear(&self) -> Answer {
        self.run("rm -rf back-*")
    }

    fn run(&self, script: &str) -> Answer {
        program::capture(&mut self.command(script)).map(drop)
    }

    fn command(&self, script: &str) -> std::process::Command {
        let mut command = program::named("sh");
        command.args(["-c", script]).current_dir(&self.folder);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The commands of [`Self::written`] and [`Self::brought_back`], prepared, for whoever watches
    /// their memory: the archive is fresh.
    pub(super) fn watched(&self) -> Answer<[std::process::Command; 2]> {
        self.run(self.lines.fresh)?;
        let back = format!("OUT=\"$PWD/back-watched\"; {}", self.lines.back);
        Ok([self.command(self.lines.first), self.command(&back)])
    }

    /// The bytes of all files of the archive.
    pub(super) fn size(&self) -> Answer<u64> {
        fn of(path: &Path) -> std::io::Result<u64> {
            if !fs::symlink_metadata(path)?.is_dir() {
                return Ok(fs::symlink_metadata(path)?.len());
            }
            fs::read_dir(path)?.try_fold(0, |sum, entry| Ok(sum + of(&entry?.path())?))
        }
        let path = self.folder.join(self.lines.archive);
        of(&path).map_err(Failure::io("measure", &path))
    }
}

/// A folder with a passphrase and, once age is there, an identity and its recipient.
fn keys(folder: &Path) -> Answer<PathBuf> {
    let keys = folder.join("keys");
    fs::create_dir_all(&keys).map_err(Failure::io("make", &keys))?;
    let passphrase = keys.join("passphrase");
    fs::write(&passphrase, "passphrase\n").map_err(Failure::io("write", &passphrase))?;
    let identity = keys.join("identity");
    if program::find("age-keygen").is_some() && !identity.exists() {
        program::capture(program::named("age-keygen").arg("-o").arg(&identity))?;
        let recipient = program::answer(program::named("age-keygen").arg("-y").arg(&identity))?;
        let file = keys.join("recipient");
        fs::write(&file, format!("{recipient}\n")).map_err(Failure::io("write", &file))?;
    }
    Ok(keys)
}
