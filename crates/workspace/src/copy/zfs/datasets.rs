//! The datasets of a store: made, cloned, mounted, removed.
//!
//! All are children of one container, which is not mounted itself. A clone needs the snapshot that it
//! was made of, and ZFS keeps a dataset that has such snapshots. So each snapshot is marked at once to
//! go with its last clone (`zfs destroy -d`), and a dataset that is to go gives the snapshots that are
//! in use to a clone first (`zfs promote`).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::CWD;
use rustix::io::Errno;

use super::command::{Refused, zfs};
use super::place::{dataset_of, digest};
use crate::copy::store::{make_directory, now};
use crate::copy::survey::is_mount;
use crate::node::{Place, failed, is_gone};

/// How often a dataset is asked to go that somebody has in use: its own snapshot a moment ago, or a
/// process that still has it mounted.
const ATTEMPTS: u32 = 30;

/// What the container has of its own, so that trees are kept whole whatever the dataset above says.
const PROPERTIES: &[&str] = &[
    "canmount=off",
    "mountpoint=none",
    "readonly=off",
    "atime=off",
    "utf8only=off",
    "normalization=none",
    "casesensitivity=sensitive",
    // Tools that take snapshots of everything would keep what is gone.
    "com.sun:auto-snapshot=false",
];

/// The same, where ZFS knows of it: zfs-fuse has no `acltype`.
const MORE_PROPERTIES: &[&str] = &["acltype=posixacl", "xattr=sa"];

/// Tells the datasets apart that are made at one moment.
static TURN: AtomicU32 = AtomicU32::new(0);

/// The datasets of the store in a directory.
#[derive(Debug)]
pub(in crate::copy) struct Datasets {
    store: PathBuf,
    /// The dataset below which they lie; when nobody says, the one on which the store lies.
    parent: Option<String>,
}

impl Datasets {
    pub(in crate::copy) fn new(store: &Path, parent: Option<String>) -> Self {
        Self { store: store.to_owned(), parent }
    }

    /// Whether it is zfs-fuse that keeps them. That cuts times to whole seconds, and keeps access control
    /// lists like any attribute: they mean nothing, and do not follow the mode.
    pub(in crate::copy) fn are_fuse() -> bool {
        // OpenZFS is asked by the one, zfs-fuse by the other.
        !Path::new("/dev/zfs").exists() && Path::new("/var/run/zfs/zfs_socket").exists()
    }

    /// Where datasets are mounted.
    fn points(&self) -> PathBuf {
        self.store.join("mounted")
    }

    fn point(&self, name: &str) -> PathBuf {
        self.points().join(name)
    }

    /// The file that says which dataset the container is.
    fn noted(&self) -> PathBuf {
        self.store.join("container")
    }

