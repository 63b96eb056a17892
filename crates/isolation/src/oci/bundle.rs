//! The configuration of a container (config.md and config-linux.md of the OCI runtime specification).

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

use ctrlz_core::isolation::{Launch, RootView};
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capability, LinuxBuilder, LinuxCapabilities, LinuxCapabilitiesBuilder, LinuxIdMapping,
    LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, Mount,
    MountBuilder, PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, ProcessBuilder,
    RootBuilder, Spec, SpecBuilder, UserBuilder,
};

use super::{Kind, seccomp};
use crate::native::syscalls::Circumstances;
use crate::native::{Bundle, Container, Ids, Rlimits};

/// The configuration for `container`.
pub(super) fn config(container: &Container<'_>, kind: Kind) -> Result<Spec, OciSpecError> {
    let launch = container.launch;
    // The mounts are read-only that have to be. To gVisor all of the root is one mount.
    let is_read_only = matches!(launch.root, RootView::Host { .. }) && kind != Kind::Gvisor;
    let namespaces: Vec<LinuxNamespace> = namespaces(kind)
        .iter()
        .map(|one| match one {
            LinuxNamespaceType::Pid if kind != Kind::Gvisor => {
                LinuxNamespaceBuilder::default().typ(*one).path(Bundle::processes()).build()
            }
            _ => LinuxNamespaceBuilder::default().typ(*one).build(),
        })
        .collect::<Result<_, _>>()?;
    let circumstances = Circumstances {
        emulates_rename: false,
        measures_memory: container.rlimits.data.is_some(),
        fixed_processors: container.fixed_processors,
    };
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces)
        .seccomp(seccomp::filter(circumstances)?)
        // What is to be masked is masked in the root.
        .masked_paths(Vec::new())
        .readonly_paths(Vec::new());
    if kind != Kind::Gvisor {
        linux = linux
            .uid_mappings(mappings(&container.users)?)
            .gid_mappings(mappings(&container.groups)?);
    }
    SpecBuilder::default()
        .version("1.0.2")
        .root(RootBuilder::default().path(Bundle::ROOT).readonly(is_read_only).build()?)
        .process(process(container, kind)?)
        .mounts(mounts(kind)?)
        .hostname("")
        .linux(linux.build()?)
        .build()
}

/// The namespaces that the runtime makes or joins; the others are those of process 1.
fn namespaces(kind: Kind) -> &'static [LinuxNamespaceType] {
    use LinuxNamespaceType::{Ipc, Mount, Pid, User, Uts};
    match kind {
        Kind::Runc | Kind::Crun | Kind::Youki => &[User, Pid, Mount, Ipc, Uts],
        // A kernel in user space maps no ids.
        Kind::Gvisor => &[Pid, Mount, Ipc, Uts],
    }
}

fn mappings(ids: &[Ids]) -> Result<Vec<LinuxIdMapping>, OciSpecError> {
    let mapping = |ids: &Ids| {
        LinuxIdMappingBuilder::default()
            .container_id(ids.inside)
            .host_id(ids.outside)
            .size(ids.count)
            .build()
    };
    ids.iter().map(mapping).collect()
}

fn process(container: &Container<'_>, kind: Kind) -> Result<Process, OciSpecError> {
    let launch = container.launch;
    let arguments = launch.argv.iter().map(|word| text(word)).collect::<Result<Vec<_>, _>>()?;
    ProcessBuilder::default()
        .terminal(container.terminal)
        .user(UserBuilder::default().uid(container.user).gid(container.group).build()?)
        .args(arguments)
        .env(environment(launch)?)
        .cwd(text(launch.workdir.as_os_str())?)
        .capabilities(capabilities(launch)?)
        .rlimits(rlimits(&container.rlimits, kind)?)
        .no_new_privileges(true)
        .build()
}

/// A text as the specification takes it.
pub(crate) fn text(text: &OsStr) -> Result<String, OciSpecError> {
    match text.to_str() {
        Some(text) => Ok(text.to_owned()),
        // The specification is JSON, which is made of characters.
        None => Err(OciSpecError::Other(format!("{} is not UTF-8", Path::new(text).display()))),
    }
}

/// The environment of the command.
pub(crate) fn environment(launch: &Launch) -> Result<Vec<String>, OciSpecError> {
    let variable = |(name, value): &(std::ffi::OsString, std::ffi::OsString)| {
        Ok(format!("{}={}", text(name)?, text(value)?))
    };
    launch.env.iter().map(variable).collect()
}

/// The capabilities that are kept, and no other.
pub(crate) fn capabilities(launch: &Launch) -> Result<LinuxCapabilities, OciSpecError> {
    let kept: HashSet<Capability> = launch
        .keep_capabilities
        .iter()
        .map(|name| name.trim_start_matches("CAP_").parse())
        .collect::<Result<_, _>>()
        .map_err(|_| OciSpecError::Other("a capability is unknown to the specification".into()))?;
    LinuxCapabilitiesBuilder::default()
        .bounding(kept.clone())
        .effective(kept.clone())
        .permitted(kept.clone())
        .inheritable(kept.clone())
        .ambient(kept)
        .build()
}

/// What runc needs itself between its limits and the command.
const LEAST_DATA: u64 = 256 << 20;

pub(crate) fn rlimits(rlimits: &Rlimits, kind: Kind) -> Result<Vec<PosixRlimit>, OciSpecError> {
    // Whoever launches measures the memory, too; this one holds what comes between two looks.
    let data = rlimits.data.map(|size| match kind {
        Kind::Crun => size.0,
        _ => size.0.max(LEAST_DATA),
    });
    let pairs = [
        (PosixRlimitType::RlimitNofile, rlimits.open_files),
        (PosixRlimitType::RlimitNproc, rlimits.processes),
        (PosixRlimitType::RlimitData, data),
        (PosixRlimitType::RlimitFsize, rlimits.file_size.map(|size| size.0)),
    ];
    let limit =
        |(kind, value)| PosixRlimitBuilder::default().typ(kind).soft(value).hard(value).build();
    pairs.into_iter().filter_map(|(kind, value)| Some((kind, value?))).map(limit).collect()
}

/// What the runtime mounts: nearly all is in the root already.
fn mounts(kind: Kind) -> Result<Vec<Mount>, OciSpecError> {
    let mount = |kind: &str, source: &Path, destination: &str, options: &[&str]| {
        MountBuilder::default()
            .destination(destination)
            .typ(kind)
            .source(source)
            .options(options.iter().map(ToString::to_string).collect::<Vec<_>>())
            .build()
    };
    Ok(match kind {
        // They fill a `/dev` that nobody mounts.
        Kind::Runc | Kind::Youki => {
            vec![mount("bind", &Bundle::devices(), "/dev", &["rbind", "nosuid"])?]
        }
        // It does not, and for an ordinary user it binds without what is mounted below.
        Kind::Crun => Vec::new(),
        // A kernel in user space has a `/proc` of its own.
        Kind::Gvisor => {
            let options = ["nosuid", "noexec", "nodev", "ro"];
            vec![mount("proc", Path::new("proc"), "/proc", &options)?]
        }
    })
}
