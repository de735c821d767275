//! Pulling from a registry (OCI distribution specification 1.1). What was pulled is kept in a layout, so that whoever asks
//! there first need not pull it again: a digest cannot come to mean anything else.

use std::time::Duration;

use futures::StreamExt as _;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference as Image};
use postroom_mail::Digest;
use postroom_mail::rules::neutral;

use crate::artifact::{MANIFEST, Part, Parts};
use crate::{Error, Layout, Plugin};

/// For a connection, and between two octets.
const PATIENCE: Duration = Duration::from_secs(20);
/// For everything.
const WHOLE: Duration = Duration::from_secs(300);
/// Characters of a registry's own words.
const TEXT: usize = 300;

/// Whom a registry may be taken for.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// An authority beside the system's, PEM.
    pub authority: Option<Vec<u8>>,
    /// Without TLS: only for a registry on this very machine.
    pub plaintext: bool,
}

/// A name and a password for it.
#[derive(Clone)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password or token.
    pub password: String,
}

/// A registry to pull from.
pub struct Registry {
    client: Client,
    host: String,
    auth: RegistryAuth,
}

impl Registry {
    /// The registry at a host. The process's default provider of cryptography is used.
    ///
    /// # Errors
    /// When the trust is not usable.
    pub fn new(host: &str, login: Option<Login>, trust: &Trust) -> Result<Self, Error> {
        let authority = trust.authority.iter().cloned();
        let roots = authority.map(|data| Certificate { encoding: CertificateEncoding::Pem, data }).collect();
        let config = ClientConfig {
            protocol: if trust.plaintext { ClientProtocol::Http } else { ClientProtocol::Https },
            extra_root_certificates: roots,
            // An index of several platforms is no plugin.
            platform_resolver: None,
            connect_timeout: Some(PATIENCE),
            read_timeout: Some(PATIENCE),
            user_agent: "postroom",
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| failed(host, error, None))?;
        let auth =
            login.map_or(RegistryAuth::Anonymous, |login| RegistryAuth::Basic(login.user, login.password));
        Ok(Self { client, host: host.to_owned(), auth })
    }

    /// The plugin whose manifest has that digest; it is kept in `kept`.
    ///
    /// # Errors
    /// When it is not there, is not what its digest says, or the registry does not answer.
    pub async fn pull(&self, repository: &str, digest: &Digest, kept: &Layout) -> Result<Plugin, Error> {
        let pulled = tokio::time::timeout(WHOLE, self.download(repository, digest)).await;
        let (manifest, plugin) = pulled.map_err(|_| Error::Unreachable {
            registry: self.host.clone(),
            problem: format!("it was not done after {WHOLE:?}"),
        })??;
        kept.keep(&manifest, &plugin.component, plugin.signature.as_deref())?;
        Ok(plugin)
    }

    async fn download(&self, repository: &str, digest: &Digest) -> Result<(Vec<u8>, Plugin), Error> {
        let image = Image::with_digest(self.host.clone(), repository.to_owned(), format!("sha256:{digest}"));
        let asked = self.client.pull_manifest_raw(&image, &self.auth, &[MANIFEST]).await;
        let (manifest, _) = asked.map_err(|error| failed(&self.host, error, Some(digest)))?;
        let parts = Parts::read(&manifest, digest, &self.host)?;
        let component = self.part(&image, &parts.component).await?;
        let signature = match &parts.signature {
            None => None,
            Some(part) => Some(String::from_utf8_lossy(&self.part(&image, part).await?).into_owned()),
        };
        Ok((manifest.to_vec(), Plugin { component, signature }))
    }

    async fn part(&self, image: &Image, part: &Part) -> Result<Vec<u8>, Error> {
        part.check(part.size, &self.host)?;
        let size = i64::try_from(part.size).unwrap_or(i64::MAX);
        let layer =
            OciDescriptor { digest: format!("sha256:{}", part.digest), size, ..OciDescriptor::default() };
        let failed = |error| failed(&self.host, error, Some(&part.digest));
        let mut stream = self.client.pull_blob_stream(image, &layer).await.map_err(failed)?.stream;
        let mut octets = Vec::new();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| failed(error.into()))?;
            // More than the manifest says is not waited for.
            if octets.len() as u64 + piece.len() as u64 > part.size {
                return Err(Error::Changed { place: self.host.clone(), digest: Box::new(part.digest) });
            }
            octets.extend_from_slice(&piece);
        }
        part.verify(&octets, &self.host)?;
        Ok(octets)
    }
}

fn failed(registry: &str, error: OciDistributionError, digest: Option<&Digest>) -> Error {
    let problem = neutral(&chain(&error), TEXT);
    let registry = registry.to_owned();
    let not_found = |digest: &Digest| Error::Missing { place: registry.clone(), digest: Box::new(*digest) };
    match (&error, digest) {
        (OciDistributionError::ImageManifestNotFoundError(_), Some(digest)) => not_found(digest),
        (OciDistributionError::RegistryError { envelope, .. }, Some(digest))
            if envelope.errors.iter().any(|error| is_missing(&error.code)) =>
        {
            not_found(digest)
        }
        (OciDistributionError::ServerError { code: 404, .. }, Some(digest)) => not_found(digest),
        (OciDistributionError::DigestError(_), Some(digest)) => {
            Error::Changed { place: registry, digest: Box::new(*digest) }
        }
        (
            OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_),
            _,
        ) => Error::Refused { registry, problem },
        _ => Error::Unreachable { registry, problem },
    }
}

fn is_missing(code: &oci_client::errors::OciErrorCode) -> bool {
    use oci_client::errors::OciErrorCode as Code;
    matches!(code, Code::ManifestUnknown | Code::BlobUnknown | Code::NameUnknown | Code::NotFound)
}

/// The text of an error with its causes, which say what really happened.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
