//! PAX extended headers (pax(1), "pax Extended Header"): lines of `LENGTH KEY=VALUE`.

use std::io::Write;

use crate::entry::{Attribute, FileTime};

/// What precedes the name of an extended attribute.
pub(crate) const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

/// Adds one record.
pub(crate) fn put(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // The length counts itself, so a digit more may need a digit more.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + digits(rest);
    if digits(length) != digits(rest) {
        length = rest + digits(length);
    }
    // Writing to memory does not fail.
    let _ = write!(records, "{length} ");
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// Adds an extended attribute. As GNU tar does it, since a key ends at the first `=`.
pub(crate) fn put_attribute(records: &mut Vec<u8>, (name, value): &Attribute) {
    let mut key = ATTRIBUTE.to_vec();
    for byte in name {
        match byte {
            b'%' => key.extend_from_slice(b"%25"),
            b'=' => key.extend_from_slice(b"%3D"),
            byte => key.push(*byte),
        }
    }
    put(records, &key, value);
}

fn attribute_name(key: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(key.len());
    let mut rest = key;
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'%', [b'2', b'5', after @ ..]) => (b'%', after),
            (b'%', [b'3', b'D' | b'd', after @ ..]) => (b'=', after),
            _ => (*first, after),
        };
        name.push(byte);
        rest = after;
    }
    name
}

/// A time as decimal digits, as few as say it.
pub(crate) fn time(time: FileTime) -> String {
    // A negative number counts its fraction downwards.
    let (sign, seconds, nanoseconds) = match (time.seconds, time.nanoseconds) {
        (seconds, 0) => ("", i128::from(seconds), 0),
        (seconds, nanoseconds) if seconds < 0 => {
            ("-", -i128::from(seconds) - 1, 1_000_000_000_u32.saturating_sub(nanoseconds))
        }
        (seconds, nanoseconds) => ("", i128::from(seconds), nanoseconds),
    };
    if nanoseconds == 0 {
        return format!("{sign}{seconds}");
    }
    let text = format!("{sign}{seconds}.{nanoseconds:09}");
    text.trim_end_matches('0').to_owned()
}

/// A time of decimal digits.
pub(crate) fn parse_time(text: &str) -> Option<FileTime> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let decimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !decimal(whole) || !decimal(fraction) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    // Finer than a nanosecond is cut off.
    let nanoseconds: u32 = format!("{fraction:0<9.9}").parse().ok()?;
    Some(match (negative, nanoseconds) {
        (false, nanoseconds) => FileTime { seconds, nanoseconds },
        (true, 0) => FileTime { seconds: -seconds, nanoseconds },
        (true, nanoseconds) => FileTime {
            seconds: (-seconds).checked_sub(1)?,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

/// What the records say about a sparse file, in any of GNU tar's three PAX forms.
#[derive(Debug, Default)]
pub(crate) struct Sparse {
    pub(crate) major: Option<u64>,
    pub(crate) minor: Option<u64>,
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    /// Forms 0.0 and 0.1 have the map here, 1.0 has it before the content.
    pub(crate) map: Vec<u64>,
    /// Whether there is a word of form 0.0 or 0.1.
    pub(crate) early: bool,
}

/// What an extended header says.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) mtime: Option<FileTime>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) sparse: Sparse,
    /// Keys with a meaning that is not kept.
    pub(crate) words: Vec<String>,
}

/// Keys that say nothing which a restore keeps or needs.
const IDLE: [&str; 12] = [
    "atime",
    "ctime",
    "comment",
    "uname",
    "gname",
    "charset",
    "hdrcharset",
    "SCHILY.dev",
    "SCHILY.ino",
    "SCHILY.nlink",
    "SCHILY.filetype",
    "LIBARCHIVE.creationtime",
];

impl Records {
    /// Reads the content of an extended header.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(&mut self, text: &[u8], most_holes: usize) -> Result<(), String> {
        let mut rest = text;
        while !rest.is_empty() {
            let (key, value, after) =
                record(rest).ok_or("a PAX record is not as its format says")?;
            self.take(key, value, most_holes)
                .map_err(|why| format!("the PAX record {}: {why}", key.escape_ascii()))?;
            rest = after;
        }
        self.attributes.sort();
        Ok(())
    }

    fn take(&mut self, key: &[u8], value: &[u8], most_holes: usize) -> Result<(), String> {
        let word = || std::str::from_utf8(value).map_err(|_| "it is no number".to_owned());
        fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
            // FromStr takes a sign.
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let parsed = if digits { text.parse().ok() } else { None };
            parsed.ok_or_else(|| format!("`{}` is out of range", text.escape_debug()))
        }
        if let Some(name) = key.strip_prefix(ATTRIBUTE) {
            return self.attribute(name, value);
        }
        // An empty value takes an earlier one back.
        let bytes = || (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = text(value)?,
            b"linkpath" => self.link = text(value)?,
            b"size" => self.size = Some(number(word()?)?),
            b"uid" => self.uid = Some(number(word()?)?),
            b"gid" => self.gid = Some(number(word()?)?),
            b"mtime" => self.mtime = Some(parse_time(word()?).ok_or("it is no time")?),
            b"GNU.sparse.major" => self.sparse.major = Some(number(word()?)?),
            b"GNU.sparse.minor" => self.sparse.minor = Some(number(word()?)?),
            b"GNU.sparse.name" => self.sparse.name = text(value)?,
            b"GNU.sparse.realsize" => self.sparse.size = Some(number(word()?)?),
            b"GNU.sparse.size" => {
                self.sparse.size = Some(number(word()?)?);
                self.sparse.early = true;
            }
            b"GNU.sparse.numblocks" => self.sparse.early = true,
            b"GNU.sparse.map" => {
                let map = word()?.split(',').filter(|number| !number.is_empty());
                self.sparse.map = map.map(number).collect::<Result<_, _>>()?;
                self.sparse.early = true;
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                let odd = key.ends_with(b"numbytes");
                if (self.sparse.map.len() % 2 == 1) != odd {
                    return Err("offsets and lengths do not take turns".to_owned());
                }
                self.sparse.map.push(number(word()?)?);
            }
            _ => {
                let key = String::from_utf8_lossy(key).into_owned();
                if bytes().is_some() && !IDLE.contains(&key.as_str()) {
                    self.words.push(key);
                }
            }
        }
        if self.sparse.map.len() / 2 > most_holes {
            return Err(format!("there are more than {most_holes} holes"));
        }
        Ok(())
    }

    fn attribute(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        let name = attribute_name(name);
        // The limits of xattr(7).
        if name.is_empty() || name.len() > 255 || name.contains(&0) {
            return Err("it is no name of an extended attribute".to_owned());
        }
        if value.len() > 1 << 16 {
            return Err("the value is longer than 64 KiB".to_owned());
        }
        self.attributes.retain(|(other, _)| *other != name);
        self.attributes.push((name, value.to_vec()));
        Ok(())
    }
}

