//! `ctrlz config show`.

use ctrlz_config::Flags;

use crate::Answer;
use crate::arguments::{ConfigAction, ConfigArguments};
use crate::failure::{Failure, OWN_FAILURE};
use crate::places;
use crate::show::{self, print_table};

pub(crate) fn config(arguments: &ConfigArguments, json: bool) -> Answer {
    let ConfigAction::Show { profile } = &arguments.action;
    let profile = profile.as_deref().map(super::run::parse_profile).transpose()?;
    let flags = Flags { profile, ..Flags::default() };
    let places = places::configuration(&places::working_folder()?);
    let config = ctrlz_config::load(&places, &flags)
        .map_err(|error| Failure::caused(OWN_FAILURE, "config", &error))?;
    let entries = config.entries();
    if json {
        show::print_json(&[
            ("config", show::to_json(&config)?),
            ("entries", show::to_json(&entries)?),
        ]);
        return show::done();
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| vec![entry.key.to_string(), entry.value.to_string(), entry.source.to_string()])
        .collect();
    print_table(&["KEY", "VALUE", "FROM"], &rows, "nothing is configured");
    for path in &config.passed_over {
        eprintln!("ctrlz: {} belongs to someone else and is not used", path.display());
    }
    show::done()
}
