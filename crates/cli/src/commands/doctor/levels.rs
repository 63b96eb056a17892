//! What `ctrlz doctor` tells of levels: what each stands for on this host.

use ctrlz_config::Profile;
use ctrlz_core::driver::{Driver, Level};
use ctrlz_isolation::level;
use serde::Serialize;

use super::isolators::Isolator;
use crate::isolating::may_fall_back;
use crate::show::Style;

/// A level on this host.
#[derive(Debug, Serialize)]
pub(super) struct Standing {
    level: Level,
    /// The profiles that mean it where nothing is named.
    profiles: Vec<Profile>,
    /// The first of its drivers that is here.
    driver: Driver,
    /// Those that it would rather have.
    missing: Vec<Driver>,
    /// The profiles that run nothing while one of them is missing.
    strict: Vec<Profile>,
}

/// All of them, as far as the drivers that were looked at tell.
pub(super) fn all(isolators: &[Isolator]) -> Vec<Standing> {
    let is_there = |driver: &Driver| {
        let here = isolators.iter().map(|isolator| &isolator.here);
        let mut here = here.filter(|here| here.description.driver == *driver);
        here.next().is_some_and(|here| here.lacks.is_none())
    };
    let standing = |level: Level| {
        let mut wanted = level::drivers(level).into_iter();
        let mut missing = Vec::new();
        let driver = wanted.find(|driver| {
            let there = is_there(driver);
            if !there {
                missing.push(driver.clone());
            }
            there
        });
        let profiles = Profile::ALL.iter().copied().filter(|profile| profile.level() == level);
        let profiles: Vec<Profile> = profiles.collect();
        let strict = profiles.iter().copied().filter(|profile| !may_fall_back(*profile, true));
        let strict = strict.collect();
        Standing { level, profiles, driver: driver.unwrap_or_default(), missing, strict }
    };
    Level::ALL.into_iter().map(standing).collect()
}

/// A line each.
pub(super) fn print(levels: &[Standing], style: Style) {
    println!("what a level stands for here (--isolation, or by the profile)");
    for standing in levels {
        let words = |profiles: &[Profile]| {
            profiles.iter().map(|profile| profile.word()).collect::<Vec<_>>().join(", ")
        };
        let missing: Vec<String> = standing.missing.iter().map(ToString::to_string).collect();
        let (mark, instead) = match missing.as_slice() {
            [] => (style.green("✓"), String::new()),
            missing => (style.dim("·"), format!(" for want of {}", missing.join(", "))),
        };
        let but = match (missing.is_empty(), standing.strict.as_slice()) {
            (false, strict @ [_, ..]) => format!("; {} runs nothing then", words(strict)),
            _ => String::new(),
        };
        let (level, profiles) = (standing.level.word(), words(&standing.profiles));
        let why = style.dim(&format!("{instead}{but}"));
        println!("{mark} {level:<9} {profiles:<21} {}{why}", standing.driver);
    }
}
