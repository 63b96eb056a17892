//! `environment:` of ctrlz.yaml: what must be there inside, and what is.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use ctrlz_config::{Config, Environment, Version};
use ctrlz_core::digest::Digest;
use ctrlz_core::isolation::Network;
use ctrlz_core::lifecycle::LifeChange;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::span::Span;
use ctrlz_engine::SandboxCore;
use serde::Serialize;

use super::captured::Captured;
use super::known_good;
use super::task::Task;
use crate::arguments::CommandArguments;
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE};

/// How long all programs together may take to tell their versions.
const TIMEOUT: Span = Span(Duration::from_secs(60));

/// One thing that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Need {
    /// `tool git`, `interpreter python3 >=3.10`, `locale C.UTF-8`, `writable build`
    pub(super) what: String,
    /// Whether it is there.
    pub(super) met: bool,
    /// What was seen.
    pub(super) evidence: String,
}

/// Errs when something is missing. Looks only when the sandbox was not looked at for the same needs
/// before.
pub(super) fn require(
    (context, core): (&Context, &SandboxCore<'_>),
    sandbox: &Sandbox,
    config: &Config,
) -> Result<(), Failure> {
    if config.environment.is_empty() {
        return Ok(());
    }
    let digest = digest(&config.environment)?;
    if sandbox.life.environment == Some(digest) {
        return Ok(());
    }
    let needs = look((context, core), sandbox, config)?;
    let missing: Vec<String> = needs
        .iter()
        .filter(|need| !need.met)
        .map(|need| format!("{}: {}", need.what, need.evidence))
        .collect();
    if missing.is_empty() {
        context.store().change_life(sandbox.id, &LifeChange::Environment(Some(digest)), None)?;
        return Ok(());
    }
    let message = format!(
        "{} of the {} things that `environment:` asks for are not there inside",
        missing.len(),
        needs.len()
    );
    Err(Failure::new(OWN_FAILURE, "environment", message).details(missing).hint(
        "install them on the host, by `setup:`, or in the root; `ctrlz doctor` tells all of them",
    ))
}

/// The same for a sandbox that somebody names, wherever they stand: what its own folder asks for
/// counts. `here` is the configuration of the folder `at`, which need not be read again.
pub(super) fn require_of_named(
    place: (&Context, &SandboxCore<'_>),
    sandbox: &Sandbox,
    (at, here): (&Path, &Config),
) -> Result<(), Failure> {
    if known_good::folder_of(sandbox) == at {
        return require(place, sandbox, here);
    }
    require(place, sandbox, &known_good::configuration_of(sandbox)?)
}

/// The same for a sandbox that was made just now: when something is missing, it goes again.
pub(super) fn require_of_new(
    place: (&Context, &SandboxCore<'_>),
    sandbox: &Sandbox,
    config: &Config,
) -> Result<(), Failure> {
    require(place, sandbox, config).inspect_err(|_| {
        // Another process may use it already; then it stays.
        let _ = place.1.remove(sandbox, false);
    })
}

/// Looks at each need, inside; what this writes is dropped.
pub(super) fn look(
    (context, core): (&Context, &SandboxCore<'_>),
    sandbox: &Sandbox,
    config: &Config,
) -> Result<Vec<Need>, Failure> {
    let environment = &config.environment;
    let how = CommandArguments::plain()?;
    let argv = ["/bin/sh".into(), "-c".into(), OsString::from(script(environment))];
    let task = Task { argv: &argv, config, how: &how, fresh: false, store: None, again: None };
    let mut request = task.request(context, sandbox, None)?;
    request.title = "what environment: asks for".to_owned();
    request.workdir = sandbox.mount_point().to_owned();
    request.network = Network::None;
    request.limits.timeout = Some(TIMEOUT);
    request.limits.max_output = None;
    // Its streams are not those of what was begun in advance.
    context.isolation.expect_nothing();
    let output = Captured::begin(&context.directory)?;
    let report = core.inspect(sandbox, &request);
    let text = output.text()?;
    let report = report?;
    let lines: Vec<(&str, &str)> =
        text.lines().filter_map(|line| line.strip_prefix(MARK)?.split_once('|')).collect();
    if !report.exit.is_success() {
        let message = "what `environment:` asks for could not be looked at inside";
        return Err(Failure::new(OWN_FAILURE, "environment", message)
            .detail(text.trim().chars().take(2000).collect()));
    }
    let mut found = lines.into_iter().map(|(_, rest)| rest.trim());
    Ok(judge(environment, &mut found))
}

/// Before each line that counts: programs may print what they like.
const MARK: &str = "ctrlz-need:";

/// What looks at all needs, one line of answer for each in their order: `NUMBER|ANSWER`, where an
/// empty answer is no.
fn script(environment: &Environment) -> String {
    let mut text = "say() { printf '%s%s|%s\\n' 'ctrlz-need:' \"$1\" \"$2\"; }\n".to_owned();
    let mut number = 0;
    let mut add = |line: String| {
        number += 1;
        text.push_str(&line.replace("@N@", &number.to_string()));
        text.push('\n');
    };
    for tool in &environment.tools {
        add(format!("say @N@ \"$(command -v -- {tool})\""));
    }
    for (program, _) in &environment.interpreters {
        add(format!(
            "p=; if command -v -- {program} >/dev/null; then for o in --version -version -V -v version; do \
             if p=$({program} $o </dev/null 2>&1); then break; fi; done; \
             p=\"found $(printf %s \"$p\" | tr '\\n' ' ' | cut -c1-300)\"; fi; say @N@ \"$p\""
        ));
    }
    if let Some(locale) = &environment.locale {
        add(format!(
            "w=$(printf %s '{locale}' | tr -d -- - | tr A-Z a-z); f=; case $w in c|posix) f=$w;; \
             *) for l in $(locale -a 2>/dev/null); do \
             [ \"$(printf %s \"$l\" | tr -d -- - | tr A-Z a-z)\" = \"$w\" ] && f=$l; done;; esac; \
             say @N@ \"$f\""
        ));
    }
    for place in &environment.writable {
        add(format!(
            "p='{place}'; if [ -d \"$p\" ]; then t=$p/.ctrlz-writable; \
             if (: > \"$t\") 2>/dev/null; then rm -f \"$t\"; say @N@ yes; else say @N@ 'no: a folder that is read-only'; fi; \
             elif [ -e \"$p\" ]; then if [ -w \"$p\" ]; then say @N@ yes; else say @N@ 'no: it is read-only'; fi; \
             else say @N@ 'no: there is no such place'; fi"
        ));
    }
    text.push_str("exit 0\n");
    text
}

fn judge<'a>(environment: &Environment, found: &mut impl Iterator<Item = &'a str>) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut next = || found.next().unwrap_or_default();
    for tool in &environment.tools {
        let path = next();
        let evidence = if path.is_empty() { "PATH does not lead to it" } else { path };
        let what = format!("tool {tool}");
        needs.push(Need { what, met: !path.is_empty(), evidence: evidence.to_owned() });
    }
    for (program, range) in &environment.interpreters {
        let what = format!("interpreter {program} {range}");
        let (met, evidence) = match next().strip_prefix("found") {
            None => (false, "PATH does not lead to it".to_owned()),
            Some(text) => match Version::find(text) {
                Some(version) => (range.holds(&version), format!("it is {version}")),
                None => (false, format!("it tells no version: `{}`", text.trim())),
            },
        };
        needs.push(Need { what, met, evidence });
    }
    if let Some(locale) = &environment.locale {
        let name = next();
        let evidence = if name.is_empty() { "`locale -a` does not list it" } else { "it is there" };
        let what = format!("locale {locale}");
        needs.push(Need { what, met: !name.is_empty(), evidence: evidence.to_owned() });
    }
    for place in &environment.writable {
        let answer = next();
        let (met, evidence) = match answer.strip_prefix("no: ") {
            Some(why) => (false, why),
            None => (answer == "yes", "a file can be made there"),
        };
        let what = format!("writable {place}");
        needs.push(Need { what, met, evidence: evidence.to_owned() });
    }
    needs
}

fn digest(environment: &Environment) -> Result<Digest, Failure> {
    let text = serde_json::to_vec(environment)
        .map_err(|error| Failure::caused(OWN_FAILURE, "json", &error))?;
    Ok(Digest::blake3(*blake3::hash(&text).as_bytes()))
}
