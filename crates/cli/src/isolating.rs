//! Which driver isolates a command.

use ctrlz_config::{Config, Profile};
use ctrlz_core::driver::{Driver, Isolation};
use ctrlz_isolation::level;

use crate::failure::{Failure, OWN_FAILURE};

/// The driver that the configuration asks for, and what the user should know of the choice.
pub(crate) fn driver(config: &Config) -> Result<(Driver, Option<String>), Failure> {
    let level = match &config.isolation {
        Isolation::Driver(driver) => return Ok((driver.clone(), None)),
        Isolation::Level(level) => *level,
    };
    let chosen = level::choose(level);
    if chosen.missing.is_empty() {
        return Ok((chosen.driver, None));
    }
    let missing = chosen.missing.iter().map(|(driver, why)| format!("{driver}: {why}"));
    if !may_fall_back(config.profile, config.isolation_of_profile) {
        let message = format!("the isolation level `{}` cannot be had here", level.word());
        return Err(Failure::new(OWN_FAILURE, "unenforceable", message)
            .details(missing.collect())
            .hint(format!(
                "the profile {} lets nothing weaker take its place: install what is missing, or \
                 choose a driver by --isolation (`ctrlz doctor` lists them)",
                config.profile
            )));
    }
    let why: Vec<String> = missing.collect();
    let note = format!(
        "isolation level `{}`: {} takes the place of what is missing ({})",
        level.word(),
        chosen.driver,
        why.join("; ")
    );
    Ok((chosen.driver, Some(note)))
}

/// Whether something weaker may isolate a command than the level that it is to have, which the profile
/// chose or somebody named.
pub(crate) fn may_fall_back(profile: Profile, is_profiles: bool) -> bool {
    match profile {
        Profile::Development | Profile::Testing => true,
        // What a person names is meant; what the profile would rather have is a wish.
        Profile::Production => is_profiles,
        Profile::HighSecurity => false,
    }
}
