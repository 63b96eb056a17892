//! One header block: POSIX.1-1988 ustar (pax(1), "ustar Interchange Format"), and what GNU tar
//! writes in its place.

/// The length of a block, in which everything in a tar archive is counted.
pub(crate) const BLOCK: usize = 512;

/// A header block or a block of data.
pub(crate) type Block = [u8; BLOCK];

/// Where a field lies.
type Field = std::ops::Range<usize>;

const NAME: Field = 0..100;
const MODE: Field = 100..108;
const UID: Field = 108..116;
const GID: Field = 116..124;
const SIZE: Field = 124..136;
const MTIME: Field = 136..148;
const CHECKSUM: Field = 148..156;
const TYPE: usize = 156;
const LINK: Field = 157..257;
const MAGIC: Field = 257..265;
const MAJOR: Field = 329..337;
const MINOR: Field = 337..345;
const PREFIX: Field = 345..500;

const USTAR: &[u8] = b"ustar\x0000";
const GNU: &[u8] = b"ustar  \0";

/// How many bytes of padding follow `length` bytes of content.
pub(crate) fn padding(length: u64) -> usize {
    let over = usize::try_from(length % BLOCK as u64).unwrap_or(0);
    if over == 0 { 0 } else { BLOCK - over }
}

fn put(block: &mut Block, field: Field, bytes: &[u8]) {
    for (to, from) in block.get_mut(field).unwrap_or_default().iter_mut().zip(bytes) {
        *to = *from;
    }
}

/// Writes `value` as octal digits and a NUL; false when it does not fit.
fn put_octal(block: &mut Block, field: Field, value: u64) -> bool {
    let digits = field.len() - 1;
    let text = format!("{value:0digits$o}\0");
    let fits = text.len() == field.len();
    if fits {
        put(block, field, text.as_bytes());
    }
    fits
}

/// A header that is being written. What did not fit is to be said by PAX records before it.
#[derive(Debug)]
pub(crate) struct Encoder {
    block: Block,
}

impl Encoder {
    pub(crate) fn new(kind: u8) -> Self {
        let mut block = [0; BLOCK];
        put(&mut block, MAGIC, USTAR);
        put(&mut block, TYPE..TYPE + 1, &[kind]);
        put_octal(&mut block, MAJOR, 0);
        put_octal(&mut block, MINOR, 0);
        Self { block }
    }

    /// False when the path needs PAX; then as much as fits is written.
    pub(crate) fn path(&mut self, path: &[u8]) -> bool {
        if path.len() <= NAME.len() {
            put(&mut self.block, NAME, path);
            return true;
        }
        // The leftmost `/` that leaves a name short enough keeps the prefix shortest.
        let from = path.len().saturating_sub(NAME.len() + 1);
        let split = path
            .iter()
            .enumerate()
            .skip(from)
            .find(|(at, byte)| **byte == b'/' && *at > 0 && *at + 1 < path.len())
            .map(|(at, _)| at);
        if let Some(at) = split.filter(|at| *at <= PREFIX.len()) {
            put(&mut self.block, PREFIX, path.get(..at).unwrap_or_default());
            put(&mut self.block, NAME, path.get(at + 1..).unwrap_or_default());
            return true;
        }
        put(&mut self.block, NAME, path);
        false
    }

    /// False when the target needs PAX.
    pub(crate) fn link(&mut self, target: &[u8]) -> bool {
        put(&mut self.block, LINK, target);
        target.len() <= LINK.len()
    }

    pub(crate) fn mode(&mut self, mode: u32) {
        put_octal(&mut self.block, MODE, u64::from(mode & 0o7777));
    }

    /// False when the number needs PAX; 0 stands in its place then.
    pub(crate) fn uid(&mut self, uid: u32) -> bool {
        self.number(UID, uid.into())
    }

    /// As [`Self::uid`].
    pub(crate) fn gid(&mut self, gid: u32) -> bool {
        self.number(GID, gid.into())
    }

    /// As [`Self::uid`].
    pub(crate) fn size(&mut self, size: u64) -> bool {
        self.number(SIZE, size)
    }

    /// As [`Self::uid`]: whole seconds from 1970 on.
    pub(crate) fn mtime(&mut self, seconds: i64) -> bool {
        match u64::try_from(seconds) {
            Ok(seconds) => self.number(MTIME, seconds),
            Err(_) => {
                self.number(MTIME, 0);
                false
            }
        }
    }

    /// As [`Self::uid`], for both numbers.
    pub(crate) fn device(&mut self, major: u32, minor: u32) -> bool {
        let major = self.number(MAJOR, major.into());
        self.number(MINOR, minor.into()) && major
    }

