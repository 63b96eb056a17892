//! The kinds of failures in the code and on the page that tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{NOT_EXECUTABLE, NOT_FOUND, NOT_GOOD, OWN_FAILURE, REFUSED, TIMED_OUT};

/// Exit code and kind.
type Kinds = BTreeSet<(u8, String)>;

const CODES: [(&str, u8); 6] = [
    ("NOT_GOOD", NOT_GOOD),
    ("REFUSED", REFUSED),
    ("TIMED_OUT", TIMED_OUT),
    ("OWN_FAILURE", OWN_FAILURE),
    ("NOT_EXECUTABLE", NOT_EXECUTABLE),
    ("NOT_FOUND", NOT_FOUND),
];

/// What functions for one exit code are called in [`BY_VARIABLES`], whose first argument is a kind.
const FUNCTIONS: [(&str, u8); 2] = [("failed(", OWN_FAILURE), ("refused(", REFUSED)];

/// Where a failure is made of a kind or a code that is no constant there: by a function of
/// [`FUNCTIONS`], or of a list of both.
const BY_VARIABLES: [&str; 3] =
    ["failure.rs", "commands/approval.rs", "commands/archive/failure.rs"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("kinds.rs") {
            found.push(path);
        }
    }
}

/// The texts of all source files, by their path below `src`, with all white space as single spaces.
fn texts() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&folder, &mut found);
    let text = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(");
        let name = path.strip_prefix(&folder).expect("below src").display().to_string();
        (name, text)
    };
    found.into_iter().map(text).collect()
}

/// The kind that `rest` begins with: a literal, or the name of a constant.
fn kind(rest: &str, constants: &BTreeMap<&str, &str>) -> Option<String> {
    if let Some(literal) = rest.strip_prefix('"') {
        let (word, _) = literal.split_once('"')?;
        let fits = word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        return (fits && !word.is_empty()).then(|| word.to_owned());
    }
    let end = rest.find(|c: char| !c.is_ascii_uppercase() && c != '_')?;
    constants.get(rest.get(..end)?).map(|word| (*word).to_owned())
}

/// What follows each `word`, where that is a word of its own.
fn after<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = &'t str> {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .filter(move |(at, _)| !text.get(..*at).unwrap_or_default().ends_with(in_name))
        .filter_map(move |(at, _)| text.get(at + word.len()..))
}

fn of_code(texts: &BTreeMap<String, String>) -> Kinds {
    let mut constants = BTreeMap::new();
    for text in texts.values() {
        for rest in after(text, "const ") {
            if let Some((name, value)) = rest.split_once(": &str = \"")
                && let Some((value, _)) = value.split_once('"')
            {
                constants.insert(name, value);
            }
        }
    }
    let mut kinds = Kinds::new();
    for (file, text) in texts {
        let by_code = CODES.iter().map(|(name, code)| (format!("{name}, "), *code));
        let by_function = FUNCTIONS.iter().map(|(name, code)| ((*name).to_owned(), *code));
        // Elsewhere functions of these names make other errors.
        let by_function = by_function.filter(|_| BY_VARIABLES.contains(&file.as_str()));
        for (begin, code) in by_code.chain(by_function) {
            for rest in after(text, &begin) {
                kinds.extend(kind(rest, &constants).map(|kind| (code, kind)));
            }
        }
    }
    kinds
}

/// The kinds in the table of the page, without what it explains.
fn of_page() -> Kinds {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/json.md");
    let page = fs::read_to_string(page).expect("the page");
    let (_, table) = page.split_once("\n## Failures\n").expect("the section");
    let mut kinds = Kinds::new();
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let Some(Ok(code)) = cells.next().map(str::parse::<u8>) else { continue };
        let mut words = cells.next().expect("kinds").to_owned();
        while let Some((before, rest)) = words.split_once('(') {
            let (_, behind) = rest.split_once(')').expect("the end of an explanation");
            words = [before, behind].concat();
        }
        let words = words.split('`').skip(1).step_by(2).map(|word| (code, word.to_owned()));
        kinds.extend(words);
    }
    kinds
}

#[test]
fn each_kind_stands_on_the_page_and_each_of_the_page_in_the_code() {
    let (code, page) = (of_code(&texts()), of_page());
    assert!(code.len() > 100, "the code is not read as it should be: {code:?}");
    let missing: Vec<_> = code.difference(&page).collect();
    let stale: Vec<_> = page.difference(&code).collect();
    assert!(missing.is_empty(), "docs/json.md does not tell of {missing:?}");
    assert!(stale.is_empty(), "docs/json.md tells of {stale:?}, which nothing in the code is");
}

#[test]
fn no_kind_is_hidden_in_a_variable() {
    for (file, text) in texts() {
        if BY_VARIABLES.contains(&file.as_str()) {
            continue;
        }
        for begin in ["Failure::new(", "Failure::caused("] {
            for rest in after(&text, begin) {
                let told = CODES.iter().find_map(|(name, _)| rest.strip_prefix(name));
                let told = told.and_then(|rest| rest.strip_prefix(", "));
                let fits =
                    |rest: &str| rest.starts_with(|c: char| c == '"' || c.is_ascii_uppercase());
                let shown: String = rest.chars().take(60).collect();
                assert!(
                    told.is_some_and(fits),
                    "{file}: {begin}{shown}: no constant code and kind"
                );
            }
        }
    }
}
