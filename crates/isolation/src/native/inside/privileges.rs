//! Giving up privileges, in an order in which each step still has what it needs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use ctrlz_core::isolation::RootView;
use ctrlz_core::workspace::WorkspaceMount;
use ctrlz_sys::seccomp::{self, Listener, Program};
use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::fs::{FileType, SealFlags, fstat};
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use super::{Setup, Step, StepError};
use crate::native::protection::{Protection, Protections};
use crate::native::syscalls::{self, Circumstances};

/// The newest Landlock that is known here; older kernels give what they have.
const LANDLOCK: ABI = ABI::V9;

/// Places that may be written, beside the workspace. `/proc` is read-only by its mount.
const WRITABLE: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/dev"];

/// Takes user and group 0 of the new user namespace.
pub(in crate::native) fn become_root_inside() -> io::Result<()> {
    // Refused where setgroups(2) had to be given up for the map; then there is nothing to drop.
    let _ = rustix::thread::set_thread_groups(&[]);
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
    Ok(())
}

/// A seccomp filter, and what it was made for.
#[derive(Debug)]
pub(super) struct Filter {
    circumstances: Circumstances,
    program: Program,
}

impl Filter {
    /// The filter that is most likely to be needed.
    pub(super) fn usual(wanted: Protections) -> Self {
        let circumstances = Circumstances {
            emulates_rename: true,
            measures_memory: false,
            fixed_processors: false,
        };
        Self::new(circumstances, wanted)
    }

    fn new(circumstances: Circumstances, wanted: Protections) -> Self {
        let (rules, unknown) = match wanted.has(Protection::Seccomp) {
            true => (syscalls::allowed(circumstances), syscalls::UNKNOWN),
            false => (syscalls::rename_only(), seccomp::Action::Allow),
        };
        Self { circumstances, program: Program::new(&rules, unknown) }
    }
}

/// Applies everything that takes power away from process 1 and all that it starts. What the
/// kernel lacks is taken out of `in_force`.
pub(super) fn give_up(
    setup: &Setup,
    filter: Filter,
    in_force: &mut Protections,
) -> Result<Option<Listener>, StepError> {
    let wanted = setup.start.protections;
    if wanted.has(Protection::NoNewPrivileges) {
        rustix::thread::set_no_new_privs(true).step(|| "set no_new_privs".into())?;
    }
    if wanted.has(Protection::Landlock) && !restrict_files(setup)? {
        *in_force = in_force.without(Protection::Landlock);
    }
    if wanted.has(Protection::ClosedDescriptors) {
        ctrlz_sys::descriptors::close_all_on_exec().step(|| "close descriptors".into())?;
    }
    let circumstances = Circumstances {
        emulates_rename: matches!(setup.task.workspace, WorkspaceMount::Overlay { .. }),
        measures_memory: setup.task.rlimits.data.is_some(),
        fixed_processors: setup.task.fixed_processors,
    };
    let filter = match filter.circumstances == circumstances {
        true => filter,
        false => Filter::new(circumstances, wanted),
    };
    let installing = || "install the seccomp filter".into();
    let listener = if circumstances.emulates_rename {
        Some(seccomp::install_with_listener(&filter.program).step(installing)?)
    } else {
        seccomp::install(&filter.program).step(installing)?;
        None
    };
    if wanted.has(Protection::NoCapabilities) {
        drop_capabilities(&setup.task.keep_capabilities)?;
        if !setup.task.keep_capabilities.is_empty() {
            *in_force = in_force.without(Protection::NoCapabilities);
        }
    }
    Ok(listener)
}

