//! The requests that oci-client has not.

use ctrlz_core::digest::Digest;
use futures_util::StreamExt;
use oci_client::RegistryOperation;
use oci_client::errors::{OciDistributionError, OciErrorCode};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, LINK};
use reqwest::{Method, Response, StatusCode};

use super::Registry;
use crate::image::{Bounds, media, parse};
use crate::place::Place;
use crate::{ArchiveError, Descriptor, MediaType};

/// The documents that we understand.
const DOCUMENTS: [&str; 4] =
    [media::MANIFEST, media::INDEX, media::DOCKER_MANIFEST, media::DOCKER_LIST];

/// The most tags of a repository.
const TAGS: usize = 1_000_000;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    Pull,
    Push,
}

impl Right {
    fn operation(self) -> RegistryOperation {
        match self {
            Self::Pull => RegistryOperation::Pull,
            Self::Push => RegistryOperation::Push,
        }
    }
}

/// Whether the same may go well in a moment.
pub(super) fn is_transient(error: &reqwest::Error) -> bool {
    let failed = error.status().is_some_and(is_passing);
    failed || error.is_connect() || error.is_timeout() || error.is_body() || error.is_request()
}

fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// Whether a registry says that something is not there.
pub(super) fn is_missing(error: &OciDistributionError) -> bool {
    use OciErrorCode::{BlobUnknown, ManifestUnknown, NameUnknown, NotFound};
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) => true,
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.iter().any(|error| {
                [BlobUnknown, ManifestUnknown, NameUnknown, NotFound].contains(&error.code)
            })
        }
        OciDistributionError::ServerError { code, .. } => *code == 404,
        _ => false,
    }
}

/// Whether a registry says that it got other bytes than were announced.
pub(super) fn is_other_digest(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.iter().any(|error| error.code == OciErrorCode::DigestInvalid)
        }
        OciDistributionError::ServerError { code: 400, message, .. } => {
            message.contains("DIGEST_INVALID")
        }
        _ => false,
    }
}

