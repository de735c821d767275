//! Owns delivery to a web address: one POST an effect, signed, with the effect's id as `Idempotency-Key`, so that a
//! receiver that keeps keys takes each effect once. Must not follow a redirect, or put the address, a secret or a
//! receiver's text as it came into an error.

mod answer;
mod request;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use postroom_failpoint::reach;
use postroom_mail::{Key, Name};
use postroom_spool::Receipt;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::Deserialize;

use self::answer::Answer;
use self::request::{Delivery, Signer};
use super::error::{Fault, SinkError};
use super::{Job, contents};
use crate::config::SecretRef;

/// A webhook sink as the operator writes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where to; private addresses are allowed, since it is the operator who names it.
    pub url: String,
    /// What the body is.
    #[serde(default)]
    pub format: WebhookFormat,
    /// Signs each request.
    pub secret: Option<SecretRef>,
    /// Signs each request as well, while receivers change from this one to `secret`.
    pub previous_secret: Option<SecretRef>,
    /// A token, sent as `Authorization: Bearer`.
    pub bearer: Option<SecretRef>,
    /// Allows an `http://` address: anybody on the way can read the mail.
    #[serde(default)]
    pub allow_http: bool,
    /// PEM file of the only authorities to trust, relative to the configuration file.
    pub ca_file: Option<PathBuf>,
}

/// What the body of a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookFormat {
    /// The content's octets, with what is known of them in the header.
    #[default]
    Raw,
    /// A JSON document with what is known of them, and the octets in base64.
    Json,
}

/// A web address that takes what is posted to it.
#[derive(Debug)]
pub struct Webhook {
    client: reqwest::Client,
    url: Url,
    /// The address without path and query, which may hold a token.
    place: String,
    format: WebhookFormat,
    signer: Signer,
    bearer: Option<HeaderValue>,
}

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(15);
/// How long a whole request may take: 50 MiB at 200 KB/s.
const REQUEST: Duration = Duration::from_secs(5 * 60);

impl Webhook {
    pub(super) fn new(name: &Name, config: &WebhookConfig, base: &Path) -> Result<Self, SinkError> {
        let url = address(&config.url, config.allow_http).map_err(|why| SinkError::new(name, why))?;
        if config.previous_secret.is_some() && config.secret.is_none() {
            return Err(SinkError::new(name, "`previous_secret` only goes with `secret`"));
        }
        let read =
            |key: &str, secret: &Option<SecretRef>| {
                secret.as_ref().map(|secret| secret.read(base)).transpose().map_err(|error| {
                    SinkError::from_source(name, format!("cannot read `{key}`: {error}"), error)
                })
            };
        let secrets = [read("secret", &config.secret)?, read("previous_secret", &config.previous_secret)?];
        let bearer = match read("bearer", &config.bearer)? {
            None => None,
            Some(token) => {
                let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
                    .map_err(|_| SinkError::new(name, "`bearer` holds what no HTTP field can"))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let ca_file = config.ca_file.as_ref().map(|file| base.join(file));
        let tls = postroom_dial::client(ca_file.as_deref())
            .map_err(|error| SinkError::from_source(name, error.to_string(), error))?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(&tls))
            .https_only(!config.allow_http)
            // Mail and a token must not follow a server's word to another host.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // Whether to try again is the host's decision.
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent("postroom")
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            .build()
            .map_err(|_| SinkError::new(name, "the HTTP client does not take the TLS settings"))?;
        let place = url.origin().ascii_serialization();
        let signer = Signer::new(secrets.into_iter().flatten().collect());
        Ok(Self { client, url, place, format: config.format, signer, bearer })
    }

    /// Posts the effect's content under its key. Conflicts of keys are the receiver's affair: it gets the effect's id.
    pub(super) async fn store(
        &self,
        job: &Job<'_>,
        key: &Key,
        content_type: Option<&str>,
        meta: &[(String, String)],
    ) -> Result<Receipt, Fault> {
        let delivery = Delivery::new(job, key, content_type, meta)?;
        let (effect, raw) = (job.effect.clone(), Arc::clone(&job.raw));
        let (format, signer, now) = (self.format, self.signer.clone(), job.now);
        let (mut headers, body) = super::blocking(move || {
            let content = contents::collect(&effect, &*raw)?;
            let (mut headers, body) = delivery.request(format, content)?;
            signer.sign(now, &body, &mut headers)?;
            Ok((headers, body))
        })
        .await?;
        self.authorize(&mut headers);
        reach("webhook.POST", "send");
        let sent = self.client.post(self.url.clone()).headers(headers).body(body).send().await;
        reach("webhook.POST", "answered");
        let response = sent.map_err(|error| answer::trouble(&self.place, &error))?;
        let answer = Answer::read(response, job.now).await;
        let id = job.effect.id.to_string();
        let already = answer.taken(&id).ok_or_else(|| answer.fault(&self.place))?;
        Ok(Receipt {
            location: format!("{} as {key}", self.place),
            proof: format!("{answer}, sha256 {}", job.effect.digest),
            already,
            stored: None,
        })
    }

    /// Asks for the head of the address; any answer shows that somebody is there. Posts nothing.
    pub(super) async fn probe(&self) -> Result<Vec<String>, Fault> {
        let mut headers = HeaderMap::new();
        self.authorize(&mut headers);
        let asked = self.client.head(self.url.clone()).headers(headers).send().await;
        let status = asked.map_err(|error| answer::trouble(&self.place, &error))?.status().as_u16();
        let mut facts = vec![format!("{} answers (HTTP {status} to HEAD; nothing was posted)", self.place)];
        if self.url.scheme() == "http" {
            facts.push("anybody on the way can read and change what is posted: it is WITHOUT TLS".to_owned());
        }
        facts.push(self.signer.in_words().to_owned());
        Ok(facts)
    }

    fn authorize(&self, headers: &mut HeaderMap) {
        if let Some(bearer) = &self.bearer {
            headers.insert(AUTHORIZATION, bearer.clone());
        }
    }
}

/// The address as meant. What is wrong is said without showing it: it may hold a token.
fn address(written: &str, allow_http: bool) -> Result<Url, &'static str> {
    let url =
        Url::parse(written).map_err(|_| "`url` is no web address, like \"https://hooks.example/mail\"")?;
    match url.scheme() {
        "https" => {}
        "http" if allow_http => {}
        "http" => {
            return Err(
                "`url` must start with https://; over plain http anybody on the way can read the mail \
                 (`allow_http = true` allows it)",
            );
        }
        _ => return Err("`url` must start with https://"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("`url` may not hold a user or a password: a token has a key of its own, `bearer`");
    }
    if url.fragment().is_some() {
        return Err("`url` has a part after `#`, which is never sent: remove it");
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
