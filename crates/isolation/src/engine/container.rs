//! What is asked of the engine: as little as `native` leaves to a command.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, RestartPolicy,
    RestartPolicyNameEnum,
};
use ctrlz_core::isolation::{IsolationError, Launch, Network};
use ctrlz_core::workspace::WorkspaceMount;

use super::inside::{ARGUMENT, PROGRAM, SOCKET};
use super::place::Place;

/// What containers are found by.
pub(super) const LABEL: &str = "ctrlz.launcher";

/// The most processes of a container for which nobody asked a limit; as in a sandbox of `native`.
const PROCESS_CEILING: i64 = 16_384;

/// Places that are private to the container and may be written.
const TEMPORARY: [(&str, &str); 3] = [
    ("/tmp", "rw,exec,nosuid,nodev,mode=1777"),
    ("/var/tmp", "rw,exec,nosuid,nodev,mode=1777"),
    ("/run", "rw,exec,nosuid,nodev,mode=755"),
];

/// Who the container is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct User {
    /// Ids as the container sees them.
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The engine is that user's own.
    pub(super) rootless: bool,
}

/// The container for `launch`.
pub(super) fn describe(
    launch: &Launch,
    (reference, workspace_at): (&str, &Path),
    place: &Place,
    user: User,
) -> Result<ContainerCreateBody, IsolationError> {
    let program = std::env::current_exe().map_err(|source| IsolationError::Setup {
        step: "find the program of ctrlz".to_owned(),
        source,
    })?;
    let mut mounts = vec![
        bind(&program, Path::new(PROGRAM), true)?,
        bind(&place.socket(), Path::new(SOCKET), true)?,
    ];
    let mut tmpfs: HashMap<String, String> =
        TEMPORARY.map(|(path, options)| (path.to_owned(), options.to_owned())).into();
    match &launch.workspace {
        WorkspaceMount::Bind { source } => mounts.push(bind(source, workspace_at, false)?),
        // The overlay is mounted on it.
        WorkspaceMount::Overlay { .. } => {
            tmpfs.insert(text(workspace_at)?, "rw,size=4k,mode=555".to_owned());
        }
    }
    let labels = HashMap::from([
        (LABEL.to_owned(), place.launcher().to_owned()),
        ("ctrlz.workspace".to_owned(), workspace_at.to_string_lossy().into_owned()),
        ("ctrlz.written".to_owned(), launch.written.to_string_lossy().into_owned()),
    ]);
    let limits = &launch.limits;
    let memory = limits.memory.and_then(|size| i64::try_from(size.0).ok());
    // Process 1 is not the user's.
    let pids = limits.pids.map(|most| i64::from(most).saturating_add(1));
    let host = HostConfig {
        auto_remove: Some(true),
        cap_add: Some(launch.keep_capabilities.clone()),
        cap_drop: Some(vec!["ALL".to_owned()]),
        ipc_mode: Some("private".to_owned()),
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        memory,
        // No swap beside it.
        memory_swap: memory,
        mounts: Some(mounts),
        nano_cpus: limits.cpus.map(|cpus| (cpus * 1e9) as i64),
        network_mode: Some(match launch.network {
            Network::None => "none".to_owned(),
            Network::Host => "host".to_owned(),
        }),
        // An engine without root holds it where its user has cgroups, and refuses it elsewhere.
        pids_limit: pids.or((!user.rootless).then_some(PROCESS_CEILING)),
        privileged: Some(false),
        readonly_rootfs: Some(true),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        tmpfs: Some(tmpfs),
        ..HostConfig::default()
    };
    Ok(ContainerCreateBody {
        attach_stdin: Some(false),
        attach_stdout: Some(false),
        attach_stderr: Some(false),
        cmd: Some(vec![ARGUMENT.to_owned()]),
        entrypoint: Some(vec![PROGRAM.to_owned()]),
        env: Some(Vec::new()),
        host_config: Some(host),
        image: Some(reference.to_owned()),
        labels: Some(labels),
        network_disabled: Some(launch.network == Network::None),
        tty: Some(false),
        user: Some(format!("{}:{}", user.uid, user.gid)),
        working_dir: Some("/".to_owned()),
        ..ContainerCreateBody::default()
    })
}

fn bind(source: &Path, target: &Path, read_only: bool) -> Result<Mount, IsolationError> {
    Ok(Mount {
        typ: Some(MountType::BIND),
        source: Some(text(source)?),
        target: Some(text(target)?),
        read_only: Some(read_only),
        ..Mount::default()
    })
}

/// A path as the API takes it. Engines write mounts as lists with commas, and tmpfs with colons.
fn text(path: &Path) -> Result<String, IsolationError> {
    match path.to_str() {
        Some(text) if !text.contains([',', ':', '"', '\n']) => Ok(text.to_owned()),
        _ => Err(IsolationError::Setup {
            step: format!("mount {} in a container", path.display()),
            source: io::Error::new(
                io::ErrorKind::InvalidInput,
                "engines take no path with a comma, a colon, a quote or bytes that are not UTF-8",
            ),
        }),
    }
}
