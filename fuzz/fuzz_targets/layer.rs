//! Bytes as the tar of a layer, as a compressed one, and as a listing; the first byte tells which.
#![no_main]

use std::io::Read;

use ctrlz_archive::Limits;
use ctrlz_archive::codec::Decoder;
use ctrlz_archive::entry::Entry;
use ctrlz_archive::listing::merge;
use ctrlz_archive::tar::{Reader, Writer};
use libfuzzer_sys::fuzz_target;

/// The bytes of a tar's block.
const BLOCK: usize = 512;

/// Far more than an input can hold, and little enough to be refused before memory is short.
fn limits() -> Limits {
    Limits { bytes: 1 << 22, ratio: 64, ratio_from: 1 << 16, ..Limits::default() }
}

/// Gives every header the sum that it should have, which no mutation would find.
fn sum_up(tar: &mut [u8]) {
    for block in tar.chunks_exact_mut(BLOCK) {
        if !block[257..].starts_with(b"ustar") {
            continue;
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

fn entries(tar: &[u8]) -> Option<Vec<(Entry, Vec<u8>)>> {
    let mut reader = Reader::new(tar, limits());
    let mut found = Vec::new();
    while let Some(item) = reader.next_entry().ok()? {
        let mut data = Vec::new();
        reader.read_to_end(&mut data).ok()?;
        assert_eq!(data.len() as u64, item.entry.kind.data());
        let path = item.entry.path.as_bytes();
        assert!(path.split(|byte| *byte == b'/').all(|name| name != b".."));
        assert!(!path.starts_with(b"/"));
        let _ = item.entry.clone().in_layer();
        found.push((item.entry, data));
    }
    Some(found)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    match first {
        b't' => {
            let mut tar = rest.to_vec();
            sum_up(&mut tar);
            let Some(found) = entries(&tar) else { return };
            let mut writer = Writer::new(Vec::new());
            for (entry, data) in &found {
                writer.append(entry, data).expect("what was read can be written");
            }
            let written = writer.finish().expect("an end");
            assert_eq!(entries(&written).expect("it reads what it wrote"), found);
        }
        b'l' => {
            let mut once = Vec::new();
            let Ok(digest) = merge([rest], &mut once) else { return };
            let mut twice = Vec::new();
            let again = merge([once.as_slice()], &mut twice).expect("it reads what it wrote");
            // A tree's listing no longer marks the first of several names, as a layer's does.
            if !once.windows(7).any(|word| word == b" first=") {
                assert_eq!((again, once), (digest, twice));
            }
        }
        _ => {
            let limits = limits();
            let most = limits.bytes;
            let Ok(mut decoder) = Decoder::new(rest, limits) else { return };
            let (mut buffer, mut read) = ([0; 4096], 0);
            while let Ok(length @ 1..) = decoder.read(&mut buffer) {
                read += length as u64;
                assert!(read <= most);
            }
        }
    }
});