fn text(value: &[u8]) -> Result<Option<Vec<u8>>, String> {
    if value.contains(&0) {
        return Err("it holds a NUL byte".to_owned());
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

/// Key and value of the first record, and what follows it.
fn record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = text.iter().take(20).position(|byte| *byte == b' ')?;
    let digits = text.get(..space)?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let (record, after) = text.split_at_checked(length)?;
    let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    let (key, value) = body.split_at_checked(equals)?;
    (!key.is_empty()).then_some((key, value.get(1..)?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<Records, String> {
        let mut records = Records::default();
        records.parse(text, 100).map(|()| records)
    }

    #[test]
    fn the_length_counts_itself() {
        for length in 0..300 {
            let mut text = Vec::new();
            put(&mut text, b"path", &vec![b'p'; length.max(1)]);
            put(&mut text, b"size", b"7");
            let records = parse(&text).expect("records");
            assert_eq!(records.path.map(|path| path.len()), Some(length.max(1)));
            assert_eq!(records.size, Some(7));
        }
    }

    #[test]
    fn times_come_back() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "0"),
            (1, 500_000_000, "1.5"),
            (-1, 500_000_000, "-0.5"),
            (-2, 1, "-1.999999999"),
            (-7, 0, "-7"),
            (i64::MAX, 1, "9223372036854775807.000000001"),
        ] {
            let stamp = FileTime { seconds, nanoseconds };
            assert_eq!(time(stamp), text);
            assert_eq!(parse_time(text), Some(stamp), "{text}");
        }
        for bad in ["", "-", ".5", "1.x", "+1", "1e3", "99999999999999999999"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
        assert_eq!(parse_time("1.1234567899"), parse_time("1.123456789"));
    }

    #[test]
    fn attributes_of_any_name_come_back() {
        let mut text = Vec::new();
        for name in ["user.a=b", "user.100%", "user.%3D"] {
            put_attribute(&mut text, &(name.into(), b"=\n\0".to_vec()));
        }
        let names: Vec<_> = parse(&text).expect("records").attributes;
        let expected = ["user.%3D", "user.100%", "user.a=b"];
        assert_eq!(names, expected.map(|name| (name.into(), b"=\n\0".to_vec())));
    }

    #[test]
    fn bad_records_are_refused() {
        for bad in [
            &b"x"[..],
            b"99 a=b\n",
            b"6 a=b",
            b"4 a\n",
            b"-6 a=b\n",
            b"5 =b\n",
            b"0 ",
            b"18446744073709551616 a=b\n",
            b"12 path=a\0b\n",
            b"11 size=-1\n",
            b"11 uid=0x1\n",
            b"22 GNU.sparse.offset=\n",
            b"25 GNU.sparse.numbytes=1\n",
            b"18 SCHILY.xattr.=\n",
        ] {
            assert!(parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn what_is_not_kept_is_told() {
        let mut text = Vec::new();
        for key in ["comment", "SCHILY.fflags", "atime"] {
            put(&mut text, key.as_bytes(), b"x");
        }
        assert_eq!(parse(&text).expect("records").words, ["SCHILY.fflags"]);
    }
}
