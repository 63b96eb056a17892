//! Turns the built-in rules into constants, so that a command that is judged pays nothing for
//! reading them.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt::{Display, Write as _};
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
    let mut pack = Pack::default();
    let mut examples = String::from("&[\n");
    let mut texts = String::from("&[\n");
    for file in files {
        let text = fs::read_to_string(&file)?;
        let family = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let forms: Vec<RuleForm> = serde_saphyr::from_str(&text)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let _ = writeln!(texts, "({family:?}, {text:?}),");
        for form in forms {
            pack.add(&family, &form);
            for (list, expected) in [(&form.matches, true), (&form.no_match, false)] {
                for command in list {
                    let _ = writeln!(examples, "({:?}, {command:?}, {expected}),", form.id);
                }
            }
        }
    }
    examples.push(']');
    texts.push(']');
    let out = env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("rules.rs"), pack.source())?;
    fs::write(Path::new(&out).join("texts.rs"), texts)?;
    fs::write(Path::new(&out).join("examples.rs"), examples)?;
    Ok(())
}

/// The source of constants in the making. None of them points to another (see `src/rules/text.rs`).
#[derive(Default)]
struct Pack {
    text: String,
    places: HashMap<String, usize>,
    texts: Vec<String>,
    rules: Vec<String>,
    effects: Vec<String>,
    remarks: Vec<String>,
    programs: BTreeMap<String, Vec<usize>>,
    patterns: Vec<usize>,
}

impl Pack {
    fn add(&mut self, family: &str, form: &RuleForm) {
        let number = self.rules.len();
        let effects = kinds("EffectKind", &form.effect);
        let remarks = kinds("RemarkKind", &form.remark);
        let mut source = format!(
            "Rule {{ id: {}, family: {}, risk: Risk::{}, reason: {}, hint: {}, effects: {effects}, \
             remarks: {remarks}, classes: {}, with: {}, with_any: {}, without: {}, ",
            self.text(&form.id),
            self.text(family),
            camel(&form.risk),
            self.text(&form.reason),
            self.text(&form.hint),
            kinds("PathClass", &form.target),
            qualities(&form.with),
            qualities(&form.with_any),
            qualities(&form.without),
        );
        for (name, list) in [
            ("paths", &form.path),
            ("not_paths", &form.not_path),
            ("hosts", &form.host),
            ("named", &form.named),
            ("programs", &form.program),
            ("not_programs", &form.not_program),
            ("words", &form.word),
            ("any_words", &form.any_word),
            ("not_words", &form.not_word),
            ("options", &form.option),
            ("all_options", &form.all_option),
            ("not_options", &form.not_option),
            ("arguments", &form.argument),
            ("all_arguments", &form.all_argument),
            ("not_arguments", &form.not_argument),
        ] {
            let _ = write!(source, "{name}: {}, ", self.list(list));
        }
        source.push('}');
        self.rules.push(source);
        self.effects.push(effects);
        self.remarks.push(remarks);
        let names = &form.program.0;
        if !form.effect.0.is_empty() {
            // Found by its effects.
        } else if names.iter().any(|name| name.contains(['*', '?', '['])) {
            self.patterns.push(number);
        } else {
            for name in names {
                self.programs.entry(name.clone()).or_default().push(number);
            }
        }
    }

    /// The source of a text.
    fn text(&mut self, text: &str) -> String {
        let start = *self.places.entry(text.to_owned()).or_insert_with(|| {
            self.text.push_str(text);
            self.text.len() - text.len()
        });
        format!("Text::built_in({start}, {})", text.len())
    }

    /// The source of a list of texts.
    fn list(&mut self, list: &OneOrMore) -> String {
        if list.0.is_empty() {
            return "Texts::NONE".to_owned();
        }
        let first = self.texts.len();
        for text in &list.0 {
            let text = self.text(text);
            self.texts.push(text);
        }
        format!("Texts::built_in({first}, {})", list.0.len())
    }

    fn source(mut self) -> String {
        let mut programs = Vec::new();
        let mut of_programs = Vec::new();
        for (name, rules) in std::mem::take(&mut self.programs) {
            programs.push(format!(
                "({}, {}, {})",
                self.text(&name),
                of_programs.len(),
                rules.len()
            ));
            of_programs.extend(rules);
        }
        let mut source = format!("pub(super) static TEXT: &str = {:?};\n", self.text);
        array(&mut source, "pub(super) static TEXTS", "Text", &self.texts);
        array(&mut source, "static RULES", "Rule", &self.rules);
        array(&mut source, "static EFFECTS", "KindSet<EffectKind>", &self.effects);
        array(&mut source, "static REMARKS", "KindSet<RemarkKind>", &self.remarks);
        array(&mut source, "static PROGRAMS", "(Text, u16, u16)", &programs);
        array(&mut source, "static OF_PROGRAMS", "u16", &of_programs);
        array(&mut source, "static PATTERNS", "u16", &self.patterns);
        source
    }
}

fn array<T: Display>(source: &mut String, name: &str, kind: &str, items: &[T]) {
    let _ = writeln!(source, "{name}: [{kind}; {}] = [", items.len());
    for item in items {
        let _ = writeln!(source, "{item},");
    }
    source.push_str("];\n");
}

fn kinds(kind: &str, list: &OneOrMore) -> String {
    let items: Vec<String> =
        list.0.iter().map(|text| format!("{kind}::{} as u8", camel(text))).collect();
    format!("KindSet::of_numbers(&[{}])", items.join(", "))
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
