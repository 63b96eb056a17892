//! Reading labelled commands.

use std::fmt;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::failure::{Answer, Failure};

/// How risky something is, from the least to the most: the words of the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Risk {
    Low,
    Medium,
    High,
    Critical,
}

impl Risk {
    pub(super) const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    pub(super) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|risk| risk.name() == word)
    }
}

/// What a row should be found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Label {
    Critical,
    High,
    Medium,
    Benign,
}

impl Label {
    pub(super) const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Medium, Self::Benign];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Benign => "benign",
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One labelled command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The line of the file, from 1.
    pub(super) line: usize,
    pub(super) command: String,
    pub(super) label: Label,
    /// The language, when the row names one; else it is shell.
    pub(super) language: Option<String>,
    /// The trick that an evasion uses.
    pub(super) family: Option<String>,
}

impl Row {
    /// Whether it is code of another language than the shell's.
    pub(super) fn is_code(&self) -> bool {
        self.language.as_deref().is_some_and(|language| language != "shell")
    }
}

/// Reads a file of JSON lines. Empty lines are passed over; a row that cannot be read is an error
/// that names the file and the line.
pub(super) fn read(file: &Path) -> Answer<Vec<Row>> {
    let text = fs::read_to_string(file).map_err(Failure::io("read", file))?;
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let row = row(number, line)
            .map_err(|reason| Failure::told(format!("{}:{number}: {reason}", file.display())))?;
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(Failure::told(format!("{} holds no rows", file.display())));
    }
    Ok(rows)
}

fn row(number: usize, line: &str) -> Result<Row, String> {
    let value: Value = serde_json::from_str(line).map_err(|source| source.to_string())?;
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    let optional = |field: &str| match value.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(word)) => Ok(Some(word.clone())),
        Some(_) => Err(format!("`{field}` is no text")),
    };
    let command = text("cmd").ok_or("`cmd` is missing or no text")?.to_owned();
    let word = text("label").ok_or("`label` is missing or no text")?;
    let label = Label::ALL
        .into_iter()
        .find(|label| label.name() == word)
        .ok_or_else(|| format!("`{word}` is none of critical, high, medium, benign"))?;
    let (language, family) = (optional("lang")?, optional("family")?);
    Ok(Row { line: number, command, label, language, family })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn refusal(text: &str) -> String {
        let (_folder, path) = file(text);
        read(&path).unwrap_err().to_string()
    }

    #[test]
    fn a_row_is_read_with_its_line_and_all_that_it_says() {
        let (_folder, path) = file(concat!(
            "{\"cmd\": \"ls\\n-l\", \"label\": \"benign\", \"why\": 7}\n\n",
            "{\"cmd\": \"x\", \"label\": \"high\", \"lang\": \"python\", \"family\": \"eval\"}\n",
        ));
        let rows = read(&path).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].command, "ls\n-l");
        assert_eq!((rows[0].label, rows[0].is_code()), (Label::Benign, false));
        assert_eq!((rows[1].line, rows[1].label, rows[1].is_code()), (3, Label::High, true));
        assert_eq!(rows[1].family.as_deref(), Some("eval"));
    }

    #[test]
    fn a_bad_row_is_told_with_file_and_line() {
        let good = "{\"cmd\": \"ls\", \"label\": \"benign\"}\n";
        for bad in [
            "not json",
            "[]",
            "{\"label\": \"benign\"}",
            "{\"cmd\": \"ls\"}",
            "{\"cmd\": \"ls\", \"label\": \"low\"}",
            "{\"cmd\": 1, \"label\": \"high\"}",
            "{\"cmd\": \"ls\", \"label\": \"high\", \"lang\": 1}",
        ] {
            let told = refusal(&format!("{good}{bad}\n"));
            assert!(told.contains("x.jsonl:2: "), "{told}");
        }
    }

    #[test]
    fn a_file_without_rows_is_an_error() {
        assert!(refusal("\n\n").contains("no rows"));
    }
}