/// The length that a response tells of; a HEAD has no body that would tell.
pub(super) fn length(response: &Response) -> Option<u64> {
    response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Registry {
    /// Signs in, which is quick when that was done before; the token for requests of our own.
    pub(super) fn sign_in(&self, right: Right) -> Result<Option<String>, ArchiveError> {
        let reference = self.tagged("latest")?;
        let (auth, operation) = (self.login.to_auth(), right.operation());
        if let Some(token) = self.tokens.get(right) {
            return Ok(token);
        }
        let token = self
            .runtime
            .wait(self.client.auth(&reference, &auth, operation))
            .map_err(self.failed("sign in at"))?;
        self.tokens.set(right, token.clone());
        Ok(token)
    }

    fn request(
        &self,
        method: Method,
        url: &str,
        right: Right,
        action: &str,
    ) -> Result<Response, ArchiveError> {
        let mut is_second = false;
        loop {
            let mut request = self.http.request(method.clone(), url);
            request = request.header(ACCEPT, DOCUMENTS.join(", "));
            request = match (self.sign_in(right)?, self.login.basic()) {
                (Some(token), _) => request.bearer_auth(token),
                (None, Some((name, password))) => request.basic_auth(name, Some(password)),
                (None, None) => request,
            };
            let response = self
                .runtime
                .wait(async { request.send().await })
                .map_err(|error| self.refused(action, is_transient(&error), Box::new(error)))?;
            // A token is good for some minutes.
            if response.status() == StatusCode::UNAUTHORIZED && !is_second {
                self.tokens.forget();
                is_second = true;
                continue;
            }
            return Ok(response);
        }
    }

    fn refused(
        &self,
        action: &str,
        transient: bool,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> ArchiveError {
        let (action, place) = (action.to_owned(), self.address());
        ArchiveError::Place { action, place, transient, source }
    }

    /// A response, or `None` when nothing is there.
    fn found(&self, response: Response, action: &str) -> Result<Option<Response>, ArchiveError> {
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(response)),
            status => {
                Err(self.refused(action, is_passing(status), format!("it answers {status}").into()))
            }
        }
    }

    pub(super) fn head(&self, path: &str, action: &str) -> Result<Option<Response>, ArchiveError> {
        let url = format!("{}/{path}", self.base);
        self.found(self.request(Method::HEAD, &url, Right::Pull, action)?, action)
    }

    /// The descriptor of a manifest by its tag.
    pub(super) fn head_manifest(&self, tag: &str) -> Result<Option<Descriptor>, ArchiveError> {
        let action = format!("look for `{tag}` at");
        let Some(response) = self.head(&format!("manifests/{tag}"), &action)? else {
            return Ok(None);
        };
        let header =
            |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let digest: Option<Digest> =
            header("docker-content-digest").and_then(|text| text.parse().ok());
        let media_type = header(CONTENT_TYPE.as_str()).map(MediaType::from);
        match (digest, media_type, length(&response)) {
            (Some(digest), Some(media_type), Some(size)) => {
                Ok(Some(Descriptor { media_type, digest, size, annotations: Default::default() }))
            }
            _ => {
                let why = "it does not tell the manifest's digest, kind and size";
                Err(self.refused(&action, false, why.into()))
            }
        }
    }

    pub(super) fn get_manifest(&self, digest: &Digest) -> Result<Vec<u8>, ArchiveError> {
        let action = format!("read manifest {digest} from");
        let url = format!("{}/manifests/{digest}", self.base);
        let response = self.request(Method::GET, &url, Right::Pull, &action)?;
        let Some(response) = self.found(response, &action)? else {
            return Err(ArchiveError::Missing(*digest));
        };
        self.limited(response, Bounds::MANIFEST, &action)
    }

    fn limited(
        &self,
        response: Response,
        limit: u64,
        action: &str,
    ) -> Result<Vec<u8>, ArchiveError> {
        let mut stream = Box::pin(response.bytes_stream());
        let mut bytes = Vec::new();
        while let Some(chunk) = self.runtime.wait(stream.next()) {
            let chunk = chunk
                .map_err(|error| self.refused(action, is_transient(&error), Box::new(error)))?;
            bytes.extend_from_slice(&chunk);
            if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
                let why = format!("its answer is larger than {limit} bytes");
                return Err(self.refused(action, false, why.into()));
            }
        }
        Ok(bytes)
    }

    /// All tags, page by page.
    pub(super) fn tags(&self) -> Result<Vec<String>, ArchiveError> {
        #[derive(serde::Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let action = "list the tags of";
        let mut url = format!("{}/tags/list?n=1000", self.base);
        let mut tags: Vec<String> = Vec::new();
        loop {
            let response = self.request(Method::GET, &url, Right::Pull, action)?;
            // A repository that nobody pushed to.
            let Some(response) = self.found(response, action)? else { return Ok(tags) };
            let next = response.headers().get(LINK).and_then(|value| value.to_str().ok());
            let next = next.is_some_and(|link| link.contains("rel=\"next\""));
            let bytes = self.limited(response, Bounds::MANIFEST, action)?;
            let page: Page = parse(&bytes, Bounds::MANIFEST, "the list of tags")?;
            let before = tags.len();
            tags.extend(page.tags.unwrap_or_default());
            if tags.len() > TAGS {
                return Err(self.refused(action, false, "it has more than a million".into()));
            }
            match tags.last().filter(|_| next && tags.len() > before) {
                // What comes after the last one; where the registry says that the next page is,
                // may be anywhere.
                Some(last) => {
                    let last: crate::image::Tag = last.parse()?;
                    url = format!("{}/tags/list?n=1000&last={last}", self.base);
                }
                None => return Ok(tags),
            }
        }
    }

    /// Removes a manifest by tag or digest; what the registry answers.
    pub(super) fn delete_manifest(&self, reference: &str) -> Result<StatusCode, ArchiveError> {
        let action = format!("remove `{reference}` from");
        let url = format!("{}/manifests/{reference}", self.base);
        let status = self.request(Method::DELETE, &url, Right::Push, &action)?.status();
        if is_passing(status) {
            return Err(self.refused(&action, true, format!("it answers {status}").into()));
        }
        Ok(status)
    }
}
