//! What a runtime can do: as it tells itself, by its version, its features and its commands.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use ctrlz_core::driver::Runtime;
use ctrlz_core::isolation::IsolationError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::asking::answer;
use super::{Found, Kind, find};

/// What a runtime is, and what ctrlz can do with it on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// The program.
    pub program: PathBuf,
    /// What it is like.
    pub kind: Kind,
    /// Its version, as it writes it.
    pub version: String,
    /// The newest version of the OCI runtime specification that it knows, when it tells that.
    pub specification: Option<String>,
    /// Those of its commands that a container which runs can need: `checkpoint`, `restore`, `pause`, `resume`,
    /// `exec`, `events`.
    pub commands: BTreeSet<String>,
    /// The versions of control groups that it knows; none when it does not tell. ctrlz makes the groups.
    pub cgroup_versions: BTreeSet<u8>,
    /// Commands can be run with it at all.
    pub runs: Ability,
    /// For users who are not root.
    pub rootless: Ability,
    /// It can put the seccomp rules of ctrlz in force.
    pub seccomp: Ability,
    /// What runs can be suspended and go on.
    pub pause: Ability,
    /// What runs tells how much memory and processor time it uses, and how many processes it has.
    pub measures: Ability,
    /// It can write the memory of a container to a file, and make a container of that, by itself.
    pub checkpoint: Ability,
    /// ctrlz can keep the memory of what runs in a snapshot.
    pub memory_snapshot: Ability,
}

/// Something that there is or is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ability {
    /// Whether it is there.
    pub has: bool,
    /// By what, or why not.
    pub why: String,
    /// What would bring it, when something would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Ability {
    fn by(why: impl Into<String>) -> Self {
        Self { has: true, why: why.into(), remedy: None }
    }

    fn lacks(why: impl Into<String>) -> Self {
        Self { has: false, why: why.into(), remedy: None }
    }

    fn remedy(mut self, remedy: &str) -> Self {
        self.remedy = Some(remedy.to_owned());
        self
    }
}

/// Asks a runtime what it can do. It is started a few times, and runs no container.
///
/// # Errors
/// [`IsolationError::Unenforceable`] when it is not there, [`IsolationError::Setup`] when it does not answer.
pub fn probe(runtime: &Runtime) -> Result<Abilities, IsolationError> {
    let found = find(runtime)?;
    let asked = Asked::of(&found).map_err(|source| IsolationError::Setup {
        step: format!("ask {} what it can do", found.path.display()),
        source,
    })?;
    Ok(asked.abilities(&found))
}

/// What it said.
#[derive(Debug, Default)]
struct Asked {
    /// `--version`.
    version: String,
    /// `features`, where there is that (features.md of the OCI runtime specification).
    features: Option<Value>,
    /// `--help`, or what comes next to it.
    help: String,
    /// gVisor's `flags`.
    flags: String,
}

/// What the program calls its own version.
pub(super) fn version_line(found: &Found) -> io::Result<String> {
    let told = answer(&found.path, &["--version"])?.unwrap_or_default();
    let line = told.lines().next().unwrap_or_default().trim();
    match line.is_empty() {
        true => Err(io::Error::other("it does not tell its version")),
        false => Ok(line.to_owned()),
    }
}

impl Asked {
    fn of(found: &Found) -> io::Result<Self> {
        let ask = |words: &[&str]| answer(&found.path, words);
        let version = ask(&["--version"])?.unwrap_or_default();
        Ok(match found.kind {
            Kind::Gvisor => Self {
                version,
                features: None,
                help: ask(&["help"])?.unwrap_or_default(),
                flags: ask(&["flags"])?.unwrap_or_default(),
            },
            Kind::Runc | Kind::Crun | Kind::Youki => Self {
                version,
                features: ask(&["features"])?.and_then(|text| serde_json::from_str(&text).ok()),
                help: ask(&["--help"])?.unwrap_or_default(),
                flags: String::new(),
            },
        })
    }

    fn abilities(&self, found: &Found) -> Abilities {
        let commands = self.commands();
        let checkpoint = self.checkpoint(found.kind, &commands);
        Abilities {
            program: found.path.clone(),
            kind: found.kind,
            version: self.version_number().unwrap_or_default().to_owned(),
            specification: self.specification(),
            cgroup_versions: self.cgroup_versions(),
            runs: self.runs(found.kind),
            rootless: self.rootless(found.kind),
            seccomp: self.seccomp(found.kind),
            pause: Ability::by("control groups, else SIGSTOP, by ctrlz"),
            measures: Ability::by("control groups, else the processes, by ctrlz"),
            memory_snapshot: memory_snapshot(found.kind, &checkpoint),
            checkpoint,
            commands,
        }
    }

