//! The archive of this host: where it is, how it is written, and what opens it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ctrlz_archive::codec::Compression;
use ctrlz_archive::crypt::{
    Identities, Keyring, Passphrase, PassphraseSource, merge_keys, open_keys,
};
use ctrlz_archive::layer::{LayerOptions, Unreadable};
use ctrlz_archive::place::{Directory, Object, Patient, Place};
use ctrlz_config::{ArchiveConfig, Compression as Configured};
use ctrlz_core::archive::Stratum;
use ctrlz_core::digest::Digest;
use ctrlz_core::path::RelPath;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::sink::SecretSource;
use ctrlz_core::tenancy::TenantName;

use super::pin;
use crate::arguments::KeyArguments;
use crate::commands::known_good::configuration_of;
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::{places, registry};

/// How often a place on another machine is asked, and how long it is left alone before the second
/// time; each time twice as long.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

/// Lets a tenant of a service have places of its own below those of the host: what lies in a place, everybody
/// who may open it can restore.
fn set_apart(config: &mut ArchiveConfig, tenant: &TenantName) {
    config.place = config.place.take().map(|place| place.join("tenants").join(tenant.as_str()));
    for copy in &mut config.copies {
        *copy = format!("{}/tenants/{tenant}", copy.trim_end_matches('/'));
    }
}

/// The archive's settings and where the store is.
pub(super) struct Setting {
    pub(super) config: ArchiveConfig,
    store: PathBuf,
}

impl Setting {
    pub(super) fn read(context: &Context) -> Result<Self, Failure> {
        Self::of(&context.directory)
    }

    pub(super) fn of(store: &Path) -> Result<Self, Failure> {
        let places = places::configuration(&places::working_folder()?);
        let mut config = ctrlz_config::archive(&places)
            .map_err(|error| Failure::caused(OWN_FAILURE, "config", &error))?;
        if let Some(tenant) = places::tenant_of(store)? {
            set_apart(&mut config, &tenant);
        }
        Ok(Self { config, store: store.to_owned() })
    }

    /// Where the archive of this host lies.
    pub(super) fn path(&self) -> PathBuf {
        self.config.place.clone().unwrap_or_else(|| self.store.join("archive"))
    }

    /// Whether there is an archive of this host. A folder alone is none: its disk may not be mounted.
    pub(super) fn is_there(&self) -> bool {
        self.path().join("oci-layout").exists()
    }

    /// The archive of this host, where there is one, and the places with copies of it, as
    /// [`Self::open`] takes them.
    pub(super) fn everywhere(&self) -> impl Iterator<Item = Option<&str>> {
        let here = self.is_there().then_some(None);
        here.into_iter().chain(self.config.copies.iter().map(|copy| Some(copy.as_str())))
    }

    /// The archive, which is made when it is not there.
    pub(super) fn create(&self) -> Result<Directory, Failure> {
        Ok(Directory::create(&self.path())?)
    }

    /// The archive and its keys, for whoever archives snapshots of `sandboxes` there. It is made when
    /// it is not there, after everything for which that may be refused.
    pub(super) fn ready(
        &self,
        given: &KeyArguments,
        sandboxes: &[&Sandbox],
    ) -> Result<(Directory, Option<Keyring>), Failure> {
        let identities = self.identities(given)?;
        let path = self.path();
        if !["oci-layout", "index.json"].iter().any(|file| path.join(file).exists()) {
            if pin::is_remembered(&self.memory()) {
                pin::check(&self.memory(), None)?;
            }
            sandboxes.iter().try_for_each(|sandbox| self.check_encrypted(sandbox, None))?;
        }
        let place = self.create()?;
        let keys = open_keys(&place, &identities)?;
        pin::check(&self.memory(), keys.as_ref())?;
        sandboxes.iter().try_for_each(|sandbox| self.check_encrypted(sandbox, keys.as_ref()))?;
        Ok((place, keys))
    }

    /// The place that the user names, or the archive of this host.
    pub(super) fn open(&self, address: Option<&str>) -> Result<Box<dyn Place>, Failure> {
        match address {
            Some(address) => {
                let place: Arc<dyn Place> = match address.contains("://") {
                    true => Arc::from(self.address(address)?),
                    false => Arc::new(there(&absolute(Path::new(address))?)?),
                };
                Ok(Box::new(Patient::new(place, TRIES, PAUSE)))
            }
            None => {
                let there = there(&self.path());
                Ok(Box::new(there.map_err(|failure| failure.hint("`ctrlz push` makes it"))?))
            }
        }
    }

    /// A place by its address, which is asked once only. A directory is made when nothing is there.
    pub(super) fn address(&self, address: &str) -> Result<Box<dyn Place>, Failure> {
        if let Some(repository) = address.strip_prefix("registry://") {
            return Ok(Box::new(registry::open(repository)?));
        }
        if address.contains("://") {
            let notes = self.store.join("archived").join("uploads");
            return Ok(Box::new(Object::open(address, std::env::vars(), Some(&notes))?));
        }
        Ok(Box::new(Directory::create(&absolute(Path::new(address))?)?))
    }

