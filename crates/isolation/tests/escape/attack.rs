//! An attack, and what it shows.

use ctrlz_isolation::native::Protection;

use crate::launcher::{is_another, only_native};
use crate::place::Place;
use crate::trial::Run;

/// A test by its name.
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) body: Body,
}

type Body = Box<dyn Fn(&Place) -> Result<(), Failure> + Send + Sync>;

impl Test {
    pub(crate) fn new(
        name: &'static str,
        body: impl Fn(&Place) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        Self { name, body: Box::new(body) }
    }
}

/// Why a test did not pass.
#[derive(Debug)]
pub(crate) enum Failure {
    Failed(String),
    Skipped(String),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(format!("the test's own doing failed: {error}"))
    }
}

/// How it is shown that the protections are what stops an attack.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shown {
    /// Without these it gets through.
    Without(&'static [Protection]),
    /// Without these it gets through when root runs it. For an ordinary user the kernel itself
    /// refuses it, or the sandbox cannot be made without them.
    WithoutAsRoot(&'static [Protection]),
    /// Without these it gets through for whoever owns the sandbox's namespaces. For root that is
    /// the host's root, so that the user namespace is left out as well.
    AsOwner(&'static [Protection]),
    /// It gets through outside of any sandbox, which does no harm.
    OutsideOfAnySandbox,
    /// These must be in force. Doing without would harm this machine, or has no effect, for the
    /// reason that stands with the attack.
    InForce(&'static [Protection]),
}

/// An attack that is one Python script, in a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// See [`Place::python`].
    pub(crate) script: &'static str,
    pub(crate) shown: Shown,
    /// Sets of protections each of which may be missing, since others hold as well.
    pub(crate) holds_without: &'static [&'static [Protection]],
    /// What the refusal must say, when that matters.
    pub(crate) refusal: &'static str,
    /// The answer of a kernel that does not have what is attacked.
    pub(crate) missing: &'static str,
}

impl Attack {
    /// With nothing but the names filled in.
    pub(crate) const fn new(name: &'static str, script: &'static str, shown: Shown) -> Self {
        Self { name, script, shown, holds_without: &[], refusal: "", missing: "" }
    }

    pub(crate) const fn holds_without(self, sets: &'static [&'static [Protection]]) -> Self {
        Self { holds_without: sets, ..self }
    }

    pub(crate) const fn refused_by(self, refusal: &'static str) -> Self {
        Self { refusal, ..self }
    }

    pub(crate) const fn may_be_missing(self, answer: &'static str) -> Self {
        Self { missing: answer, ..self }
    }

    pub(crate) fn run(&self, place: &Place) -> Result<(), Failure> {
        if matches!(self.shown, Shown::Without([Protection::Landlock])) {
            only_native("has no Landlock, which alone holds this")?;
        }
        let before = place.look();
        let run = place.python(self.script).run()?;
        run.must_be_refused()?;
        before.check(&place.look())?;
        if is_another() {
            return Ok(());
        }
        if !run.output.contains(self.refusal) {
            return Err(Failure::Failed(format!(
                "refused, but not by {}: {}",
                self.refusal, run.output
            )));
        }
        let as_owner = matches!(self.shown, Shown::AsOwner(_)) && is_root();
        for missing in self.holds_without {
            if missing.contains(&Protection::UserNamespace) && !is_root() {
                continue;
            }
            let mut trial = place.python(self.script).without(missing);
            if as_owner {
                trial = trial.without(&[Protection::UserNamespace]);
            }
            let run = trial.run()?;
            run.must_be_refused().map_err(|failure| failure.with(missing))?;
            before.check(&place.look()).map_err(|failure| failure.with(missing))?;
        }
        match show(self.shown, place, self.script, &run) {
            Err(Failure::Failed(text))
                if !self.missing.is_empty() && text.contains(self.missing) =>
            {
                let reason = "refused, but this kernel has nothing to show it by";
                Err(Failure::Skipped(reason.to_owned()))
            }
            shown => shown,
        }
    }
}

/// Shows that the attack can get through at all; `run` is the one that was refused.
pub(crate) fn show(shown: Shown, place: &Place, script: &str, run: &Run) -> Result<(), Failure> {
    match shown {
        Shown::Without(missing) => {
            run.must_enforce(missing)?;
            let run = place.python(script).without(missing).run()?;
            run.must_get_through().map_err(|failure| failure.with(missing))
        }
        Shown::WithoutAsRoot(missing) if is_root() => {
            show(Shown::Without(missing), place, script, run)
        }
        Shown::AsOwner(missing) => {
            run.must_enforce(missing)?;
            let mut trial = place.python(script).without(missing);
            if is_root() {
                trial = trial.without(&[Protection::UserNamespace]);
            }
            trial.run()?.must_get_through().map_err(|failure| failure.with(missing))
        }
        Shown::InForce(protections) | Shown::WithoutAsRoot(protections) => {
            run.must_enforce(protections)
        }
        Shown::OutsideOfAnySandbox => crate::python::outside(place, script),
    }
}

/// Whether this suite runs as root now.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Failure {
    /// Says which protections were missing.
    fn with(self, missing: &[Protection]) -> Self {
        match self {
            Self::Failed(text) => {
                let names: Vec<_> = missing.iter().map(|p| p.word()).collect();
                Self::Failed(format!("without {}: {text}", names.join(", ")))
            }
            skipped @ Self::Skipped(_) => skipped,
        }
    }
}

/// The tests of a table.
pub(crate) fn table(attacks: &'static [Attack]) -> Vec<Test> {
    attacks.iter().map(|attack| Test::new(attack.name, move |place| attack.run(place))).collect()
}
