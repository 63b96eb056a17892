//! Packs as text.

use std::fmt::Write as _;

use super::entry::Entry;

/// A pack of entries.
pub(super) fn document(rules: &[Entry], overrides: &[Entry], notes: &[String]) -> String {
    let mut text = String::from("version: 1\n");
    if !notes.is_empty() {
        text.push_str("notes:\n");
        for note in notes {
            let _ = writeln!(text, "  - {}", scalar(note));
        }
    }
    for (section, entries, id) in [("rules", rules, "id"), ("overrides", overrides, "rule")] {
        if entries.is_empty() {
            continue;
        }
        let _ = writeln!(text, "{section}:");
        for one in entries {
            for line in entry(one, id).lines() {
                let _ = writeln!(text, "  {line}");
            }
        }
    }
    text
}

/// One entry, as an item of a list.
pub(super) fn entry(entry: &Entry, id: &str) -> String {
    let form = &entry.form;
    let mut text = format!("- {id}: {}\n", scalar(&form.id));
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "  {key}: {value}");
    };
    for (key, value) in [("risk", &form.risk)] {
        if !value.is_empty() {
            line(key, &scalar(value));
        }
    }
    if entry.allow {
        line("allow", "true");
    }
    if !entry.prefix.is_empty() {
        let places: Vec<String> = entry.prefix.iter().map(|place| one_or_more(place)).collect();
        line("prefix", &format!("[{}]", places.join(", ")));
    }
    for (key, list) in entry.lists() {
        if !list.is_empty() {
            line(key, &sequence(list));
        }
    }
    if let Some(when) = &entry.when {
        line("when", &scalar(when));
    }
    for (key, value) in [("reason", &form.reason), ("hint", &form.hint)] {
        if !value.is_empty() {
            line(key, &scalar(value));
        }
    }
    for (key, list) in [("match", &form.matches), ("no_match", &form.no_match)] {
        if !list.is_empty() {
            line(key, &sequence(list));
        }
    }
    text
}

fn one_or_more(list: &[String]) -> String {
    match list {
        [one] => scalar(one),
        _ => sequence(list),
    }
}

fn sequence(list: &[String]) -> String {
    let items: Vec<String> = list.iter().map(|item| scalar(item)).collect();
    format!("[{}]", items.join(", "))
}

/// A text as YAML: plain where nothing could be misread, else in double quotes.
fn scalar(text: &str) -> String {
    let mut bytes = text.bytes();
    let begins = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'/');
    let goes_on = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./ ;=".contains(&byte);
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
    );
    if begins && bytes.all(goes_on) && !text.ends_with(' ') && !word {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            ' '..='~' => quoted.push(letter),
            _ if u32::from(letter) > 0xffff => {
                let _ = write!(quoted, "\\U{:08x}", u32::from(letter));
            }
            _ if letter.is_alphanumeric() => quoted.push(letter),
            _ => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(letter));
            }
        }
    }
    quoted.push('"');
    quoted
}