    /// What follows the word `version` in the first line, or the second word of that.
    fn version_number(&self) -> Option<&str> {
        let first = self.version.lines().next()?;
        let mut words = first.split_ascii_whitespace().skip_while(|word| *word != "version");
        words.nth(1).or_else(|| first.split_ascii_whitespace().nth(1))
    }

    fn feature(&self, pointer: &str) -> Option<&Value> {
        self.features.as_ref()?.pointer(pointer)
    }

    fn specification(&self) -> Option<String> {
        let told = self.feature("/ociVersionMax").and_then(Value::as_str);
        let line = || self.version.lines().find_map(|line| line.strip_prefix("spec:"));
        told.or_else(line).map(|text| text.trim().to_owned())
    }

    /// Whether crun was built with something, as its version tells.
    fn is_built_with(&self, what: &str) -> bool {
        self.version.split_ascii_whitespace().any(|word| word.strip_prefix('+') == Some(what))
    }

    fn commands(&self) -> BTreeSet<String> {
        let first = self.help.lines().filter_map(|line| line.split_ascii_whitespace().next());
        let all: BTreeSet<&str> = first.map(|word| word.trim_end_matches(',')).collect();
        let wanted = ["checkpoint", "restore", "pause", "resume", "exec", "events"];
        wanted.into_iter().filter(|name| all.contains(name)).map(str::to_owned).collect()
    }

    fn cgroup_versions(&self) -> BTreeSet<u8> {
        let known = |version: &u8| {
            let pointer = format!("/linux/cgroup/v{version}");
            self.feature(&pointer).and_then(Value::as_bool) == Some(true)
        };
        [1, 2].into_iter().filter(known).collect()
    }

    fn runs(&self, kind: Kind) -> Ability {
        if kind == Kind::Gvisor && !self.flags.contains("systrap") {
            return Ability::lacks(format!(
                "version {} knows no systrap, the platform that needs neither ptrace nor KVM",
                self.version_number().unwrap_or("of unknown number")
            ))
            .remedy("install runsc of 2024 or newer (in Debian 12, from bookworm-backports)");
        }
        match kind {
            Kind::Gvisor => Ability::by("the platform systrap"),
            Kind::Youki => Ability::lacks(
                "it makes control groups for every container and cannot be told not to; those of ctrlz are \
                 read-only to it",
            )
            .remedy("choose oci:crun or oci:runc"),
            Kind::Runc | Kind::Crun => match self.seccomp(kind) {
                Ability { has: true, .. } => Ability::by("a bundle in memory"),
                // It refuses a container with rules that it cannot put in force.
                lacking => lacking,
            },
        }
    }

    fn rootless(&self, kind: Kind) -> Ability {
        let by = "the user namespace that ctrlz makes";
        match (kind, self.feature("/linux/namespaces").and_then(Value::as_array)) {
            (Kind::Gvisor, _) | (_, None) => Ability::by(by),
            (_, Some(known)) if known.iter().any(|name| name == "user") => Ability::by(by),
            (_, Some(_)) => Ability::lacks("it says that it knows no user namespaces"),
        }
    }

    fn seccomp(&self, kind: Kind) -> Ability {
        if kind == Kind::Gvisor {
            return Ability::lacks(
                "system calls reach gVisor's kernel, not this one; what that may call is its own filter's matter",
            );
        }
        let told = self.feature("/linux/seccomp/enabled").and_then(Value::as_bool);
        let is_built = || match kind {
            Kind::Crun => self.is_built_with("SECCOMP"),
            _ => self.version.contains("libseccomp"),
        };
        match told.unwrap_or_else(is_built) {
            true => Ability::by("libseccomp"),
            false => Ability::lacks("it was built without libseccomp")
                .remedy("install a build of it with libseccomp"),
        }
    }

