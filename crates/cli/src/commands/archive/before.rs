//! What the decision matrix calls a backup: before a command of high risk begins, where the sandbox
//! stands is archived and verified.

use ctrlz_archive::verify::{Verifying, verify};
use ctrlz_config::BeforeHighRisk;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::snapshot::{NewSnapshot, SnapshotKind};
use ctrlz_core::verdict::Risk;
use ctrlz_engine::{RunRequest, SandboxCore};

use super::checked;
use super::checked::Automatic;
use super::push::{archive, record, scope_of};
use super::setting::Setting;
use crate::arguments::{ArchiveScope, KeyArguments};
use crate::context::Context;
use crate::failure::{Failure, REFUSED};

/// Archives where the sandbox stands, when the command is of high risk and nobody switched that off.
/// When that fails, the command must not begin.
pub(crate) fn before(
    (context, core): (&Context, &SandboxCore<'_>),
    sandbox: &Sandbox,
    request: &RunRequest,
) -> Result<(), Failure> {
    if request.verdict.as_ref().is_none_or(|verdict| verdict.risk != Risk::High) {
        return Ok(());
    }
    let setting = Setting::read(context)?;
    let scope = match (setting.config.before_high_risk, request.commit.is_some()) {
        (BeforeHighRisk::Off, _) => return Ok(()),
        (BeforeHighRisk::Changes, false) => ArchiveScope::Incremental,
        (BeforeHighRisk::Changes, true) | (BeforeHighRisk::Full, _) => ArchiveScope::Full,
    };
    backup((context, core), &setting, sandbox, scope).map_err(|failure| {
        let message =
            "a command of high risk begins only once where the sandbox stands is archived";
        Failure::new(REFUSED, "no-backup", message)
            .detail(failure.in_words())
            .hint("`before_high_risk: off` in archive.yaml does without; `ctrlz push` shows more")
    })
}

fn backup(
    (context, core): (&Context, &SandboxCore<'_>),
    setting: &Setting,
    sandbox: &Sandbox,
    scope: ArchiveScope,
) -> Result<(), Failure> {
    let (place, keys) = setting.ready(&KeyArguments::default(), &[sandbox])?;
    let message = "before a command of high risk";
    let snapshot = core.snapshot(sandbox, &NewSnapshot::of(SnapshotKind::Automatic, message))?;
    let scope = scope_of(context, (sandbox, &snapshot), Some(scope));
    let subject = (sandbox, &snapshot, scope);
    let archived = archive((context, core), setting, (&place, keys.as_ref()), subject, false)?;
    record((context, setting, &place), subject, &archived, Some(Automatic::Backup))?;
    let what = Verifying {
        names: vec![archived.snapshot.reference],
        keys: keys.as_ref(),
        ..Verifying::default()
    };
    let done = verify(&place, &what, &|_| ())?;
    checked::note(setting, &place, |checks| checks.verified(&what.names, &done));
    match done.faults.into_iter().next() {
        Some(fault) => Err(fault.error.into()),
        None => Ok(()),
    }
}
