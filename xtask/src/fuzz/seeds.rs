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
    let images = IMAGES.iter().map(|text| (*text).to_owned()).collect();
    let all = [
        ("command", commands),
        ("image", images),
        ("layer", layers()),
        ("program", programs),
        ("rules", rules),
    ];
    for (target, texts) in all {
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

/// The documents of an image.
const IMAGES: [&str; 3] = [
    "i{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"size\":3,\"platform\":{\"architecture\":\"amd64\",\"os\":\"linux\"},\"annotations\":{\"org.opencontainers.image.ref.name\":\"a\"}}]}",
    "m{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"size\":3},\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"size\":3}]}",
    "c{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Env\":[\"A=b\"],\"Cmd\":null},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"]},\"history\":[{\"created_by\":\"x\",\"empty_layer\":true}]}",
];

/// Layers: tars, of which the target makes the sums right, and listings.
fn layers() -> Vec<String> {
    let entry = |name: &str, kind: char, link: &str, data: &str| {
        let size = data.len();
        let rest = data.len().next_multiple_of(512) - data.len();
        format!(
            "{name:\0<100}0000644\00000000\00000000\0{size:011o}\000000000000\0        {kind}{link:\0<100}\
             ustar\000{:\0<64}0000000\00000000\0{:\0<167}{data}{:\0<rest$}",
            "", "", ""
        )
    };
    let end = "\0".repeat(1024);
    let pax = entry(
        "p",
        'x',
        "",
        "20 path=a long name\n30 mtime=1700000000.123456789\n26 SCHILY.xattr.user.a=b\n",
    );
    let tars = [
        entry("a", '0', "", "content"),
        format!("{}{}", entry("d/", '5', "", ""), entry("d/.wh.gone", '0', "", "")),
        format!("{}{}", entry("a", '0', "", "x"), entry("b", '1', "a", "")),
        entry("link", '2', "../../etc", ""),
        format!("{pax}{}", entry("a", '0', "", "content")),
    ];
    let listing = "lctrlz-listing-1\n. dir mode=0755 uid=0 gid=0 time=1700000000\na link mode=0777 uid=0 gid=0 time=1 to=b\n";
    let tars = tars.iter().map(|tar| format!("t{tar}{end}"));
    tars.chain([listing.to_owned()]).collect()
}

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
