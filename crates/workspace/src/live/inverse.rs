//! What is kept of the state before: an overlay layer that brings it back when it is stacked on
//! the live directory, and the steps that bring it back to the live directory itself.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use ctrlz_core::path::RelPath;
use ctrlz_core::time::Timestamp;
use ctrlz_core::workspace::WorkspaceError;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::record::{self, Action, Finished, Item, Plan, Staged};
use super::shift::{shift, writable};
use super::transaction::Transaction;
use super::tree::{Parent, Spot, open_beneath, walk};
use super::{Expect, Replacement, Step};
use crate::fault;
use crate::layer::{make_whiteout, set_opaque};
use crate::node::{
    Handle, Place, Unreadable, Version, copy_node_at, copy_tree, failed, finish_directory_at,
    open_directory, open_parent, remove_tree, version,
};

/// Where a transaction keeps the layer.
pub(crate) fn inverse_layer(transaction_dir: &Path) -> PathBuf {
    transaction_dir.join("inverse")
}

/// The layer, open for writing.
struct Layer {
    path: PathBuf,
    root: OwnedFd,
}

impl Layer {
    fn open(transaction: &Transaction) -> Result<Self, WorkspaceError> {
        let path = inverse_layer(&transaction.directory);
        let root = open_directory(&path, OFlags::RDONLY)?;
        Ok(Self { path, root })
    }

    fn spot(&self, path: &RelPath) -> Result<Spot, WorkspaceError> {
        let shown = path.below(&self.path);
        let parent = path.parent().unwrap_or_default();
        let directory = if parent.is_root() {
            self.root.try_clone().map_err(failed("open", &self.path))?
        } else {
            open_beneath(&self.root, &parent).map_err(failed("open the directory of", &shown))?
        };
        let name = path.file_name();
        let name = if path.is_root() { ".".as_ref() } else { name };
        Ok(Spot::new(directory, name, shown))
    }
}

/// Removes what was built of the layer.
pub(super) fn forget(transaction: &Transaction) -> Result<(), WorkspaceError> {
    remove_tree(&inverse_layer(&transaction.directory))
}

/// Builds all of the layer that takes space: directories, whiteouts, and, when the store is on
/// another file system, which is the answer, copies of the old nodes. The old ones stay where
/// they are, so that all can still be taken back.
pub(super) fn prepare(transaction: &Transaction) -> Result<bool, WorkspaceError> {
    forget(transaction)?;
    let path = inverse_layer(&transaction.directory);
    fault::point("inverse").map_err(failed("create", &path))?;
    std::fs::create_dir(&path).map_err(failed("create", &path))?;
    let copied = !can_rename(transaction)?;
    let layer = Layer::open(transaction)?;
    let mut made = BTreeSet::new();
    for (index, item) in transaction.plan.items.iter().enumerate() {
        fault::point("inverse-item").map_err(failed("keep", item.path.as_path()))?;
        for above in item.path.ancestors() {
            make_directory(&layer, &above, &mut made)?;
        }
        match item.action {
            Action::Add => {
                let spot = layer.spot(&item.path)?;
                // By descriptor: the path may be longer than the kernel takes.
                let place = spot.place();
                let directory = PathBuf::from(format!(
                    "/proc/self/fd/{}",
                    std::os::fd::AsFd::as_fd(&place.directory).as_raw_fd()
                ));
                make_whiteout(&directory.join(place.name))?;
            }
            Action::Update => make_directory(&layer, &item.path, &mut made)?,
            Action::Rewrite => {
                let (from, to) = (transaction.backup(index)?, layer.spot(&item.path)?);
                copy_node_at(from.place(), to.place(), Unreadable::Unseal)?;
            }
            Action::Replace | Action::Remove if copied => {
                let slot = transaction.slot(index)?;
                if slot.version()?.is_some() {
                    let to = layer.spot(&item.path)?;
                    copy_tree(slot.shown(), to.shown())?;
                    mark_opaque(&to)?;
                }
            }
            Action::Replace | Action::Remove => {}
        }
    }
    if copied {
        finish_directories(transaction, &layer)?;
    }
    rustix::fs::syncfs(&layer.root).map_err(failed("sync", &layer.path))?;
    Ok(copied)
}

