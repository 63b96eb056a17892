//! Columns of text.

use super::plain;

/// Prints rows under a heading, each column as wide as its widest cell. Prints nothing but
/// `when_empty` without rows.
pub(crate) fn print_table(heading: &[&str], rows: &[Vec<String>], when_empty: &str) {
    if rows.is_empty() {
        println!("{when_empty}");
        return;
    }
    columns(heading, rows).iter().for_each(|line| println!("{line}"));
}

/// The lines of a table: the heading, and the rows, with each column as wide as its widest cell.
pub(crate) fn columns(heading: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let heading: Vec<String> = heading.iter().map(|cell| (*cell).to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&heading).chain(&rows).collect();
    let columns = heading.len();
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            let padding = width.saturating_sub(cell.chars().count()) + 2;
            line.extend(std::iter::repeat_n(' ', padding));
        }
        line.trim_end().to_owned()
    };
    all.into_iter().map(line).collect()
}
