//! Snapshots of real trees, written as ctrlz writes them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ctrlz_archive::background::Background;
use ctrlz_archive::crypt::{Keyring, Sealer};
use ctrlz_archive::entry::{Entry, FileTime, Kind, Metadata};
use ctrlz_archive::image::{
    Coding, Execution, LayerForm, Part, Platform, Role, Tag, annotation, assemble,
};
use ctrlz_archive::layer::{LayerOptions, LayerWritten, Member, write_layer, write_members};
use ctrlz_archive::place::{Blob, Directory, Expect, Place};
use ctrlz_archive::snapshot::Snapshot;
use ctrlz_archive::{ArchiveError, Descriptor};
use ctrlz_core::archive::{Dialect, Stratum};
use ctrlz_core::path::RelPath;
use rustix::fs::{CWD, FileType, Mode};

use crate::fixture::record;

/// What [`grow`] makes, as a restored tree shows it: files with their content.
pub(crate) const SHOWN: [(&str, &str); 4] = [
    ("etc/changed", "what the layer says"),
    ("etc/kept", "what the base says"),
    ("new/file", "only in the layer"),
    ("usr/a name with spaces", "of the base"),
];

/// A live folder, and a layer on it that changes, adds and removes.
pub(crate) fn grow(base: &Path, layer: &Path) {
    let write = |path: &Path, content: &str| {
        fs::create_dir_all(path.parent().expect("below the root")).expect("a directory");
        fs::write(path, content).expect("a file");
    };
    write(&base.join("etc/changed"), "what the base says");
    write(&base.join("etc/kept"), "what the base says");
    write(&base.join("etc/removed"), "gone");
    write(&base.join("gone/with/all/in/it"), "gone");
    write(&base.join("usr/a name with spaces"), "of the base");
    std::os::unix::fs::symlink("a name with spaces", base.join("usr/link")).expect("a link");
    fs::hard_link(base.join("etc/kept"), base.join("usr/second-name")).expect("a second name");
    fs::set_permissions(base.join("usr/second-name"), fs::Permissions::from_mode(0o640))
        .expect("a mode");
    write(&layer.join("etc/changed"), "what the layer says");
    write(&layer.join("new/file"), "only in the layer");
    for gone in ["etc/removed", "gone"] {
        let gone = layer.join(gone);
        rustix::fs::mknodat(CWD, &gone, FileType::CharacterDevice, Mode::empty(), 0)
            .expect("a whiteout");
    }
}

/// Whether `directory` holds what [`grow`] made, and nothing that the layer removed.
pub(crate) fn is_grown(directory: &Path) {
    for (path, content) in SHOWN {
        let found = fs::read_to_string(directory.join(path));
        assert_eq!(found.unwrap_or_else(|error| panic!("{path}: {error}")), content, "{path}");
    }
    for path in ["etc/removed", "gone", "etc/.wh.removed", ".wh.gone"] {
        assert!(fs::symlink_metadata(directory.join(path)).is_err(), "{path} is still there");
    }
    let link = fs::read_link(directory.join("usr/link")).expect("a link");
    assert_eq!(link, Path::new("a name with spaces"));
    let second = fs::metadata(directory.join("usr/second-name")).expect("a second name");
    assert_eq!(second.permissions().mode() & 0o7777, 0o640);
}

pub(crate) fn stratum(directory: &Path, id: Option<&str>) -> Stratum {
    Stratum {
        id: id.map(str::to_owned),
        directory: directory.to_owned(),
        dialect: if id.is_some() { Dialect::Overlay } else { Dialect::Plain },
        root: id.is_none(),
        hidden: Vec::new(),
        record: None,
    }
}

type Write<'a> =
    &'a mut dyn FnMut(&mut (dyn std::io::Write + Send)) -> Result<LayerWritten, ArchiveError>;

/// Writes one layer, encrypted with keys.
pub(crate) fn part(
    place: &Directory,
    (role, id): (Role, Option<&str>),
    options: &LayerOptions,
    keys: Option<&Keyring>,
    write: Write<'_>,
) -> Part {
    let mut out = Background::start(place.begin_blob().expect("a blob")).expect("a thread");
    let mut annotations = BTreeMap::new();
    let (written, out) = match keys {
        None => (write(&mut out).expect("written"), out),
        Some(keys) => {
            let key = keys.current().expect("a key");
            annotations.insert(annotation::KEY.to_owned(), key.id().to_string());
            let mut sealer = Sealer::new(out, key).expect("a header");
            (write(&mut sealer).expect("written"), sealer.finish().expect("encrypted"))
        }
    };
    let Blob { digest, size } = out.finish().expect("written").finish().expect("whole");
    let form = LayerForm { coding: Coding::from(options.compression), encrypted: keys.is_some() };
    let descriptor = Descriptor { media_type: form.media_type(), digest, size, annotations };
    let (diff_id, id) = (written.diff_id, id.map(str::to_owned));
    Part { descriptor, diff_id, role, id, created_by: None }
}

/// A layer of one small file.
pub(crate) fn single(
    place: &Directory,
    role: Role,
    (path, content): (&str, &[u8]),
    options: &LayerOptions,
    keys: Option<&Keyring>,
) -> Part {
    part(place, (role, None), options, keys, &mut |out| {
        let metadata = Metadata {
            mode: 0o600,
            mtime: FileTime { seconds: 1_700_000_000, nanoseconds: 0 },
            ..Metadata::default()
        };
        let path = RelPath::parse(path).expect("a path");
        let entry = Entry { path, kind: Kind::file(content.len() as u64), metadata };
        let mut content = content;
        write_members([Member { entry, content: &mut content }], options, out)
    })
}

/// Publishes a tree as `box.snap-1`: record, state, base and the layer.
pub(crate) fn publish(
    place: &Directory,
    (base, layer): (&Path, &Path),
    options: &LayerOptions,
    keys: Option<&Keyring>,
    run: &[&str],
) -> Snapshot {
    let hold = place.hold().expect("no collection");
    let tree = |stratum: &Stratum, role: Role| {
        part(place, (role, stratum.id.as_deref()), options, keys, &mut |out| {
            write_layer(stratum, options, out, &mut std::io::sink())
        })
    };
    let state = b"{\"key\":\"value of the state\"}\n";
    let record = record(1, 1);
    let parts = [
        single(place, Role::Record, (".ctrlz/record.json", &record), options, keys),
        single(place, Role::State, (".ctrlz/state.jsonl", state), options, keys),
        tree(&stratum(base, None), Role::Base),
        tree(&stratum(layer, Some("layer-1")), Role::Sealed),
    ];
    let snapshot = finish(place, &parts, keys, run);
    drop(hold);
    snapshot
}

/// Publishes what was written as `box.snap-1`.
pub(crate) fn finish(
    place: &Directory,
    parts: &[Part],
    keys: Option<&Keyring>,
    run: &[&str],
) -> Snapshot {
    let cmd = run.iter().map(|&word| word.to_owned()).collect();
    let run = Execution { cmd, ..Execution::default() };
    let time = "2026-01-02T03:04:05Z";
    let assembled =
        assemble(parts, time, &Platform::host(), run, BTreeMap::new()).expect("documents");
    let name = Tag::of_snapshot("box", 1).expect("a name");
    Snapshot::publish(place, &name, &assembled, keys, Expect::Absent).expect("published")
}