fn make_directory(
    layer: &Layer,
    path: &RelPath,
    made: &mut BTreeSet<RelPath>,
) -> Result<(), WorkspaceError> {
    if path.is_root() || !made.insert(path.clone()) {
        return Ok(());
    }
    let spot = layer.spot(path)?;
    let place = spot.place();
    match rustix::fs::mkdirat(place.directory, place.name, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(failed("create", place.shown)(errno)),
    }
}

/// Whether the old nodes can be moved to the transaction's directory.
fn can_rename(transaction: &Transaction) -> Result<bool, WorkspaceError> {
    let slot = transaction.slot(0)?.beside("probe".as_ref())?;
    let path = transaction.directory.join("probe");
    remove_tree(&path)?;
    let place = slot.place();
    match rustix::fs::mkdirat(place.directory, place.name, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed("create", place.shown)(errno)),
    }
    match rustix::fs::renameat(place.directory, place.name, rustix::fs::CWD, &path) {
        Ok(()) => remove_tree(&path).map(|()| true),
        Err(Errno::XDEV) => Ok(false),
        Err(errno) => Err(failed("move to the transaction", place.shown)(errno)),
    }
}

/// Moves the old nodes from their slots to the layer. Can be repeated.
pub(super) fn collect(transaction: &Transaction) -> Result<(), WorkspaceError> {
    let layer = Layer::open(transaction)?;
    // A run that was cut short may have closed them to us already.
    for path in directories(transaction).iter().filter(|path| !path.is_root()) {
        let spot = layer.spot(path)?;
        Handle::open(spot.place())?.set_permissions(0o700).map_err(failed("open", spot.shown()))?;
    }
    for (index, item) in transaction.plan.items.iter().enumerate() {
        if !matches!(item.action, Action::Replace | Action::Remove) {
            continue;
        }
        let slot = transaction.slot(index)?;
        if slot.version()?.is_none() {
            continue;
        }
        if let Some(before) = &item.before {
            super::shift::close_again(slot.place(), before)?;
        }
        mark_opaque(&slot)?;
        let to = layer.spot(&item.path)?;
        shift(slot.place(), to.place())?.map_err(failed("keep", to.shown()))?;
    }
    finish_directories(transaction, &layer)
}

fn mark_opaque(spot: &Spot) -> Result<(), WorkspaceError> {
    if !spot.version()?.is_some_and(|version| version.is_directory()) {
        return Ok(());
    }
    let handle = Handle::open(spot.place())?;
    let mut result = Ok(());
    writable(spot.place(), || {
        // Through the link in /proc, with the `/.` that follows it.
        result = set_opaque(&handle.through.join("."));
        Ok(())
    })
    .map_err(failed("make opaque", spot.shown()))?;
    match result {
        // Where there are no such attributes there are no overlays either; the steps of a revert
        // do not need it.
        Err(WorkspaceError::Io { source, .. })
            if source.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) =>
        {
            Ok(())
        }
        result => result,
    }
}

/// The layer's directories that lead to something or only carry metadata.
fn directories(transaction: &Transaction) -> BTreeSet<RelPath> {
    let mut directories = BTreeSet::from([RelPath::root()]);
    for item in &transaction.plan.items {
        directories.extend(item.path.ancestors());
        if item.action == Action::Update {
            directories.insert(item.path.clone());
        }
    }
    directories
}

/// Gives the layer's directories, which only lead to something, the metadata of the live ones;
/// those whose metadata was changed get the old one.
fn finish_directories(transaction: &Transaction, layer: &Layer) -> Result<(), WorkspaceError> {
    let items = &transaction.plan.items;
    let updated = |path: &RelPath| {
        let found = items.binary_search_by(|item| item.path.cmp(path)).ok();
        found.filter(|at| items.get(*at).is_some_and(|item| item.action == Action::Update))
    };
    for path in directories(transaction).iter().rev() {
        let to = layer.spot(path)?;
        let from = match updated(path) {
            Some(item) => Parent::Open(transaction.backup(item)?),
            None => transaction.tree.find(path)?,
        };
        let Parent::Open(from) = from else { continue };
        if from.version()?.is_some_and(|version| version.is_directory()) {
            finish_directory_at(from.place(), to.place(), Unreadable::Refuse)?;
        }
    }
    Ok(())
}

