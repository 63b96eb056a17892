//! `ctrlz policy`: the rules that the validator asks, and those that somebody adds.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ctrlz_config::{Config, Flags, Places, PolicyFile, PolicyOrigin, ValidationLevel};
use ctrlz_core::event::ConfigurationFile;
use ctrlz_core::isolation::Network;
use ctrlz_policy::import::{self};
use ctrlz_policy::{Pack, PackError, Packs, Shown, Standing};
use serde_json::json;

use crate::Answer;
use crate::arguments::{PolicyAction, PolicyArguments, Tool};
use crate::failure::{Failure, NOT_GOOD, OWN_FAILURE, REFUSED};
use crate::places;
use crate::show::{self, plain, print_table};

/// The largest file of another tool's rules, in bytes.
const LARGEST: u64 = 1 << 20;
/// What `ctrlz policy new` writes.
const STARTER: &str = include_str!("starter-pack.yaml");

pub(crate) fn policy(arguments: &PolicyArguments, json: bool) -> Answer {
    match &arguments.action {
        PolicyAction::Show { rule } => show(rule.as_deref(), json),
        PolicyAction::Test { packs } => test(packs, json),
        PolicyAction::New { name } => new(name, json),
        PolicyAction::Import { tool, file } => import(*tool, file, json),
    }
}

/// No more files are recorded with an operation.
const MOST_RECORDED: usize = 32;

/// The packs in force in the working folder under a configuration, for a validator, and the files of
/// both.
fn packs(places: &Places, config: &Config) -> Result<(Packs, Vec<ConfigurationFile>), Failure> {
    let found = files(places)?;
    let parsed = found.iter().map(|file| {
        let standing = standing(file.origin, config);
        Pack::parse(&name_of(&file.path), &file.text, standing)
            .map_err(|error| failed(error.in_file(&file.path.to_string_lossy())))
    });
    let packs: Vec<Pack> = parsed.collect::<Result<_, _>>()?;
    let packs = Packs::new(packs)
        .with_network(config.network != Network::None)
        .with_profile(config.profile.word());
    let files = config.recorded.iter().cloned().chain(found.iter().map(PolicyFile::recorded));
    Ok((packs, files.take(MOST_RECORDED).collect()))
}

fn files(places: &Places) -> Result<Vec<PolicyFile>, Failure> {
    let found = ctrlz_config::policy_files(places)
        .map_err(|error| Failure::caused(OWN_FAILURE, "policy", &error))?;
    for path in &found.passed_over {
        eprintln!(
            "ctrlz: {} belongs to someone else and is not used",
            plain(&path.to_string_lossy())
        );
    }
    Ok(found.files)
}

/// What a pack may do, by who wrote it and the profile.
fn standing(origin: PolicyOrigin, config: &Config) -> Standing {
    let level = config.security_config.validation_level;
    if origin == PolicyOrigin::Project {
        let because = "a project's pack only tightens: put it into ~/.config/ctrlz/policy";
        return Standing::OnlyTightens { because: because.to_owned() };
    }
    if level == ValidationLevel::Strict {
        let profile = config.profile;
        let because =
            format!("the profile `{profile}` (validation_level: {level}) does not let it");
        return Standing::OnlyTightens { because };
    }
    Standing::MayLoosen
}

