//! A command on its way: judged, approved, and bound to what was approved.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ctrlz_config::{Config, EmergencyStart};
use ctrlz_core::changeset::Changeset;
use ctrlz_core::event::ConfigurationFile;
use ctrlz_core::isolation::Streams;
use ctrlz_core::memory::Remembered;
use ctrlz_core::sandbox::{Root, Sandbox};
use ctrlz_core::store::Store;
use ctrlz_core::verdict::Risk;
use ctrlz_core::verdict_record::{Approval, VerdictRecord};
use ctrlz_engine::tracker::Monitoring;
use ctrlz_engine::{
    Approved, CommitOptions, EngineError, RunRequest, SANDBOX_VARIABLE, SandboxCore,
};
use ctrlz_policy::{Verdict, redact};

use super::contents::View;
use super::{approval, contents, past};
use crate::arguments::CommandArguments;
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, REFUSED};
use crate::root::Named;
use crate::{isolating, places, secrets};

/// What package managers need to be root inside a root of their own. They reach no further than
/// the user namespace.
const OWN_ROOT_CAPABILITIES: [&str; 11] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETUID",
    "SYS_CHROOT",
];

/// A command, and how the user wants it to run.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) argv: &'a [OsString],
    pub(super) config: &'a Config,
    pub(super) how: &'a CommandArguments,
    /// Throw away uncommitted changes first.
    pub(super) fresh: bool,
    /// The store, when it is not that of the user.
    pub(super) store: Option<&'a Context>,
    /// It goes on as it was launched once, from its memory.
    pub(super) again: Option<Again<'a>>,
}

/// How a command was launched whose memory was kept, and where that is.
#[derive(Clone, Copy)]
pub(super) struct Again<'a> {
    pub(super) remembered: &'a Remembered,
    pub(super) memory: &'a Path,
}

/// A verdict, and by which files it came about.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    configuration: Vec<ConfigurationFile>,
}

impl Judged {
    /// The verdict in the light of what happened in the sandbox, when that matters, and what the
    /// journal keeps of it.
    pub(super) fn in_light_of(
        self,
        past: Option<(&dyn Store, &Sandbox)>,
    ) -> Result<(Verdict, VerdictRecord), Failure> {
        let Self { verdict, configuration } = self;
        let verdict = match past {
            Some((store, sandbox)) if verdict.wants_history() => {
                verdict.in_light_of(&past::history(store, sandbox)?)
            }
            _ => verdict,
        };
        let record = VerdictRecord { configuration, ..verdict.record() };
        Ok((verdict, record))
    }
}

