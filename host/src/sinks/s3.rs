//! Owns delivery into an S3 bucket: one conditional PUT per object, never multipart, never an overwrite, and on a taken
//! key a comparison of digests. Must not put a secret, a signature or a server's text into an error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum, S3ConditionalPut};
use object_store::path::Path as ObjectPath;
use object_store::{
    Attribute, Attributes, BackoffConfig, Error as StoreError, GetOptions, ObjectStore, ObjectStoreExt,
    PutMode, PutOptions, PutPayload, RetryConfig,
};
use postroom_mail::rules::neutral;
use postroom_mail::{Coding, Digest, Effect, Key, Name, Octets, OnConflict};
use postroom_spool::{Receipt, Stored};
use serde::Deserialize;

use self::http::{Connector, Refused};
use super::contents;
use super::error::{Fault, SinkError, quoted};
use crate::config::{Secret, SecretRef};

mod http;
mod kept;

/// An S3 sink as the operator writes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// The bucket, which must exist.
    pub bucket: String,
    /// Put before every key, with a `/` between.
    pub prefix: Option<String>,
    /// Of another store than AWS, e.g. `https://s3.example`.
    pub endpoint: Option<String>,
    /// The region requests are signed for.
    #[serde(default = "default_region")]
    pub region: String,
    /// Access key id. Without it and `secret_key`, the role of the cloud machine.
    pub access_key: Option<SecretRef>,
    /// Secret access key.
    pub secret_key: Option<SecretRef>,
    /// `https://endpoint/bucket` instead of `https://bucket.endpoint`; when not given, yes if there is an endpoint.
    pub path_style: Option<bool>,
    /// Allows an `http://` endpoint: anybody on the way can read the mail.
    #[serde(default)]
    pub allow_http: bool,
    /// PEM file of the only authorities to trust, relative to the configuration file.
    pub ca_file: Option<PathBuf>,
    /// Keeps a manifest of what is stored: in the state, each day that is over in the bucket too.
    #[serde(default)]
    pub manifest: bool,
}

/// A bucket.
#[derive(Debug)]
pub struct S3 {
    store: AmazonS3,
    bucket: String,
    prefix: String,
    manifest: bool,
}

/// Digest of the content before any coding.
const SHA256: &str = "postroom-sha256";
/// Digest of the octets as they are stored.
const STORED: &str = "postroom-stored-sha256";
/// Which effect wrote the object.
const EFFECT: &str = "postroom-effect";
/// What S3 allows in all (names and values).
const MOST_META: usize = 2048;
/// RFC-less but real: the longest key S3 takes, in octets.
const LONGEST_KEY: usize = 1024;
/// The object of the start-up probe; always the same octets, so it is put once in its life.
const PROBE: &str = ".postroom-probe";

