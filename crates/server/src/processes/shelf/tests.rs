use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::*;

fn about(id: &str) -> About {
    About {
        id: id.to_owned(),
        kind: Kind::Operation,
        sandbox: "web".to_owned(),
        title: "make test".to_owned(),
        started: Timestamp(7),
        terminal: false,
    }
}

fn end(written: u64) -> End {
    End { written, outcome: Outcome::Answer(json!({ "exit_code": 3 })) }
}

fn piece(offset: u64, bytes: &[u8]) -> Piece {
    Piece { stream: Stream::Error, offset, bytes: bytes.to_vec().into() }
}

fn shelf(store: &Path, bounds: LogBounds) -> Arc<Shelf> {
    Arc::new(Shelf::of(store, bounds))
}

/// The ids of all that do not run.
fn ids(shelf: &Shelf) -> Vec<String> {
    let mut ids: Vec<_> =
        shelf.all().expect("read").into_iter().map(|stored| stored.about.id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_process_that_runs_is_nobodys_until_its_end_however_it_ends() {
    let store = tempfile::tempdir().expect("a folder");
    let shelf = shelf(store.path(), LogBounds::default());
    let mut entry = shelf.begin(about("one")).expect("begun");
    entry.append(&[piece(0, b"some")]).expect("written");
    entry.journaled("op-3".parse().expect("an id")).expect("written");
    assert!(shelf.find("one").expect("read").is_none(), "it runs");
    assert_eq!(ids(&shelf), [""; 0]);
    for path in [store.path().join("logs"), entry.folder.clone()] {
        assert_eq!(fs::metadata(path).expect("a folder").permissions().mode() & 0o777, 0o700);
    }
    for file in fs::read_dir(&entry.folder).expect("entries").flatten() {
        assert_eq!(file.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
    }
    // As when the service is killed.
    drop(entry);
    let found = shelf.find("one").expect("read").expect("it is there");
    assert_eq!((found.operation, found.end.is_none()), ("op-3".parse().ok(), true));
    assert_eq!(written(&found), 4);
    shelf.conclude("one", end(4)).expect("written");
    let found = shelf.find("one").expect("read").expect("it is there");
    assert_eq!((found.about, found.end), (about("one"), Some(end(4))));
    let entry = shelf.begin(about("two")).expect("begun");
    entry.end(9, &Err(Problem::not_found("sandbox", "web").hint("make one"))).expect("written");
    let found = shelf.find("two").expect("read").expect("it is there").end.expect("an end");
    let Outcome::Problem(problem) = found.outcome else { panic!("a problem") };
    assert_eq!(problem, Problem::not_found("sandbox", "web").hint("make one"));
}

#[test]
fn a_line_that_was_cut_off_is_none() {
    let store = tempfile::tempdir().expect("a folder");
    let shelf = shelf(store.path(), LogBounds::default());
    shelf.begin(about("one")).expect("begun").end(0, &Ok(json!({}))).expect("written");
    let path = store.path().join("logs/one/process.jsonl");
    let text = fs::read(&path).expect("text");
    let first = text.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    for length in first..text.len() - 1 {
        fs::write(&path, &text[..length]).expect("cut");
        assert!(shelf.find("one").expect("read").is_some_and(|found| found.end.is_none()));
    }
    for length in 0..first - 1 {
        fs::write(&path, &text[..length]).expect("cut");
        assert!(shelf.find("one").expect("read").is_none(), "{length}");
    }
    assert!(ids(&shelf).is_empty());
}

#[test]
fn short_ones_share_a_file_in_which_one_that_was_cut_off_hides_no_other() {
    let store = tempfile::tempdir().expect("a folder");
    let shelf = shelf(store.path(), LogBounds::default());
    shelf.add_short(about("one"), None, end(2), &[piece(0, b"ab")]).expect("written");
    let path = store.path().join("logs/short.jsonl");
    let whole = fs::read(&path).expect("text");
    fs::write(&path, [&whole[..], b"\n{\"about\":{\"id\":\"torn\","].concat()).expect("torn");
    shelf.add_short(about("two"), "op-1".parse().ok(), end(0), &[]).expect("written");
    assert_eq!(ids(&shelf), ["one", "two"]);
    let found = shelf.find("one").expect("read").expect("it is there");
    assert_eq!((found.end, found.operation), (Some(end(2)), None));
    let Output::Pieces(pieces) = found.output else { panic!("pieces") };
    assert_eq!((pieces[0].stream, &*pieces[0].bytes), (Stream::Error, &b"ab"[..]));
    assert!(shelf.find("torn").expect("read").is_none());
    assert!(shelf.find("../logs").expect("read").is_none());
    assert!(shelf.find("").expect("read").is_none());
}

#[test]
fn of_short_ones_the_last_are_told_and_the_file_is_bounded() {
    let store = tempfile::tempdir().expect("a folder");
    let shelf = shelf(store.path(), LogBounds::default());
    let output = [piece(0, &[b'x'; 1 << 12])];
    for number in 0..900 {
        shelf.add_short(about(&format!("id{number}")), None, end(1), &output).expect("written");
    }
    let size = |name: &str| fs::metadata(store.path().join("logs").join(name)).expect(name).len();
    assert!(size(SHORT) + size(OLDER) < 2 * SHORT_SIZE + (1 << 14));
    let ids = ids(&shelf);
    assert!(ids.len() <= REMEMBERED && ids.contains(&"id899".to_owned()), "{}", ids.len());
    assert!(!ids.contains(&"id0".to_owned()));
}

#[test]
fn the_oldest_that_have_ended_go_and_those_that_run_stay() {
    let store = tempfile::tempdir().expect("a folder");
    let bounds = LogBounds { process: 1 << 20, tenant: 2 << 20, ..LogBounds::default() };
    let shelf = shelf(store.path(), bounds);
    let bytes = vec![b'x'; 100_000];
    let fill = |entry: &mut Entry, from: u64| {
        for number in from..from + 8 {
            entry.append(&[piece(number * 100_000, &bytes)]).expect("written");
        }
    };
    let mut running = shelf.begin(about("running")).expect("begun");
    fill(&mut running, 0);
    for number in 0..6 {
        let mut entry = shelf.begin(about(&format!("ended{number}"))).expect("begun");
        fill(&mut entry, 0);
        entry.end(800_000, &Ok(Value::Null)).expect("written");
        // Files that change within one tick of the clock are in no order.
        std::thread::sleep(Duration::from_millis(20));
    }
    prune(&shelf);
    assert_eq!(ids(&shelf), ["ended5"]);
    assert_eq!(segments::end(&running.folder).expect("read"), 800_000);
    // Many that run are too much by themselves: each keeps its end.
    let mut others: Vec<_> = (0..4)
        .map(|number| shelf.begin(about(&format!("other{number}"))).expect("begun"))
        .collect();
    for round in 0..3 {
        others.iter_mut().for_each(|entry| fill(entry, round * 8));
    }
    prune(&shelf);
    assert_eq!(ids(&shelf), [""; 0]);
    others.iter_mut().for_each(|entry| fill(entry, 24));
    for entry in &others {
        assert_eq!(segments::end(&entry.folder).expect("read"), 3_200_000);
        let kept = segments::read(&entry.folder, 0, u64::MAX, usize::MAX).expect("read");
        let kept: usize = kept.iter().map(|piece| piece.bytes.len()).sum();
        assert!((100_000..500_000).contains(&kept), "{kept}");
    }
}

#[test]
fn what_is_too_old_or_nobodys_goes() {
    let store = tempfile::tempdir().expect("a folder");
    let shelf = shelf(store.path(), LogBounds { age: Duration::ZERO, ..LogBounds::default() });
    shelf.begin(about("old")).expect("begun").end(0, &Ok(Value::Null)).expect("written");
    let running = shelf.begin(about("running")).expect("begun");
    let (fresh, stale) = (store.path().join("logs/fresh"), store.path().join("logs/stale"));
    for folder in [&fresh, &stale] {
        fs::create_dir(folder).expect("a folder");
    }
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    File::open(&stale).expect("opened").set_modified(long_ago).expect("set");
    prune(&shelf);
    assert!(fresh.exists() && !stale.exists() && running.folder.exists());
    assert!(!store.path().join("logs/old").exists());
}
