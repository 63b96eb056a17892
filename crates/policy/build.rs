//! Turns the built-in rules into constants, so that a command that is judged pays nothing for
//! reading them.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

#[path = "src/rules/form.rs"]
#[allow(dead_code, reason = "the examples are read by the tests")]
mod form;

use form::{OneOrMore, RuleForm};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=rules");
    println!("cargo::rerun-if-changed=src/rules/form.rs");
    let mut files = Vec::new();
    for entry in fs::read_dir("rules")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    let mut rules = String::from("&[\n");
    let mut examples = String::from("&[\n");
    let mut texts = String::from("&[\n");
    for file in files {
        let text = fs::read_to_string(&file)?;
        let family = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let forms: Vec<RuleForm> = serde_saphyr::from_str(&text)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let _ = writeln!(texts, "({family:?}, {text:?}),");
        for form in forms {
            rule(&mut rules, &family, &form);
            for (list, expected) in [(&form.matches, true), (&form.no_match, false)] {
                for command in list {
                    let _ = writeln!(examples, "({:?}, {command:?}, {expected}),", form.id);
                }
            }
        }
    }
    rules.push(']');
    examples.push(']');
    texts.push(']');
    let out = env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("rules.rs"), rules)?;
    fs::write(Path::new(&out).join("texts.rs"), texts)?;
    fs::write(Path::new(&out).join("examples.rs"), examples)?;
    Ok(())
}

fn rule(text: &mut String, family: &str, form: &RuleForm) {
    let _ = writeln!(
        text,
        "Rule {{ id: Cow::Borrowed({:?}), family: Cow::Borrowed({family:?}), risk: Risk::{}, \
         reason: Cow::Borrowed({:?}), hint: Cow::Borrowed({:?}), effects: {}, classes: {}, paths: {}, \
         not_paths: {}, hosts: {}, named: {}, with: {}, with_any: {}, without: {}, remarks: {}, \
         programs: {}, not_programs: {}, words: {}, any_words: {}, not_words: {}, options: {}, all_options: {}, \
         not_options: {}, arguments: {}, all_arguments: {}, not_arguments: {} }},",
        form.id,
        camel(&form.risk),
        form.reason,
        form.hint,
        variants("EffectKind", &form.effect),
        variants("PathClass", &form.target),
        texts(&form.path),
        texts(&form.not_path),
        texts(&form.host),
        texts(&form.named),
        qualities(&form.with),
        qualities(&form.with_any),
        qualities(&form.without),
        variants("RemarkKind", &form.remark),
        texts(&form.program),
        texts(&form.not_program),
        texts(&form.word),
        texts(&form.any_word),
        texts(&form.not_word),
        texts(&form.option),
        texts(&form.all_option),
        texts(&form.not_option),
        texts(&form.argument),
        texts(&form.all_argument),
        texts(&form.not_argument),
    );
}

fn texts(list: &OneOrMore) -> String {
    let items: Vec<String> = list.0.iter().map(|text| format!("Cow::Borrowed({text:?})")).collect();
    format!("Cow::Borrowed(&[{}])", items.join(", "))
}

fn variants(kind: &str, list: &OneOrMore) -> String {
    let items: Vec<String> = list.0.iter().map(|text| format!("{kind}::{}", camel(text))).collect();
    format!("Cow::Borrowed(&[{}])", items.join(", "))
}

fn qualities(list: &OneOrMore) -> String {
    list.0.iter().fold("Qualities::NONE".to_owned(), |text, name| {
        let constant = match name.as_str() {
            "all" => "ALL_OF_THEM".to_owned(),
            name => name.replace('-', "_").to_uppercase(),
        };
        format!("{text}.with(Qualities::{constant})")
    })
}

fn camel(text: &str) -> String {
    text.split('-')
        .map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            first.to_uppercase() + rest
        })
        .collect()
}
