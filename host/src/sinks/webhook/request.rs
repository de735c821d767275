//! Owns what is posted: the body, the fields that describe it, and the signature over the body. Must not know an answer.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use postroom_mail::{Coding, Key, Timestamp};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use sha2::Sha256;

use super::WebhookFormat;
use crate::config::Secret;
use crate::sinks::Job;
use crate::sinks::error::{Fault, quoted};

/// What is told of a content. The names are those of the JSON document.
#[derive(Debug, Serialize)]
pub(super) struct Delivery {
    /// The effect: the same for every attempt, another for anything else.
    id: String,
    message: String,
    account: String,
    /// When the message was retrieved, in milliseconds since 1970.
    retrieved: i64,
    step: String,
    key: String,
    content_type: String,
    /// Digest and length before any coding.
    sha256: String,
    size: u64,
    /// `identity` or `zstd`.
    coding: &'static str,
    meta: Vec<(String, String)>,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    delivery: &'a Delivery,
    /// The octets, coded, in base64.
    content: String,
}

impl Delivery {
    pub(super) fn new(
        job: &Job<'_>,
        key: &Key,
        content_type: Option<&str>,
        meta: &[(String, String)],
    ) -> Result<Self, Fault> {
        let effect = job.effect;
        let token = |name: &str| {
            !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        };
        if let Some((name, _)) = meta.iter().find(|(name, _)| !token(name)) {
            return Err(Fault::permanent(format!(
                "metadata {} cannot be posted: names are letters, digits and '-'",
                quoted(name)
            )));
        }
        let coding = match effect.content.coding {
            Coding::Identity => "identity",
            Coding::Zstd => "zstd",
        };
        Ok(Self {
            id: effect.id.to_string(),
            message: job.message.to_string(),
            account: job.provenance.account.to_string(),
            retrieved: job.provenance.retrieved.0,
            step: effect.step.to_string(),
            key: key.as_str().to_owned(),
            content_type: content_type.unwrap_or("application/octet-stream").to_owned(),
            sha256: effect.digest.to_string(),
            size: effect.size,
            coding,
            meta: meta.to_vec(),
        })
    }

    /// Fields and body.
    pub(super) fn request(
        self,
        format: WebhookFormat,
        content: Vec<u8>,
    ) -> Result<(HeaderMap, Vec<u8>), Fault> {
        let mut headers = HeaderMap::new();
        set(&mut headers, "idempotency-key", &self.id)?;
        let body = match format {
            WebhookFormat::Json => {
                set(&mut headers, CONTENT_TYPE.as_str(), "application/json")?;
                let document = Document { delivery: &self, content: BASE64_STANDARD.encode(&content) };
                drop(content);
                serde_json::to_vec(&document).map_err(|error| {
                    Fault::permanent("the effect cannot be written as JSON").because(error)
                })?
            }
            WebhookFormat::Raw => {
                self.describe(&mut headers)?;
                content
            }
        };
        Ok((headers, body))
    }

    fn describe(&self, headers: &mut HeaderMap) -> Result<(), Fault> {
        // What is posted is the frame, not the content.
        let content_type = if self.coding == "zstd" { "application/zstd" } else { &self.content_type };
        let retrieved = self.retrieved.to_string();
        let fields = [
            (CONTENT_TYPE.as_str(), content_type),
            ("postroom-message", &self.message),
            ("postroom-account", &self.account),
            ("postroom-retrieved", &retrieved),
            ("postroom-step", &self.step),
            ("postroom-key", &self.key),
            ("postroom-sha256", &self.sha256),
        ];
        for (name, value) in fields {
            set(headers, name, value)?;
        }
        for (name, value) in &self.meta {
            set(headers, &format!("postroom-meta-{}", name.to_ascii_lowercase()), value)?;
        }
        Ok(())
    }
}

fn set(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), Fault> {
    let unfit = |_| Fault::permanent(format!("{} cannot be a field of an HTTP request", quoted(name)));
    let name = HeaderName::try_from(name).map_err(|_| unfit(()))?;
    let value = HeaderValue::try_from(super::super::s3::header_safe(value)).map_err(|_| unfit(()))?;
    headers.insert(name, value);
    Ok(())
}

/// Signs bodies with each of its secrets, so that a receiver may know the old or the new one.
#[derive(Clone, Debug)]
pub(super) struct Signer(Arc<Vec<Secret>>);

impl Signer {
    pub(super) fn new(secrets: Vec<Secret>) -> Self {
        Self(Arc::new(secrets))
    }

    /// `Postroom-Signature: t=<seconds>,v1=<hex>` with `v1` = HMAC-SHA256(secret, `<seconds>.<body>`); one `v1` a secret.
    pub(super) fn sign(&self, now: Timestamp, body: &[u8], headers: &mut HeaderMap) -> Result<(), Fault> {
        if self.0.is_empty() {
            return Ok(());
        }
        let seconds = now.0.div_euclid(1000);
        let mut value = format!("t={seconds}");
        for secret in self.0.iter() {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
                .map_err(|error| Fault::configuration("a secret of this sink cannot sign").because(error))?;
            mac.update(format!("{seconds}.").as_bytes());
            mac.update(body);
            value.push_str(",v1=");
            for octet in mac.finalize().into_bytes() {
                value.push_str(&format!("{octet:02x}"));
            }
        }
        set(headers, "postroom-signature", &value)
    }

    pub(super) fn in_words(&self) -> &'static str {
        match self.0.len() {
            0 => "requests are not signed: give `secret` so that the receiver can tell them from anybody's",
            1 => "requests are signed",
            _ => "requests are signed with the secret and the previous one",
        }
    }
}
