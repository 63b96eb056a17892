//! Giving back the pages of this program's own file while it waits.
//!
//! A process counts every page of its file that it has mapped, and the kernel maps sixteen around
//! each one that is touched. A process that has done most of its work and waits needs nearly none
//! of them; they stay in the kernel's cache and come back as they are touched.

use std::io;
use std::ops::Range;

use rustix::mm::{Advice, madvise};

/// Unmaps the pages of this program's code and constants from this process. The code that runs
/// next brings back what it touches. Nothing happens where the program's layout is not known.
///
/// # Errors
/// As madvise(2).
pub fn give_back() -> io::Result<()> {
    for pages in unchanging() {
        // SAFETY: `pages` lies in a mapping of this program's file that is never written (see
        // `unchanging`), so that each page reads after this call as it did before, from the file.
        unsafe { madvise(pages.start as *mut _, pages.len(), Advice::LinuxDontNeed)? };
    }
    Ok(())
}

/// The addresses of the whole pages of the segments that are the same in memory as in the file:
/// loaded, never writable, and outside of what the dynamic loader, or in a static program the C
/// library, relocates before it is made read-only (`PT_GNU_RELRO`). Code is not relocated: linkers
/// refuse that for Rust programs (`-z text`).
fn unchanging() -> Vec<Range<usize>> {
    // SAFETY: getauxval takes a number and has no preconditions.
    let [at, count, page] = [libc::AT_PHDR, libc::AT_PHNUM, libc::AT_PAGESZ]
        .map(|entry| unsafe { libc::getauxval(entry) } as usize);
    if at == 0 || !page.is_power_of_two() {
        return Vec::new();
    }
    // SAFETY: the kernel tells the address and the number of the program headers of the running
    // program, which lie in its first mapping. That is never unmapped nor written.
    let headers = unsafe { std::slice::from_raw_parts(at as *const libc::Elf64_Phdr, count) };
    let of = |kind: u32| headers.iter().filter(move |header| header.p_type == kind);
    // Without this header, where the others point is not known.
    let Some(own) = of(libc::PT_PHDR).next() else { return Vec::new() };
    let moved_by = at.wrapping_sub(own.p_vaddr as usize);
    let addresses = |header: &libc::Elf64_Phdr, length: u64| {
        let start = moved_by.wrapping_add(header.p_vaddr as usize);
        start..start.saturating_add(length as usize)
    };
    // Widened to whole pages, so that a page which holds something of both counts as changing.
    let changing: Vec<Range<usize>> = of(libc::PT_LOAD)
        .filter(|header| header.p_flags & libc::PF_W != 0)
        .chain(of(libc::PT_GNU_RELRO))
        .map(|header| addresses(header, header.p_memsz))
        .map(|range| range.start & !(page - 1)..range.end.next_multiple_of(page))
        .collect();
    of(libc::PT_LOAD)
        .map(|header| addresses(header, header.p_filesz))
        .map(|range| range.start.next_multiple_of(page)..range.end & !(page - 1))
        .filter(|range| !range.is_empty())
        .filter(|range| !changing.iter().any(|c| c.start < range.end && range.start < c.end))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mappings that hold something of `pages`, as text of /proc/PID/smaps.
    fn mappings(pages: &[Range<usize>]) -> Vec<String> {
        let text = std::fs::read_to_string("/proc/self/smaps").expect("readable");
        let mut found: Vec<String> = Vec::new();
        let mut within = false;
        for line in text.lines() {
            let number = |digits| usize::from_str_radix(digits, 16).ok();
            let range = line.split(' ').next().and_then(|word| word.split_once('-'));
            if let Some((start, end)) = range.and_then(|(a, b)| Some((number(a)?, number(b)?))) {
                within = pages.iter().any(|p| p.start < end && start < p.end);
                found.extend(within.then(String::new));
            }
            if let Some(mapping) = found.last_mut().filter(|_| within) {
                mapping.push_str(line);
                mapping.push('\n');
            }
        }
        found
    }

    fn kibibytes(mappings: &[String], key: &str) -> usize {
        let lines = mappings.iter().flat_map(|mapping| mapping.lines());
        let values = lines.filter_map(|line| line.strip_prefix(key)?.trim().strip_suffix(" kB"));
        values.map(|value| value.parse::<usize>().expect("a number")).sum()
    }

    #[test]
    fn finds_code_and_nothing_that_is_written() {
        let pages = unchanging();
        let code = finds_code_and_nothing_that_is_written as fn() as usize;
        assert!(pages.iter().any(|range| range.contains(&code)), "{code:x} in {pages:x?}");
        // A static that holds an address is relocated in a program that can lie anywhere.
        static RELOCATED: [&str; 2] = ["relocated", "too"];
        let written = [&raw const RELOCATED as usize, &raw const *Box::leak(Box::new(1)) as usize];
        for address in written {
            assert!(!pages.iter().any(|range| range.contains(&address)), "{address:x}");
        }
        for mapping in mappings(&pages) {
            assert!(mapping.lines().any(|line| line == "Anonymous:             0 kB"), "{mapping}");
            assert!(mapping.contains(" r-") && !mapping.contains(" rw"), "{mapping}");
        }
    }

    #[test]
    fn what_was_given_back_is_no_longer_resident_and_still_works() {
        let pages = unchanging();
        for range in &pages {
            // SAFETY: it only maps pages that were mapped when they were touched.
            let touched =
                unsafe { madvise(range.start as *mut _, range.len(), Advice::LinuxPopulateRead) };
            if let Err(errno) = touched {
                eprintln!("SKIPPED(no MADV_POPULATE_READ before Linux 5.14: {errno})");
                return;
            }
        }
        let before = kibibytes(&mappings(&pages), "Rss:");
        give_back().expect("madvise");
        let after = kibibytes(&mappings(&pages), "Rss:");
        let all: usize = pages.iter().map(|range| range.len() / 1024).sum();
        assert!(before >= all, "{before} of {all} KiB");
        assert!(after < before, "{before} KiB before, {after} KiB after");
        assert_eq!(format!("{:?}", Some("relocated")), "Some(\"relocated\")");
    }
}