    /// The container, as it was noted when it was made.
    fn container(&self) -> Result<Option<String>, WorkspaceError> {
        match std::fs::read_to_string(self.noted()) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", self.noted())(error)),
        }
    }

    /// The dataset that the container is, or will be; `None` when the store does not lie on ZFS.
    fn wanted(&self) -> Result<Option<String>, WorkspaceError> {
        let parent = match &self.parent {
            Some(parent) => Some(parent.clone()),
            None => dataset_of(&self.store)?.map(|mounted| mounted.dataset),
        };
        let path = self.store.canonicalize().map_err(failed("look at", &self.store))?;
        Ok(parent.map(|parent| format!("{parent}/ctrlz-{}", digest(&path))))
    }

    /// Why there can be no datasets for this store; `None` when there can be.
    pub(in crate::copy) fn lack(&self) -> Result<Option<String>, WorkspaceError> {
        let dir = self.store.display();
        let Some(wanted) = self.wanted()? else {
            return Ok(Some(format!(
                "{dir} does not lie on ZFS: put the store (CTRLZ_HOME) there, or name a dataset by \
                 CTRLZ_ZFS_DATASET"
            )));
        };
        if !rustix::process::geteuid().is_root() {
            return Ok(Some(
                "only root can make and mount datasets of ZFS on Linux: run ctrlz as root, or take \
                 another driver"
                    .to_owned(),
            ));
        }
        if let Some(container) = self.container()?.filter(|container| *container != wanted) {
            return Ok(Some(format!(
                "the trees in {dir} lie in the dataset {container}, and now {wanted} is asked for: \
                 set CTRLZ_ZFS_DATASET as it was, or choose another store"
            )));
        }
        match zfs(["list", "-H", "-o", "name", &wanted]) {
            Ok(_) => Ok(None),
            Err(refused) if refused.is_missing => {
                Ok(Some("there is no program `zfs`: install OpenZFS's tools".to_owned()))
            }
            Err(refused) if refused.is_gone() => match make_container(&wanted) {
                Ok(()) => {
                    // It is made anew when it is needed.
                    let _ = zfs(["destroy", &wanted]);
                    Ok(None)
                }
                Err(refused) => {
                    Ok(Some(format!("no dataset {wanted} can be made: {}", refused.said)))
                }
            },
            Err(refused) => Ok(Some(format!("ZFS does not answer: {}", refused.said))),
        }
    }

    /// Makes an empty dataset, which the new `link` leads to; answers where it is mounted.
    pub(in crate::copy) fn create(&self, link: &Path) -> Result<PathBuf, WorkspaceError> {
        self.make(link, &|dataset, mountpoint| {
            let create = ["create", "-o", "canmount=noauto", "-o"].map(OsString::from);
            let names = [mountpoint, dataset.into()];
            zfs(create.into_iter().chain(names)).map(drop)
        })
    }

    /// Makes a dataset that is what the dataset mounted at `source` is at this moment, and to which the
    /// new `link` leads. `None` when there is no such dataset, or it is in another pool.
    pub(in crate::copy) fn clone_of(
        &self,
        source: &Path,
        link: &Path,
    ) -> Result<Option<PathBuf>, WorkspaceError> {
        let Some(mounted) = dataset_of(source)? else { return Ok(None) };
        let place = source.canonicalize().map_err(failed("look at", source))?;
        let pool = |dataset: &str| dataset.split('/').next().map(str::to_owned);
        let ours = self.wanted()?;
        if !mounted.whole
            || mounted.point != place
            || ours.is_none_or(|o| pool(&o) != pool(&mounted.dataset))
        {
            return Ok(None);
        }
        let made = self.make(link, &|dataset, mountpoint| {
            let name = dataset.rsplit('/').next().unwrap_or_default();
            let snapshot = format!("{}@ctrlz-{name}", mounted.dataset);
            zfs(["snapshot", &snapshot])?;
            let clone = ["clone", "-o", "canmount=noauto", "-o"].map(OsString::from);
            let names = [mountpoint, snapshot.clone().into(), dataset.into()];
            let cloned = zfs(clone.into_iter().chain(names));
            // With the clone it only marks the snapshot, without one it is removed.
            let marked = zfs(["destroy", "-d", &snapshot]);
            cloned.and(marked).map(drop)
        })?;
        Ok(Some(made))
    }

    fn make(
        &self,
        link: &Path,
        make: &dyn Fn(&str, OsString) -> Result<(), Refused>,
    ) -> Result<PathBuf, WorkspaceError> {
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let pid = rustix::process::getpid().as_raw_nonzero();
        let name = format!("t-{:x}-{pid}-{turn}", now().0);
        let container = self.opened()?;
        let point = self.point(&name);
        // First, so that whatever has no link is nobody's.
        let target = Path::new("../../mounted").join(&name);
        rustix::fs::symlink(&target, link).map_err(failed("link", link))?;
        let mut mountpoint = OsString::from("mountpoint=");
        mountpoint.push(&point);
        let dataset = format!("{container}/{name}");
        match make(&dataset, mountpoint.clone()) {
            // Another process found it empty, and removed it.
            Err(refused) if refused.is_gone() => {
                make_container(&container)
                    .map_err(|refused| refused.during("make a dataset for", &self.store))?;
                make(&dataset, mountpoint)
            }
            made => made,
        }
        .map_err(|refused| refused.during("make a dataset for", link))?;
        self.mounted(&name)
    }

    /// The container, which is made when there is none.
    fn opened(&self) -> Result<String, WorkspaceError> {
        if let Some(container) = self.container()? {
            return Ok(container);
        }
        let container = self.wanted()?.ok_or_else(|| {
            failed("make a dataset for", &self.store)(std::io::Error::other(
                "it does not lie on ZFS",
            ))
        })?;
        make_container(&container)
            .map_err(|refused| refused.during("make a dataset for", &self.store))?;
        let new = self.store.join(format!("container.{}", std::process::id()));
        std::fs::write(&new, &container).map_err(failed("write", &new))?;
        std::fs::rename(&new, self.noted()).map_err(failed("write", self.noted()))?;
        Ok(container)
    }

    /// Where the dataset is mounted to which `link` leads; `None` when it is no link to one.
    pub(in crate::copy) fn at(&self, link: &Path) -> Result<Option<PathBuf>, WorkspaceError> {
        self.named(link)?.map(|name| self.mounted(&name)).transpose()
    }

    /// The name of the dataset to which `link` leads.
    fn named(&self, link: &Path) -> Result<Option<String>, WorkspaceError> {
        let target = match rustix::fs::readlink(link, Vec::new()) {
            Ok(target) => target,
            Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(failed("read the link", link)(errno)),
        };
        let name = target.to_str().ok().and_then(|target| target.strip_prefix("../../mounted/"));
        Ok(name.filter(|name| is_name(name)).map(str::to_owned))
    }

    /// Where a dataset is mounted, which is done when it is not.
    fn mounted(&self, name: &str) -> Result<PathBuf, WorkspaceError> {
        let point = self.point(name);
        if is_mounted(&point)? {
            return Ok(point);
        }
        make_directory(&point)?;
        let container = self.container()?.unwrap_or_default();
        let dataset = format!("{container}/{name}");
        let mut mounted = zfs(["mount", &dataset]);
        for attempt in 1..=ATTEMPTS {
            // It was unmounted a moment ago.
            if !mounted.as_ref().is_err_and(Refused::is_busy) || is_mounted(&point)? {
                break;
            }
            std::thread::sleep(pause(attempt));
            mounted = zfs(["mount", &dataset]);
        }
        if is_mounted(&point)? {
            // zfs-fuse mounts a clone that is not to be mounted, and another process may have done it.
            return Ok(point);
        }
        let _ = std::fs::remove_dir(&point);
        match mounted {
            Err(refused) if refused.is_gone() => {
                let what = "the dataset of a tree is gone";
                Err(WorkspaceError::Damaged { what, path: point })
            }
            Err(refused) if !refused.said.contains("already mounted") => {
                Err(refused.during("mount", &point))
            }
            _ => Err(failed("mount", &point)(std::io::Error::other(
                "ZFS has mounted it in another mount namespace: zfs-fuse mounts in that of its daemon",
            ))),
        }
    }

    /// Removes the dataset to which `link` leads, if there is one.
    pub(in crate::copy) fn remove(&self, link: &Path) -> Result<(), WorkspaceError> {
        let (Some(name), Some(container)) = (self.named(link)?, self.container()?) else {
            return Ok(());
        };
        self.destroy(&container, &name)?;
        std::fs::remove_file(link).map_err(failed("remove", link))
    }

    /// Removes a dataset. One that somebody has in use stays for [`Self::sweep`].
    fn destroy(&self, container: &str, name: &str) -> Result<(), WorkspaceError> {
        let (dataset, point) = (format!("{container}/{name}"), self.point(name));
        for attempt in 1..=ATTEMPTS {
            let refused = match zfs(["destroy", &dataset]) {
                Ok(_) => break,
                Err(refused) if refused.is_gone() => break,
                Err(refused) => refused,
            };
            if refused.is_busy() {
                std::thread::sleep(pause(attempt));
                continue;
            }
            let action = "remove the dataset at";
            match last_clone(container, &dataset).map_err(|r| r.during(action, &point))? {
                Some(clone) => {
                    zfs(["promote", &clone]).map_err(|r| r.during(action, &point))?;
                }
                // Snapshots that others took.
                None => match zfs(["destroy", "-r", &dataset]) {
                    Err(again) if !again.is_busy() && !again.is_gone() => {
                        return Err(again.during(action, &point));
                    }
                    _ => {}
                },
            }
        }
        match rustix::fs::rmdir(&point) {
            Ok(()) | Err(Errno::NOENT | Errno::BUSY | Errno::NOTEMPTY) => Ok(()),
            Err(errno) => Err(failed("remove", &point)(errno)),
        }
    }

    /// Removes what no link in `directories` leads to, and the container when there is nothing in it.
    /// A link moves only from an earlier one of the directories to a later one.
    pub(in crate::copy) fn sweep(&self, directories: &[PathBuf]) -> Result<(), WorkspaceError> {
        let Some(container) = self.container()? else { return Ok(()) };
        let listed = match zfs(["list", "-H", "-t", "filesystem", "-o", "name", "-r", &container]) {
            Ok(listed) => listed,
            Err(refused) if refused.is_gone() => String::new(),
            Err(refused) => return Err(refused.during("list the datasets of", &self.store)),
        };
        let mut linked = std::collections::BTreeSet::new();
        for directory in directories {
            for name in crate::copy::collect::listed(directory)? {
                linked.extend(self.named(&directory.join(name).join("root"))?);
            }
        }
        let mut left = false;
        for name in
            listed.lines().filter_map(|line| line.strip_prefix(&container)?.strip_prefix('/'))
        {
            left |= linked.contains(name);
            if !linked.contains(name) && is_name(name) {
                self.destroy(&container, name)?;
            }
        }
        if !left {
            // Refused when somebody made something in it just now.
            if zfs(["destroy", &container]).is_ok() {
                let _ = std::fs::remove_file(self.noted());
            }
        }
        Ok(())
    }
}

