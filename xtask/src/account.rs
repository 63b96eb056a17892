//! An ordinary user, made for one task and removed after it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use crate::failure::{Answer, Failure};
use crate::program;

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A user with a home folder and, where useradd(8) gives them, subordinate ids. Dropping it ends
/// what still runs as the user and removes both.
pub(crate) struct Account {
    name: String,
    uid: String,
    gid: String,
    home: PathBuf,
}

impl Account {
    /// Makes the user; only root can.
    pub(crate) fn create(purpose: &str) -> Answer<Self> {
        let name = format!("ctrlz-{purpose}-{}", std::process::id());
        let mut add = program::named("useradd");
        add.args(["--create-home", "--shell", "/bin/sh", "--comment", "ctrlz test user"]);
        program::capture(add.arg(&name))?;
        // From here on the drop removes the user, whatever fails.
        let mut account =
            Self { name, uid: String::new(), gid: String::new(), home: PathBuf::new() };
        account.uid = program::answer(Command::new("id").args(["--user", &account.name]))?;
        account.gid = program::answer(Command::new("id").args(["--group", &account.name]))?;
        let entry = program::answer(Command::new("getent").args(["passwd", &account.name]))?;
        let home = entry.split(':').nth(5).unwrap_or_default();
        if !home.starts_with('/') {
            return Err(Failure::told(format!("useradd gave {} no home folder", account.name)));
        }
        account.home = PathBuf::from(home);
        Ok(account)
    }

    /// A folder of the user's own below the home folder.
    pub(crate) fn folder(&self, name: &str) -> Answer<PathBuf> {
        let folder = self.home.join(name);
        program::capture(self.command("mkdir").arg("-p").arg(&folder))?;
        Ok(folder)
    }

    /// A command of the user: no privileges, a login's environment, the home folder as working
    /// folder.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = program::named("setpriv");
        command
            .args(["--reuid", &self.uid, "--regid", &self.gid, "--init-groups", "--inh-caps=-all"])
            .arg("--")
            .arg(program)
            .current_dir(&self.home)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
            .env("HOME", &self.home)
            .env("USER", &self.name)
            .env("LOGNAME", &self.name)
            .env("SHELL", "/bin/sh")
            .env("LANG", "C.UTF-8");
        command
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // A process of the user would keep userdel(8) from removing it.
        if self.uid.parse::<u32>().is_ok_and(|uid| uid >= 1000) {
            let _ = program::attempt(program::named("pkill").args(["-KILL", "-U", &self.uid]));
        }
        let removed =
            program::capture(program::named("userdel").args(["--remove", "--force", &self.name]));
        if let Err(failure) = removed {
            let text = failure.to_string();
            // A home folder without a mail spool is not worth a word.
            if !text.contains("mail spool") {
                eprintln!("xtask: the user {} is left behind: {text}", self.name);
            }
        }
    }
}