impl S3 {
    pub(super) fn new(name: &Name, config: &S3Config, base: &Path) -> Result<Self, SinkError> {
        let secret = |what: &str, secret: &SecretRef| -> Result<Secret, SinkError> {
            secret.read(base).map_err(|error| {
                SinkError::from_source(name, format!("cannot read `{what}`: {error}"), error)
            })
        };
        let keys = match (&config.access_key, &config.secret_key) {
            (None, None) => None,
            (Some(access), Some(key)) => Some((secret("access_key", access)?, secret("secret_key", key)?)),
            _ => {
                return Err(SinkError::new(
                    name,
                    "`access_key` and `secret_key` belong together: give both or neither",
                ));
            }
        };
        let plain = config.endpoint.as_ref().is_some_and(|endpoint| !endpoint.starts_with("https://"));
        if plain && !config.allow_http {
            return Err(SinkError::new(
                name,
                "`endpoint` must start with https://; over plain http anybody on the way can read the mail \
                 (`allow_http = true` allows it)",
            ));
        }
        let ca_file = config.ca_file.as_ref().map(|file| base.join(file));
        let tls = postroom_dial::client(ca_file.as_deref())
            .map_err(|error| SinkError::from_source(name, error.to_string(), error))?;

        let path_style = config.path_style.unwrap_or(config.endpoint.is_some());
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_virtual_hosted_style_request(!path_style)
            .with_allow_http(config.allow_http)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_retry(one_quick_retry())
            .with_http_connector(Connector::new(&tls));
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint_of(endpoint, &config.bucket, path_style));
        }
        if let Some((access, key)) = &keys {
            builder = builder.with_access_key_id(access.expose()).with_secret_access_key(key.expose());
        }
        // The text of this error could quote what it was given.
        let store = builder
            .build()
            .map_err(|_| SinkError::new(name, "cannot be set up: check `bucket`, `endpoint` and `region`"))?;
        let prefix = config.prefix.as_deref().unwrap_or("").trim_matches('/').to_owned();
        Ok(Self { store, bucket: config.bucket.clone(), prefix, manifest: config.manifest })
    }

    /// `key` of the effect, with the effect's content.
    pub(super) async fn store(
        &self,
        effect: &Effect,
        key: &Key,
        on_conflict: OnConflict,
        content_type: Option<&str>,
        meta: &[(String, String)],
        raw: Arc<dyn Octets>,
    ) -> Result<Receipt, Fault> {
        let owned = effect.clone();
        super::not_ours(key.as_str())?;
        let (coded, digest) = super::blocking(move || {
            let coded = contents::collect(&owned, &*raw)?;
            let digest = Digest::of(&coded);
            Ok((coded, digest))
        })
        .await?;
        let payload = PutPayload::from(coded);
        let attributes = attributes(effect, content_type, meta, &digest)?;
        for n in 1..=super::MOST_NUMBERS {
            let key = if n == 1 { key.clone() } else { key.numbered(n) };
            let payload = payload.clone();
            if let Some(receipt) = self.create(effect, &key, payload, digest, attributes.clone()).await? {
                return Ok(receipt);
            }
            if on_conflict == OnConflict::Refuse {
                return Err(super::taken(&key));
            }
        }
        Err(super::numbers_used_up(key))
    }

    /// Whether it is to have a manifest.
    pub(super) fn manifest(&self) -> bool {
        self.manifest
    }

    /// Puts one small object twice: the second must be refused, or two hosts could overwrite each other's mail.
    pub(super) async fn probe(&self) -> Result<Vec<String>, Fault> {
        let path = self.path(PROBE)?;
        let put = || {
            let payload = PutPayload::from_static(b"postroom: create-only probe\n");
            self.store.put_opts(&path, payload, PutOptions::from(PutMode::Create))
        };
        for last in [false, true] {
            match put().await {
                Err(StoreError::AlreadyExists { .. }) => {
                    return Ok(vec![
                        format!("bucket {} can be written", self.bucket),
                        "an object is never overwritten: If-None-Match is honoured".to_owned(),
                    ]);
                }
                Ok(_) if last => {}
                Ok(_) => continue,
                Err(error) => return Err(self.fault(&path, &error)),
            }
        }
        Err(Fault::configuration(format!(
            "the store behind bucket {} takes If-None-Match and ignores it, so it would overwrite; \
             nothing is stored there: use a store that honours conditional writes",
            self.bucket
        )))
    }

    /// Creates the object, or finds it there already; `None` when the key is taken by other octets.
    async fn create(
        &self,
        effect: &Effect,
        key: &Key,
        payload: PutPayload,
        digest: Digest,
        attributes: Attributes,
    ) -> Result<Option<Receipt>, Fault> {
        let path = self.path(key.as_str())?;
        let size = payload.content_length() as u64;
        let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
        match self.store.put_opts(&path, payload, options).await {
            Ok(put) => {
                let stored = Stored { key: key.as_str().to_owned(), size, digest: Some(digest) };
                Ok(Some(self.receipt(effect, &path, put.e_tag, put.version, stored, false)))
            }
            Err(StoreError::AlreadyExists { .. }) => self.compare(effect, key, &path, size).await,
            Err(error) => Err(self.fault(&path, &error)),
        }
    }

    async fn compare(
        &self,
        effect: &Effect,
        key: &Key,
        path: &ObjectPath,
        size: u64,
    ) -> Result<Option<Receipt>, Fault> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let head = match self.store.get_opts(path, options).await {
            Ok(head) => head,
            // 409 says that another write is going on (and object_store shows it like 412): not there yet.
            Err(StoreError::NotFound { .. }) => {
                return Err(Fault::temporary(format!(
                    "another write to {} is going on; it will be tried again",
                    quoted(path.as_ref())
                )));
            }
            Err(error) => return Err(self.fault(path, &error)),
        };
        let (e_tag, version) = (head.meta.e_tag.clone(), head.meta.version.clone());
        let same = match head.attributes.get(&Attribute::Metadata(SHA256.into())) {
            // zstd may code the same content differently in another version.
            Some(digest) if effect.content.coding == Coding::Zstd => **digest == effect.digest.to_string(),
            Some(digest) => **digest == effect.digest.to_string() && head.meta.size == size,
            None => self.same_octets(effect, path, head.meta.size, size).await?,
        };
        let digest = head.attributes.get(&Attribute::Metadata(STORED.into()));
        let digest = digest.and_then(|digest| digest.parse().ok());
        let stored = Stored { key: key.as_str().to_owned(), size: head.meta.size, digest };
        Ok(same.then(|| self.receipt(effect, path, e_tag, version, stored, true)))
    }

    /// For an object that somebody else wrote.
    async fn same_octets(
        &self,
        effect: &Effect,
        path: &ObjectPath,
        stored: u64,
        size: u64,
    ) -> Result<bool, Fault> {
        let possible = match effect.content.coding {
            Coding::Identity => stored == size,
            // A frame of incompressible content is a little longer than the content.
            Coding::Zstd => stored <= effect.size + effect.size / 128 + 1024,
        };
        if !possible {
            return Ok(false);
        }
        let got = self.store.get(path).await.map_err(|error| self.fault(path, &error))?;
        let octets = got.bytes().await.map_err(|error| self.fault(path, &error))?;
        let effect = effect.clone();
        super::blocking(move || {
            contents::same(&effect, &*octets)
                .map_err(|error| Fault::temporary("cannot compare a stored object").because(error))
        })
        .await
    }

    fn path(&self, key: &str) -> Result<ObjectPath, Fault> {
        super::parts(key)?;
        let whole = if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) };
        let wrong = |why: String| Fault::permanent(format!("{} cannot be an S3 key: {why}", quoted(&whole)));
        if whole.len() > LONGEST_KEY {
            return Err(wrong(format!(
                "it is longer than {LONGEST_KEY} octets; shorten `prefix` or the key template"
            )));
        }
        ObjectPath::parse(&whole).map_err(|error| wrong(error.to_string()))
    }

    fn receipt(
        &self,
        effect: &Effect,
        path: &ObjectPath,
        e_tag: Option<String>,
        version: Option<String>,
        stored: Stored,
        already: bool,
    ) -> Receipt {
        let e_tag = e_tag.map(|tag| format!("etag {}, ", neutral(&tag, 200))).unwrap_or_default();
        let version = version.map(|id| format!("version {}, ", neutral(&id, 200))).unwrap_or_default();
        Receipt {
            location: format!("s3://{}/{path}", self.bucket),
            proof: format!("{e_tag}{version}sha256 {}", effect.digest),
            already,
            stored: Some(stored),
        }
    }

    /// What a failure of the store means, in our own words only.
    fn fault(&self, path: &ObjectPath, error: &StoreError) -> Fault {
        let place = format!("s3://{}/{}", self.bucket, neutral(path.as_ref(), 200));
        if let Some(refused) = beneath::<Refused>(error) {
            return refused.fault(&place);
        }
        match error {
            StoreError::NotFound { .. } => Fault::configuration(format!(
                "{place}: bucket {} is not there (404); make it, or correct `bucket` and `endpoint`",
                self.bucket
            )),
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
                Fault::configuration(format!(
                    "{place}: the keys are refused; check `access_key`, `secret_key` and what they may do in the bucket"
                ))
            }
            StoreError::InvalidPath { .. } => {
                Fault::permanent(format!("{place}: the store cannot name this key"))
            }
            StoreError::NotImplemented { .. } | StoreError::NotSupported { .. } => {
                Fault::configuration(format!("{place}: the store cannot do this"))
            }
            _ => Fault::unavailable(format!("{place}: {}; it will be tried again", http::trouble(error))),
        }
    }
}

