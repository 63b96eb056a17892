//! Layers that are made of files at hand.

use ctrlz_archive::entry::{Entry, Kind, Metadata};
use ctrlz_archive::layer::{Member, read_members, write_members};
use ctrlz_archive::{ArchiveError, LayerOptions, Limits};
use ctrlz_core::path::RelPath;

fn entry(path: &str, kind: Kind) -> Entry {
    let path = RelPath::parse(path).expect("path");
    Entry { path, kind, metadata: Metadata { mode: 0o600, ..Metadata::default() } }
}

#[test]
fn members_come_back() {
    let large = vec![5; 700_000];
    let (mut small, mut none, mut long) = (&b"{}"[..], &b""[..], large.as_slice());
    let members = [
        Member { entry: entry(".ctrlz", Kind::Directory), content: &mut none },
        Member { entry: entry(".ctrlz/record.json", Kind::file(2)), content: &mut small },
        Member { entry: entry(".ctrlz/listing", Kind::file(700_000)), content: &mut long },
    ];
    let mut blob = Vec::new();
    let written = write_members(members, &LayerOptions::default(), &mut blob).expect("write");
    assert_eq!((written.counts.files, written.counts.directories), (2, 1));
    assert_eq!(written.compressed_size, blob.len() as u64);
    let mut found = Vec::new();
    read_members(&mut blob.as_slice(), &Limits::default(), |entry, data| {
        let mut content = Vec::new();
        data.read_to_end(&mut content)
            .map_err(|error| ArchiveError::Stream { action: "read", source: error })?;
        found.push((entry.path.to_string(), content));
        Ok(())
    })
    .expect("read");
    let expected = [
        (".ctrlz".to_owned(), Vec::new()),
        (".ctrlz/record.json".to_owned(), b"{}".to_vec()),
        (".ctrlz/listing".to_owned(), large),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_content_that_ends_too_early_is_an_error() {
    let mut short = &b"123"[..];
    let member = Member { entry: entry("x", Kind::file(5)), content: &mut short };
    let error = write_members([member], &LayerOptions::default(), &mut Vec::new());
    assert!(matches!(error, Err(ArchiveError::Io { .. })), "{error:?}");
}
