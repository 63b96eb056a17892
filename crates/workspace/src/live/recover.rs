//! What a crash left.

use std::path::Path;

use ctrlz_core::workspace::WorkspaceError;

use super::record::{self, Done, Finished, Staged, TakenBack, TakingBack};
use super::transaction::{Stopped, Transaction};
use super::{Moved, Recovered, finish};

/// Finishes or takes back the transaction in `transaction_dir`. It goes on to the end when
/// nothing stands in the way, and back when someone has changed a path since. It can itself be
/// cut short and called again.
///
/// # Errors
/// A failed file operation; calling it again continues.
pub(crate) fn recover(transaction_dir: &Path) -> Result<Recovered, WorkspaceError> {
    let over = if record::read::<TakenBack>(transaction_dir, record::TAKEN_BACK)?.is_some() {
        Some(Recovered::TakenBack)
    } else {
        let finished = record::read::<Finished>(transaction_dir, record::FINISHED)?;
        finished.map(|finished| Recovered::Finished(finished.applied))
    };
    if let Some(over) = over {
        // A live directory that is gone since has no staging directory either.
        if let Ok(Some(transaction)) = Transaction::load(transaction_dir) {
            transaction.remove_staging()?;
        }
        return Ok(over);
    }
    let Some(transaction) = Transaction::load(transaction_dir)? else {
        return Ok(Recovered::NotBegun);
    };
    let Some(staged) = record::read::<Staged>(transaction_dir, record::APPLYING)? else {
        if transaction.plan.items.is_empty() {
            let nothing = Staged::nothing();
            return finish::finish(&transaction, &nothing).map(Recovered::Finished);
        }
        transaction.forget(TakenBack::default())?;
        return Ok(Recovered::TakenBack);
    };
    if record::read::<Done>(transaction_dir, record::APPLIED)?.is_some() {
        return finish::finish(&transaction, &staged).map(Recovered::Finished);
    }
    if record::read::<TakingBack>(transaction_dir, record::TAKING_BACK)?.is_none() {
        match transaction.bring_forward(&staged) {
            Ok(()) => return finish::finish(&transaction, &staged).map(Recovered::Finished),
            // Someone was there in the meantime, or it cannot be done: the other whole state.
            Err(Stopped::Conflict(_) | Stopped::Failed(_)) => {}
        }
    }
    transaction.take_back(&staged)?;
    Ok(Recovered::TakenBack)
}

/// What taking the transaction back moved away and back, or wrote and wrote back. `None` of one that
/// had not touched anything live, or was not taken back.
///
/// # Errors
/// When the record cannot be read.
pub(crate) fn moved_back(transaction_dir: &Path) -> Result<Option<Vec<Moved>>, WorkspaceError> {
    let taken_back = record::read::<TakenBack>(transaction_dir, record::TAKEN_BACK)?;
    Ok(taken_back.unwrap_or_default().moved)
}
