//! From a place without encryption to one with it, back, or to other data keys.

use std::io::{self, Write};

use crate::background::Background;
use crate::crypt::{Keyring, Sealer};
use crate::image::{Assembled, LayerForm, Manifest, annotation, to_bytes};
use crate::place::{Directory, Place};
use crate::snapshot::Snapshot;
use crate::{ArchiveError, Descriptor};

/// What is known of layers that were resealed before. Encryption gives other bytes each time, so
/// only who remembers can tell that a layer is there already.
pub trait Memory {
    /// The layer that `layer` became, when it still lies where it was written to.
    fn recall(&self, layer: &Descriptor) -> Option<Descriptor>;

    /// Notes that `layer` became `resealed`.
    ///
    /// # Errors
    /// When it cannot be noted.
    fn note(&mut self, layer: &Descriptor, resealed: &Descriptor) -> Result<(), ArchiveError>;
}

/// Writes a snapshot's layers to `to`, encrypted to the current one of `to_keys`, or plain without
/// keys. Nothing is compressed again. What comes back is to be published there with the same keys,
/// under a [`Place::hold`] that lives since before this.
///
/// # Errors
/// When a layer is missing, damaged or cannot be decrypted, or `to` cannot be written to.
pub fn reseal(
    (from, snapshot, from_keys): (&dyn Place, &Snapshot, Option<&Keyring>),
    (to, to_keys): (&Directory, Option<&Keyring>),
    memory: &mut dyn Memory,
) -> Result<Assembled, ArchiveError> {
    let mut layers = Vec::with_capacity(snapshot.manifest.layers.len());
    for layer in &snapshot.manifest.layers {
        let known = memory
            .recall(layer)
            .filter(|known| to.find(&known.digest).is_ok_and(|size| size == Some(known.size)));
        layers.push(match known {
            Some(known) => known,
            None => {
                let resealed = reseal_layer((from, layer, from_keys), (to, to_keys))?;
                memory.note(layer, &resealed)?;
                resealed
            }
        });
    }
    let config_bytes = to_bytes(&snapshot.config, "the image config")?;
    let config = crate::image::describe(crate::image::media::CONFIG, &config_bytes);
    let manifest = Manifest { layers, config, ..snapshot.manifest.clone() };
    Ok(Assembled { manifest, config: snapshot.config.clone(), config_bytes })
}

fn reseal_layer(
    (from, layer, from_keys): (&dyn Place, &Descriptor, Option<&Keyring>),
    (to, to_keys): (&Directory, Option<&Keyring>),
) -> Result<Descriptor, ArchiveError> {
    let form = LayerForm::of(&layer.media_type).ok_or_else(|| {
        let why = format!("layer {} is a `{}`", layer.digest, layer.media_type);
        ArchiveError::malformed("the manifest", why)
    })?;
    let mut reader = Snapshot::open_layer(from, layer, from_keys)?;
    let failed = || ArchiveError::io("write", to.path());
    let writer = Background::start(to.begin_blob()?).map_err(failed())?;
    let mut annotations = layer.annotations.clone();
    annotations.remove(annotation::KEY);
    let writer = match to_keys {
        None => copy(&mut reader, writer).map_err(failed())?,
        Some(keys) => {
            let key = keys.current()?;
            annotations.insert(annotation::KEY.to_owned(), key.id().to_string());
            Sealer::new(writer, key)
                .and_then(|sealer| copy(&mut reader, sealer))
                .and_then(Sealer::finish)
                .map_err(failed())?
        }
    };
    reader.finish()?;
    let blob = writer.finish().map_err(failed())?.finish()?;
    let media_type = form.encrypted(to_keys.is_some()).media_type();
    Ok(Descriptor { media_type, digest: blob.digest, size: blob.size, annotations })
}

fn copy<W: Write>(reader: &mut dyn io::Read, mut writer: W) -> io::Result<W> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(writer),
            Ok(length) => writer.write_all(buffer.get(..length).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
