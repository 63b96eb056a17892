use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;

const NAME: Name = Name([7; 32]);

fn folder() -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("compiled");
    (place, folder)
}

fn open(folder: &Path) -> Cache {
    Cache::open(folder, None).expect("a cache")
}

fn file(bytes: &[u8]) -> File {
    let mut file = File::from(memory().expect("memory"));
    file.write_all(bytes).expect("write");
    file
}

/// What is found, or `None`.
#[track_caller]
fn found(cache: &Cache, name: Name) -> Option<Vec<u8>> {
    match cache.find(name) {
        Looked::Nothing => None,
        Looked::Refused(why) => panic!("{why}"),
        Looked::Code(code) => {
            assert!(is_settled(&code), "it can be changed");
            let code = File::from(code);
            let mut bytes = Vec::new();
            let length = code.metadata().expect("status").len();
            copy_at(&code, length, |part| {
                bytes.extend(part);
                Ok(())
            })
            .expect("read");
            Some(bytes)
        }
    }
}

fn is_settled(code: &OwnedFd) -> bool {
    rustix::io::write(code, b"x").is_err()
}

#[test]
fn what_is_kept_is_found_as_it_was() {
    let (_place, folder) = folder();
    let cache = open(&folder);
    assert_eq!(found(&cache, NAME), None);
    let large = vec![5; 3 * PART + 1];
    for content in [b"code".as_slice(), &large, b""] {
        cache.keep(NAME, &file(content)).expect("kept");
        assert_eq!(found(&cache, NAME).as_deref(), Some(content));
        assert_eq!(found(&open(&folder), NAME).as_deref(), Some(content));
    }
    assert_eq!(found(&cache, Name([8; 32])), None);
    let mode = |name: &str| folder.join(name).metadata().expect("status").mode() & 0o7777;
    assert_eq!((mode(KEY), mode(&NAME.to_string()), mode(".")), (0o600, 0o600, 0o700));
}

#[test]
fn what_is_not_as_it_was_kept_is_refused_and_gone() {
    let (_place, folder) = folder();
    let cache = open(&folder);
    let path = folder.join(NAME.to_string());
    let content = b"machine code";
    cache.keep(NAME, &file(content)).expect("kept");
    let whole = fs::read(&path).expect("an entry");
    assert_eq!(whole.len(), HEAD + content.len());
    let flipped = (0..whole.len() * 8).map(|bit| {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
    let longer = [whole.as_slice(), b"x"].concat();
    // One that only has the right form.
    let mut forged = whole.clone();
    forged[16..HEAD].copy_from_slice(blake3::hash(&whole[HEAD..]).as_bytes());
    for bytes in flipped.chain(cut).chain([longer, forged]) {
        fs::write(&path, &bytes).expect("write");
        assert!(matches!(cache.find(NAME), Looked::Refused(_)), "{bytes:?}");
        assert!(matches!(cache.find(NAME), Looked::Nothing));
    }
    fs::write(&path, &whole).expect("write");
    assert_eq!(found(&cache, NAME).as_deref(), Some(content.as_slice()));
}

#[test]
fn an_entry_is_none_under_another_name_or_key() {
    let (_place, folder) = folder();
    let cache = open(&folder);
    cache.keep(NAME, &file(b"code")).expect("kept");
    let other = Name([8; 32]);
    fs::copy(folder.join(NAME.to_string()), folder.join(other.to_string())).expect("copy");
    assert!(matches!(cache.find(other), Looked::Refused(_)));
    fs::remove_file(folder.join(KEY)).expect("remove");
    let cache = open(&folder);
    assert!(matches!(cache.find(NAME), Looked::Refused(_)));
}

#[test]
fn a_key_that_others_know_is_none() {
    let (_place, folder) = folder();
    let first = open(&folder).key;
    assert_eq!(open(&folder).key, first);
    fs::set_permissions(folder.join(KEY), Permissions::from_mode(0o644)).expect("chmod");
    let second = open(&folder).key;
    assert_ne!(second, first);
    fs::write(folder.join(KEY), "short").expect("write");
    let third = open(&folder).key;
    assert!(third != second && third != [0; 32]);
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("chmod");
    assert!(Cache::open(&folder, None).is_err());
}

#[test]
fn those_who_begin_at_once_agree_on_a_key_and_keep_whole_entries() {
    let (_place, folder) = folder();
    let work = || {
        let cache = open(&folder);
        for round in 0..50_u8 {
            let content = vec![round; 100_000];
            cache.keep(NAME, &file(&content)).expect("kept");
            let bytes = found(&cache, NAME).expect("an entry");
            assert!(bytes.len() == 100_000 && bytes.iter().all(|byte| *byte == bytes[0]));
        }
        cache.key
    };
    let keys: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no failure")).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(fs::read_dir(&folder).expect("list").count(), 2);
}

#[test]
fn those_go_that_were_not_used_for_longest() {
    let (_place, folder) = folder();
    let cache = Cache { most: 3 * (HEAD as u64 + 10), ..open(&folder) };
    let name = |number: u8| Name([number; 32]);
    let used = |number: u8, ago: u64| {
        let file = File::open(folder.join(name(number).to_string())).expect("an entry");
        file.set_modified(SystemTime::now() - Duration::from_secs(ago)).expect("its time");
    };
    for number in 1..=3 {
        cache.keep(name(number), &file(b"0123456789")).expect("kept");
        used(number, 100 - u64::from(number));
    }
    // Looking counts as use.
    assert!(found(&cache, name(1)).is_some());
    cache.keep(name(4), &file(b"0123456789")).expect("kept");
    let kept: Vec<bool> = (1..=4).map(|number| found(&cache, name(number)).is_some()).collect();
    assert_eq!(kept, [true, false, true, true]);
    // Larger than all that may be.
    cache.keep(name(5), &file(&[0; 1000])).expect("left alone");
    assert_eq!(found(&cache, name(5)), None);
}

#[test]
fn what_nobody_uses_is_collected() {
    let (_place, folder) = folder();
    let now = SystemTime::now();
    assert_eq!(collect(&folder, now, false).expect("no folder"), Collected::default());
    let cache = open(&folder);
    cache.keep(NAME, &file(b"code")).expect("kept");
    let left = folder.join(format!("{NEW}left"));
    fs::write(&left, "half").expect("write");
    assert_eq!(collect(&folder, now, false).expect("collected"), Collected::default());
    let later = now + UNUSED + Duration::from_secs(60);
    let all = Collected { files: 2, bytes: HEAD as u64 + 4 + 4 };
    assert_eq!(collect(&folder, later, true).expect("told"), all);
    assert!(left.exists());
    assert_eq!(collect(&folder, later, false).expect("collected"), all);
    assert!(!left.exists());
    assert_eq!(found(&cache, NAME), None);
    assert_eq!(open(&folder).key, cache.key);
}

#[test]
fn a_full_disk_keeps_nothing() {
    let (_place, folder) = folder();
    let cache = open(&folder);
    let disk = fstatvfs(File::open(&folder).expect("the folder")).expect("status");
    assert!(cache.has_room(1).expect("told"));
    assert!(!cache.has_room(disk.f_blocks * disk.f_frsize).expect("told"));
}