/// How long to wait for a dataset that is busy.
fn pause(attempt: u32) -> Duration {
    Duration::from_millis(u64::from(attempt) * 5)
}

/// Makes the container, unless it is there.
fn make_container(container: &str) -> Result<(), Refused> {
    let make = |properties: &mut dyn Iterator<Item = &&'static str>| {
        let options = properties.flat_map(|property| ["-o", *property]);
        zfs(["create"].into_iter().chain(options).chain([container])).map(drop)
    };
    match make(&mut PROPERTIES.iter().chain(MORE_PROPERTIES)) {
        Err(refused) if refused.said.contains("already exists") => Ok(()),
        Err(refused) if refused.said.contains("property") => make(&mut PROPERTIES.iter()),
        made => made,
    }
}

/// The clone of the newest snapshot of `dataset` of which there is one.
fn last_clone(container: &str, dataset: &str) -> Result<Option<String>, Refused> {
    let listed = zfs(["list", "-H", "-t", "all", "-o", "name,origin", "-r", container])?;
    let rows = || listed.lines().filter_map(|line| line.split_once('\t'));
    // A dataset's own snapshots are listed in the order in which they were taken.
    let snapshots = rows()
        .map(|(name, _)| name)
        .filter(|name| name.strip_prefix(dataset).is_some_and(|rest| rest.starts_with('@')));
    let mut clones =
        snapshots.filter_map(|snapshot| rows().find(|(_, origin)| *origin == snapshot));
    Ok(clones.next_back().map(|(clone, _)| clone.to_owned()))
}

/// Whether it is a name that [`Datasets::make`] gives.
fn is_name(name: &str) -> bool {
    name.strip_prefix("t-").is_some_and(|rest| {
        rest.chars().all(|character| character.is_ascii_hexdigit() || character == '-')
    })
}

fn is_mounted(point: &Path) -> Result<bool, WorkspaceError> {
    match is_mount(Place::new(&CWD, point, point)) {
        Err(error) if is_gone(&error) => Ok(false),
        found => found,
    }
}
