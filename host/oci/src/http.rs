//! HTTP as registries speak it: TLS, redirects, and answers that are read only so far. Owns what a failure is called; must not
//! know what is asked for, or show a URL, which may hold a signature.

use std::sync::Arc;
use std::time::Duration;

use postroom_mail::rules::neutral;
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde::Deserialize;

use crate::{Error, Trust};

/// For a connection, and between two octets.
const PATIENCE: Duration = Duration::from_secs(20);
/// Registries send to the store that holds the octets, and hardly further.
const REDIRECTS: usize = 5;
/// Characters of others' words.
const TEXT: usize = 300;
/// Octets of an answer that says what is wrong.
const COMPLAINT_CAP: u64 = 16 << 10;

/// A client for one registry, and for those it sends to: it goes without TLS nowhere that `trust` does not say.
pub(crate) fn client(host: &str, trust: &Trust) -> Result<Client, Error> {
    let builder = Client::builder()
        .connect_timeout(PATIENCE)
        .read_timeout(PATIENCE)
        .redirect(Policy::limited(REDIRECTS))
        .referer(false)
        .user_agent("postroom");
    let builder = match trust {
        Trust::Tls(config) => {
            builder.https_only(true).tls_backend_preconfigured(rustls::ClientConfig::clone(config))
        }
        Trust::Plaintext => builder.tls_backend_preconfigured(nobody(host)?).no_proxy(),
    };
    builder.build().map_err(|error| Error::Untrusted { registry: host.to_owned(), problem: chain(&error) })
}

/// Settings of TLS that take no certificate: the library wants some, also of who does not use them.
fn nobody(host: &str) -> Result<rustls::ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder
        .map_err(|error| Error::Untrusted { registry: host.to_owned(), problem: error.to_string() })?;
    Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

/// The octets of an answer, or nothing when there are more than `limit`: then at most a piece more was read.
pub(crate) async fn read(mut answer: Response, limit: u64) -> Result<Option<Vec<u8>>, reqwest::Error> {
    if answer.content_length().is_some_and(|size| size > limit) {
        return Ok(None);
    }
    let mut octets = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        if octets.len() as u64 + piece.len() as u64 > limit {
            return Ok(None);
        }
        octets.extend_from_slice(&piece);
    }
    Ok(Some(octets))
}

#[derive(Deserialize)]
struct Complaint {
    errors: Vec<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    code: String,
    #[serde(default)]
    message: String,
}

/// What an answer without success says: its status, and the registry's own words when it has any (OCI distribution
/// specification 1.1, "error codes").
pub(crate) async fn complaint(answer: Response) -> String {
    let status = answer.status();
    let octets = read(answer, COMPLAINT_CAP).await.ok().flatten().unwrap_or_default();
    let said =
        serde_json::from_slice::<Complaint>(&octets).ok().and_then(|said| said.errors.into_iter().next());
    let said = said.map(|Reason { code, message }| format!(", {code}: {message}")).unwrap_or_default();
    neutral(&format!("it answered {status}{said}"), TEXT)
}

/// Why there is no answer.
pub(crate) fn failed(host: &str, error: reqwest::Error) -> Error {
    let (registry, error) = (host.to_owned(), error.without_url());
    match beneath(&error) {
        Some(problem) => Error::Untrusted { registry, problem: neutral(&problem, TEXT) },
        None => Error::Unreachable { registry, problem: neutral(&chain(&error), TEXT) },
    }
}

/// What TLS refused, at any depth. IO errors wrap it, and their own `source` skips what they wrap.
fn beneath(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let found = error.downcast_ref::<rustls::Error>().map(ToString::to_string);
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    found.or_else(|| wrapped.and_then(|inner| beneath(inner))).or_else(|| error.source().and_then(beneath))
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
