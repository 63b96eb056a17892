//! A tenant's store, as the service uses it: the steps are those of the command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use ctrlz_config::Config;
use ctrlz_core::actor::Actor;
use ctrlz_core::changeset::Changeset;
use ctrlz_core::driver::{Driver, Isolation};
use ctrlz_core::health::Finding;
use ctrlz_core::id::OperationId;
use ctrlz_core::isolation::{IsolationError, Network};
use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::{Root, Sandbox};
use ctrlz_core::size::ByteSize;
use ctrlz_core::state::{Expected, MAX_VALUE, StateEntry, StateKey};
use ctrlz_core::state_store::SealedValue;
use ctrlz_core::tenancy::{ReadInput, TenantName};
use ctrlz_core::time::Timestamp;
use ctrlz_core::verdict::{Decision, Risk};
use ctrlz_core::verdict_record::VerdictRecord;
use ctrlz_core::workspace_choice::WorkspaceChoice;
use ctrlz_engine::{
    BaseChoice, EngineError, HealthResult, NewNamed, RunRequest, SandboxCore, StateChange,
};
use ctrlz_policy::{LANGUAGES, Validator, Verdict, knows_language};
use ctrlz_server::{
    Asked, Base, Command, Errand, Halt, Judged, NewValue, Order, Problem, Ran, Session,
};
use serde_json::Value;

use super::collecting::Collections;
use super::pool::Lease;
use super::problem;
use crate::arguments::CommandArguments;
use crate::commands::run::configuration;
use crate::commands::task::Task;
use crate::commands::{
    approval, archive, automatic, gc, health, known_good, past, policy, state, stats,
};
use crate::context::WhenBusy;
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::root::{self, Pull};
use crate::{judging, secrets, show, state_key};

/// Where the folders of sandboxes lie that start from nothing: beside the store, which is no place for
/// what users write.
pub(super) fn workspaces(store: &Path) -> PathBuf {
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push(".workspaces");
    store.with_file_name(name)
}

/// An open store.
pub(super) struct Desk<'a> {
    pub(super) context: Lease<'a>,
    /// The directory with the stores of all tenants.
    pub(super) all: &'a Path,
    /// What only the owner's sandboxes see of the host.
    pub(super) foreign: &'a [PathBuf],
    /// When stores were looked through for what nothing needs.
    pub(super) collections: &'a Collections,
    pub(super) tenant: TenantName,
    /// For whom it is open.
    pub(super) actor: Actor,
}

/// A command with its configuration.
struct Prepared {
    argv: Vec<OsString>,
    config: Config,
    how: CommandArguments,
}

