//! Step 1 of every command: the verdict, and whether it may run.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use ctrlz_config::{Config, Profile, ValidationLevel};
use ctrlz_core::isolation::Network;
use ctrlz_core::sandbox::Root;
use ctrlz_core::verdict::Risk;
use ctrlz_core::verdict_record::Approver;
use ctrlz_policy::{Context, Coverage, Covered, Finding, Packs, Validator, Verdict, redact};

use crate::arguments::CommandArguments;
use crate::failure::{Failure, REFUSED};
use crate::show::{Style, visible};
use crate::{confirm, judging};

/// How many reasons are told.
const MOST_REASONS: usize = 4;
/// How many effects that cannot be undone, and how many that cannot happen.
const MOST_COVERED: usize = 4;

/// Where a command is judged that starts in `directory` of a sandbox with that root.
pub(super) fn context(root: &Root, base: &Path, directory: &Path, config: &Config) -> Context {
    let context = match root {
        Root::Host if base != Path::new("/") => judging::in_workspace(base, directory),
        // Its workspace is a whole system, in which not everything is work.
        _ => judging::in_folder(directory),
    };
    Context { surroundings: Some(judging::surroundings(root, config)), ..context }
}

/// What the validator says of a command.
pub(super) fn verdict(argv: &[OsString], context: Context, packs: Packs) -> Verdict {
    Validator::with_packs(context, packs).arguments(&bytes(argv))
}

/// The files that a command names.
pub(super) fn files_named(argv: &[OsString], context: Context) -> Vec<PathBuf> {
    let files = Validator::new(context).files_named(&bytes(argv));
    files.into_iter().map(|path| PathBuf::from(OsString::from_vec(path))).collect()
}

fn bytes(argv: &[OsString]) -> Vec<Vec<u8>> {
    argv.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// Lets a command pass, or asks whether it may, or refuses it. Answers who approved it, when
/// somebody had to.
pub(super) fn approve(
    verdict: &Verdict,
    config: &Config,
    how: &CommandArguments,
) -> Result<Option<Approver>, Failure> {
    match verdict.risk {
        Risk::Low | Risk::Medium => Ok(None),
        Risk::High => approve_high(verdict, config, how),
        Risk::Critical => approve_critical(verdict, config, how),
    }
}

fn approve_critical(
    verdict: &Verdict,
    config: &Config,
    how: &CommandArguments,
) -> Result<Option<Approver>, Failure> {
    let allows = config.profile == Profile::Development;
    if how.allow_critical && allows {
        let style = Style::stderr();
        eprintln!("{}", style.red("ctrlz: WARNING: critical risk, and --allow-critical runs it:"));
        for reason in reasons(verdict) {
            eprintln!("  {}", style.red(&reason));
        }
        return Ok(Some(Approver::AllowCritical));
    }
    let hint = match (how.allow_critical, allows) {
        (true, _) => format!("--allow-critical has no effect in the profile {}", config.profile),
        (_, true) => "nothing ran; if it must, --allow-critical lets it run in the sandbox".into(),
        (_, false) => format!("nothing ran; the profile {} never runs it", config.profile),
    };
    Err(refused("blocked", "blocked: its risk is critical", verdict).hint(hint))
}

fn approve_high(
    verdict: &Verdict,
    config: &Config,
    how: &CommandArguments,
) -> Result<Option<Approver>, Failure> {
    let security = &config.security_config;
    let leaves = !verdict.coverage.beyond_undo.is_empty();
    let asks = security.require_confirmation
        || security.validation_level > ValidationLevel::Relaxed
        || leaves;
    if !asks {
        let reason = reasons(verdict).into_iter().next().unwrap_or_default();
        eprintln!("{}", Style::stderr().yellow(&format!("ctrlz: {reason}")));
        return Ok(None);
    }
    let by_flag = config.profile < Profile::HighSecurity;
    if how.yes && by_flag {
        return Ok(Some(Approver::Yes));
    }
    let style = Style::stderr();
    let question = || {
        eprintln!("{}", style.yellow("ctrlz: the risk of this command is high:"));
        for reason in reasons(verdict) {
            eprintln!("  {reason}");
        }
        for line in coverage(verdict, config.network) {
            eprintln!("  {line}");
        }
    };
    if confirm::can_ask() {
        question();
    }
    match confirm::ask("Run it?") {
        Some(true) => Ok(Some(Approver::Terminal)),
        Some(false) => Err(Failure::new(REFUSED, "unconfirmed", "nothing ran")),
        None => {
            let hint = match by_flag {
                true => "nothing ran; --yes approves it, or answer the question on a terminal",
                false => "nothing ran; this profile wants the question answered on a terminal",
            };
            Err(refused("unconfirmed", "not confirmed: its risk is high", verdict).hint(hint))
        }
    }
}

/// What an undo would not bring back, and what the sandbox does not let happen anyway.
fn coverage(verdict: &Verdict, network: Network) -> Vec<String> {
    let Coverage { held, beyond_undo } = &verdict.coverage;
    let told = |word: &'static str, list: &[Covered]| -> Vec<String> {
        let told = list.iter().take(MOST_COVERED);
        told.map(|one| format!("{word}: {}", visible(&one.to_string()))).collect()
    };
    let mut lines = told("cannot be undone", beyond_undo);
    lines.extend(told("the sandbox holds it back", held));
    lines.push(match (beyond_undo.is_empty(), network) {
        (false, _) => {
            "the network is on: what it sends or changes elsewhere cannot be undone".into()
        }
        (true, Network::None) => "what it does to files can be undone; the network is off".into(),
        (true, Network::Host) => "what it does to files can be undone; the network is on".into(),
    });
    lines
}

fn refused(kind: &'static str, message: &str, verdict: &Verdict) -> Failure {
    Failure::new(REFUSED, kind, message).details(reasons(verdict))
}

/// The gravest findings, fit for a terminal.
pub(super) fn reasons(verdict: &Verdict) -> Vec<String> {
    let gravest = verdict.findings.iter().filter(|finding| finding.risk == verdict.risk);
    gravest
        .take(MOST_REASONS)
        .map(|finding| {
            let Finding { rule, risk, reason, hint, .. } = finding;
            let subject = visible(&redact(&finding.subject));
            let about = if subject.is_empty() { subject } else { format!(" ({subject})") };
            format!("{risk} risk: {reason}{about} [{rule}]; instead: {hint}")
        })
        .collect()
}
