//! Trees to archive, and how two of them are told apart, by other means than the crate's own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ctrlz_archive::codec::Compression;
use ctrlz_archive::unpack::{Devices, Restored};
use ctrlz_archive::{
    ArchiveError, LayerOptions, LayerWritten, Limits, Restore, Target, write_layer,
};
use ctrlz_core::archive::{Dialect, Stratum};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn live(directory: &Path) -> Stratum {
    Stratum {
        id: None,
        directory: directory.to_owned(),
        dialect: Dialect::Plain,
        root: true,
        hidden: Vec::new(),
        record: None,
    }
}

pub(crate) fn sealed(directory: &Path) -> Stratum {
    Stratum {
        id: Some("l-1".to_owned()),
        dialect: Dialect::Overlay,
        root: false,
        ..live(directory)
    }
}

pub(crate) fn options(compression: Compression) -> LayerOptions {
    LayerOptions { compression, ..LayerOptions::default() }
}

/// A layer that was written: what is told of it, the blob, and the listing.
pub(crate) struct Layer {
    pub(crate) written: LayerWritten,
    pub(crate) blob: Vec<u8>,
    pub(crate) listing: Vec<u8>,
}

pub(crate) fn write_with(stratum: &Stratum, options: &LayerOptions) -> Result<Layer, ArchiveError> {
    let (mut blob, mut listing) = (Vec::new(), Vec::new());
    let written = write_layer(stratum, options, &mut blob, &mut listing)?;
    Ok(Layer { written, blob, listing })
}

pub(crate) fn write(stratum: &Stratum) -> Layer {
    write_with(stratum, &options(Compression::default())).expect("write the layer")
}

pub(crate) fn target(directory: &Path) -> Target {
    Target { devices: Devices::Make, durable: false, ..Target::new(directory.to_owned()) }
}

pub(crate) fn restore_to(target: Target, layers: &[&[u8]]) -> Result<Restored, ArchiveError> {
    let limits = Limits::default();
    let mut restore = Restore::begin(target)?;
    for mut blob in layers.iter().copied() {
        restore.apply(&mut blob, &limits, None)?;
    }
    if restore.is_incomplete() {
        for (index, mut blob) in layers.iter().copied().enumerate() {
            restore.apply_again(index, &mut blob, &limits, None)?;
        }
    }
    restore.finish()
}

/// Everything about everything below a directory.
pub(crate) fn picture(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut inodes: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(path) = pending.pop() {
        let disk =
            if path.as_os_str().is_empty() { directory.to_owned() } else { directory.join(&path) };
        let meta = fs::symlink_metadata(&disk).expect("stat");
        let kind = meta.file_type();
        let mut text = format!(
            "{:o} {}:{} {}.{:09}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec()
        );
        if kind.is_dir() {
            for entry in fs::read_dir(&disk).expect("list") {
                pending.push(path.join(entry.expect("entry").file_name()));
            }
        } else if kind.is_symlink() {
            let target = fs::read_link(&disk).expect("link");
            text += &format!(" -> {}", target.as_os_str().as_bytes().escape_ascii());
        } else if kind.is_file() {
            let content = fs::read(&disk).expect("read");
            let holes = meta.blocks() * 512 < meta.size();
            text += &format!(" {} {:?} {holes}", content.len(), blake3::hash(&content));
        } else if kind.is_char_device() || kind.is_block_device() {
            text += &format!(" device {}", meta.rdev());
        }
        text += &format!(" {:?}", attributes(&disk));
        if !kind.is_dir() && meta.nlink() > 1 {
            inodes.entry((meta.dev(), meta.ino())).or_insert_with(|| path.clone());
            text += &format!(" {} names", meta.nlink());
        }
        found.insert(path, text);
    }
    found
}

/// Which names belong to the same file.
pub(crate) fn families(directory: &Path) -> Vec<Vec<PathBuf>> {
    let mut inodes: BTreeMap<(u64, u64), Vec<PathBuf>> = BTreeMap::new();
    for path in picture(directory).into_keys() {
        let meta = fs::symlink_metadata(directory.join(&path)).expect("stat");
        if !meta.is_dir() && meta.nlink() > 1 {
            inodes.entry((meta.dev(), meta.ino())).or_default().push(path);
        }
    }
    let mut families: Vec<_> = inodes.into_values().collect();
    families.sort();
    families
}

fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 1 << 16];
    let Ok(length) = rustix::fs::llistxattr(path, names.as_mut_slice()) else { return Vec::new() };
    let mut found: Vec<_> = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).expect("value");
            value.truncate(length);
            (String::from_utf8_lossy(name).into_owned(), value)
        })
        .collect();
    found.sort();
    found
}

/// What to make.
#[derive(Debug, Clone)]
pub(crate) enum Make {
    Directory,
    File(Vec<u8>),
    /// Data at these places of a file of this size.
    Sparse(u64, Vec<(u64, usize)>),
    Symlink(Vec<u8>),
    /// One more name of the nth file before it.
    HardLink(usize),
    Fifo,
    Device(u32, u32),
}

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) name: Vec<u8>,
    /// In the nth directory before it.
    pub(crate) directory: usize,
    pub(crate) make: Make,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, u32),
    pub(crate) attributes: Vec<(String, Vec<u8>)>,
    pub(crate) acl: bool,
}

/// user:1000:rw- in the layout of posix_acl_xattr(5).
pub(crate) fn acl() -> Vec<u8> {
    let entry = |tag: u16, perm: u16, id: u32| {
        [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let any = u32::MAX;
    [
        2_u32.to_le_bytes().to_vec(),
        entry(0x01, 6, any),
        entry(0x02, 6, 1000),
        entry(0x04, 4, any),
        entry(0x10, 6, any),
        entry(0x20, 4, any),
    ]
    .concat()
}

/// Makes a tree; what cannot be made (a name that is taken, a device without root) is left out.
pub(crate) fn build(root: &Path, plans: &[Plan]) {
    let mut directories = vec![root.to_owned()];
    let mut files: Vec<PathBuf> = Vec::new();
    let mut made: Vec<(PathBuf, &Plan)> = Vec::new();
    for plan in plans {
        let path =
            directories[plan.directory % directories.len()].join(OsStr::from_bytes(&plan.name));
        let done = match &plan.make {
            Make::Directory => fs::create_dir(&path).is_ok(),
            Make::File(content) => !path.exists() && fs::write(&path, content).is_ok(),
            Make::Sparse(size, data) => {
                let file = fs::OpenOptions::new().write(true).create_new(true).open(&path);
                file.is_ok_and(|file| {
                    file.set_len(*size).expect("size");
                    for (at, length) in data {
                        let length = u64::try_from(*length).unwrap().min(size.saturating_sub(*at));
                        let bytes = vec![7; usize::try_from(length).unwrap()];
                        file.write_all_at(&bytes, *at).expect("write");
                    }
                    true
                })
            }
            Make::Symlink(target) => {
                std::os::unix::fs::symlink(OsStr::from_bytes(target), &path).is_ok()
            }
            Make::HardLink(of) if !files.is_empty() => {
                let _ = fs::hard_link(&files[of % files.len()], &path);
                false
            }
            Make::HardLink(_) => false,
            Make::Fifo => rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).is_ok(),
            Make::Device(major, minor) => {
                let number = rustix::fs::makedev(*major, *minor);
                is_root()
                    && rustix::fs::mknodat(
                        CWD,
                        &path,
                        FileType::CharacterDevice,
                        Mode::RWXU,
                        number,
                    )
                    .is_ok()
            }
        };
        if !done {
            continue;
        }
        match plan.make {
            Make::Directory => directories.push(path.clone()),
            Make::File(_) | Make::Sparse(..) | Make::Symlink(_) | Make::Fifo => {
                files.push(path.clone())
            }
            _ => {}
        }
        made.push((path, plan));
    }
    // What is in a directory changes its time, and a mode may close it.
    for (path, plan) in made.iter().rev() {
        furnish(path, plan);
    }
    set_time(root, (1_234_567_890, 987_654_321));
}

fn furnish(path: &Path, plan: &Plan) {
    let meta = fs::symlink_metadata(path).expect("stat");
    if is_root() {
        std::os::unix::fs::lchown(path, Some(plan.owner.0), Some(plan.owner.1)).expect("chown");
    }
    let plain = meta.is_file() || meta.is_dir();
    if plain {
        for (name, value) in &plan.attributes {
            rustix::fs::setxattr(path, name, value, XattrFlags::empty()).expect("xattr");
        }
        if plan.acl {
            let flags = XattrFlags::empty();
            rustix::fs::setxattr(path, "system.posix_acl_access", &acl(), flags).expect("acl");
            if meta.is_dir() {
                rustix::fs::setxattr(path, "system.posix_acl_default", &acl(), flags).expect("acl");
            }
        }
    }
    if !meta.is_symlink() {
        // Without root, what we cannot read we cannot archive.
        let ours = if meta.is_dir() { 0o700 } else { 0o600 };
        let mode = if is_root() { plan.mode } else { plan.mode & 0o1777 | ours };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }
    set_time(path, plan.mtime);
}

pub(crate) fn set_time(path: &Path, (seconds, nanoseconds): (i64, u32)) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("utimens");
}