impl Task<'_> {
    /// What the validator says of it in a sandbox with that root.
    pub(super) fn verdict(&self, root: &Root, base: &Path) -> Result<Judged, Failure> {
        let here = places::working_folder()?;
        let (packs, configuration) = super::policy::packs_in(&here, Some(self.config))?;
        let directory = self.workdir(root, base)?;
        let context = approval::context(root, base, &directory, self.config);
        Ok(Judged { verdict: approval::verdict(self.argv, context, packs), configuration })
    }

    /// The first step: a command that may not run goes no further, which is kept in the history of
    /// the sandbox when there is one. Answers what the journal keeps of a verdict and its approval.
    pub(super) fn approved(
        &self,
        root: &Root,
        base: &Path,
        judged: Judged,
        past: Option<(&dyn Store, &Sandbox)>,
    ) -> Result<VerdictRecord, Failure> {
        let (verdict, mut record) = judged.in_light_of(past)?;
        // Before anybody is asked: the answer counts for what is there now.
        let hash = match verdict.risk {
            Risk::Low | Risk::Medium => String::new(),
            Risk::High | Risk::Critical => {
                self.hash(root, base, past.map(|(_, sandbox)| sandbox), &record)?
            }
        };
        match approval::approve(&verdict, self.config, self.how) {
            Ok(None) => Ok(record),
            Ok(Some(by)) => {
                record.approval = Some(Approval { by, hash });
                Ok(record)
            }
            Err(failure) => match past {
                None => Err(failure),
                Some((store, sandbox)) => Err(self.refused(store, sandbox, record, failure)),
            },
        }
    }

    fn refused(
        &self,
        store: &dyn Store,
        sandbox: &Sandbox,
        record: VerdictRecord,
        failure: Failure,
    ) -> Failure {
        let (title, limits) = (self.title(), self.config.limits);
        match ctrlz_engine::refuse(store, sandbox, title, limits, record, failure.message()) {
            Ok(_) => failure,
            // It does not run, whether that can be written down or not.
            Err(error) => failure.detail(format!("and the journal cannot keep that: {error}")),
        }
    }

    /// The hash of everything that an approval is bound to, as things are now.
    pub(super) fn hash(
        &self,
        root: &Root,
        base: &Path,
        sandbox: Option<&Sandbox>,
        verdict: &VerdictRecord,
    ) -> Result<String, Failure> {
        let changes = match sandbox {
            Some(sandbox) => {
                let seen = |context: &Context| {
                    let look = |core: &SandboxCore<'_>| Ok(core.changes_seen(sandbox, self.fresh)?);
                    context.with_core(WhenBusy::Fail, look)
                };
                match self.store {
                    Some(context) => seen(context)?,
                    None => seen(&Context::open()?)?,
                }
            }
            None => Changeset::default(),
        };
        let contents = match self.files(root, base)?.as_slice() {
            [] => String::new(),
            files => View { root, base, changes: &changes }.digest(files),
        };
        Ok(Approved {
            argv: self.argv,
            env: &self.environment(),
            workdir: &self.workdir(root, base)?,
            root,
            base,
            identity: &identity(root, base),
            contents: &contents,
            limits: &self.config.limits,
            network: self.config.network,
            isolation: &isolating::driver(self.config)?.0,
            keep_capabilities: &self.capabilities(root),
            fresh: self.fresh,
            commit: self.config.commit,
            profile: self.config.profile.word(),
            verdict,
        }
        .hash())
    }

    /// Looks again whether this is still what was approved, before anything is made for it. The
    /// engine looks once more when the sandbox is its own.
    pub(super) fn is_still_approved(
        &self,
        root: &Root,
        base: &Path,
        sandbox: Option<&Sandbox>,
        verdict: &VerdictRecord,
    ) -> Result<(), Failure> {
        match &verdict.approval {
            Some(approval) if self.hash(root, base, sandbox, verdict)? != approval.hash => {
                Err(EngineError::NotApproved.into())
            }
            _ => Ok(()),
        }
    }

    /// The files that an approval covers: those that the command names, and its program.
    fn files(&self, root: &Root, base: &Path) -> Result<Vec<PathBuf>, Failure> {
        let directory = self.workdir(root, base)?;
        let context = approval::context(root, base, &directory, self.config);
        let mut files = approval::files_named(self.argv, context);
        if matches!(root, Root::Host | Root::Overlay) {
            let environment = self.environment();
            let path = environment.iter().find(|(name, _)| name == "PATH");
            let program = self
                .argv
                .first()
                .map(|name| contents::program(name, path.map(|(_, path)| path.as_os_str())));
            files.extend(program.flatten());
        }
        Ok(files)
    }

    /// One line for people, without secrets.
    pub(super) fn title(&self) -> String {
        let words: Vec<_> = self.argv.iter().map(|word| word.to_string_lossy()).collect();
        redact(&words.join(" ")).into_owned()
    }

    pub(super) fn request(
        &self,
        context: &Context,
        sandbox: &Sandbox,
        verdict: Option<VerdictRecord>,
    ) -> Result<RunRequest, Failure> {
        let config = self.config;
        let (isolation, note) = isolating::driver(config)?;
        if let (Some(note), None) = (note, self.store) {
            eprintln!("ctrlz: {note}");
        }
        let commit = config
            .commit
            .then(|| CommitOptions { paths: Vec::new(), strategy: self.how.conflict.into() });
        let mut env = self.environment();
        env.push((SANDBOX_VARIABLE.into(), sandbox.name.as_str().into()));
        Ok(RunRequest {
            title: self.title(),
            argv: self.argv.to_vec(),
            env,
            workdir: self.workdir(&sandbox.root, &sandbox.base)?,
            limits: config.limits,
            most_disk: None,
            least_free: config.monitoring.read_only_below,
            network: config.network,
            isolation,
            hidden: self.hidden(context)?,
            keep_capabilities: self.capabilities(&sandbox.root),
            snapshot: config.snapshot,
            automatic: super::automatic::before(config, verdict.as_ref()),
            fresh: self.fresh,
            commit,
            take_back: false,
            profile: config.profile.word().to_owned(),
            files: match &verdict {
                Some(VerdictRecord { approval: Some(_), .. }) => {
                    self.files(&sandbox.root, &sandbox.base)?
                }
                _ => Vec::new(),
            },
            identity: match &verdict {
                Some(VerdictRecord { approval: Some(_), .. }) => {
                    identity(&sandbox.root, &sandbox.base)
                }
                _ => String::new(),
            },
            verdict,
            monitoring: Monitoring {
                every: config.monitoring_config.collection_interval,
                anomaly: config.monitoring.anomaly,
                emergency: config.recovery.emergency == EmergencyStart::Auto,
                watched: config.recovery.watched,
            },
            streams: Streams::Inherited,
            memory: self.again.map(|again| again.memory.to_owned()),
            compiled: Some(context.compiled()),
        })
    }

    fn workdir(&self, root: &Root, base: &Path) -> Result<PathBuf, Failure> {
        match self.again {
            Some(again) => Ok(again.remembered.workdir.clone().into()),
            None => workdir(root, base, self.how),
        }
    }

    /// The places of the host to hide. What goes on from memory has those that it had, which must be all.
    fn hidden(&self, context: &Context) -> Result<Vec<PathBuf>, Failure> {
        let hidden = secrets::existing(&self.config.hidden, &context.directory);
        let Some(again) = self.again else { return Ok(hidden) };
        let then: Vec<PathBuf> = again.remembered.hidden.iter().map(PathBuf::from).collect();
        match hidden.iter().find(|path| !then.contains(path)) {
            None => Ok(then),
            Some(shown) => {
                let message = format!(
                    "{} is to be hidden, and was not when this memory was kept",
                    shown.display()
                );
                Err(Failure::new(REFUSED, "memory-unfit", message)
                    .hint("return without --memory, and run the command anew"))
            }
        }
    }

    fn capabilities(&self, root: &Root) -> Vec<String> {
        if let Some(again) = self.again {
            return again.remembered.keep_capabilities.clone();
        }
        let mut keep: Vec<String> = self.config.cap_add.iter().map(ToString::to_string).collect();
        if root.is_workspace() {
            keep.extend(OWN_ROOT_CAPABILITIES.map(str::to_owned));
        }
        keep
    }

    /// The whole environment but the sandbox's name.
    fn environment(&self) -> Vec<(OsString, OsString)> {
        if let Some(again) = self.again {
            let all = again.remembered.env.iter();
            let own = all.filter(|(name, _)| name != SANDBOX_VARIABLE);
            return own.map(|(name, value)| (name.into(), value.into())).collect();
        }
        let config = self.config;
        // What a service was started with is its own matter.
        let is_known = |name: &OsString| self.store.is_none() || passes_from_service(name);
        let mut env: Vec<(OsString, OsString)> = std::env::vars_os()
            .filter(|(name, _)| {
                is_known(name) && config.env_passes(name) && !config.env.contains_key(name)
            })
            .collect();
        env.extend(config.env.iter().map(|(name, value)| (name.clone(), value.clone())));
        env.retain(|(name, _)| name != SANDBOX_VARIABLE);
        env
    }
}