fn drop_capabilities(keep: &[String]) -> Result<(), StepError> {
    let mut kept = CapabilitySet::empty();
    for name in keep {
        kept |= capability(name).step(|| format!("keep capability {name}"))?;
    }
    for capability in CapabilitySet::all().difference(kept).iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // EINVAL: newer than this kernel.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => {
                return Err(error).step(|| "empty the capability bounding set".into());
            }
        }
    }
    rustix::thread::clear_ambient_capability_set().step(|| "drop ambient capabilities".into())?;
    if kept.is_empty() {
        let bits = CapabilitiesSecureBits::NO_ROOT | CapabilitiesSecureBits::NO_ROOT_LOCKED;
        rustix::thread::set_capabilities_secure_bits(bits)
            .step(|| "make root powerless across exec".into())?;
    }
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: kept };
    rustix::thread::set_capabilities(None, sets).step(|| "drop capabilities".into())?;
    for capability in kept.iter() {
        rustix::thread::configure_capability_in_ambient_set(capability, true)
            .step(|| "pass capabilities on".into())?;
    }
    Ok(())
}

/// A capability by its kernel name, with or without `CAP_`.
pub(in crate::native) fn capability(name: &str) -> io::Result<CapabilitySet> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    CapabilitySet::all()
        .iter_names()
        .find_map(|(candidate, flag)| (candidate == bare).then_some(flag))
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("unknown capability {name}"))
        })
}

/// Restricts writing to the writable places; answers whether Landlock is in force.
fn restrict_files(setup: &Setup) -> Result<bool, StepError> {
    let restrict = || -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(LANDLOCK))?
            .scope(Scope::from_all(LANDLOCK))?
            .create()?
            .no_new_privs(false);
        ruleset = allow(ruleset, Path::new("/"), AccessFs::from_read(LANDLOCK))?;
        for place in writable(setup) {
            ruleset = allow(ruleset, place, AccessFs::from_all(LANDLOCK))?;
        }
        if let Some(program) = setup.program.as_ref().filter(|file| !is_memory(file)) {
            let access = AccessFs::Execute | AccessFs::ReadFile;
            ruleset = ruleset.add_rule(PathBeneath::new(program, access))?;
        }
        for stream in [
            rustix::stdio::stdin().as_fd(),
            rustix::stdio::stdout().as_fd(),
            rustix::stdio::stderr().as_fd(),
        ] {
            ruleset = allow_stream(ruleset, stream)?;
        }
        Ok(ruleset.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
    };
    restrict().map_err(io::Error::other).step(|| "restrict files with Landlock".into())
}

/// Whether it is a file of memory alone (memfd_create(2)): Landlock knows no rule for it and lets it be.
fn is_memory(file: &OwnedFd) -> bool {
    rustix::fs::fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::WRITE))
}

fn writable(setup: &Setup) -> Vec<&Path> {
    match &setup.task.root {
        RootView::Host { workspace_at } | RootView::Image { workspace_at, .. } => {
            WRITABLE.iter().map(Path::new).chain([workspace_at.as_path()]).collect()
        }
        RootView::Workspace { .. } => vec![Path::new("/")],
    }
}

type Built = Result<RulesetCreated, Box<dyn std::error::Error + Send + Sync>>;

fn allow(ruleset: RulesetCreated, place: &Path, access: landlock::BitFlags<AccessFs>) -> Built {
    match super::mounts::open_host(place) {
        Ok(fd) => Ok(ruleset.add_rule(PathBeneath::new(fd, access))?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ruleset),
        Err(error) => Err(error.into()),
    }
}

/// The command was given these streams to use, so it may also open them again by /dev/stdout and
/// the like, for what they were opened for. Pipes and sockets need no rule; a directory gets none.
fn allow_stream(ruleset: RulesetCreated, stream: BorrowedFd<'_>) -> Built {
    let Ok(status) = fstat(stream) else { return Ok(ruleset) };
    match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile | FileType::CharacterDevice => {
            let access = match super::streams::may_write(stream) {
                Ok(true) => AccessFs::from_file(LANDLOCK) & !AccessFs::Execute,
                _ => AccessFs::ReadFile.into(),
            };
            Ok(ruleset.add_rule(PathBeneath::new(stream, access))?)
        }
        _ => Ok(ruleset),
    }
}
