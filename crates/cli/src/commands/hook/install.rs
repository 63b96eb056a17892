//! `ctrlz hook install` and `uninstall`.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::settings::{self, Entry, SettingsError};
use super::wrap;
use crate::Answer;
use crate::arguments::{
    Agent, InstallArguments, OnHigh, OnLow, SettingsArguments, UninstallArguments,
};
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::show::{self, Style, print_text_diff};
use crate::{confirm, places};

const CODEX_NOTE: &str = "Codex runs a new hook only after you trusted it there with /hooks; older \
versions want `codex_hooks = true` below [features] in config.toml";

/// Agents go on when a hook cannot be started or is killed; only exit code 2 stops them.
const OR_BLOCK: &str = " || exit 2";

pub(super) fn install(arguments: &InstallArguments, json: bool) -> Answer {
    let agent = arguments.place.agent;
    let refused = arguments.on_high == Some(OnHigh::Ask) || arguments.on_low == Some(OnLow::Allow);
    if agent == Agent::Codex && refused {
        let message = "Codex knows neither --on-high ask nor --on-low allow";
        return Err(Failure::new(OWN_FAILURE, "settings", message));
    }
    let program = wrap::own_name().ok_or_else(|| {
        Failure::new(OWN_FAILURE, "settings", "this program's own path is not to be told as text")
    })?;
    let mut command = format!("{} hook {}", wrap::word(&program), agent.word());
    let words = [("--on-high", value(arguments.on_high)), ("--on-low", value(arguments.on_low))];
    for (flag, word) in words {
        if let Some(word) = word {
            command.push_str(&format!(" {flag} {word}"));
        }
    }
    command.push_str(OR_BLOCK);
    let entry = Entry::new(agent, command);
    let code = change(&arguments.place, json, |text| settings::with(text, agent, &entry))?;
    if agent == Agent::Codex && !json {
        eprintln!("{CODEX_NOTE}");
    }
    Ok(code)
}

pub(super) fn uninstall(arguments: &UninstallArguments, json: bool) -> Answer {
    let agent = arguments.place.agent;
    change(&arguments.place, json, |text| match text.trim() {
        "" => Ok(text.to_owned()),
        _ => settings::without(text, agent),
    })
}

fn value(word: Option<impl clap::ValueEnum>) -> Option<String> {
    word.and_then(|word| Some(word.to_possible_value()?.get_name().to_owned()))
}

/// Shows what changes, asks, and writes it.
fn change(
    place: &SettingsArguments,
    json: bool,
    edit: impl FnOnce(&str) -> Result<String, SettingsError>,
) -> Answer {
    let path = settings_file(place)?;
    let old = read(&path)?;
    let new = edit(old.as_deref().unwrap_or_default()).map_err(|error| refused(&path, &error))?;
    let changes = old.as_deref().unwrap_or_default() != new;
    if changes {
        let name = path.display().to_string();
        if !json {
            print_text_diff(&name, old.as_deref(), &new, Style::stdout());
        }
        match place.yes || confirm::ask("Write this?").ok_or_else(|| unconfirmed(&name))? {
            true => write(&path, old.as_deref(), &new)?,
            false => return Err(Failure::new(REFUSED, "unconfirmed", "nothing was written")),
        }
    }
    if json {
        show::print_json(&[
            ("path", show::to_json(&path.display().to_string())?),
            ("changed", changes.into()),
        ]);
    } else if !changes {
        println!("{}: nothing to change", path.display());
    }
    show::done()
}

fn unconfirmed(name: &str) -> Failure {
    Failure::new(REFUSED, "unconfirmed", format!("{name} is not changed without an answer"))
        .hint("there is no terminal to ask on; --yes answers")
}

/// Where the agent keeps the settings.
fn settings_file(place: &SettingsArguments) -> Result<PathBuf, Failure> {
    let (folder, file, variable) = match place.agent {
        Agent::Claude => (".claude", "settings.json", "CLAUDE_CONFIG_DIR"),
        Agent::Codex => (".codex", "hooks.json", "CODEX_HOME"),
    };
    if !place.user {
        return Ok(places::working_folder()?.join(folder).join(file));
    }
    let own = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = own.or_else(|| places::home().map(|home| home.join(folder)));
    folder.map(|folder| folder.join(file)).ok_or_else(|| {
        Failure::new(
            OWN_FAILURE,
            "settings",
            "the user's settings are below HOME, which is not set",
        )
    })
}

fn read(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, &error)),
    }
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(OWN_FAILURE, "settings", format!("cannot {what} {}: {error}", path.display()))
}

fn refused(path: &Path, error: &SettingsError) -> Failure {
    let place = match error {
        SettingsError::Json(error) => format!("{}:{}", error.line(), error.column()),
        SettingsError::Shape(_) => "1:1".to_owned(),
    };
    let message = format!("{}:{place}: {error}", path.display());
    Failure::new(REFUSED, "settings", message).hint("nothing was written; mend the file first")
}

/// Replaces the file as a whole, with its mode, where symbolic links lead to it.
fn write(path: &Path, old: Option<&str>, new: &str) -> Result<(), Failure> {
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(|error| failed("make", folder, &error))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".ctrlz-{}", std::process::id()));
    let staged = folder.join(name);
    let result = stage(&staged, path, new).map_err(|error| failed("write", &staged, &error));
    let result = result.and_then(|()| {
        if read(path)?.as_deref() != old {
            let message = format!("{} was changed meanwhile", path.display());
            return Err(Failure::new(REFUSED, "settings", message).hint("try again"));
        }
        fs::rename(&staged, path).map_err(|error| failed("replace", path, &error))?;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| failed("write", folder, &error))
    });
    if result.is_err() {
        let _ = fs::remove_file(&staged);
    }
    result
}

fn stage(staged: &Path, path: &Path, new: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(staged)?;
    if let Ok(metadata) = path.metadata() {
        file.set_permissions(metadata.permissions())?;
    }
    file.write_all(new.as_bytes())?;
    file.sync_all()
}
