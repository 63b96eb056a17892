//! What is archived: sources as people have them, large files that compress, and what does not.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::failure::{Answer, Failure};
use crate::{program, project};

const MEGABYTE: u64 = 1_000_000;

/// A tree to be archived.
pub(super) struct Material {
    /// For people.
    pub(super) what: String,
    /// For names of folders.
    pub(super) short: &'static str,
    pub(super) folder: PathBuf,
    /// Few large files: measured less often.
    pub(super) is_large: bool,
    /// Whether a second archive after a change is measured.
    pub(super) changes: bool,
}

/// Makes all trees below `folder`. On one machine with one `Cargo.lock` they are always the same.
pub(super) fn all(folder: &Path) -> Answer<[Material; 3]> {
    let made = |name: &str| -> Answer<PathBuf> {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).map_err(Failure::io("make", &folder))?;
        Ok(folder)
    };
    let sources = made("sources")?;
    let (files, bytes, text) = copy_sources(&sources, 100 * MEGABYTE)?;
    let large = made("large")?;
    text_files(&large, &text, 4, 250 * MEGABYTE)?;
    let random = made("random")?;
    random_files(&random, 8, 32 * MEGABYTE)?;
    Ok([
        Material {
            what: format!("{} MB in {files} files of sources", bytes / MEGABYTE),
            short: "sources",
            folder: sources,
            is_large: false,
            changes: true,
        },
        Material {
            what: "1 GB in 4 files of text".to_owned(),
            short: "large",
            folder: large,
            is_large: true,
            changes: false,
        },
        Material {
            what: "256 MB in 8 files that do not compress".to_owned(),
            short: "random",
            folder: random,
            is_large: true,
            changes: false,
        },
    ])
}

/// The sources of what ctrlz depends on, as cargo unpacked them: by name, until there are `most`
/// bytes. Answers how many files and bytes, and all of their bytes one behind the other.
fn copy_sources(to: &Path, most: u64) -> Answer<(u64, u64, Vec<u8>)> {
    let mut text = Vec::new();
    let mut files = 0;
    for (name, from) in packages()? {
        let mut open = vec![(from, to.join(name))];
        while let Some((from, to)) = open.pop() {
            fs::create_dir_all(&to).map_err(Failure::io("make", &to))?;
            for path in entries(&from)? {
                let to = to.join(path.file_name().unwrap_or_default());
                let kind = fs::symlink_metadata(&path).map_err(Failure::io("read", &path))?;
                if kind.is_dir() {
                    open.push((path, to));
                } else if kind.is_file() {
                    let content = fs::read(&path).map_err(Failure::io("read", &path))?;
                    fs::write(&to, &content).map_err(Failure::io("write", &to))?;
                    text.extend_from_slice(&content);
                    files += 1;
                }
                if text.len() as u64 >= most {
                    return Ok((files, text.len() as u64, text));
                }
            }
        }
    }
    Ok((files, text.len() as u64, text))
}

/// The folders of all packages that are not our own, by name and version.
fn packages() -> Answer<BTreeMap<String, PathBuf>> {
    // For one platform: what others need may not be here.
    let output = program::capture(project::cargo().args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--offline",
        "--filter-platform=x86_64-unknown-linux-gnu",
    ]))?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|source| Failure::Output { program: "cargo metadata".to_owned(), source })?;
    let packages = metadata.get("packages").and_then(Value::as_array).into_iter().flatten();
    let folder = |package: &Value| {
        let text = |pointer| project::text(package, pointer);
        text("/source")?;
        let name = format!("{}-{}", text("/name")?, text("/version")?);
        Some((name, Path::new(text("/manifest_path")?).parent()?.to_owned()))
    };
    Ok(packages.filter_map(folder).collect())
}

fn entries(folder: &Path) -> Answer<Vec<PathBuf>> {
    let paths = fs::read_dir(folder).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
    });
    let mut paths = paths.map_err(Failure::io("read", folder))?;
    paths.sort();
    Ok(paths)
}

/// Files of `text`, over and over. Each page begins with a number of its own, so that no larger part
/// of them is there twice: some peers would keep that once.
fn text_files(folder: &Path, text: &[u8], files: u64, size: u64) -> Answer {
    let mut pages = text.chunks(4096).cycle();
    let mut number = 0_u64;
    for file in 0..files {
        let path = folder.join(format!("text-{file}"));
        let mut written = 0;
        let written_out = File::create(&path).and_then(|file| {
            let mut out = BufWriter::with_capacity(1 << 20, file);
            while written < size {
                let page = pages.next().unwrap_or_default();
                let head = format!("page {number}\n");
                out.write_all(head.as_bytes())?;
                out.write_all(page)?;
                number += 1;
                written += (head.len() + page.len()) as u64;
            }
            out.flush()
        });
        written_out.map_err(Failure::io("write", &path))?;
    }
    Ok(())
}

/// Files of numbers by xorshift64 (Marsaglia 2003).
fn random_files(folder: &Path, files: u64, size: u64) -> Answer {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for file in 0..files {
        let path = folder.join(format!("random-{file}"));
        let written = File::create(&path).and_then(|file| {
            let mut out = BufWriter::with_capacity(1 << 20, file);
            for _ in 0..size / 8 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                out.write_all(&state.to_le_bytes())?;
            }
            out.flush()
        });
        written.map_err(Failure::io("write", &path))?;
    }
    Ok(())
}
