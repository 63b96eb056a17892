//! One listing of a tree from the listings of its layers, all read at once and none held.

use std::collections::HashMap;
use std::io::{BufRead, Write};

use ctrlz_core::digest::Digest;
use ctrlz_core::path::RelPath;

use super::HEAD;
use super::line::Line;
use crate::error::ArchiveError;

/// How long a line may be: 64 attributes of the largest size, in hexadecimal.
const LONGEST: u64 = 8 << 20;

fn malformed(why: impl Into<String>) -> ArchiveError {
    ArchiveError::Malformed { what: "a listing", why: why.into() }
}

/// The lines of a listing, checked to be in order.
pub(super) struct Lines<R> {
    input: R,
    text: Vec<u8>,
    last: Option<RelPath>,
}

impl<R: BufRead> Lines<R> {
    /// Reads the head.
    pub(super) fn new(mut input: R) -> Result<Self, ArchiveError> {
        let mut head = Vec::new();
        let mut limited = std::io::Read::take(&mut input, HEAD.len() as u64);
        std::io::Read::read_to_end(&mut limited, &mut head)
            .map_err(|error| ArchiveError::stream("read", error))?;
        if head != HEAD {
            return Err(malformed("it does not begin as one"));
        }
        Ok(Self { input, text: Vec::new(), last: None })
    }

    pub(super) fn next_line(&mut self) -> Result<Option<Line>, ArchiveError> {
        self.text.clear();
        let mut limited = std::io::Read::take(&mut self.input, LONGEST);
        limited
            .read_until(b'\n', &mut self.text)
            .map_err(|error| ArchiveError::stream("read", error))?;
        if self.text.is_empty() {
            return Ok(None);
        }
        let text = self.text.strip_suffix(b"\n").and_then(|text| std::str::from_utf8(text).ok());
        let line = text
            .and_then(Line::parse)
            .ok_or_else(|| malformed(format!("the line after {}", self.shown())))?;
        if self.last.as_ref().is_some_and(|last| *last >= line.path) {
            return Err(malformed(format!("{} is out of order", line.path)));
        }
        self.last = Some(line.path.clone());
        Ok(Some(line))
    }

    fn shown(&self) -> String {
        self.last.as_ref().map_or_else(|| "its head".to_owned(), ToString::to_string)
    }
}

/// A path of a higher layer below which lower ones do not show.
struct Cover {
    path: RelPath,
    /// Layers below this one are covered.
    layer: usize,
}

/// Writes the listing of the tree that `layers` make, lowest first; answers its BLAKE3, which is
/// the tree's digest. Reads all of them at once and holds a line of each.
///
/// # Errors
/// When a listing is damaged or a stream fails.
pub fn merge<R: BufRead>(
    layers: impl IntoIterator<Item = R>,
    out: &mut dyn Write,
) -> Result<Digest, ArchiveError> {
    let mut inputs = Vec::new();
    for layer in layers {
        let mut lines = Lines::new(layer)?;
        let next = lines.next_line()?;
        inputs.push((lines, next));
    }
    let mut merged = Merged { out, hasher: blake3::Hasher::new(), text: String::new() };
    merged.write(HEAD)?;
    let mut covers: Vec<Cover> = Vec::new();
    // The first name of a file with several, as its layer says it, and which it is in the tree.
    let mut names: HashMap<(usize, RelPath), RelPath> = HashMap::new();
    loop {
        let paths = inputs.iter().filter_map(|(_, next)| next.as_ref().map(|line| &line.path));
        let Some(path) = paths.min().cloned() else { break };
        // Once past everything in it, a cover has nothing more to say.
        covers.retain(|cover| path.is_within(&cover.path) || path.as_bytes() < &*end(&cover.path));
        let lowest = covers
            .iter()
            .filter(|cover| path.is_within(&cover.path) && path != cover.path)
            .map(|cover| cover.layer)
            .max()
            .unwrap_or(0);
        let mut seen = None;
        for (layer, (lines, next)) in inputs.iter_mut().enumerate() {
            if next.as_ref().is_none_or(|line| line.path != path) {
                continue;
            }
            let Some(line) = std::mem::replace(next, lines.next_line()?) else { continue };
            if layer >= lowest {
                if line.opaque || line.is_leaf() {
                    covers.push(Cover { path: path.clone(), layer });
                }
                seen = Some((layer, line));
            }
        }
        let Some((layer, mut line)) = seen.filter(|(_, line)| line.word != "gone") else {
            continue;
        };
        if let Some(first) = line.first.take() {
            let key = (layer, first);
            match names.get(&key) {
                Some(first) => line.first = Some(first.clone()),
                // The name that was the first is covered by a higher layer.
                None => drop(names.insert(key, path)),
            }
        } else if line.names {
            names.insert((layer, path.clone()), path);
        }
        merged.line(&line)?;
    }
    Ok(Digest::blake3(merged.hasher.finalize().into()))
}

