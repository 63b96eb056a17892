//! Whether a project's file keeps every protection: see the crate's documentation for the rule.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::entry::{Source, Sourced};
use crate::error::{ConfigError, Loosening, Position, escaped, quoted};
use crate::settings::{Document, Settings};

/// Variables that decide which program a name stands for, or what the loader (ld.so(8)) and the
/// shells execute before the program that was asked for.
const STEERING: &[&str] = &["PATH", "IFS", "ENV", "BASH_ENV", "BASHOPTS", "SHELLOPTS", "PS4"];

/// A project's file in question.
pub(crate) struct Project<'p> {
    pub(crate) path: &'p Arc<Path>,
    pub(crate) document: &'p Document,
    /// The command line, which may allow what the file may not.
    pub(crate) flags: &'p Document,
    /// Where a user may set what the file may not.
    pub(crate) user_file: &'p Path,
}

impl Project<'_> {
    /// Fails when the profile that the file chooses is laxer than the one `without` it.
    pub(crate) fn check_profile(
        &self,
        without: &Sourced<crate::Profile>,
    ) -> Result<(), ConfigError> {
        match &self.document.profile {
            Some(chosen) if chosen.value < without.value && self.flags.profile.is_none() => {
                let what = format!(
                    "choose `{}`, which is laxer than `{}` ({})",
                    chosen.value, without.value, without.source
                );
                Err(self.loosens(&chosen.source, "profile", what, Some("--profile")))
            }
            _ => Ok(()),
        }
    }

    /// Fails when a protection is laxer in `with` than in `without` the file. `with` has the
    /// flags applied; `without` has not, nor has `chosen`, which is without the file but under the
    /// profile that it chooses.
    pub(crate) fn check(
        &self,
        with: &Settings,
        without: &Settings,
        chosen: &Settings,
    ) -> Result<(), ConfigError> {
        self.check_values(with, without, chosen)?;
        self.check_shown(without)?;
        self.check_env(without)?;
        self.check_state_key()?;
        self.check_capabilities(without)
    }

    /// A command or a file that the project names could be handed the values' secrecy, and a
    /// command would run outside of any sandbox.
    fn check_state_key(&self) -> Result<(), ConfigError> {
        let Some(key) = &self.document.state_key else { return Ok(()) };
        let what = "say where the key of encrypted state comes from".to_owned();
        Err(self.loosens(&key.source, "state.key", what, Some("--with-key")))
    }

    fn check_values(
        &self,
        with: &Settings,
        without: &Settings,
        chosen: &Settings,
    ) -> Result<(), ConfigError> {
        let Some(laxer) = with.values.first_laxer(&without.values, &chosen.values) else {
            return Ok(());
        };
        let loosens =
            format!("loosen `{}` ({}) to `{}`", laxer.without, laxer.without_source, laxer.with);
        if laxer.with_source.is_in(self.path) {
            return Err(self.loosens(&laxer.with_source, laxer.key, loosens, laxer.flag));
        }
        // Not the file's own value: its choice of a profile brought one that is laxer here.
        let what = format!(
            "choose `{}`, for it would {loosens} ({}) in {}",
            with.profile.value, laxer.with_source, laxer.key
        );
        Err(self.loosens(&with.profile.source, "profile", what, Some("--profile")))
    }

    fn check_shown(&self, without: &Settings) -> Result<(), ConfigError> {
        for shown in &self.document.shown {
            let hidden = without.hidden.iter().find(|hidden| hidden.value == shown.value);
            let allowed = self.flags.shown.iter().any(|path| path.value == shown.value);
            if let (Some(hidden), false) = (hidden, allowed) {
                let path = escaped(&shown.value.to_string_lossy());
                let what = format!("show `{path}`, which is hidden ({})", hidden.source);
                return Err(self.loosens(&shown.source, "run.shown", what, Some("--show")));
            }
        }
        Ok(())
    }

    fn check_env(&self, without: &Settings) -> Result<(), ConfigError> {
        for passed in &self.document.env_pass {
            let pattern = &passed.value;
            let by_flag = self.flags.env_pass.iter().any(|allowed| allowed.value == *pattern);
            let already = pattern.literal().is_some_and(|name| without.env_passes(name.as_ref()));
            if !by_flag && !already {
                let what = format!("pass {} from the environment", quoted(pattern.as_str()));
                let flag = Some("--env-pass");
                return Err(self.loosens(&passed.source, "run.env_pass", what, flag));
            }
        }
        for (name, value) in &self.document.env {
            let by_flag = self.flags.env.iter().any(|(allowed, _)| allowed == name);
            if is_steering(name) && !by_flag {
                let name = name.to_string_lossy();
                let what = format!("set {}, which decides what programs run", quoted(&name));
                let key = format!("run.env.{}", escaped(&name));
                return Err(self.loosens(&value.source, &key, what, Some("--env")));
            }
        }
        Ok(())
    }

    fn check_capabilities(&self, without: &Settings) -> Result<(), ConfigError> {
        let has = |list: &[Sourced<crate::Capability>], wanted| {
            list.iter().any(|capability| capability.value == wanted)
        };
        for added in self.document.cap_add.iter().flatten() {
            let by_flag = self.flags.cap_add.as_ref().is_some_and(|list| has(list, added.value));
            if !by_flag && !has(&without.cap_add, added.value) {
                let what = format!("add the capability `{}`", added.value);
                return Err(self.loosens(&added.source, "run.cap_add", what, Some("--cap-add")));
            }
        }
        Ok(())
    }

    fn loosens(
        &self,
        source: &Source,
        key: &str,
        what: String,
        flag: Option<&'static str>,
    ) -> ConfigError {
        let at = match source {
            Source::File(at) => at.clone(),
            _ => Position { path: Arc::clone(self.path), line: 1, column: 1 },
        };
        let user_file = PathBuf::from(self.user_file);
        ConfigError::Loosens(Box::new(Loosening { at, key: key.to_owned(), what, user_file, flag }))
    }
}

fn is_steering(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"LD_") || STEERING.iter().any(|steering| name == *steering)
}
