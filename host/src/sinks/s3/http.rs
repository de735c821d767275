//! Owns the HTTP client beneath the store: the one TLS trust of the host, no redirects, bounded waiting, and refusals as
//! a type that holds nothing but a status and an error code. Must not keep a request, a signature or a reply body.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::{ClientOptions, Error as StoreError};
use postroom_failpoint::reach;

use super::super::error::Fault;

/// Makes the client.
#[derive(Debug)]
pub(super) struct Connector {
    tls: Arc<rustls::ClientConfig>,
}

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(15);
/// How long a whole request may take: 50 MiB at 200 KB/s.
const REQUEST: Duration = Duration::from_secs(5 * 60);
/// How much of an error document is looked at.
const LONGEST_DOCUMENT: usize = 64 * 1024;

impl Connector {
    pub(super) fn new(tls: &Arc<rustls::ClientConfig>) -> Self {
        Self { tls: Arc::clone(tls) }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let plain = options.get_config_value(&object_store::ClientConfigKey::AllowHttp);
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(&self.tls))
            .https_only(plain.as_deref() != Some("true"))
            // A signed request must not follow a server's word to another host.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            .build()
            .map_err(|error| StoreError::Generic { store: "S3", source: Box::new(error) })?;
        Ok(HttpClient::new(Service { client }))
    }
}

#[derive(Debug)]
struct Service {
    client: reqwest::Client,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let method = request.method().clone();
        let put = method.as_str() == "PUT";
        reach(format_args!("s3.{method}"), "send");
        let response = self.client.call(request).await?;
        reach(format_args!("s3.{method}"), "answered");
        let status = response.status().as_u16();
        match status {
            200..300 if put => believed(response).await,
            200..300 | 304 | 409 | 412 => Ok(response),
            404 if !put => Ok(response),
            _ => {
                let code = code(response).await;
                // `Unknown` is not tried again by object_store: that is the host's decision.
                Err(HttpError::new(HttpErrorKind::Unknown, Refused { status, code }))
            }
        }
    }
}

/// The store answered, and not with success.
#[derive(Debug, thiserror::Error)]
#[error("{status} {}", code.as_deref().unwrap_or("without a code"))]
pub(super) struct Refused {
    status: u16,
    code: Option<String>,
}

impl Refused {
    /// What the refusal means.
    pub(super) fn fault(&self, place: &str) -> Fault {
        let what = format!("{place}: the store answered {self}");
        match (self.status, self.code.as_deref().unwrap_or("")) {
            (_, "RequestTimeout" | "SlowDown" | "InternalError" | "ServiceUnavailable") => {
                Fault::unavailable(format!("{what}; the store is unwell, it will be tried again"))
            }
            (200..=299, _)
            | (_, "OperationAborted" | "IncompleteBody" | "BadDigest" | "XAmzContentSHA256Mismatch") => {
                Fault::temporary(format!("{what}; it will be tried again"))
            }
            (_, "RequestTimeTooSkewed") => {
                Fault::configuration(format!("{what}; the clock of this machine is wrong: set it"))
            }
            (_, "ExpiredToken" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken")
            | (401 | 403, _) => Fault::configuration(format!(
                "{what}; the keys are refused: check `access_key`, `secret_key`, `region` and what they may do in \
                     the bucket"
            )),
            (404, _) => Fault::configuration(format!(
                "{what}; the bucket is not there: make it, or correct `bucket` and `endpoint`"
            )),
            (300..=399, _) => Fault::configuration(format!(
                "{what} to send us elsewhere, which is not followed; correct `region` and `endpoint`"
            )),
            (501, _) => Fault::configuration(format!(
                "{what}; it cannot do conditional writes, so it might overwrite: use another store"
            )),
            (408 | 429 | 500.., _) => {
                Fault::unavailable(format!("{what}; the store is unwell, it will be tried again"))
            }
            (_, "EntityTooLarge" | "KeyTooLongError" | "MetadataTooLarge" | "InvalidURI")
            | (411 | 413 | 414 | 431, _) => Fault::permanent(format!("{what}; it will not take this object")),
            _ => Fault::configuration(format!("{what}; check `bucket`, `endpoint` and `region`")),
        }
    }
}

/// What went wrong without an answer, in our own words: the texts beneath may quote URLs.
pub(super) fn trouble(error: &StoreError) -> &'static str {
    match super::beneath::<HttpError>(error).map(HttpError::kind) {
        Some(HttpErrorKind::Connect) => "no connection to the store (down, or TLS failed: see `ca_file`)",
        Some(HttpErrorKind::Timeout) => "the store did not answer in time",
        Some(HttpErrorKind::Request | HttpErrorKind::Interrupted) => "the connection to the store broke",
        Some(HttpErrorKind::Decode) => "the answer of the store could not be read",
        _ => "the store could not be reached",
    }
}

/// A success that comes with an error document is none: some stores begin to answer before they know.
async fn believed(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let status = response.status().as_u16();
    let (head, body) = response.into_parts();
    match code(HttpResponse::from_parts(head.clone(), body)).await {
        Some(code) => Err(HttpError::new(HttpErrorKind::Unknown, Refused { status, code: Some(code) })),
        None => Ok(HttpResponse::from_parts(head, bytes::Bytes::new().into())),
    }
}

/// The error code of an S3 error document; nothing else of it, since it may repeat what was signed.
async fn code(response: HttpResponse) -> Option<String> {
    let mut document = Vec::new();
    let mut body = response.into_body().bytes_stream();
    while let Some(Ok(octets)) = body.next().await {
        document.extend_from_slice(&octets);
        if document.len() > LONGEST_DOCUMENT {
            break;
        }
    }
    let document = String::from_utf8_lossy(&document);
    let (_, rest) = document.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let plain =
        !code.is_empty() && code.len() <= 64 && code.bytes().all(|octet| octet.is_ascii_alphanumeric());
    plain.then(|| code.to_owned())
}