    fn checkpoint(&self, kind: Kind, commands: &BTreeSet<String>) -> Ability {
        if !["checkpoint", "restore"].iter().all(|name| commands.contains(*name)) {
            let lacks = Ability::lacks("it has no commands for it");
            return match kind {
                Kind::Crun => lacks.remedy("install a build of it with CRIU"),
                _ => lacks,
            };
        }
        match kind {
            Kind::Gvisor => Ability::by("gVisor's own"),
            Kind::Runc | Kind::Crun | Kind::Youki => Ability::by("CRIU, when that works here"),
        }
    }
}

/// What ctrlz makes of it.
fn memory_snapshot(kind: Kind, checkpoint: &Ability) -> Ability {
    match (kind, checkpoint.has) {
        (_, false) => checkpoint.clone(),
        (Kind::Gvisor, true) => Ability::by("gVisor's own checkpoint and restore"),
        (_, true) => Ability::lacks("this ctrlz does not drive CRIU")
            .remedy("choose gVisor (oci:runsc), which needs no CRIU"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: Kind, asked: &Asked) -> Abilities {
        asked.abilities(&Found { path: "/runtime".into(), kind })
    }

    #[test]
    fn runc_tells_by_its_features() {
        let features = r#"{"ociVersionMax": "1.0.2-dev", "linux": {"namespaces": ["pid", "user"],
            "cgroup": {"v1": true, "v2": true}, "seccomp": {"enabled": true}}}"#;
        let mut asked = Asked {
            version: "runc version 1.1.5+ds1\ncommit: x\nspec: 1.0.2-dev\nlibseccomp: 2.5.4\n"
                .into(),
            features: serde_json::from_str(features).ok(),
            help: "COMMANDS:\n   checkpoint  checkpoint a container\n   restore  x\n   exec  y\n"
                .into(),
            flags: String::new(),
        };
        let abilities = told(Kind::Runc, &asked);
        assert_eq!(abilities.version, "1.1.5+ds1");
        assert_eq!(abilities.specification.as_deref(), Some("1.0.2-dev"));
        assert_eq!(abilities.cgroup_versions, BTreeSet::from([1, 2]));
        assert_eq!(
            abilities.commands.iter().map(String::as_str).collect::<Vec<_>>(),
            ["checkpoint", "exec", "restore"]
        );
        let has = |abilities: &Abilities| {
            [abilities.runs.has, abilities.rootless.has, abilities.seccomp.has]
        };
        assert_eq!(has(&abilities), [true; 3]);
        assert!(abilities.checkpoint.has && !abilities.memory_snapshot.has);
        // One that was built without something.
        asked.features = serde_json::from_str(
            r#"{"linux": {"namespaces": ["pid"], "seccomp": {"enabled": false}}}"#,
        )
        .ok();
        let abilities = told(Kind::Runc, &asked);
        assert_eq!(has(&abilities), [false; 3]);
        assert!(abilities.runs.remedy.is_some());
    }

    #[test]
    fn crun_tells_by_its_version() {
        let asked = Asked {
            version: "crun version 1.8.1\nspec: 1.0.0\n+SYSTEMD +SECCOMP +EBPF\n".into(),
            help: "COMMANDS:\n\texec        - exec a command\n\tpause - x\n\tresume - y\n".into(),
            ..Asked::default()
        };
        let abilities = told(Kind::Crun, &asked);
        assert_eq!(abilities.version, "1.8.1");
        assert_eq!(abilities.specification.as_deref(), Some("1.0.0"));
        assert!(abilities.seccomp.has && abilities.rootless.has && abilities.runs.has);
        assert!(!abilities.checkpoint.has && abilities.checkpoint.remedy.is_some());
    }

    #[test]
    fn a_gvisor_without_systrap_runs_nothing() {
        let mut asked = Asked {
            version: "runsc version 0.0~20240729.0\nspec: 1.0.2-dev\n".into(),
            help: "\tcheckpoint  x\n\trestore  y\n\tevents z\n".into(),
            flags: "  -platform string\n    systrap (default), ptrace, kvm.\n".into(),
            ..Asked::default()
        };
        let abilities = told(Kind::Gvisor, &asked);
        assert!(abilities.runs.has && abilities.checkpoint.has && !abilities.seccomp.has);
        assert!(abilities.memory_snapshot.has);
        asked.flags = "  -platform string\n    ptrace (default), kvm.\n".into();
        let abilities = told(Kind::Gvisor, &asked);
        assert!(!abilities.runs.has, "{abilities:?}");
        assert!(abilities.runs.why.contains("0.0~20240729.0"), "{abilities:?}");
    }
}
