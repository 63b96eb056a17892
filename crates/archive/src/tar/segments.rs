//! Where the data of a sparse file lies.

use crate::entry::Segment;

/// Checks a map that came from outside: ascending, apart, within `size`, `data` bytes in all.
/// Segments that touch become one; those of no length say nothing.
pub(super) fn check(
    segments: impl Iterator<Item = Segment>,
    size: u64,
    data: u64,
) -> Result<Vec<Segment>, String> {
    let mut kept: Vec<Segment> = Vec::new();
    let (mut end, mut sum) = (0_u64, 0_u64);
    for segment in segments {
        if segment.offset < end {
            return Err("its map of holes goes backwards".to_owned());
        }
        end = segment
            .offset
            .checked_add(segment.length)
            .filter(|end| *end <= size)
            .ok_or_else(|| "its map of holes leaves the file".to_owned())?;
        sum = sum.saturating_add(segment.length);
        match kept.last_mut() {
            _ if segment.length == 0 => {}
            Some(last) if last.offset + last.length == segment.offset => {
                last.length += segment.length;
            }
            _ => kept.push(segment),
        }
    }
    if sum == data {
        Ok(kept)
    } else {
        Err(format!("its map of holes tells of {sum} bytes and there are {data}"))
    }
}

/// The numbers of a map as text.
pub(super) struct Decimals {
    most: usize,
    /// How many numbers there will be, once that is known.
    expected: Option<usize>,
    numbers: Vec<u64>,
    number: u64,
    digits: u8,
}

impl Decimals {
    pub(super) fn new(most: usize) -> Self {
        Self { most, expected: None, numbers: Vec::new(), number: 0, digits: 0 }
    }

    pub(super) fn complete(&self) -> bool {
        self.expected.is_some_and(|expected| self.numbers.len() >= expected)
    }

    /// Takes one more block.
    pub(super) fn take(&mut self, block: &[u8]) -> Result<(), String> {
        for byte in block {
            if self.complete() {
                break;
            }
            match byte {
                b'0'..=b'9' if self.digits < 19 => {
                    self.number = self.number * 10 + u64::from(byte - b'0');
                    self.digits += 1;
                }
                b'\n' if self.digits > 0 => {
                    let number = std::mem::take(&mut self.number);
                    self.digits = 0;
                    self.add(number)?;
                }
                _ => return Err("its map of holes is no list of numbers".to_owned()),
            }
        }
        Ok(())
    }

    fn add(&mut self, number: u64) -> Result<(), String> {
        if self.expected.is_some() {
            self.numbers.push(number);
            return Ok(());
        }
        let count = usize::try_from(number).ok().filter(|count| *count <= self.most);
        let count =
            count.ok_or_else(|| format!("it has {number} holes, more than {}", self.most))?;
        self.expected = Some(count * 2);
        Ok(())
    }

    pub(super) fn pairs(&self) -> Vec<(u64, u64)> {
        let pair = |pair: &[u64]| match pair {
            [offset, length] => Some((*offset, *length)),
            _ => None,
        };
        self.numbers.chunks_exact(2).filter_map(pair).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(pairs: &[(u64, u64)]) -> impl Iterator<Item = Segment> {
        pairs.iter().map(|(offset, length)| Segment { offset: *offset, length: *length })
    }

    #[test]
    fn a_map_that_lies_is_refused() {
        let good = check(segments(&[(0, 5), (5, 5), (20, 10), (40, 0)]), 40, 20);
        assert_eq!(good.map(|kept| kept.len()), Ok(2));
        for (bad, size, data) in [
            (&[(10, 5), (0, 5)][..], 40, 10),
            (&[(0, 6), (5, 5)], 40, 11),
            (&[(0, 50)], 40, 50),
            (&[(u64::MAX, 2)], 40, 2),
            (&[(0, 5)], 40, 6),
        ] {
            assert!(check(segments(bad), size, data).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbers_end_where_they_say() {
        let read = |text: &[u8]| {
            let mut decimals = Decimals::new(3);
            decimals.take(text).map(|()| (decimals.complete(), decimals.pairs()))
        };
        assert_eq!(read(b"1\n2\n3\n\0\0"), Ok((true, vec![(2, 3)])));
        assert_eq!(read(b"0\n\0"), Ok((true, vec![])));
        assert_eq!(read(b"2\n1\n"), Ok((false, vec![])));
        for bad in [&b"4\n"[..], b"\n", b"-1\n", b"1\n\0", b"99999999999999999999\n"] {
            assert!(read(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