pub(crate) fn plan(name: &[u8], make: Make) -> Plan {
    Plan {
        name: name.to_vec(),
        directory: 0,
        make,
        mode: 0o640,
        owner: (0, 0),
        mtime: (1_700_000_000, 123_456_789),
        attributes: Vec::new(),
        acl: false,
    }
}

/// One of everything.
pub(crate) fn everything() -> Vec<Plan> {
    let named = |name: &str, make: Make| plan(name.as_bytes(), make);
    let mut plans = vec![
        Plan { mode: 0o2755, ..named("directory", Make::Directory) },
        Plan { mode: 0o1777, ..named("sticky", Make::Directory) },
        named("file", Make::File(b"some text".to_vec())),
        named("empty", Make::File(Vec::new())),
        Plan { mode: 0o4755, ..named("set-user-id", Make::File(b"#!/bin/sh".to_vec())) },
        named(
            "large",
            Make::File((0..400_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect()),
        ),
        named("sparse", Make::Sparse(9 << 20, vec![(0, 5000), (3 << 20, 70_000), (8 << 20, 1)])),
        named("hole", Make::Sparse(1 << 20, vec![])),
        named("ends in data", Make::Sparse(1 << 20, vec![((1 << 20) - 10, 10)])),
        named("link", Make::Symlink(b"file".to_vec())),
        named("long link", Make::Symlink(vec![b'l'; 3000])),
        named("outside", Make::Symlink(b"/etc/../../../etc/passwd".to_vec())),
        named("other name", Make::HardLink(0)),
        named("a first name", Make::HardLink(0)),
        named("fifo", Make::Fifo),
        plan(b"\xff\xfe not text", Make::File(b"x".to_vec())),
        plan(&[b'n'; 255], Make::File(b"long".to_vec())),
        plan("n\u{e4}me\nwith a line".as_bytes(), Make::File(b"x".to_vec())),
        Plan { mtime: (-5, 1), ..named("before 1970", Make::File(b"x".to_vec())) },
        Plan { mtime: (9_999_999_999, 0), ..named("after 2242", Make::File(b"x".to_vec())) },
        Plan {
            attributes: vec![
                ("user.note".to_owned(), b"with\0any\nbytes".to_vec()),
                ("user.a=b%".to_owned(), Vec::new()),
            ],
            ..named("noted", Make::File(b"x".to_vec()))
        },
        Plan { acl: true, ..named("listed", Make::File(b"x".to_vec())) },
        Plan { acl: true, directory: 1, ..named("heir", Make::Directory) },
        Plan { directory: 3, ..named("in heir", Make::File(b"x".to_vec())) },
    ];
    if is_root() {
        plans
            .push(Plan { owner: (70_000, 3_000_000), ..named("owned", Make::File(b"x".to_vec())) });
        plans.push(Plan { owner: (1, 2), ..named("owned link", Make::Symlink(b"x".to_vec())) });
        plans.push(named("device", Make::Device(1, 3)));
        let mut capability = vec![0; 20];
        capability[..8].copy_from_slice(&[1, 0, 0, 2, 0, 4, 0, 0]);
        plans.push(Plan {
            attributes: vec![("security.capability".to_owned(), capability)],
            mode: 0o755,
            ..named("capable", Make::File(b"x".to_vec()))
        });
    }
    plans
}
