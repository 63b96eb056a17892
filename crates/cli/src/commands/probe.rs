//! Whether what is promised is in force: tried inside once for each kernel, configuration and ctrlz,
//! and remembered by the name of a file in the store.

use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use ctrlz_config::{Config, Profile};
use ctrlz_core::event::{Happening, HealthChanged, Severity};
use ctrlz_core::isolation::IsolationDriver;
use ctrlz_core::limits::LimitKind;
use ctrlz_engine::EngineError;
use ctrlz_isolation::native::{self, NativeDriver, Protection, Trial};
use rustix::fs::{CWD, Mode, OFlags};

use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE};
use crate::secrets;

/// No probe writes more bytes.
const MOST: u64 = 1 << 20;

/// What a probe found.
pub(super) struct Probed {
    /// What was tried.
    pub(super) trials: Vec<Trial>,
    /// What this host does not have, by the survey.
    pub(super) missing: Vec<String>,
    /// Whether it was found earlier.
    pub(super) is_known: bool,
}

impl Probed {
    /// What is promised, and not in force.
    pub(super) fn broken(&self) -> impl Iterator<Item = &Trial> {
        self.trials.iter().filter(|trial| !trial.held)
    }
}

/// Errs when a protection is not in force that the profile wants. Costs one look at a name when this
/// was found earlier.
pub(super) fn require(context: &Context, config: &Config) -> Result<(), Failure> {
    let path = file(context, config);
    if rustix::fs::accessat(CWD, &path, rustix::fs::Access::EXISTS, rustix::fs::AtFlags::empty())
        .is_ok()
    {
        return Ok(());
    }
    let probed = anew(context, config, false)?;
    refusal(&probed, config).map_or(Ok(()), Err)
}

/// What is known, or else what a probe shows now.
pub(super) fn known(context: &Context, config: &Config) -> Result<Probed, Failure> {
    let text = read(&file(context, config)).unwrap_or_default();
    let thorough = format!("limit {}", LimitKind::Memory);
    match serde_json::from_slice::<Vec<Trial>>(&text) {
        // What the first command found is not all that there is to find.
        Ok(trials) if trials.iter().any(|trial| trial.what == thorough) => {
            let missing = missing(&NativeDriver::default(), config);
            Ok(Probed { trials, missing, is_known: true })
        }
        _ => anew(context, config, true),
    }
}

/// Probes, and remembers what it found when nothing is wrong with it.
pub(super) fn anew(context: &Context, config: &Config, thorough: bool) -> Result<Probed, Failure> {
    let driver = driver();
    let own = context.directory.canonicalize().unwrap_or_else(|_| context.directory.clone());
    let hidden: Vec<PathBuf> = secrets::existing(&config.hidden, &context.directory)
        .into_iter()
        // The folder of the probe itself lies there.
        .filter(|path| !own.starts_with(path))
        .collect();
    let trials = native::probe(&driver, &context.directory, &hidden, thorough)
        .map_err(|error| Failure::from(EngineError::from(error)))?;
    let probed = Probed { trials, missing: missing(&driver, config), is_known: false };
    let path = file(context, config);
    match refusal(&probed, config) {
        None => {
            // One that cannot be remembered is probed again.
            let _ = remember(&path, &probed.trials);
        }
        Some(_) => {
            let _ = forget(&path);
            let broken: Vec<String> = probed.broken().map(ToString::to_string).collect();
            let changed = HealthChanged {
                check: "protections".to_owned(),
                severity: Severity::Critical,
                evidence: if broken.is_empty() {
                    format!("missing: {}", probed.missing.join(", "))
                } else {
                    broken.join("; ")
                },
                remedy: "ctrlz doctor --probe".to_owned(),
            };
            context.store().emit(None, Happening::HealthChanged(changed))?;
        }
    }
    Ok(probed)
}

