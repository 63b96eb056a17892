//! However large a layer is, no more than 64 MiB are in use.

use std::io::{self, Read};
use std::path::Path;
use std::process::Command;

use ctrlz_archive::codec::Decoder;
use ctrlz_archive::crypt::{init_keys, open_keys};
use ctrlz_archive::entry::{Entry, Kind, Metadata};
use ctrlz_archive::image::Role;
use ctrlz_archive::layer::{LayerOptions, Member, write_members};
use ctrlz_archive::place::{Directory, Place};
use ctrlz_archive::snapshot::Snapshot;
use ctrlz_archive::transfer::Transfer;
use ctrlz_archive::verify::{Verifying, verify};
use ctrlz_archive::{Descriptor, Limits};
use ctrlz_core::path::RelPath;

use crate::fixture::{Person, noise, recipients, record, text};
use crate::trees;

const WHERE: &str = "CTRLZ_TEST_MEMORY";

/// The bytes of the one file in the layer.
const SIZE: u64 = 1 << 30;

/// The most that may be in use, in KiB.
const MOST: u64 = 64 << 10;

/// Bytes of which about a twelfth is new: another piece of the same noise each time, so far back
/// that it is found nowhere.
struct Generated {
    noise: Vec<u8>,
    block: Vec<u8>,
    at: usize,
    number: usize,
}

/// The new bytes in a block.
const FRESH: usize = 5000;

impl Generated {
    fn new() -> Self {
        Self { noise: noise(0, 4 << 20), block: vec![0; 1 << 16], at: 1 << 16, number: 0 }
    }
}

impl Read for Generated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() {
            self.number += 1;
            let at = self.number * (FRESH + 1) % (self.noise.len() - FRESH);
            self.block[..FRESH].copy_from_slice(&self.noise[at..at + FRESH]);
            self.at = 0;
        }
        let length = buffer.len().min(self.block.len() - self.at);
        buffer[..length].copy_from_slice(&self.block[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// What the measured process does; nothing unless it was started for that.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(WHERE) else { return };
    let directory = Path::new(&directory);
    let place = Directory::create(&directory.join("from")).expect("a place");
    let person = Person::new();
    let keys = init_keys(&place, &recipients(&[&person])).expect("keys");
    told("begin");
    let options = LayerOptions { cores: 4, ..LayerOptions::default() };
    let kind = (Role::Base, None);
    let large = trees::part(&place, kind, &options, Some(&keys), &mut |out| {
        let path = RelPath::parse("large").expect("a path");
        let entry = Entry { path, kind: Kind::file(SIZE), metadata: Metadata::default() };
        let mut content = Generated::new();
        write_members([Member { entry, content: &mut content }], &options, out)
    });
    told("write");
    let record = record(1, 0);
    let file = (".ctrlz/record.json", record.as_slice());
    let record = trees::single(&place, Role::Record, file, &options, Some(&keys));
    let layer = large.descriptor.clone();
    assert!(layer.size > 60 << 20, "{}", layer.size);
    trees::finish(&place, &[record, large], Some(&keys), &[]);

    let verifying = Verifying { keys: Some(&keys), ..Verifying::default() };
    let verified = verify(&place, &verifying, &|_| ()).expect("an answer");
    assert!(verified.faults.is_empty(), "{:?}", verified.faults);
    told("verify");
    let name = place.names().expect("names").pop().expect("one").name;
    let to = Directory::create(&directory.join("to")).expect("a place");
    Transfer::default().image((&place, &name), (&to, &name), &|_| ()).expect("copied");
    told("transfer");
    let keys = open_keys(&place, &person.identities()).expect("opened").expect("keys");
    read_back(&to, &layer, &keys);
    told("read");
    let mut sink = io::sink();
    ctrlz_archive::export::export(&to, &[&name], &mut sink, &|_| ()).expect("exported");
    told("export");
}

fn read_back(place: &Directory, layer: &Descriptor, keys: &ctrlz_archive::crypt::Keyring) {
    let mut reader = Snapshot::open_layer(place, layer, Some(keys)).expect("opened");
    let mut tar = Decoder::new(&mut reader, Limits::default()).expect("a format");
    let (mut buffer, mut read) = (vec![0; 1 << 18], 0);
    while let length @ 1.. = tar.read(&mut buffer).expect("read") {
        read += length as u64;
    }
    assert!(read > SIZE, "{read}");
    drop(tar);
    reader.finish().expect("whole");
}

/// Tells the most memory that was in use since it was last told.
fn told(step: &str) {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    println!("\nPEAK {step} {}", peak.trim().trim_end_matches(" kB"));
    // 5: forget the peak.
    std::fs::write("/proc/self/clear_refs", "5").expect("a new peak");
}

#[test]
fn large_layers_need_little_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "memory::child", "--nocapture", "--test-threads=1"])
        .env(WHERE, text(directory.path()))
        .output()
        .expect("a child");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let peaks: Vec<(&str, u64)> = said
        .lines()
        .filter_map(|line| line.strip_prefix("PEAK ")?.split_once(' '))
        .map(|(step, peak)| (step, peak.parse().expect("a number")))
        .collect();
    assert_eq!(peaks.len(), 6, "{said}");
    println!("{peaks:?} KiB");
    for (step, peak) in peaks {
        assert!(peak <= MOST, "{step}: {peak} KiB");
    }
}