fn name_of(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

fn failed(error: PackError) -> Failure {
    Failure::caused(OWN_FAILURE, "policy", &error)
        .hint("`ctrlz policy test` lists all that is wrong with packs")
}

/// The packs in force in a folder under a configuration or the folder's own, and the files of both.
pub(crate) fn packs_in(
    folder: &Path,
    config: Option<&Config>,
) -> Result<(Packs, Vec<ConfigurationFile>), Failure> {
    match config {
        Some(config) => packs(&places::configuration(folder), config),
        None => {
            let (places, config) = in_folder(folder)?;
            packs(&places, &config)
        }
    }
}

fn here() -> Result<(Places, Config), Failure> {
    in_folder(&places::working_folder()?)
}

fn in_folder(folder: &Path) -> Result<(Places, Config), Failure> {
    let places = places::configuration(folder);
    let config = ctrlz_config::load(&places, &Flags::default())
        .map_err(|error| Failure::caused(OWN_FAILURE, "config", &error))?;
    Ok((places, config))
}

fn show(rule: Option<&str>, json: bool) -> Answer {
    let (places, config) = here()?;
    let (packs, _) = packs(&places, &config)?;
    let mut rules = ctrlz_policy::built_in();
    rules.extend(packs.packs().iter().flat_map(Pack::shown));
    if let Some(name) = rule {
        rules.retain(|shown| shown.rule == name || shown.overrides.as_deref() == Some(name));
        if rules.is_empty() {
            let message = format!("there is no rule `{name}`");
            return Err(Failure::new(OWN_FAILURE, "no-rule", message)
                .hint("`ctrlz policy show` lists all of them"));
        }
    }
    if json {
        show::print_json(&[("rules", show::to_json(&rules)?)]);
    } else if rule.is_some() {
        rules.iter().for_each(print_rule);
    } else {
        let rows: Vec<Vec<String>> = rules
            .iter()
            .map(|shown| {
                let family = shown.family.clone();
                vec![family, risk_of(shown), shown.rule.clone(), shown.reason.clone()]
            })
            .collect();
        print_table(&["FAMILY", "RISK", "RULE", "REASON"], &rows, "no rules");
        for pack in packs.packs() {
            for note in pack.notes() {
                println!("{}: {}", pack.name(), plain(note));
            }
        }
    }
    show::done()
}

fn risk_of(shown: &Shown) -> String {
    if shown.allows { "allow".to_owned() } else { shown.risk.to_string() }
}

fn print_rule(shown: &Shown) {
    let about = match &shown.overrides {
        Some(rule) => format!(", an override of {rule}"),
        None if may_not_loosen(shown) => ", which may not loosen anything here".to_owned(),
        None => String::new(),
    };
    let family = if shown.pack == shown.family {
        String::new()
    } else {
        format!(", family {}", shown.family)
    };
    println!("{}: {} (pack {}{family}{about})", shown.rule, risk_of(shown), shown.pack);
    println!("{}", plain_lines(&shown.yaml));
}

fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// Checks packs; those that are named need not be in force, and count as the user's.
fn test(paths: &[PathBuf], json: bool) -> Answer {
    let (places, config) = here()?;
    let files: Vec<PolicyFile> = if paths.is_empty() {
        files(&places)?
    } else {
        let read = |path: &PathBuf| {
            let text = read_file(path)?;
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let inside = path.parent().is_some_and(|folder| folder.ends_with(".ctrlz/policy"));
            let origin = if inside { PolicyOrigin::Project } else { PolicyOrigin::User };
            Ok(PolicyFile { path, text, origin })
        };
        paths.iter().map(read).collect::<Result<_, Failure>>()?
    };
    let mut wrong = Vec::new();
    let mut checked = Vec::new();
    for file in &files {
        let standing = standing(file.origin, &config);
        let of_file = standing.clone();
        let errors = match Pack::parse_unchecked(&name_of(&file.path), &file.text, standing) {
            Err(error) => vec![error],
            Ok(pack) => {
                checked.push(Checked::of(&file.path, &pack, &of_file));
                pack.failing_examples()
            }
        };
        let path = file.path.to_string_lossy();
        wrong.extend(errors.into_iter().map(|error| error.in_file(&path)));
    }
    let code = u8::from(!wrong.is_empty());
    if json {
        let packs: Vec<_> = checked
            .iter()
            .map(|Checked { path, rules, examples, without_effect }| {
                json!({
                    "path": path, "rules": rules, "examples": examples,
                    "without_effect": without_effect,
                })
            })
            .collect();
        let errors: Vec<_> = wrong
            .iter()
            .map(|error| {
                json!({
                    "path": error.pack, "line": error.line, "rule": error.rule, "key": error.key,
                    "message": error.message,
                })
            })
            .collect();
        let fields = [("packs", packs.into()), ("errors", errors.into())];
        if code > 0 {
            show::print_failure_json(&failed_test(&wrong), &fields);
        } else {
            show::print_json(&fields);
        }
        return Ok(code);
    }
    for error in &wrong {
        println!("{}", plain(&error.to_string()));
    }
    if files.is_empty() {
        println!("there are no packs; `ctrlz policy new NAME` begins one");
    }
    for Checked { path, rules, examples, without_effect } in checked {
        if !wrong.iter().any(|error| error.pack == path) {
            println!("{}: {rules} rules, {examples} examples hold", plain(&path));
        }
        for line in without_effect {
            println!("  {}", plain(&line));
        }
    }
    Ok(code)
}

/// A pack that can be read.
struct Checked {
    path: String,
    rules: usize,
    examples: usize,
    /// What it would allow and may not, with the reason.
    without_effect: Vec<String>,
}

impl Checked {
    fn of(path: &Path, pack: &Pack, standing: &Standing) -> Self {
        let shown = pack.shown();
        let without_effect = match standing {
            Standing::MayLoosen => Vec::new(),
            Standing::OnlyTightens { because } => {
                let held = shown.iter().filter(|shown| may_not_loosen(shown));
                held.map(|shown| format!("{} has no effect: {because}", shown.rule)).collect()
            }
        };
        Self {
            path: path.to_string_lossy().into_owned(),
            rules: shown.len(),
            examples: shown.iter().map(|one| one.matches.len() + one.no_match.len()).sum(),
            without_effect,
        }
    }
}

/// Whether a rule would allow something if its pack might.
fn may_not_loosen(shown: &Shown) -> bool {
    shown.overrides.is_none() && shown.yaml.contains("\n  allow: true") && !shown.allows
}

fn failed_test(wrong: &[PackError]) -> Failure {
    let message = match wrong.len() {
        1 => "a pack is wrong in 1 place".to_owned(),
        places => format!("packs are wrong in {places} places"),
    };
    Failure::new(NOT_GOOD, "policy", message)
        .details(wrong.iter().map(ToString::to_string).collect())
        .hint("each of `errors` tells its place")
}

fn new(name: &str, json: bool) -> Answer {
    // Whatever could lead out of the folder is no name of a pack.
    Pack::parse(name, STARTER, Standing::MayLoosen).map_err(|error| {
        Failure::new(
            OWN_FAILURE,
            "name",
            format!("cannot begin a pack `{name}`: {}", error.message),
        )
    })?;
    let folder = places::working_folder()?.join(".ctrlz").join("policy");
    let path = folder.join(format!("{name}.yaml"));
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let message = format!("{} is there already", path.display());
            Failure::new(REFUSED, "exists", message)
                .hint("choose another name, or change that file")
        }
        _ => {
            let message = format!("cannot write {}: {error}", path.display());
            Failure::new(OWN_FAILURE, "output", message)
        }
    };
    fs::create_dir_all(&folder).map_err(cannot)?;
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    file.and_then(|mut file| file.write_all(STARTER.as_bytes())).map_err(cannot)?;
    if json {
        show::print_json(&[("path", show::path_to_json(&path)?)]);
    } else {
        println!("{}: change it, then check it with `ctrlz policy test`", path.display());
    }
    show::done()
}

