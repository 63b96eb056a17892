//! What a crash left.

use std::path::Path;

use ctrlz_core::workspace::WorkspaceError;

use super::record::{self, Done, Finished, Staged, Taken};
use super::transaction::{Stopped, Transaction};
use super::{Recovered, finish};

/// Finishes or takes back the transaction in `transaction_dir`. It goes on to the end when
/// nothing stands in the way, and back when someone has changed a path since. It can itself be
/// cut short and called again.
///
/// # Errors
/// A failed file operation; calling it again continues.
pub(crate) fn recover(transaction_dir: &Path) -> Result<Recovered, WorkspaceError> {
    let mark = |name| record::read::<Taken>(transaction_dir, name).map(|mark| mark.is_some());
    let over = if mark(record::TAKEN_BACK)? {
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
            let nothing = Staged { versions: Vec::new() };
            return finish::finish(&transaction, &nothing).map(Recovered::Finished);
        }
        transaction.forget()?;
        return Ok(Recovered::TakenBack);
    };
    if record::read::<Done>(transaction_dir, record::APPLIED)?.is_some() {
        return finish::finish(&transaction, &staged).map(Recovered::Finished);
    }
    if !mark(record::TAKING_BACK)? {
        match transaction.bring_forward(&staged) {
            Ok(()) => return finish::finish(&transaction, &staged).map(Recovered::Finished),
            // Someone was there in the meantime, or it cannot be done: the other whole state.
            Err(Stopped::Conflict(_) | Stopped::Failed(_)) => {}
        }
    }
    transaction.take_back(&staged)?;
    Ok(Recovered::TakenBack)
}