/// What a revert of the finished transaction has to do. It expects the versions right after the
/// commit, so what anybody changed later is a conflict.
///
/// # Errors
/// [`WorkspaceError::Damaged`] when the transaction was not finished or its backup is gone.
pub(crate) fn inverse_steps(transaction_dir: &Path) -> Result<Vec<Step>, WorkspaceError> {
    let gone = || gone(transaction_dir);
    let plan = record::read::<Plan>(transaction_dir, record::PLAN)?.ok_or_else(gone)?;
    let staged = record::read::<Staged>(transaction_dir, record::APPLYING)?;
    let staged = staged.unwrap_or(Staged::nothing());
    let finished = record::read::<Finished>(transaction_dir, record::FINISHED)?.ok_or_else(gone)?;
    let layer = inverse_layer(transaction_dir);
    let mut steps = Vec::new();
    for (index, (item, after)) in plan.items.iter().zip(&finished.after).enumerate() {
        // A node of ours is older than that, and nobody else could put anything next to it before.
        let since = staged.top(index).map_or(i64::MIN, |top| top.ctime.0.saturating_add(1));
        steps_of(item, after, Timestamp(since), &layer, &mut steps)?;
    }
    steps.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(steps)
}

/// What the transaction found at the paths that it changed, by path, as far as it made sure.
///
/// # Errors
/// [`WorkspaceError::Damaged`] when nothing is known of the transaction.
pub(crate) fn replaced(
    transaction_dir: &Path,
) -> Result<HashMap<RelPath, Version>, WorkspaceError> {
    let plan = record::read::<Plan>(transaction_dir, record::PLAN)?;
    let plan = plan.ok_or_else(|| gone(transaction_dir))?;
    let mut found = HashMap::new();
    // What was to be replaced whatever it is may have been something else when it was.
    for item in plan.items.into_iter().filter(|item| !item.forced) {
        let inside = item.inside.into_iter().flat_map(|inside| inside.expected);
        for (path, expect) in inside {
            if let Expect::Unchanged { version, .. } = expect {
                found.insert(join(&item.path, &path), version);
            }
        }
        found.extend(item.before.map(|before| (item.path, before)));
    }
    Ok(found)
}

fn gone(transaction_dir: &Path) -> WorkspaceError {
    let what = "the backup of a commit is gone";
    WorkspaceError::Damaged { what, path: transaction_dir.to_owned() }
}

/// `path` below `above`.
fn join(above: &RelPath, path: &RelPath) -> RelPath {
    path.as_path().iter().fold(above.clone(), |joined, name| joined.child(name))
}

fn steps_of(
    item: &Item,
    after: &[crate::node::Version],
    since: Timestamp,
    layer: &Path,
    steps: &mut Vec<Step>,
) -> Result<(), WorkspaceError> {
    let kept = item.path.below(layer);
    let unchanged = |version| Expect::Unchanged { version, since };
    let join = |path: &RelPath| join(&item.path, path);
    for (node, version) in item.nodes.iter().zip(after).skip(1) {
        let expect = unchanged(*version);
        steps.push(Step { path: join(&node.path), expect, replace: Replacement::Nothing });
    }
    let old = match item.action {
        Action::Add => None,
        // A removal that found nothing left nothing to bring back.
        Action::Remove => match version(&kept)? {
            Some(version) => Some(version),
            None => return Ok(()),
        },
        Action::Replace | Action::Rewrite | Action::Update => {
            Some(version(&kept)?.ok_or_else(|| WorkspaceError::Damaged {
                what: "the backup of a commit is incomplete",
                path: kept.clone(),
            })?)
        }
    };
    let expect = after.first().map_or(Expect::Absent, |version| unchanged(*version));
    let replace = match old {
        None => Replacement::Nothing,
        Some(_) => Replacement::Entry { source: kept.clone() },
    };
    steps.push(Step { path: item.path.clone(), expect, replace });
    let whole = matches!(item.action, Action::Replace | Action::Remove);
    if whole && old.is_some_and(|version| version.is_directory()) {
        let (directory, name) = open_parent(&kept)?;
        walk(Place::new(&directory, &name, &kept), |path, _| {
            steps.push(Step {
                path: join(path),
                expect: Expect::Absent,
                replace: Replacement::Entry { source: path.below(&kept) },
            });
            Ok(())
        })?;
    }
    Ok(())
}
