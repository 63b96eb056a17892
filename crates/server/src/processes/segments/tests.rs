use super::*;

fn piece(stream: Stream, offset: u64, bytes: &[u8]) -> Piece {
    Piece { stream, offset, bytes: Bytes::copy_from_slice(bytes) }
}

fn text(pieces: &[Piece]) -> String {
    pieces.iter().map(|piece| String::from_utf8_lossy(&piece.bytes).into_owned()).collect()
}

fn all(folder: &Path) -> Vec<Piece> {
    read(folder, 0, u64::MAX, usize::MAX).expect("read")
}

#[test]
fn what_is_written_is_read_from_any_place_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = Writer::new(folder.path().to_owned(), 1 << 20);
    let one = [piece(Stream::Output, 0, b"one "), piece(Stream::Output, 4, b"more ")];
    log.append(&one, false).expect("written");
    log.append(&[piece(Stream::Error, 9, b"two")], false).expect("written");
    let found = all(folder.path());
    assert_eq!(text(&found), "one more two");
    // What came together is one record.
    assert_eq!(
        found.iter().map(|one| (one.stream, one.offset)).collect::<Vec<_>>(),
        [(Stream::Output, 0), (Stream::Error, 9)]
    );
    let rest = read(folder.path(), 4, u64::MAX, usize::MAX).expect("read");
    assert_eq!((text(&rest).as_str(), rest[0].offset), ("more two", 4));
    assert_eq!(text(&read(folder.path(), 0, 9, usize::MAX).expect("read")), "one more ");
    assert_eq!(text(&read(folder.path(), 0, u64::MAX, 1).expect("read")), "one more ");
    assert_eq!(end(folder.path()).expect("read"), 12);
}

#[test]
fn of_a_record_that_is_not_whole_nothing_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = Writer::new(folder.path().to_owned(), 1 << 20);
    log.append(&[piece(Stream::Output, 0, b"whole")], false).expect("written");
    log.append(&[piece(Stream::Output, 5, b" and torn")], false).expect("written");
    let path = folder.path().join(format!("{:020}.log", 0));
    let bytes = fs::read(&path).expect("bytes");
    for length in bytes.len() - 9 - HEADER..bytes.len() {
        fs::write(&path, &bytes[..length]).expect("cut");
        assert_eq!(text(&all(folder.path())), "whole", "{length} bytes");
        assert_eq!(end(folder.path()).expect("read"), 5);
    }
    for at in bytes.len() - 9 - HEADER..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1;
        fs::write(&path, &other).expect("changed");
        assert_eq!(text(&all(folder.path())), "whole", "byte {at}");
    }
    for length in 0..MARK.len() {
        fs::write(&path, &bytes[..length]).expect("cut");
        assert!(all(folder.path()).is_empty());
    }
}

#[test]
fn the_oldest_segments_go_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let most = 1 << 20;
    let mut log = Writer::new(folder.path().to_owned(), most);
    let bytes = vec![b'x'; 10_000];
    let mut offset = 0;
    for _ in 0..300 {
        log.append(&[piece(Stream::Output, offset, &bytes)], false).expect("written");
        offset += bytes.len() as u64;
        let sizes = fs::read_dir(folder.path()).expect("entries").flatten();
        let size: u64 = sizes.map(|one| one.metadata().expect("metadata").len()).sum();
        assert!(size <= most, "{size}");
    }
    let found = all(folder.path());
    assert!(found[0].offset > offset - most && found[0].offset < offset - most / 2, "{found:?}");
    assert_eq!(end(folder.path()).expect("read"), offset);
    // Whoever comes too late begins with what is there.
    let later = read(folder.path(), 7, u64::MAX, 1).expect("read");
    assert_eq!(later[0].offset, found[0].offset);
    log.append(&[piece(Stream::Output, offset, &bytes)], true).expect("written");
    assert_eq!(segments(folder.path()).expect("names").len(), 2);
}

#[test]
fn the_end_of_each_stream_is_found_however_far_back_it_lies() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = Writer::new(folder.path().to_owned(), 8 << 20);
    log.append(&[piece(Stream::Error, 0, b"early")], false).expect("written");
    let bytes = vec![b'x'; 60_000];
    for number in 0..40 {
        let offset = 5 + number * bytes.len() as u64;
        log.append(&[piece(Stream::Output, offset, &bytes)], false).expect("written");
    }
    assert!(segments(folder.path()).expect("names").len() > 1);
    let found = tail(folder.path(), u64::MAX, 100).expect("read");
    assert_eq!(found.iter().map(|one| one.bytes.len()).collect::<Vec<_>>(), [5, 60_000]);
    assert_eq!(found[0].stream, Stream::Error);
}

#[test]
fn what_a_full_disk_does_not_take_leaves_a_gap_and_no_harm() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = Writer::new(folder.path().to_owned(), 1 << 20);
    log.append(&[piece(Stream::Output, 0, b"before ")], false).expect("written");
    // Each write to it fails as on a disk that is full.
    let own = log.file.replace(OpenOptions::new().write(true).open("/dev/full").expect("opened"));
    let refused = log.append(&[piece(Stream::Output, 7, b"lost")], false).expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    assert!(log.file.is_none(), "what cannot be cut is not written to again");
    log.append(&[piece(Stream::Output, 11, b"after")], false).expect("written");
    let found = all(folder.path());
    assert_eq!(found.iter().map(|one| one.offset).collect::<Vec<_>>(), [0, 11]);
    drop(own);
}
