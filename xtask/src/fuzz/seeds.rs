//! What fuzzing starts from: the commands, programs and rules of the repository itself.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::failure::{Answer, Failure};

/// Writes the seeds into `fuzz/corpus`, beside what earlier runs found there.
pub(super) fn write(root: &Path) -> Answer {
    let corpora = files(&root.join("crates/policy/corpora"), "jsonl")?;
    let (mut commands, mut programs) = (Vec::new(), Vec::new());
    for path in corpora {
        for line in read(&path)?.lines() {
            let row: Value = serde_json::from_str(line).map_err(|source| Failure::Output {
                program: path.display().to_string(),
                source,
            })?;
            let text = row.get("cmd").and_then(Value::as_str).unwrap_or_default();
            match row.get("lang").and_then(Value::as_str).and_then(language_letter) {
                Some(letter) => programs.push(format!("{letter}{text}")),
                None => commands.push(text.to_owned()),
            }
        }
    }
    let mut rules = Vec::new();
    for path in files(&root.join("crates/policy/rules"), "yaml")? {
        // Whole families are long; a rule of them is a better start.
        let text = read(&path)?;
        rules.extend(text.split("\n\n").map(|rule| format!("y{rule}")));
    }
    rules.extend(RULES.iter().map(|text| (*text).to_owned()));
    for (target, texts) in [("command", commands), ("program", programs), ("rules", rules)] {
        let folder = root.join("fuzz/corpus").join(target);
        fs::create_dir_all(&folder).map_err(Failure::io("make", &folder))?;
        for (number, text) in texts.iter().enumerate() {
            let path = folder.join(format!("seed-{number}"));
            fs::write(&path, text).map_err(Failure::io("write", &path))?;
        }
    }
    Ok(())
}

/// How the target `program` names a language.
fn language_letter(name: &str) -> Option<char> {
    Some(match name {
        "python" => 'p',
        "javascript" => 'j',
        "perl" => 'l',
        "ruby" => 'r',
        "php" => 'h',
        "lua" => 'u',
        "awk" => 'a',
        _ => return None,
    })
}

/// Rules in the forms of other tools, and of packs.
const RULES: [&str; 5] = [
    "xprefix_rule(pattern=[\"git\", [\"push\", \"fetch\"]], decision=\"prompt\", match=[\"git push\"])",
    "c{\"permissions\":{\"allow\":[\"Bash(git diff:*)\"],\"deny\":[\"Read(./.env)\"],\"ask\":[\"Bash(rm *)\"]}}",
    "yversion: 1\nrules:\n  - id: a\n    risk: high\n    prefix: [a, [b, c]]\n    when: 'risk == \"low\"'\n    reason: r\n    hint: h\n    match: [\"a b\"]\n",
    "tversion: 1\noverrides:\n  - rule: push-force\n    risk: critical\n",
    "yversion: 1\nrules:\n  - id: a\n    allow: true\n    command: [\"make *\"]\n    executable: [/usr/bin/make]\n    reason: r\n    hint: h\n",
];

fn files(folder: &Path, extension: &str) -> Answer<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Failure::io("list", folder))? {
        let path = entry.map_err(Failure::io("list", folder))?.path();
        if path.extension().is_some_and(|one| one == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Answer<String> {
    fs::read_to_string(path).map_err(Failure::io("read", path))
}