/// Why nothing may run; nothing when it may.
fn refusal(probed: &Probed, config: &Config) -> Option<Failure> {
    let broken: Vec<String> = probed.broken().map(ToString::to_string).collect();
    if !broken.is_empty() {
        let message = "a protection that is promised is not in force, so nothing ran";
        return Some(
            Failure::new(OWN_FAILURE, "not-in-force", message)
                .details(broken)
                .hint("`ctrlz doctor --probe` tries all of them anew"),
        );
    }
    if config.profile == Profile::HighSecurity && !probed.missing.is_empty() {
        let message = format!(
            "the profile {} wants every protection, and this host has not all of them",
            config.profile
        );
        let missing = probed.missing.iter().map(|what| format!("{what} is missing")).collect();
        return Some(
            Failure::new(OWN_FAILURE, "unenforceable", message)
                .details(missing)
                .hint("`ctrlz doctor` tells why; another profile does without"),
        );
    }
    None
}

/// Protections that this host does not have. The ceiling of processes needs none when a limit on
/// them is set.
fn missing(driver: &NativeDriver, config: &Config) -> Vec<String> {
    let ceiling = Protection::ProcessCeiling.word();
    let is_protection = |what: &str| Protection::ALL.iter().any(|one| one.word() == what);
    driver
        .survey()
        .into_iter()
        .filter(|one| one.by.is_none() && is_protection(&one.what))
        .filter(|one| one.what != ceiling || config.limits.pids.is_none())
        .map(|one| one.what)
        .chain(lacking())
        .collect()
}

/// What this host is said to lack, for tests.
#[cfg(feature = "faults")]
fn lacking() -> Option<String> {
    std::env::var("CTRLZ_LACKS").ok().filter(|what| !what.is_empty())
}

#[cfg(not(feature = "faults"))]
fn lacking() -> Option<String> {
    None
}

/// The file whose name says that all is well: by the kernel, the user, this ctrlz, and what of the
/// configuration a probe is about.
fn file(context: &Context, config: &Config) -> PathBuf {
    let mut hasher = blake3::Hasher::new_derive_key("ctrlz probe, format 1");
    let mut add = |bytes: &[u8]| {
        hasher.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(bytes);
    };
    let kernel = rustix::system::uname();
    add(kernel.release().to_bytes());
    add(kernel.version().to_bytes());
    add(env!("CARGO_PKG_VERSION").as_bytes());
    add(&rustix::process::geteuid().as_raw().to_le_bytes());
    add(config.profile.word().as_bytes());
    add(&[u8::from(config.limits.pids.is_some())]);
    config.hidden.iter().for_each(|path| add(path.as_os_str().as_bytes()));
    let digest = hasher.finalize().to_hex();
    context.directory.join(format!("probed-{}", digest.get(..16).unwrap_or_default()))
}

/// What was remembered; nothing of what no probe has written.
fn read(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let mut text = Vec::new();
    if file.metadata()?.is_file() {
        file.take(MOST).read_to_end(&mut text)?;
    }
    if text.len() as u64 >= MOST {
        text.clear();
    }
    Ok(text)
}

/// Whatever is there, it must not say that all is well.
fn forget(path: &std::path::Path) -> std::io::Result<()> {
    match std::fs::symlink_metadata(path)?.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    }
}

/// Writes beside it and renames: a crash leaves it whole or not at all.
fn remember(path: &std::path::Path, trials: &[Trial]) -> std::io::Result<()> {
    let text = serde_json::to_vec(trials)?;
    let beside = path.with_extension(std::process::id().to_string());
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(&beside, flags, Mode::RUSR | Mode::WUSR)?;
    let written = std::fs::File::from(file).write_all(&text).and_then(|()| {
        // Something else than a file lies there: nobody else writes in this folder.
        std::fs::rename(&beside, path)
            .or_else(|_| forget(path).and_then(|()| std::fs::rename(&beside, path)))
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// The driver whose protections are probed.
#[cfg(not(feature = "faults"))]
fn driver() -> NativeDriver {
    NativeDriver::default()
}

/// The same without the protections that `CTRLZ_WITHOUT` names: a probe must find that out.
#[cfg(feature = "faults")]
fn driver() -> NativeDriver {
    use ctrlz_isolation::native::Protections;
    let without = std::env::var("CTRLZ_WITHOUT").unwrap_or_default();
    let words = without.split(',');
    let named = words.filter_map(|word| Protection::ALL.into_iter().find(|p| p.word() == word));
    NativeDriver::with_protections(named.fold(Protections::all(), Protections::without))
}