    fn number(&mut self, field: Field, value: u64) -> bool {
        put_octal(&mut self.block, field.clone(), value) || {
            put_octal(&mut self.block, field, 0);
            false
        }
    }

    /// The block with its checksum.
    pub(crate) fn finish(mut self) -> Block {
        let text = format!("{:06o}\0 ", sum(&self.block, i64::from));
        put(&mut self.block, CHECKSUM, text.as_bytes());
        self.block
    }
}

/// The sum of all bytes, those of the checksum counted as spaces.
fn sum(block: &Block, value: impl Fn(u8) -> i64) -> i64 {
    let own: i64 = block.get(CHECKSUM).unwrap_or_default().iter().map(|b| value(*b)).sum();
    let all: i64 = block.iter().map(|b| value(*b)).sum();
    all - own + 8 * i64::from(b' ')
}

/// A header block as it was read.
#[derive(Debug)]
pub(crate) struct Header<'a>(&'a Block);

impl<'a> Header<'a> {
    /// # Errors
    /// When the checksum does not fit or it is no header that we know.
    pub(crate) fn parse(block: &'a Block) -> Result<Self, String> {
        let header = Self(block);
        let written = header.number(CHECKSUM)?;
        // Some old programs added signed bytes (pax(1) on the checksum).
        let signed = |byte: u8| i64::from(i8::from_ne_bytes([byte]));
        if written != sum(block, i64::from) && written != sum(block, signed) {
            return Err("its checksum is wrong".to_owned());
        }
        match header.field(MAGIC) {
            USTAR | GNU => Ok(header),
            // The seventh edition of Unix had no magic; Debian's dpkg still writes none.
            magic if magic.iter().all(|byte| *byte == 0) => Ok(header),
            _ => Err("it is of an unknown kind".to_owned()),
        }
    }

    fn field(&self, field: Field) -> &'a [u8] {
        self.0.get(field).unwrap_or_default()
    }

    fn text(&self, field: Field) -> &'a [u8] {
        let bytes = self.field(field);
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        bytes.get(..end).unwrap_or_default()
    }

    /// Octal digits, or GNU tar's form: a first byte of 0x80 or 0xff and a number of two's
    /// complement.
    fn number(&self, field: Field) -> Result<i64, String> {
        let bytes = self.field(field);
        let refuse = || "a number in it is none".to_owned();
        match bytes.split_first() {
            Some((0x80, rest)) => big(rest, 0).ok_or_else(refuse),
            Some((0xff, rest)) => big(rest, -1).ok_or_else(refuse),
            _ => {
                let blank = |byte: &u8| matches!(byte, b' ' | 0);
                let start = bytes.iter().position(|b| !blank(b)).unwrap_or(bytes.len());
                let digits = bytes.get(start..).unwrap_or_default();
                let end = digits.iter().position(blank).unwrap_or(digits.len());
                let (digits, after) = digits.split_at(end);
                if !after.iter().all(blank) {
                    return Err(refuse());
                }
                digits.iter().try_fold(0_i64, |value, digit| match digit {
                    b'0'..=b'7' => value
                        .checked_mul(8)
                        .and_then(|value| value.checked_add(i64::from(digit - b'0')))
                        .ok_or_else(refuse),
                    _ => Err(refuse()),
                })
            }
        }
    }

    fn natural<T: TryFrom<i64>>(&self, field: Field, what: &str) -> Result<T, String> {
        T::try_from(self.number(field)?).map_err(|_| format!("its {what} is out of range"))
    }

    pub(crate) fn kind(&self) -> u8 {
        self.0.get(TYPE).copied().unwrap_or(0)
    }

    /// The path: prefix and name.
    pub(crate) fn path(&self) -> Vec<u8> {
        let name = self.text(NAME);
        // GNU's own format has other things where ustar has the prefix.
        let prefix = if self.field(MAGIC) == USTAR { self.text(PREFIX) } else { b"" };
        if prefix.is_empty() { name.to_vec() } else { [prefix, name].join(&b'/') }
    }

    pub(crate) fn link(&self) -> &'a [u8] {
        self.text(LINK)
    }

    pub(crate) fn mode(&self) -> Result<u32, String> {
        // Some writers add the bits of the file type.
        self.natural::<u32>(MODE, "mode").map(|mode| mode & 0o7777)
    }

    pub(crate) fn uid(&self) -> Result<u32, String> {
        self.natural(UID, "owner")
    }

    pub(crate) fn gid(&self) -> Result<u32, String> {
        self.natural(GID, "group")
    }

    pub(crate) fn size(&self) -> Result<u64, String> {
        self.natural(SIZE, "size")
    }

    pub(crate) fn mtime(&self) -> Result<i64, String> {
        self.number(MTIME)
    }

    pub(crate) fn device(&self) -> Result<(u32, u32), String> {
        Ok((self.natural(MAJOR, "device")?, self.natural(MINOR, "device")?))
    }

    /// Of GNU's old form of a sparse file: the segments in this block, whether another block with
    /// more of them follows, and the size of the file.
    pub(crate) fn old_sparse(&self) -> Result<(OldSparseMap, u64), String> {
        let size = self.natural(483..495, "size")?;
        Ok((old_sparse_map(self.0, 386, 4)?, size))
    }
}