    /// What is remembered of what lies in the archive of this host.
    pub(super) fn memory(&self) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        let path = self.path();
        let digest = blake3::hash(path.as_os_str().as_bytes());
        let name = Digest::blake3(*digest.as_bytes()).hex();
        self.store.join("archived").join(name.get(..16).unwrap_or_default())
    }

    /// A folder in the store for what is needed for a moment.
    pub(super) fn scratch(&self) -> PathBuf {
        self.store.join("archived").join("scratch")
    }

    /// The passphrase that the command line or the settings name.
    fn passphrase(&self, given: &KeyArguments) -> Result<Option<Passphrase>, Failure> {
        let source = match (&given.passphrase_file, &self.config.passphrase) {
            (Some(path), _) | (None, Some(SecretSource::File(path))) => {
                PassphraseSource::File(path.clone())
            }
            (None, Some(SecretSource::Variable(name))) => {
                PassphraseSource::Environment(name.clone())
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(Passphrase::read(&source)?))
    }

    /// What the user has to open archives with.
    pub(super) fn identities(&self, given: &KeyArguments) -> Result<Identities, Failure> {
        keep_out_of_core_dumps();
        let passphrase = self.passphrase(given)?;
        let mut identities = Identities::new();
        let files = match given.identity.as_slice() {
            [] => &self.config.identities,
            given => given,
        };
        for file in files {
            identities.add_file(file, passphrase.as_ref())?;
        }
        if let Some(passphrase) = &passphrase {
            identities.add_passphrase(passphrase);
        }
        Ok(identities)
    }

    /// The keys of a place; nothing when it is not encrypted.
    pub(super) fn keys(
        &self,
        place: &dyn Place,
        given: &KeyArguments,
    ) -> Result<Option<Keyring>, Failure> {
        Ok(open_keys(place, &self.identities(given)?)?)
    }

    /// Brings the data keys of the archive to where its snapshots go.
    pub(super) fn share_keys(&self, from: &dyn Place, to: &dyn Place) -> Result<(), Failure> {
        Ok(merge_keys(from, to)?)
    }

    /// What a snapshot's tree is made of, without the archive and its copies where they lie in the live
    /// folder: an archive that held itself would grow by itself.
    pub(super) fn without_places(&self, strata: &[Stratum]) -> Vec<Stratum> {
        let copies = self.config.copies.iter().filter(|copy| !copy.contains("://"));
        let copies = copies.filter_map(|copy| absolute(Path::new(copy)).ok());
        let places = std::iter::once(self.path()).chain(copies);
        let places: Vec<PathBuf> = places.filter_map(|place| place.canonicalize().ok()).collect();
        let mut strata = strata.to_vec();
        for live in strata.iter_mut().filter(|stratum| stratum.id.is_none()) {
            let within = places.iter().filter_map(|place| place.strip_prefix(&live.directory).ok());
            let within = within.filter_map(|path| RelPath::parse(path).ok());
            live.hidden.extend(within.filter(|path| !path.is_root()));
        }
        strata
    }

    /// Errs when snapshots of that sandbox are to be encrypted and the archive is not.
    pub(super) fn check_encrypted(
        &self,
        sandbox: &Sandbox,
        keys: Option<&Keyring>,
    ) -> Result<(), Failure> {
        if keys.is_some() || !configuration_of(sandbox)?.safety_constraints.encrypt_snapshots {
            return Ok(());
        }
        let message = format!(
            "snapshots of sandbox `{}` are to be encrypted (`encrypt_snapshots`), and the archive {} has \
             no keys",
            sandbox.name,
            self.path().display()
        );
        Err(Failure::new(REFUSED, "not-encrypted", message)
            .hint("`ctrlz archive keys init -r RECIPIENT` once makes them"))
    }

    /// How layers of that sandbox are written: what archive.yaml says counts before the profile.
    pub(super) fn options(
        &self,
        sandbox: &Sandbox,
        skip_unreadable: bool,
    ) -> Result<LayerOptions, Failure> {
        let compression = match self.config.compression {
            None => {
                let config = configuration_of(sandbox)?;
                match config.safety_constraints.compress_snapshots {
                    true => Compression::Zstd { level: config.profile.archive_level() },
                    false => Compression::None,
                }
            }
            Some(Configured::Zstd(level)) => Compression::Zstd { level },
            Some(Configured::Gzip(level)) => Compression::Gzip { level },
            Some(Configured::None) => Compression::None,
        };
        let unreadable = if skip_unreadable { Unreadable::Skip } else { Unreadable::Refuse };
        Ok(LayerOptions { compression, unreadable, ..LayerOptions::default() })
    }
}

/// The archive in that directory, which is never made by looking for it: the disk that it is on may
/// not be there at the moment.
fn there(path: &Path) -> Result<Directory, Failure> {
    if !path.join("oci-layout").exists() {
        let message = format!("there is no archive at {}", path.display());
        return Err(Failure::new(REFUSED, "no-archive", message));
    }
    Ok(Directory::open(path)?)
}

/// A path as the process's own folder completes it.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| {
        let message = format!("cannot use {}: {error}", path.display());
        Failure::new(OWN_FAILURE, "folder", message)
    })
}

/// Keys and what they open are in memory from here on.
fn keep_out_of_core_dumps() {
    // A limit of 0 does not hold for a handler that the dump is piped to; with 1 there is none of
    // either kind (core(5)). What PR_SET_DUMPABLE does would close /proc/self/fd to us as well.
    let one = rustix::process::Rlimit { current: Some(1), maximum: Some(1) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, one);
}