/// Variables of a service that its commands get.
fn passes_from_service(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    ["HOME", "LANG", "PATH", "TZ"].contains(&&*name) || name.starts_with("LC_")
}

/// What the kernel knows the place by that a workspace starts from: the same name may stand for
/// another folder later. Empty for what cannot be looked at.
pub(super) fn identity(root: &Root, base: &Path) -> String {
    let (place, is_folder) = match root {
        Root::Host | Root::Overlay => (base.to_owned(), true),
        Root::Image { source: place, .. } | Root::Directory { path: place } => {
            let Ok(named) = Named::find(place) else { return String::new() };
            let is_folder = named.is_tree();
            (named.path, is_folder)
        }
    };
    let Ok(metadata) = place.metadata() else { return String::new() };
    let folder = format!("{}:{}", metadata.dev(), metadata.ino());
    if is_folder {
        return folder;
    }
    format!("{folder}:{}:{}.{}", metadata.size(), metadata.mtime(), metadata.mtime_nsec())
}

/// The folder the user stands in when the workspace shows it, else the workspace's own place.
fn workdir(root: &Root, base: &Path, how: &CommandArguments) -> Result<PathBuf, Failure> {
    let here = places::working_folder()?;
    let start = match root {
        Root::Host if here.starts_with(base) => here,
        Root::Host => base.to_owned(),
        Root::Overlay => here,
        Root::Directory { .. } | Root::Image { .. } => PathBuf::from("/"),
    };
    Ok(how.workdir.as_ref().map_or(start.clone(), |folder| start.join(folder)))
}
