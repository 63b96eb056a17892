//! What the measurements need: binaries and folders that every user can reach, and an ordinary
//! user.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::measure::{Order, Runner, Timed, Took};
use crate::account::{self, Account};
use crate::failure::{Answer, Failure};
use crate::prerequisites;
use crate::{program, project};

/// The scene; dropping it removes it.
pub(super) struct Scene {
    folder: TempDir,
    /// A copy of this program that every user can reach.
    measurer: PathBuf,
    account: Option<Account>,
}

/// One user's part of it.
pub(super) struct Player<'a> {
    /// `root` or `user`.
    pub(super) label: &'static str,
    account: Option<&'a Account>,
    /// A folder of the user's own.
    pub(super) folder: PathBuf,
    scene: &'a Scene,
}

impl Scene {
    /// Builds ctrlz and the floor; as root it installs the peers and makes an ordinary user.
    pub(super) fn build() -> Answer<Self> {
        let place = Path::new("/var/tmp");
        let folder = tempfile::Builder::new()
            .prefix("ctrlz-bench-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(place)
            .map_err(Failure::io("make a folder in", place))?;
        let own = std::env::current_exe().map_err(Failure::io("find", Path::new("xtask")))?;
        let measurer = folder.path().join("xtask");
        let mut scene = Self { folder, measurer, account: None };
        scene.add(&project::build_release()?, "ctrlz")?;
        scene.add(&own, "xtask")?;
        if program::find("cc").is_none() {
            prerequisites::install(&["gcc", "libc6-dev"])?;
        }
        let source = project::root().join("xtask/bench/floor.c");
        let mut compile = program::named("cc");
        compile.args(["-O2", "-static", "-o"]).arg(scene.binary("floor")).arg(source);
        program::run(&mut compile)?;
        if account::is_root() {
            scene.account = Some(Account::create("bench")?);
        }
        Ok(scene)
    }

    fn add(&self, from: &Path, name: &str) -> Answer {
        let to = self.binary(name);
        fs::copy(from, &to).map_err(Failure::io("copy", from))?;
        fs::set_permissions(&to, Permissions::from_mode(0o755))
            .map_err(Failure::io("set the mode of", &to))
    }

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A binary of the scene.
    pub(super) fn binary(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// A new folder of the scene.
    pub(super) fn make(&self, name: &str) -> Answer<PathBuf> {
        let folder = self.folder().join(name);
        fs::create_dir_all(&folder).map_err(Failure::io("make", &folder))?;
        Ok(folder)
    }

    /// This process's user, and the ordinary one when this is root.
    pub(super) fn players(&self) -> Answer<Vec<Player<'_>>> {
        let label = if account::is_root() { "root" } else { "user" };
        let folder = self.make("player")?;
        let mut players = vec![Player { label, account: None, folder, scene: self }];
        if let Some(account) = &self.account {
            let (account, folder) = (Some(account), account.folder("player")?);
            players.push(Player { label: "user", account, folder, scene: self });
        }
        Ok(players)
    }
}

impl Player<'_> {
    /// Where the user's ctrlz keeps its things.
    pub(super) fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// The release of ctrlz.
    pub(super) fn binary(&self) -> PathBuf {
        self.scene.binary("ctrlz")
    }

    /// A new folder of the user's own.
    pub(super) fn make(&self, name: &str) -> Answer<PathBuf> {
        let folder = self.folder.join(name);
        program::capture(self.command("mkdir").arg("-p").arg(&folder))?;
        Ok(folder)
    }

    /// A command of the user.
    pub(super) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        match self.account {
            Some(account) => account.command(program),
            None => Command::new(program),
        }
    }

    /// A command of ctrlz with `folder` as working folder.
    pub(super) fn ctrlz(&self, folder: &Path, words: &[&str]) -> Timed {
        let binary = self.scene.binary("ctrlz");
        let mut argv: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&binary];
        argv.extend(words.iter().map(|word| word as &dyn AsRef<std::ffi::OsStr>));
        Timed::new(folder, &argv).env("CTRLZ_HOME", &self.store())
    }

    /// Times commands of the user in turn.
    pub(super) fn time(&self, commands: &[Timed], rounds: usize) -> Answer<Vec<Vec<f64>>> {
        self.time_in(&[], commands, rounds)
    }

    /// The same behind another command.
    pub(super) fn time_in(
        &self,
        prefix: &[String],
        commands: &[Timed],
        rounds: usize,
    ) -> Answer<Vec<Vec<f64>>> {
        let took = self.runner(prefix).interleaved(commands, rounds, Order::Same)?;
        Ok(took.into_iter().map(|took| took.wall).collect())
    }

    /// Times commands of the user there and back, with the processor time of each.
    pub(super) fn there_and_back(&self, commands: &[Timed], rounds: usize) -> Answer<Vec<Took>> {
        self.runner(&[]).interleaved(commands, rounds, Order::Alternating)
    }

    fn runner<'r>(&'r self, prefix: &'r [String]) -> Runner<'r> {
        let program = &self.scene.measurer;
        Runner { program, account: self.account, prefix }
    }
}
