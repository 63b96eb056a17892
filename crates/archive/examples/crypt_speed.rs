//! How fast a blob is encrypted, hashed and written: `crypt_speed DIRECTORY MEGABYTES`. The data are
//! in memory; `age` and `rage` get the same from a pipe.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use ctrlz_archive::ArchiveError;
use ctrlz_archive::background::Background;
use ctrlz_archive::crypt::{Opener, Recipients, Sealer, init_keys};
use ctrlz_archive::place::{Blob, Directory, open_checked};

/// One of the ways to write a blob.
type Way<'a> = &'a dyn Fn(&[u8], usize) -> Result<(), ArchiveError>;

fn main() -> Result<(), ArchiveError> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| "speed".to_owned());
    let megabytes: usize = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(512);
    let place = Directory::create(directory.as_ref())?;
    let mut recipients = Recipients::new();
    let identity = age::x25519::Identity::generate();
    recipients.add(&identity.to_public().to_string(), "this example")?;
    let keys = init_keys(&place, &recipients)?;
    let key = keys.current()?;
    let piece = vec![7; 1 << 20];
    let io = |error: std::io::Error| {
        ArchiveError::of(error, |source| ArchiveError::Io {
            action: "write",
            path: directory.clone().into(),
            source,
        })
    };
    let fill = |writer: &mut dyn Write, piece: &[u8], count: usize| -> Result<(), ArchiveError> {
        (0..count).try_for_each(|_| writer.write_all(piece)).map_err(io)
    };

    let encrypt = |piece: &[u8], count: usize| {
        let mut sealer = Sealer::new(std::io::sink(), key).map_err(io)?;
        fill(&mut sealer, piece, count)?;
        sealer.finish().map(drop).map_err(io)
    };
    let plain = |piece: &[u8], count: usize| {
        let mut writer = place.begin_blob()?;
        fill(&mut writer, piece, count)?;
        writer.finish().map(drop)
    };
    let inline = |piece: &[u8], count: usize| {
        let mut sealer = Sealer::new(place.begin_blob()?, key).map_err(io)?;
        fill(&mut sealer, piece, count)?;
        sealer.finish().map_err(io)?.finish().map(drop)
    };
    let hashed_apart = |piece: &[u8], count: usize| {
        let blob = Background::start(place.begin_blob()?).map_err(io)?;
        let mut sealer = Sealer::new(blob, key).map_err(io)?;
        fill(&mut sealer, piece, count)?;
        sealer.finish().and_then(Background::finish).map_err(io)?.finish().map(drop)
    };
    let all_apart = |piece: &[u8], count: usize| {
        let sealer = Sealer::new(place.begin_blob()?, key).map_err(io)?;
        let mut writer = Background::start(sealer).map_err(io)?;
        fill(&mut writer, piece, count)?;
        writer.finish().and_then(Sealer::finish).map_err(io)?.finish().map(drop)
    };
    let ways: [(&str, Way<'_>); 5] = [
        ("encrypt alone", &encrypt),
        ("plain blob", &plain),
        ("encrypted blob", &inline),
        ("hashed by a thread", &hashed_apart),
        ("all by a thread", &all_apart),
    ];
    for (name, way) in ways {
        tell(name, megabytes, || way(&piece, megabytes))?;
    }

    let mut sealer = Sealer::new(place.begin_blob()?, key).map_err(io)?;
    fill(&mut sealer, &piece, megabytes)?;
    let blob: Blob = sealer.finish().map_err(io)?.finish()?;
    tell("read and decrypt", megabytes, || {
        let checked = open_checked(&place, &blob)?;
        let mut opener = Opener::new(checked, blob.digest, &keys, None)?;
        let mut buffer = vec![0; 256 << 10];
        while opener.read(&mut buffer).map_err(io)? > 0 {}
        Ok(())
    })
}

fn tell(
    name: &str,
    megabytes: usize,
    action: impl Fn() -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let started = Instant::now();
        action()?;
        best = best.min(started.elapsed());
    }
    let rate = f64::from(u32::try_from(megabytes).unwrap_or(0)) * 1.048_576 / 1000.0;
    println!("{name:<20} {:.2} GB/s", rate / best.as_secs_f64());
    Ok(())
}