impl Desk<'_> {
    fn prepared(&self, sandbox: &Sandbox, command: &Command) -> Result<Prepared, Failure> {
        own_files_alone(&sandbox.root)?;
        let mut how = CommandArguments::plain()?;
        how.workdir.clone_from(&command.workdir);
        how.timeout = command.timeout;
        how.memory = command.memory;
        (how.cpus, how.pids, how.open_files) = (command.cpus, command.pids, command.open_files);
        (how.disk, how.max_output) = (command.disk, command.max_output);
        how.conflict = command.commit.unwrap_or_default().into();
        (how.commit, how.no_commit) = (command.commit.is_some(), command.commit.is_none());
        (how.snapshot, how.no_snapshot) = (command.snapshot, false);
        let variable = |(name, value): &(OsString, OsString)| {
            [name, value].map(|w| w.as_os_str()).join("=".as_ref())
        };
        how.env = command.env.iter().map(variable).collect();
        let mut config = configuration(&how, &self.folder_of(sandbox))?;
        config.network = command.network.unwrap_or(config.network);
        if let Some(isolation) = &command.isolation {
            if let Isolation::Driver(Driver::Oci(runtime)) = isolation
                && runtime.is_place()
            {
                // It would run on the host, outside of any sandbox.
                let message = "a service runs OCI runtimes by their names alone";
                return Err(Failure::new(REFUSED, "forbidden", message));
            }
            config.isolation = isolation.clone();
            config.isolation_of_profile = false;
        }
        if let Some(most) = command.most_memory {
            let memory = config.limits.memory.map_or(most.0, |memory| memory.0.min(most.0));
            config.limits.memory = Some(ByteSize(memory));
        }
        if let Some(most) = command.most_disk {
            let disk = config.limits.disk.map_or(most.0, |disk| disk.0.min(most.0));
            config.limits.disk = Some(ByteSize(disk));
        }
        if !self.tenant.is_owner() {
            config.hidden.extend_from_slice(self.foreign);
            if config.network != Network::None {
                let message = "only sandboxes of the tenant `default` have the host's network";
                return Err(Failure::new(REFUSED, "forbidden", message));
            }
        }
        Ok(Prepared { argv: command.argv.clone(), config, how })
    }

    fn core_<T>(
        &self,
        act: impl FnOnce(&SandboxCore<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.context.with_core(WhenBusy::WaitSilently, act)
    }

    fn judge_(&self, sandbox: &Sandbox, command: &Command) -> Result<Judged, Failure> {
        let prepared = self.prepared(sandbox, command)?;
        let task = self.task(&prepared);
        let verdict = task.verdict(&sandbox.root, &sandbox.base)?;
        let (mut verdict, mut record) =
            verdict.in_light_of(Some((self.context.store(), sandbox)))?;
        let input = command.input.as_deref().unwrap_or_default();
        if reads_programs(&record) && !input.is_empty() {
            let read = self.read_as_program((sandbox, &prepared), &command.argv, input)?;
            if read.risk > verdict.risk {
                record = VerdictRecord { configuration: record.configuration, ..read.record() };
                verdict = read;
            }
        }
        let decision = decision(&verdict);
        let hash = match decision {
            Decision::Confirm => task.hash(&sandbox.root, &sandbox.base, Some(sandbox), &record)?,
            Decision::Allow | Decision::Block => String::new(),
        };
        let reasons = approval::reasons(&verdict);
        let is_shown = decision == Decision::Confirm && !input.is_empty();
        let stdin =
            is_shown.then(|| ReadInput::of(input, |text| ctrlz_policy::redact(text).into_owned()));
        Ok(Judged { decision, record, title: task.title(), reasons, stdin, hash })
    }

    /// What the validator says of a command that may carry out what it reads.
    fn read_as_program(
        &self,
        (sandbox, prepared): (&Sandbox, &Prepared),
        argv: &[OsString],
        input: &[u8],
    ) -> Result<Verdict, Failure> {
        let mut text = Vec::new();
        for word in argv {
            let parts: Vec<&[u8]> = word.as_bytes().split(|byte| *byte == b'\'').collect();
            text.extend([b"'", &*parts.join(&b"'\\''"[..]), b"' "].concat());
        }
        // A line that the input does not have.
        let end = ctrlz_server::word(16).map_err(super::told)?;
        text.extend(
            [format!("<<'{end}'\n").as_bytes(), input, b"\n", end.as_bytes(), b"\n"].concat(),
        );
        let (config, here) = (&prepared.config, sandbox.mount_point());
        let context = approval::context(&sandbox.root, &sandbox.base, here, config);
        let (packs, _) = policy::packs_in(Path::new("/"), Some(config))?;
        Ok(Validator::with_packs(context, packs).command(&text))
    }

    fn task<'t>(&'t self, prepared: &'t Prepared) -> Task<'t> {
        let Prepared { argv, config, how } = prepared;
        Task { argv, config, how, fresh: false, store: Some(&self.context), again: None }
    }

    fn run_(&self, sandbox: &Sandbox, order: Order<'_>) -> Result<Ran, Failure> {
        let prepared = self.prepared(sandbox, order.command)?;
        let task = self.task(&prepared);
        let mut request = task.request(&self.context, sandbox, Some(order.verdict))?;
        request.streams = order.streams;
        request.take_back = order.command.take_back;
        request.most_disk = order.command.room;
        self.seclude(&mut request);
        let context = &self.context;
        self.core_(|core| {
            archive::before((context, core), sandbox, &request)?;
            let report = core.run_watched(sandbox, request, order.progress).map_err(of_workdir)?;
            let aftermath = known_good::after((context, core), sandbox, &prepared.config, &report);
            automatic::after(core, sandbox, &prepared.config);
            if gc::is_time(context, report.operation) {
                self.collections.keep_up_soon(&self.tenant);
            }
            let emergency = show::to_json(&aftermath.recovered)?;
            Ok(Ran { report, contained: aftermath.contained, emergency })
        })
    }

    /// Hides the stores and workspaces of all, and not this tenant's alone.
    fn seclude(&self, request: &mut RunRequest) {
        request.hidden.extend([self.all.to_owned(), workspaces(self.all)]);
    }

    fn create_(
        &self,
        name: &SandboxName,
        base: &Base,
        workspace: Option<WorkspaceChoice>,
    ) -> Result<Sandbox, Problem> {
        let new =
            NewNamed { name: name.clone(), choice: self.choose(name, base).map_err(problem)? };
        let config =
            configuration(&CommandArguments::plain().map_err(problem)?, &self.configured_by(base))
                .map_err(problem)?;
        let workspace = workspace.unwrap_or(config.workspace);
        let made = match config.setup.is_empty() && config.environment.is_empty() {
            true => self
                .core_(|core| Ok(core.choosing(workspace.driver()).create_named(&new, None)?))
                .map_err(problem),
            false => self.create_apart(name, base, (&new.choice.base, workspace)),
        };
        if made.is_err() {
            self.remove_workspace(&new.choice.base).map_err(problem)?;
        }
        made
    }

    /// What a new sandbox starts from, when there can be one of that name.
    fn choose(&self, name: &SandboxName, base: &Base) -> Result<BaseChoice, Failure> {
        self.context.check_ownership()?;
        if self.context.store().sandbox_named(name.as_str()).is_ok() {
            return Err(
                EngineError::from(ctrlz_core::store::StoreError::NameTaken(name.clone())).into()
            );
        }
        let choice = match base {
            Base::Empty => root::choose(None, &self.new_workspace(name)?, Pull::Never)?,
            Base::Folder(folder) => root::choose(None, &self.folder(folder)?, Pull::Never)?,
            Base::Image(image) => root::choose(Some(image), Path::new("/"), Pull::Never)?,
        };
        own_files_alone(&choice.root)?;
        Ok(choice)
    }

    /// The folder whose configuration counts for what starts from `base`.
    fn configured_by(&self, base: &Base) -> PathBuf {
        match base {
            Base::Folder(folder) => folder.clone(),
            Base::Empty | Base::Image(_) => PathBuf::from("/"),
        }
    }

    /// Makes a sandbox with what `setup:` and `environment:` ask for, which run commands and capture what
    /// they say: another process does that.
    fn create_apart(
        &self,
        name: &SandboxName,
        base: &Base,
        (folder, workspace): (&Path, WorkspaceChoice),
    ) -> Result<Sandbox, Problem> {
        let words = ["--json", "new", name.as_str(), "--workspace", workspace.word()];
        let mut words: Vec<OsString> = words.map(OsString::from).into();
        match base {
            Base::Image(image) => {
                words.extend(["--base".into(), "/".into(), "--root".into(), image.into()]);
            }
            Base::Empty | Base::Folder(_) => words.extend(["--base".into(), folder.into()]),
        }
        self.run_errand(&words, &Halt::default())?;
        let made = self.context.store().sandbox_named(name.as_str());
        made.map_err(|error| problem(error.into()))
    }

    /// A folder of the host, unless it is the service's own.
    fn folder(&self, path: &Path) -> Result<PathBuf, Failure> {
        let folder = crate::places::canonical(path)?;
        let refused = |why: &str| {
            let message = format!("a sandbox cannot start from {}: {why}", folder.display());
            Err(Failure::new(REFUSED, "folder", message))
        };
        let is_in = |place: PathBuf| place.canonicalize().is_ok_and(|own| folder.starts_with(own));
        if is_in(self.all.to_owned()) || is_in(workspaces(self.all)) {
            return refused("the service keeps its own there");
        }
        if !folder.is_dir() {
            return refused("it is no folder");
        }
        Ok(folder)
    }

    /// Makes a folder for a new sandbox, which no other one ever had.
    pub(super) fn new_workspace(&self, name: &SandboxName) -> Result<PathBuf, Failure> {
        let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "folder", &error);
        let mut builder = std::fs::DirBuilder::new();
        let folder = self.workspaces();
        builder.recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        let word = ctrlz_server::word(4).map_err(super::told)?;
        let folder = folder.join(format!("{name}-{word}"));
        builder.recursive(false).create(&folder).map_err(failed)?;
        crate::places::canonical(&folder)
    }

    /// The folder whose configuration is a sandbox's. A folder that began empty has none: whatever lies
    /// there was written by the sandbox that it would be about.
    fn folder_of(&self, sandbox: &Sandbox) -> PathBuf {
        let own = workspaces(self.all);
        let is_own = own.canonicalize().is_ok_and(|own| sandbox.base.starts_with(own));
        if is_own { PathBuf::from("/") } else { known_good::folder_of(sandbox) }
    }

    /// Where the folders of this tenant's sandboxes lie.
    pub(super) fn workspaces(&self) -> PathBuf {
        workspaces(self.all).join(self.tenant.as_str())
    }

    /// Removes a folder that was made for a sandbox, once nobody starts from it any more: a fork does.
    pub(super) fn remove_workspace(&self, base: &Path) -> Result<(), Failure> {
        let is_own = self.workspaces().canonicalize().is_ok_and(|own| base.parent() == Some(&own));
        let is_needed = |one: &Sandbox| one.base.starts_with(base);
        if is_own && !self.context.store().sandboxes()?.iter().any(is_needed) {
            // What cannot be removed harms nobody: its name is not used again.
            let _ = std::fs::remove_dir_all(base);
        }
        Ok(())
    }

    fn put_(
        &self,
        sandbox: &Sandbox,
        key: &StateKey,
        value: NewValue<'_>,
        expected: Expected,
    ) -> Result<u64, Failure> {
        let put = |change| self.core_(|core| Ok(core.put_state(sandbox, key, change, expected)?));
        let (value, is_asked) = match value {
            NewValue::Deleted => return put(StateChange::Deleted),
            NewValue::Written(value) => (value, false),
            NewValue::Sensitive(value) => (value, true),
        };
        let newest = self.context.store().history(sandbox.id, key)?;
        let was_sealed = newest.first().is_some_and(|entry| entry.sealed.is_some());
        let config = configuration(&CommandArguments::plain()?, &self.folder_of(sandbox))?;
        let is_sensitive = config.sensitive.iter().any(|pattern| pattern.matches(key.as_str()));
        if !(is_asked || was_sealed || is_sensitive) || value.len() > MAX_VALUE {
            return put(StateChange::Plain(value));
        }
        let secret = state_key::configured(None)?;
        let sealed = secret
            .seal(key, value)
            .map_err(|error| Failure::caused(OWN_FAILURE, "state-secret", &error))?;
        let size = u64::try_from(value.len()).unwrap_or(u64::MAX);
        put(StateChange::Sealed(SealedValue { bytes: &sealed, size, sealed: secret.id() }))
    }

    fn state_(
        &self,
        sandbox: &Sandbox,
        key: &StateKey,
        version: Option<u64>,
    ) -> Result<Option<(StateEntry, Vec<u8>)>, Failure> {
        let found = self.context.store().get(sandbox.id, key, version)?;
        let Some(entry) = found.filter(|entry| !entry.deleted) else { return Ok(None) };
        let stored = entry.value.clone().unwrap_or_default();
        let Some(wanted) = entry.sealed else { return Ok(Some((entry, stored))) };
        let value = state_key::configured(None)?.open(key, &stored, wanted).map_err(|error| {
            let message = format!("cannot open the value of `{key}` at version {}", entry.version);
            Failure::new(REFUSED, "wrong-key", message).detail(error.to_string())
        })?;
        Ok(Some((entry, value)))
    }

    fn check_health_(&self, sandbox: &Sandbox) -> Result<Vec<HealthResult>, Failure> {
        own_files_alone(&sandbox.root)?;
        let mut config = configuration(&CommandArguments::plain()?, &self.folder_of(sandbox))?;
        if !self.tenant.is_owner() {
            config.hidden.extend_from_slice(self.foreign);
        }
        let mut checks = known_good::checks(&self.context, sandbox, &config)?;
        for check in &mut checks {
            self.seclude(check);
        }
        self.core_(|core| known_good::run(core, sandbox, &checks))
    }

    fn check_(&self, sandbox: Option<&Sandbox>, asked: &Asked) -> Result<Value, Failure> {
        let folder = sandbox.map_or_else(|| PathBuf::from("/"), |sandbox| self.folder_of(sandbox));
        let config = configuration(&CommandArguments::plain()?, &folder)?;
        let context = match sandbox {
            Some(one) => ctrlz_policy::Context {
                history: past::history(self.context.store(), one)?,
                ..approval::context(&one.root, &one.base, one.mount_point(), &config)
            },
            None => judging::in_folder(&folder),
        };
        let (packs, _) = policy::packs_in(&folder, Some(&config))?;
        let validator = Validator::with_packs(context, packs);
        let verdict = match asked {
            Asked::Text(text) => validator.command(text.as_bytes()),
            Asked::Words(words) => {
                let words: Vec<Vec<u8>> =
                    words.iter().map(|word| word.clone().into_bytes()).collect();
                validator.arguments(&words)
            }
            Asked::Program { language, .. } if !knows_language(language) => {
                let message = format!("`{language}` is no language that can be judged");
                return Err(Failure::new(OWN_FAILURE, "input", message)
                    .hint(format!("one of {}", LANGUAGES.join(", "))));
            }
            Asked::Program { language, text } => validator.program(language, text.as_bytes()),
        };
        let fields = show::verdict_fields(&verdict)?;
        Ok(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// A working folder that is not there is a mistake of whoever asked.
fn of_workdir(error: EngineError) -> Failure {
    match &error {
        EngineError::Isolation(IsolationError::Setup { step, source })
            if step.starts_with("enter the working directory") =>
        {
            Failure::new(REFUSED, "folder", format!("cannot {step}: {source}"))
        }
        _ => error.into(),
    }
}

/// Files of many owners need root, or a process in a user namespace with subordinate ids, which the
/// service is not.
fn own_files_alone(root: &Root) -> Result<(), Failure> {
    if !root.has_many_owners() || rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let message = "files of many owners, as an image has, need a service that runs as root";
    Err(Failure::new(REFUSED, "root", message).hint("`ctrlz exec` runs in it without the service"))
}

/// Programs that carry out what they read.
const INTERPRETERS: [&str; 14] = [
    "ash", "bash", "busybox", "dash", "fish", "ksh", "lua", "mksh", "node", "perl", "php", "ruby",
    "sh", "zsh",
];

/// Whether a command calls one that may.
fn reads_programs(record: &VerdictRecord) -> bool {
    let is_one = |name: &String| {
        INTERPRETERS.contains(&name.as_str()) || name.starts_with("python") || name == "xargs"
    };
    record.programs.iter().any(is_one)
}

/// What follows from a verdict where nobody sits at a terminal who could be told: high risk always
/// waits for somebody, whatever the profile lets pass.
fn decision(verdict: &Verdict) -> Decision {
    match verdict.risk {
        Risk::Critical => Decision::Block,
        Risk::High => Decision::Confirm,
        Risk::Medium | Risk::Low => Decision::Allow,
    }
}

impl Session for Desk<'_> {
    fn core(
        &self,
        act: &mut dyn FnMut(&SandboxCore<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let mut answer = Ok(());
        self.core_(|core| {
            answer = act(core);
            Ok(())
        })
        .map_err(problem)?;
        answer
    }

    fn explain(&self, error: EngineError) -> Problem {
        problem(error.into())
    }

    fn create(
        &self,
        name: &SandboxName,
        base: &Base,
        workspace: Option<WorkspaceChoice>,
    ) -> Result<Sandbox, Problem> {
        self.create_(name, base, workspace)
    }

    fn remove(&self, sandbox: &Sandbox, force: bool) -> Result<u64, Problem> {
        let freed = self.core_(|core| {
            core.forget(sandbox, force)?;
            Ok(self.collections.now_or_later(&self.tenant, |more| core.collect_all(more))?)
        });
        let freed = freed.map_err(problem)?;
        self.remove_workspace(&sandbox.base).map_err(problem)?;
        Ok(freed)
    }

    fn put_state(
        &self,
        sandbox: &Sandbox,
        key: &StateKey,
        value: NewValue<'_>,
        expected: Expected,
    ) -> Result<u64, Problem> {
        self.put_(sandbox, key, value, expected).map_err(problem)
    }

    fn state_version(&self, sandbox: &Sandbox, at: &str) -> Result<u64, Problem> {
        state::version_at(&self.context, sandbox, at).map_err(problem)
    }

    fn state(
        &self,
        sandbox: &Sandbox,
        key: &StateKey,
        version: Option<u64>,
    ) -> Result<Option<(StateEntry, Vec<u8>)>, Problem> {
        self.state_(sandbox, key, version).map_err(problem)
    }

    fn patch(&self, changeset: &Changeset, most: usize) -> Option<String> {
        show::patch_text(changeset, most)
    }

    fn stats(&self, sandbox: &Sandbox, since: Timestamp) -> Result<Value, Problem> {
        let stats = self.context.tracker().stats(sandbox, since);
        let stats = stats.map_err(|error| problem(error.into()))?;
        let fields = stats::fields(since, &stats).map_err(problem)?;
        Ok(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    fn health(&self) -> Result<Vec<Finding>, Problem> {
        let look = || health::look(&self.context, health::thresholds(&health::configuration()?));
        look().map_err(problem)
    }

    fn check_health(&self, sandbox: &Sandbox) -> Result<Vec<HealthResult>, Problem> {
        self.check_health_(sandbox).map_err(problem)
    }

    fn hidden(&self, sandbox: &Sandbox) -> Result<Vec<PathBuf>, Problem> {
        let prepared = self.prepared(sandbox, &Command::default()).map_err(problem)?;
        let mut hidden = secrets::existing(&prepared.config.hidden, &self.context.directory);
        let own = [self.all.to_owned(), workspaces(self.all)];
        hidden.extend(own.iter().filter_map(|path| path.canonicalize().ok()));
        Ok(hidden)
    }

    fn check(&self, sandbox: Option<&Sandbox>, asked: &Asked) -> Result<Value, Problem> {
        self.check_(sandbox, asked).map_err(problem)
    }

    fn judge(&self, sandbox: &Sandbox, command: &Command) -> Result<Judged, Problem> {
        self.judge_(sandbox, command).map_err(problem)
    }

    fn spend_reserve(&self) {
        // Without a reserve what follows may fail for want of space, which it tells itself.
        let _ = ctrlz_store::reserve::spend(&self.context.directory);
    }

    fn refill_reserve(&self) {
        let _ = ctrlz_store::reserve::refill(&self.context.directory);
    }

    fn run(&self, sandbox: &Sandbox, order: Order<'_>) -> Result<Ran, Problem> {
        self.run_(sandbox, order).map_err(problem)
    }

    fn disk_used(&self) -> Result<u64, Problem> {
        self.disk_used_().map_err(problem)
    }

    fn carry_out(&self, errand: &Errand, halt: &Halt) -> Result<Vec<u8>, Problem> {
        self.carry_out_(errand, halt)
    }

    fn refuse(
        &self,
        sandbox: &Sandbox,
        command: &Command,
        judged: &Judged,
        reason: &str,
    ) -> Result<OperationId, Problem> {
        let limits = self.prepared(sandbox, command).map_err(problem)?.config.limits;
        let (store, title) = (self.context.store(), judged.title.clone());
        let record = judged.record.clone();
        let refused = ctrlz_engine::refuse(store, sandbox, title, limits, record, reason);
        refused.map(|refused| refused.id).map_err(|error| self.explain(error.into()))
    }
}