fn import(tool: Tool, file: &Path, json: bool) -> Answer {
    let text = read_file(file)?;
    let read = match tool {
        Tool::Codex => import::codex("codex", &text),
        Tool::Claude => import::claude("claude", &text),
    };
    let pack = read.map_err(|error| {
        Failure::new(OWN_FAILURE, "import", format!("{}:{error}", file.display()))
    })?;
    if json {
        show::print_json(&[
            ("rules", show::to_json(&pack.shown())?),
            ("notes", show::to_json(&pack.notes())?),
            ("pack", pack.to_yaml().into()),
        ]);
        return show::done();
    }
    for note in pack.notes() {
        eprintln!("ctrlz: not translated: {}", plain(note));
    }
    let written = io::stdout().write_all(pack.to_yaml().as_bytes());
    written.map_err(|error| Failure::caused(OWN_FAILURE, "output", &error))?;
    show::done()
}

fn read_file(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = |reader: &mut dyn Read, text: &mut String| {
        reader.take(LARGEST + 1).read_to_string(text).map(|_| ())
    };
    let result = match path.to_str() {
        Some("-") => read(&mut io::stdin(), &mut text),
        _ => fs::File::open(path).and_then(|mut file| read(&mut file, &mut text)),
    };
    let cannot = |why: &dyn std::fmt::Display| {
        let message = format!("cannot read {}: {why}", path.display());
        Failure::new(OWN_FAILURE, "input", message)
    };
    result.map_err(|error| cannot(&error))?;
    match text.len() as u64 > LARGEST {
        true => Err(cannot(&"it is larger than 1 MiB")),
        false => Ok(text),
    }
}
