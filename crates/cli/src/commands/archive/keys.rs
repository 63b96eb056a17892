//! `ctrlz archive keys`: who can open the archive.

use ctrlz_archive::crypt::{
    Keyring, Passphrase, PassphraseSource, Recipients, init_keys, rewrap_keys,
};
use ctrlz_archive::place::Place;
use serde_json::json;

use super::pin;
use super::setting::Setting;
use crate::Answer;
use crate::arguments::{FromArgument, KeyArguments, KeysAction, RecipientArguments};
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::show;

pub(super) fn keys(
    action: &KeysAction,
    from: &FromArgument,
    given: &KeyArguments,
    json: bool,
) -> Answer {
    let context = Context::open()?;
    let setting = Setting::read(&context)?;
    // Elsewhere nothing is archived directly.
    let own = from.from.is_none();
    // Before anything is made.
    let recipients = match action {
        KeysAction::Init(recipients) | KeysAction::Rotate { recipients, .. } => read(recipients)?,
        KeysAction::Show | KeysAction::Trust => Recipients::new(),
    };
    let place: Box<dyn Place> = match (&from.from, action) {
        (None, KeysAction::Init(_)) => Box::new(setting.create()?),
        (Some(address), KeysAction::Init(_)) => setting.address(address)?,
        (from, _) => setting.open(from.as_deref())?,
    };
    let place = place.as_ref();
    match action {
        KeysAction::Init(_) => {
            let keys = init_keys(place, &recipients)?;
            if own {
                pin::trust(&setting.memory(), Some(&keys))?;
            }
            told(place, &keys, json)?;
            if !json {
                println!("what is archived from now on is encrypted; what is there already is not");
            }
        }
        KeysAction::Show => match setting.keys(place, given)? {
            Some(keys) => told(place, &keys, json)?,
            None => return not_encrypted(place, json),
        },
        KeysAction::Trust => {
            let keys = setting.keys(place, given)?;
            if !own {
                return Err(Failure::new(
                    OWN_FAILURE,
                    "usage",
                    "only the archive of this host is trusted with what is archived here",
                ));
            }
            pin::trust(&setting.memory(), keys.as_ref())?;
            match &keys {
                Some(keys) => told(place, keys, json)?,
                None => return not_encrypted(place, json),
            }
        }
        KeysAction::Rotate { same_key, .. } => {
            if own {
                pin::check(&setting.memory(), setting.keys(place, given)?.as_ref())?;
            }
            let identities = setting.identities(given)?;
            let done = rewrap_keys(place, &identities, &recipients, !same_key)?;
            if own {
                pin::trust(&setting.memory(), Some(&done.keyring))?;
            }
            told(place, &done.keyring, json)?;
            if !json {
                for id in &done.unchanged {
                    println!(
                        "  {id}: none of the identities opens it; it is for whom it was before"
                    );
                }
                println!(
                    "whoever could open the archive before may have kept its keys, and opens with \
                     them what was written until now"
                );
            }
        }
    }
    show::done()
}

fn read(arguments: &RecipientArguments) -> Result<Recipients, Failure> {
    let mut recipients = Recipients::new();
    for key in &arguments.recipient {
        recipients.add(key, "--recipient")?;
    }
    for file in &arguments.recipients_file {
        let text = std::fs::read_to_string(file).map_err(|error| {
            let message = format!("cannot read {}: {error}", file.display());
            Failure::new(OWN_FAILURE, "recipients", message)
        })?;
        recipients.add(&text, &file.display().to_string())?;
    }
    if let Some(file) = &arguments.new_passphrase_file {
        recipients.set_passphrase(Passphrase::read(&PassphraseSource::File(file.clone()))?);
    }
    if recipients.is_empty() {
        return Err(Failure::new(REFUSED, "no-recipient", "nobody could open the archive")
            .hint("name a public key with --recipient or --recipients-file, or a passphrase with --new-passphrase-file"));
    }
    Ok(recipients)
}

fn not_encrypted(place: &dyn Place, json: bool) -> Answer {
    if json {
        show::print_json(&[("place", place.address().into()), ("encrypted", false.into())]);
    } else {
        println!("{} is not encrypted", place.address());
    }
    show::done()
}

fn told(place: &dyn Place, keys: &Keyring, json: bool) -> Result<(), Failure> {
    let current = keys.current().ok().map(|key| key.id().clone());
    if json {
        let open: Vec<_> = keys
            .iter()
            .map(|key| {
                json!({
                    "id": key.id().to_string(),
                    "current": current.as_ref() == Some(key.id()),
                    "fingerprint": key.fingerprint().to_string(),
                })
            })
            .collect();
        let closed: Vec<String> = keys.closed().iter().map(ToString::to_string).collect();
        show::print_json(&[
            ("place", place.address().into()),
            ("encrypted", true.into()),
            ("keys", open.into()),
            ("closed", closed.into()),
        ]);
        return Ok(());
    }
    println!("{} is encrypted", place.address());
    for key in keys.iter() {
        let current =
            if current.as_ref() == Some(key.id()) { ", for what is written now" } else { "" };
        println!("  data key {}{current}: {}", key.id(), key.fingerprint());
    }
    for id in keys.closed() {
        println!("  data key {id}: none of the identities at hand opens it");
    }
    Ok(())
}
