//! What an approval is bound to, and operations that nobody approved.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ctrlz_core::changeset::Changeset;
use ctrlz_core::driver::Driver;
use ctrlz_core::isolation::Network;
use ctrlz_core::limits::Limits;
use ctrlz_core::operation::{Operation, OperationKind, Request};
use ctrlz_core::sandbox::{Root, Sandbox};
use ctrlz_core::store::{Store, StoreError};
use ctrlz_core::verdict_record::VerdictRecord;
use serde::Serialize;

use crate::core::SandboxCore;
use crate::error::EngineError;
use crate::run::RunRequest;

/// The variable that tells a command its sandbox. It is not part of what is approved, since the
/// sandbox may be made afterwards.
pub const SANDBOX_VARIABLE: &str = "CTRLZ_SANDBOX";

/// All that somebody approves when they let a command run.
#[derive(Debug, Clone, Copy)]
pub struct Approved<'a> {
    /// The program and its arguments.
    pub argv: &'a [OsString],
    /// The environment; [`SANDBOX_VARIABLE`] in it does not count.
    pub env: &'a [(OsString, OsString)],
    /// The working directory inside.
    pub workdir: &'a Path,
    /// The root.
    pub root: &'a Root,
    /// The folder that the workspace starts from.
    pub base: &'a Path,
    /// What the kernel knows that folder, or the image, by: another one at its path is another.
    pub identity: &'a str,
    /// A digest of what lies in the files that the command names, its own program among them.
    pub contents: &'a str,
    /// The limits.
    pub limits: &'a Limits,
    /// The network.
    pub network: Network,
    /// What isolates it.
    pub isolation: &'a Driver,
    /// The capabilities that are kept.
    pub keep_capabilities: &'a [String],
    /// Whether uncommitted changes are thrown away first.
    pub fresh: bool,
    /// Whether it is committed when it succeeds.
    pub commit: bool,
    /// The profile.
    pub profile: &'a str,
    /// What the validator said; who approved it does not count.
    pub verdict: &'a VerdictRecord,
}

impl Approved<'_> {
    /// Its hash (BLAKE3), in hexadecimal digits. Two commands that differ in anything have
    /// different ones.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("ctrlz approval of an operation, format 3");
        // Every text stands behind its length, so that no two sequences of texts are one.
        let mut add = |text: &[u8]| {
            hasher.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            hasher.update(text);
        };
        add(&json(&self.argv.len()));
        self.argv.iter().for_each(|word| add(word.as_bytes()));
        let counts = |name: &OsString| name != SANDBOX_VARIABLE;
        for (name, value) in self.env.iter().filter(|(name, _)| counts(name)) {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        add(b"");
        add(self.workdir.as_os_str().as_bytes());
        // A root of its own is known by what the user named: an image is unpacked afterwards.
        let (kind, place) = match self.root {
            Root::Host => ("host", self.base),
            Root::Overlay => ("overlay", self.base),
            Root::Directory { path } => ("own", path.as_path()),
            Root::Image { source, .. } => ("own", source.as_path()),
        };
        add(kind.as_bytes());
        add(place.as_os_str().as_bytes());
        add(self.identity.as_bytes());
        add(self.contents.as_bytes());
        let verdict = VerdictRecord { approval: None, ..self.verdict.clone() };
        add(&json(&(self.limits, self.isolation, self.network, self.keep_capabilities)));
        add(&json(&(self.fresh, self.commit, self.profile, verdict)));
        hasher.finalize().to_hex().to_string()
    }
}

/// Plain data always becomes JSON.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

impl SandboxCore<'_> {
    /// Whether the command that is about to run is the one that was approved. What needed no
    /// approval passes.
    pub(crate) fn check_approval(
        &self,
        sandbox: &Sandbox,
        request: &RunRequest,
    ) -> Result<(), EngineError> {
        let Some(verdict) = &request.verdict else { return Ok(()) };
        let Some(approval) = &verdict.approval else { return Ok(()) };
        let contents = match (&self.contents, request.files.as_slice()) {
            (_, []) | (None, _) => String::new(),
            (Some(read), files) => {
                read(files, sandbox, &self.changes_seen(sandbox, request.fresh)?)
            }
        };
        let approved = Approved {
            argv: &request.argv,
            env: &request.env,
            workdir: &request.workdir,
            root: &sandbox.root,
            base: &sandbox.base,
            identity: &request.identity,
            contents: &contents,
            limits: &request.limits,
            network: request.network,
            isolation: &request.isolation,
            keep_capabilities: &request.keep_capabilities,
            fresh: request.fresh,
            commit: request.commit.is_some(),
            profile: &request.profile,
            verdict,
        };
        if approved.hash() == approval.hash { Ok(()) } else { Err(EngineError::NotApproved) }
    }

    /// What was changed in `sandbox` since it began, as a command there sees it: with `fresh`,
    /// nothing any more.
    ///
    /// # Errors
    /// A failed file operation.
    pub fn changes_seen(&self, sandbox: &Sandbox, fresh: bool) -> Result<Changeset, EngineError> {
        if fresh {
            return Ok(Changeset::default());
        }
        let start = self.start_of(sandbox)?;
        Ok(self.driver_of(sandbox)?.changes(&start, &sandbox.point.tree)?)
    }
}

