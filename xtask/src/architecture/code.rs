//! Rust text without what is not code.

/// `text` with comments, strings and character literals blanked out; lines stay lines.
pub(super) fn only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if c == '"' {
            quoted(rest, '"')
        } else if let Some(length) = raw_string(rest, &out) {
            length
        } else if let Some(length) = character(rest) {
            length
        } else {
            out.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            continue;
        };
        let (skipped, after) = rest.split_at(length.min(rest.len()));
        out.extend(skipped.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = after;
    }
    out
}

/// The length of the block comment that `text` begins with; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the literal that `text` begins with, up to an unescaped `end`.
fn quoted(text: &str, end: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == end => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// The length of `r"…"`, `r#"…"#` and so on; nothing when `text` begins with none, or when its `r`
/// ends a name.
fn raw_string(text: &str, before: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    let prefix = before.strip_suffix('b').or(before.strip_suffix('c')).unwrap_or(before);
    if prefix.ends_with(in_name) {
        return None;
    }
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after.trim_start_matches('#').strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(1 + hashes + 1 + length)
}

/// The length of a character literal; nothing for a lifetime.
fn character(text: &str) -> Option<usize> {
    let after = text.strip_prefix('\'')?;
    let first = after.chars().next()?;
    if first == '\\' {
        return Some(quoted(text, '\''));
    }
    let rest = after.get(first.len_utf8()..)?;
    rest.starts_with('\'').then(|| 2 + first.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::only;

    fn squeezed(text: &str) -> String {
        only(text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn keeps_code_and_drops_the_rest() {
        for (text, code) in [
            ("a // unsafe\nb", "a b"),
            ("a /* x /* unsafe */ y */ b", "a b"),
            (r#"f("unsafe \" x") g"#, "f( ) g"),
            ("r\"a\\\" b", "b"),
            ("br#\"a\"b\"# c", "b c"),
            ("var\"x\" y", "var y"),
            ("'\"' a '\\'' b 'x", "a b 'x"),
            ("<'a> 'é' c", "<'a> c"),
        ] {
            assert_eq!(squeezed(text), code, "{text}");
        }
    }

    #[test]
    fn keeps_the_number_of_lines() {
        let text = "a\n/* b\nc */ \"d\ne\"\nf";
        assert_eq!(only(text).lines().count(), text.lines().count());
    }
}
