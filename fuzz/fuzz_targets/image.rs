//! Bytes as the documents of an image, and as a whole image in a tar; the first byte tells which.
#![no_main]

use std::io::Read;

use ctrlz_archive::MediaType;
use ctrlz_archive::image::{Bounds, Foreign, ImageConfig, Index, Manifest, Platform, media};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    match first {
        b'i' => {
            let Ok(index) = Index::parse(rest, Bounds::INDEX) else { return };
            let written = index.to_bytes().expect("what was read is small enough to be written");
            let again = Index::parse(&written, Bounds::INDEX).expect("it reads what it wrote");
            assert_eq!(again, index);
            let _ = index.choose(None, &Platform::host());
        }
        b'm' => {
            let media_type = MediaType::from(media::MANIFEST);
            let Ok(manifest) = Manifest::parse(rest, &media_type) else { return };
            let written = manifest.to_bytes().expect("what was read is small enough to be written");
            let again = Manifest::parse(&written, &media_type).expect("it reads what it wrote");
            assert_eq!(again, manifest);
            let _ = manifest.forms();
        }
        b'c' => {
            let Ok(config) = ImageConfig::parse(rest, 1) else { return };
            let written = serde_json::to_vec(&config).expect("a document");
            let again = ImageConfig::parse(&written, 1).expect("it reads what it wrote");
            assert_eq!(again, config);
        }
        _ => {
            let path = std::env::temp_dir().join(format!("ctrlz-fuzz-{}", std::process::id()));
            std::fs::write(&path, rest).expect("a temporary file");
            let Ok(image) = Foreign::open(&path, None, &Platform::host()) else { return };
            for layer in &image.layers {
                let Ok(reader) = image.read(layer) else { continue };
                // The whole of it is no longer than the tar that it lies in.
                let length = u64::try_from(rest.len()).expect("a length");
                let read = std::io::copy(&mut reader.take(length + 1), &mut std::io::sink());
                assert!(read.is_err() || read.is_ok_and(|read| read <= length));
            }
        }
    }
});