/// Writes down a command that was not let run in `sandbox`, and why. Nothing else changes, and what
/// is under way there goes on, so that it needs no lock.
///
/// # Errors
/// A failure to write the store.
pub fn refuse(
    store: &dyn Store,
    sandbox: &Sandbox,
    title: String,
    limits: Limits,
    verdict: VerdictRecord,
    reason: &str,
) -> Result<Operation, StoreError> {
    let request = Request {
        sandbox: sandbox.id,
        kind: OperationKind::Run,
        title,
        limits,
        target: None,
        verdict: Some(verdict),
    };
    store.refuse(&request, reason)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use ctrlz_core::size::ByteSize;
    use ctrlz_core::verdict_record::{Approval, Approver};

    use super::*;

    #[test]
    fn whatever_differs_is_another_operation() {
        let argv = ["sh".into(), "-c".into(), "x".into()];
        let joined = ["sh".into(), "-cx".into()];
        let env = [("A".into(), "1".into())];
        let in_sandbox = [env[0].clone(), (SANDBOX_VARIABLE.into(), "box".into())];
        let no_env = [];
        let (root, own) = (Root::Host, Root::Directory { path: "/p".into() });
        let (source, unpacked) = (PathBuf::from("/p"), PathBuf::from("/store/1"));
        let image = Root::Image { source, unpacked };
        let (limits, tight) =
            (Limits::default(), Limits { memory: Some(ByteSize(1)), ..Limits::default() });
        let verdict = VerdictRecord { score: 60, ..VerdictRecord::default() };
        let other = VerdictRecord { score: 61, ..VerdictRecord::default() };
        let capabilities = ["SETUID".to_owned()];
        let one = Approved {
            argv: &argv,
            env: &env,
            workdir: Path::new("/p"),
            root: &root,
            base: Path::new("/p"),
            identity: "1:2",
            contents: "",
            limits: &limits,
            network: Network::None,
            isolation: &Driver::Native,
            keep_capabilities: &[],
            fresh: false,
            commit: false,
            profile: "testing",
            verdict: &verdict,
        };
        let different = [
            Approved { argv: &joined, ..one },
            Approved { argv: &argv[..2], ..one },
            Approved { env: &no_env, ..one },
            Approved { workdir: Path::new("/p/q"), ..one },
            Approved { root: &Root::Overlay, ..one },
            Approved { root: &own, ..one },
            Approved { base: Path::new("/q"), ..one },
            Approved { identity: "1:3", ..one },
            Approved { contents: "1", ..one },
            Approved { limits: &tight, ..one },
            Approved { network: Network::Host, ..one },
            Approved { isolation: &Driver::Wasm, ..one },
            Approved { keep_capabilities: &capabilities, ..one },
            Approved { fresh: true, ..one },
            Approved { commit: true, ..one },
            Approved { profile: "production", ..one },
            Approved { verdict: &other, ..one },
        ];
        let mut hashes: Vec<String> = different.iter().map(Approved::hash).collect();
        hashes.push(one.hash());
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), different.len() + 1);
        let approval = Some(Approval { by: Approver::Terminal, hash: one.hash() });
        let approved = VerdictRecord { approval, ..verdict.clone() };
        assert_eq!(Approved { verdict: &approved, ..one }.hash(), one.hash());
        assert_eq!(Approved { env: &in_sandbox, ..one }.hash(), one.hash());
        let base = Path::new("/store/1");
        assert_eq!(
            Approved { root: &image, base, ..one }.hash(),
            Approved { root: &own, ..one }.hash()
        );
    }
}