/// Offsets and lengths of segments, and whether another block with more of them follows.
pub(crate) type OldSparseMap = (Vec<(u64, u64)>, bool);

/// The `count` pairs of GNU's old sparse map from `from` on, and whether another block follows.
pub(crate) fn old_sparse_map(
    block: &Block,
    from: usize,
    count: usize,
) -> Result<OldSparseMap, String> {
    let header = Header(block);
    let mut segments = Vec::new();
    for at in (0..count).map(|index| from + index * 24) {
        if header.field(at..at + 12).first().is_none_or(|byte| *byte == 0) {
            break;
        }
        let offset = header.natural(at..at + 12, "map of holes")?;
        let length = header.natural(at + 12..at + 24, "map of holes")?;
        segments.push((offset, length));
    }
    let more = header.field(from + count * 24..from + count * 24 + 1) == [1];
    Ok((segments, more))
}

fn big(bytes: &[u8], sign: i64) -> Option<i64> {
    bytes.iter().try_fold(sign, |value, byte| value.checked_mul(256)?.checked_add(i64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let mut encoder = Encoder::new(b'0');
        assert!(encoder.path(b"a/b") && encoder.link(b"to") && encoder.uid(7) && encoder.gid(8));
        assert!(encoder.size(0o777_7777_7777) && encoder.mtime(1) && encoder.device(3, 4));
        encoder.mode(0o4755);
        let block = encoder.finish();
        let header = Header::parse(&block).expect("header");
        assert_eq!(
            (header.path(), header.link(), header.kind()),
            (b"a/b".to_vec(), &b"to"[..], 48)
        );
        assert_eq!((header.mode(), header.uid(), header.gid()), (Ok(0o4755), Ok(7), Ok(8)));
        assert_eq!((header.size(), header.mtime()), (Ok(0o777_7777_7777), Ok(1)));
        assert_eq!(header.device(), Ok((3, 4)));
    }

    #[test]
    fn says_what_does_not_fit() {
        let mut encoder = Encoder::new(b'0');
        assert!(!encoder.size(0o1000_0000_0000) && !encoder.uid(0o1000_0000));
        assert!(!encoder.mtime(-1) && !encoder.link(&[b'l'; 101]));
        assert!(!encoder.path(&[b'p'; 101]), "no place to split");
    }

    #[test]
    fn long_paths_are_split_where_ustar_allows_it() {
        for (prefix, name, fits) in
            [(155, 100, true), (156, 100, false), (155, 101, false), (1, 100, true), (0, 100, true)]
        {
            let path = match prefix {
                0 => vec![b'n'; name],
                _ => [vec![b'p'; prefix], vec![b'n'; name]].join(&b'/'),
            };
            let mut encoder = Encoder::new(b'0');
            assert_eq!(encoder.path(&path), fits, "{prefix}/{name}");
            if fits {
                let block = encoder.finish();
                assert_eq!(Header::parse(&block).expect("header").path(), path);
            }
        }
        // A directory's `/` at the end is no place to split.
        let directory = [vec![b'd'; 100], b"/".to_vec()].concat();
        assert!(!Encoder::new(b'5').path(&directory));
    }

    #[test]
    fn each_changed_byte_is_seen() {
        let mut encoder = Encoder::new(b'0');
        encoder.path(b"name");
        let block = encoder.finish();
        for at in 0..BLOCK {
            let mut bad = block;
            bad[at] ^= 1;
            // The end of the checksum's own field may be a space or a NUL.
            assert!(at == 154 || at == 155 || Header::parse(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn odd_numbers_are_refused() {
        let number = |text: &[u8]| {
            let mut block = [0; BLOCK];
            put(&mut block, SIZE, text);
            Header(&block).natural::<u64>(SIZE, "size")
        };
        assert_eq!(number(b"  17 \0"), Ok(15));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\0\x01\x02"), Ok(258));
        assert_eq!(number(b""), Ok(0));
        for bad in [
            &b"-1"[..],
            b"0x1",
            b"8",
            b"1 2",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(number(bad).is_err(), "{bad:?}");
        }
    }
}
