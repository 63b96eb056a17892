//! Images that an engine has, or gets.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bollard::errors::Error;
use bollard::query_parameters::{CreateImageOptions, ImportImageOptions, ListImagesOptions};
use ctrlz_core::isolation::IsolationError;
use futures_util::{StreamExt, TryStreamExt};

use super::client::{Client, Engine};

/// Pulls an image that the engine has not.
pub(super) fn pull(client: &Client, reference: &str) -> Result<(), IsolationError> {
    let options = CreateImageOptions {
        from_image: Some(with_tag(reference)),
        ..CreateImageOptions::default()
    };
    let pulling = client.docker.create_image(Some(options), None, None);
    client.run(
        || format!("pull the image {reference}, which is not here,"),
        pulling.try_for_each(|_| std::future::ready(Ok(()))),
    )
}

/// The smallest image that an engine at its usual sockets has.
///
/// # Errors
/// When the engine cannot be reached, or has none.
pub fn an_image(engine: Engine) -> Result<String, IsolationError> {
    let client = Client::connect(engine, &engine.sockets()?)?;
    let listed = client.docker.list_images(None::<ListImagesOptions>);
    let mut images = client.run(|| "list its images".to_owned(), listed)?;
    images.sort_by_key(|image| image.size);
    let tag = images.into_iter().flat_map(|image| image.repo_tags).find(|tag| !tag.contains('<'));
    tag.ok_or_else(|| IsolationError::Unenforceable {
        what: format!("an image of {engine}"),
        reason: "it has none yet: pull or load one".to_owned(),
    })
}

/// Without a tag, docker pulls every one that there is.
fn with_tag(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    match name.contains([':', '@']) {
        true => reference.to_owned(),
        false => format!("{reference}:latest"),
    }
}

/// How much of an archive is read at once.
const PART: usize = 1 << 18;

/// Gives an engine the images of an archive, as `docker save`, `podman save` and OCI tools write it;
/// answers what the engine says, which names them.
///
/// # Errors
/// When the archive cannot be read, or the engine cannot be reached or takes no such archive.
pub fn load(engine: Engine, sockets: &[PathBuf], archive: &Path) -> Result<String, IsolationError> {
    let client = Client::connect(engine, sockets)?;
    let mut file = File::open(archive).map_err(|source| IsolationError::Setup {
        step: format!("open {}", archive.display()),
        source,
    })?;
    let parts = futures_util::stream::iter(std::iter::from_fn(move || part(&mut file).transpose()));
    let loading =
        client.docker.import_image_stream(ImportImageOptions::default(), parts, None).boxed();
    let said = client.run(|| format!("load {}", archive.display()), async {
        let mut said = String::new();
        let mut loading = loading;
        while let Some(told) = loading.next().await {
            match told {
                Ok(info) => said.push_str(info.stream.as_deref().unwrap_or_default()),
                // After the last line some versions close the answer in the middle.
                Err(Error::JsonDataError { .. }) if !said.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(said)
    })?;
    Ok(said.trim().to_owned())
}

fn part<B: From<Vec<u8>>>(file: &mut File) -> io::Result<Option<B>> {
    let mut bytes = vec![0; PART];
    let length = file.read(&mut bytes)?;
    bytes.truncate(length);
    Ok((length > 0).then(|| B::from(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_a_tag_get_one() {
        assert_eq!(with_tag("debian"), "debian:latest");
        assert_eq!(with_tag("localhost:5000/a"), "localhost:5000/a:latest");
        assert_eq!(with_tag("localhost:5000/a:1"), "localhost:5000/a:1");
        assert_eq!(with_tag("a@sha256:00"), "a@sha256:00");
    }
}