/// The first error of this type in the chain.
fn beneath<E: std::error::Error + 'static>(error: &StoreError) -> Option<&E> {
    std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| error.source())
        .find_map(|error| error.downcast_ref())
}

fn attributes(
    effect: &Effect,
    content_type: Option<&str>,
    meta: &[(String, String)],
    stored: &Digest,
) -> Result<Attributes, Fault> {
    // What lies there is the frame, not the content.
    let content_type = match effect.content.coding {
        Coding::Zstd => "application/zstd",
        Coding::Identity => content_type.unwrap_or("application/octet-stream"),
    };
    let mut pairs = BTreeMap::new();
    for (name, value) in meta {
        let name = name.to_ascii_lowercase();
        let token = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
        if name.is_empty() || !name.bytes().all(token) || name.starts_with("postroom-") {
            return Err(Fault::permanent(format!(
                "metadata {} cannot be kept: names are letters, digits and '-', and must not start with postroom-",
                quoted(&name)
            )));
        }
        pairs.insert(name, header_safe(value));
    }
    pairs.insert(SHA256.to_owned(), effect.digest.to_string());
    pairs.insert(STORED.to_owned(), stored.to_string());
    pairs.insert(EFFECT.to_owned(), effect.id.to_string());
    let total: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if total > MOST_META {
        return Err(Fault::permanent(format!(
            "the metadata has {total} octets and S3 keeps {MOST_META}; shorten it in the step's settings"
        )));
    }
    let mut attributes = Attributes::with_capacity(pairs.len() + 1);
    attributes.insert(Attribute::ContentType, header_safe(content_type).into());
    for (name, value) in pairs {
        attributes.insert(Attribute::Metadata(name.into()), value.into());
    }
    Ok(attributes)
}

/// Percent-encodes what cannot stand in an HTTP field value, and the percent sign itself.
pub(super) fn header_safe(value: &str) -> String {
    value
        .bytes()
        .map(|octet| match octet {
            b'%' | 0..0x20 | 0x7F.. => format!("%{octet:02X}"),
            _ => char::from(octet).to_string(),
        })
        .collect()
}

/// object_store wants the bucket in the host name itself when it is not in the path.
fn endpoint_of(endpoint: &str, bucket: &str, path_style: bool) -> String {
    match endpoint.trim_end_matches('/').split_once("://") {
        Some((scheme, host)) if !path_style => format!("{scheme}://{bucket}.{host}"),
        _ => endpoint.trim_end_matches('/').to_owned(),
    }
}

/// For a kept connection that turns out closed. All other trying again is the host's.
fn one_quick_retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
        },
        max_retries: 1,
        retry_timeout: Duration::from_secs(30),
    }
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

#[cfg(test)]
mod tests;
