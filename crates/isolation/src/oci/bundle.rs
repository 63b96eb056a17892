//! The configuration of a container (config.md and config-linux.md of the OCI runtime specification).

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

use ctrlz_core::isolation::RootView;
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capability, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxIdMapping, LinuxIdMappingBuilder,
    LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, Mount, MountBuilder, PosixRlimit,
    PosixRlimitBuilder, PosixRlimitType, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder,
    UserBuilder,
};

use super::{Kind, seccomp};
use crate::native::syscalls::Circumstances;
use crate::native::{Bundle, Container, Ids, KERNEL_FILES, Rlimits};

/// The configuration for `container`.
pub(super) fn config(container: &Container<'_>, kind: Kind) -> Result<Spec, OciSpecError> {
    let launch = container.launch;
    let is_host = matches!(launch.root, RootView::Host { .. });
    let kinds = [
        LinuxNamespaceType::User,
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Uts,
    ];
    let namespaces: Vec<LinuxNamespace> = kinds
        .into_iter()
        // The kernel in user space is a border already, and does not run without the host's ids.
        .filter(|one| *one != LinuxNamespaceType::User || kind != Kind::Gvisor)
        .map(|one| LinuxNamespaceBuilder::default().typ(one).build())
        .collect::<Result<_, _>>()?;
    let circumstances = Circumstances {
        emulates_rename: false,
        measures_memory: container.rlimits.data.is_some(),
        fixed_processors: container.fixed_processors,
    };
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces)
        .seccomp(seccomp::filter(circumstances)?)
        .masked_paths(
            KERNEL_FILES
                .iter()
                .filter(|path| path.starts_with("/proc"))
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
        )
        .readonly_paths(Vec::new());
    if kind != Kind::Gvisor {
        linux = linux
            .uid_mappings(mappings(&container.users)?)
            .gid_mappings(mappings(&container.groups)?);
    }
    SpecBuilder::default()
        .version("1.0.2")
        .root(RootBuilder::default().path(Bundle::ROOT).readonly(is_host).build()?)
        .process(process(container)?)
        .mounts(mounts()?)
        .hostname("")
        .linux(linux.build()?)
        .build()
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

fn process(container: &Container<'_>) -> Result<Process, OciSpecError> {
    let launch = container.launch;
    let text = |text: &OsStr| match text.to_str() {
        Some(text) => Ok(text.to_owned()),
        // The specification is JSON, which is made of characters.
        None => Err(OciSpecError::Other(format!("{} is not UTF-8", Path::new(text).display()))),
    };
    let arguments = launch.argv.iter().map(|word| text(word)).collect::<Result<Vec<_>, _>>()?;
    let variable = |(name, value): &(std::ffi::OsString, std::ffi::OsString)| {
        Ok(format!("{}={}", text(name)?, text(value)?))
    };
    let environment = launch.env.iter().map(variable).collect::<Result<Vec<_>, OciSpecError>>()?;
    let kept: HashSet<Capability> = launch
        .keep_capabilities
        .iter()
        .map(|name| name.trim_start_matches("CAP_").parse())
        .collect::<Result<_, _>>()
        .map_err(|_| OciSpecError::Other("a capability is unknown to the specification".into()))?;
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(kept.clone())
        .effective(kept.clone())
        .permitted(kept.clone())
        .inheritable(kept.clone())
        .ambient(kept)
        .build()?;
    ProcessBuilder::default()
        .terminal(container.terminal)
        .user(UserBuilder::default().uid(container.user).gid(container.group).build()?)
        .args(arguments)
        .env(environment)
        .cwd(text(launch.workdir.as_os_str())?)
        .capabilities(capabilities)
        .rlimits(rlimits(&container.rlimits)?)
        .no_new_privileges(true)
        .build()
}

fn rlimits(rlimits: &Rlimits) -> Result<Vec<PosixRlimit>, OciSpecError> {
    let pairs = [
        (PosixRlimitType::RlimitNofile, rlimits.open_files),
        (PosixRlimitType::RlimitNproc, rlimits.processes),
        (PosixRlimitType::RlimitData, rlimits.data.map(|size| size.0)),
        (PosixRlimitType::RlimitFsize, rlimits.file_size.map(|size| size.0)),
    ];
    let limit =
        |(kind, value)| PosixRlimitBuilder::default().typ(kind).soft(value).hard(value).build();
    pairs.into_iter().filter_map(|(kind, value)| Some((kind, value?))).map(limit).collect()
}

/// What the runtime mounts: the rest is in the root already. `/dev` is named, since a runtime fills one
/// that nobody mounts.
fn mounts() -> Result<Vec<Mount>, OciSpecError> {
    let options = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    Ok(vec![
        MountBuilder::default()
            .destination("/proc")
            .typ("proc")
            .source("proc")
            .options(options(&["nosuid", "noexec", "nodev", "ro"]))
            .build()?,
        MountBuilder::default()
            .destination("/dev")
            .typ("bind")
            .source(Bundle::devices())
            .options(options(&["rbind", "nosuid"]))
            .build()?,
    ])
}