/// The first path after all that lie within `path`.
fn end(path: &RelPath) -> Vec<u8> {
    // `0` comes after `/`.
    [path.as_bytes(), b"0"].concat()
}

struct Merged<'a> {
    out: &'a mut dyn Write,
    hasher: blake3::Hasher,
    text: String,
}

impl Merged<'_> {
    fn line(&mut self, line: &Line) -> Result<(), ArchiveError> {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        line.write(&mut text);
        self.write(text.as_bytes())?;
        self.text = text;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.hasher.update(bytes);
        self.out.write_all(bytes).map_err(|error| ArchiveError::stream("write", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(layers: &[&str]) -> String {
        let layers: Vec<String> =
            layers.iter().map(|text| format!("ctrlz-listing-1\n{text}")).collect();
        let mut out = Vec::new();
        let digest = merge(layers.iter().map(String::as_bytes), &mut out).expect("merge");
        assert_eq!(digest, Digest::blake3(blake3::hash(&out).into()));
        let text = String::from_utf8(out).expect("text");
        text.strip_prefix("ctrlz-listing-1\n").expect("head").to_owned()
    }

    #[test]
    fn higher_layers_cover_lower_ones() {
        let base = ". dir m=0\na dir m=0\na.b file m=0\na/x file m=0\na/y dir m=0\na/y/z file m=0\n\
                    b dir m=0\nb/x file m=0\nc file m=0\n";
        // A directory that is gone and one that is new at its place.
        assert_eq!(
            merged(&[base, "a gone\n"]),
            ". dir m=0\na.b file m=0\nb dir m=0\nb/x file m=0\nc file m=0\n"
        );
        let opaque = "a dir m=1 opaque\na/new file m=1\n";
        let expected = ". dir m=0\na dir m=1\na.b file m=0\na/new file m=1\nb dir m=0\nb/x file m=0\nc file m=0\n";
        assert_eq!(merged(&[base, opaque]), expected);
        assert_eq!(merged(&[base, "a gone\n", "a dir m=1\na/new file m=1\n"]), expected);
        // A file in the place of a directory, then a directory again.
        let file = "b file m=1\n";
        assert!(!merged(&[base, file]).contains("b/x"));
        assert!(!merged(&[base, file, "b dir m=2\n"]).contains("b/x"));
        // Attributes alone.
        assert!(merged(&[base, "a dir m=1\n"]).contains("a dir m=1\na.b file m=0\na/x file"));
    }

    #[test]
    fn the_first_of_several_names_may_go() {
        let base = "a file m=0 names\nb file m=0 first=a\nc file m=0 first=a\n";
        assert_eq!(merged(&[base]), "a file m=0\nb file m=0 first=a\nc file m=0 first=a\n");
        assert_eq!(merged(&[base, "a file m=1\n"]), "a file m=1\nb file m=0\nc file m=0 first=b\n");
        assert_eq!(merged(&[base, "a gone\nb gone\n"]), "c file m=0\n");
        assert_eq!(merged(&[base, base]), merged(&[base]));
    }

    #[test]
    fn damaged_listings_are_refused() {
        for bad in [
            "",
            "ctrlz-listing-2\n",
            "ctrlz-listing-1\na file",
            "ctrlz-listing-1\na what\n",
            "ctrlz-listing-1\nb file\na file\n",
            "ctrlz-listing-1\na file\na file\n",
            "ctrlz-listing-1\n../a file\n",
            "ctrlz-listing-1\na//b file\n",
            "ctrlz-listing-1\n\\x61 file\n",
            "ctrlz-listing-1\na  file\n",
        ] {
            let error = merge([bad.as_bytes()], &mut Vec::new()).expect_err(bad);
            assert!(matches!(error, ArchiveError::Malformed { .. }), "{error}");
        }
    }
}
