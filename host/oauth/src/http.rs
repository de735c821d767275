//! Owns one HTTPS request to an authorization server: no redirects, bounded time, bounded answer, and what is not an
//! OAuth answer told apart. Must not read tokens, and must not show a URL or a body: both may hold secrets.

use std::error::Error as _;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use oauth2::http::Response;
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};

use crate::error::Error;

/// The longest answer read, in octets; a token answer has a few thousand.
const LONGEST_ANSWER: usize = 256 * 1024;
/// The longest a server can make us stay away.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// The HTTPS client of all flows. Cheap to clone.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
}

impl Http {
    /// A client with the caller's trust. `limit` bounds one whole request, connecting included; 30 s is a good value.
    ///
    /// # Errors
    /// [`Error::Settings`] if the TLS configuration is not one the HTTP client takes.
    pub fn new(tls: rustls::ClientConfig, limit: Duration) -> Result<Self, Error> {
        Self::built(tls, limit, reqwest::Client::builder().no_proxy())
    }

    /// The same through a SOCKS5 proxy (RFC 1928), which resolves the names: none is looked up here. `login` are a user and a
    /// password for it.
    ///
    /// # Errors
    /// [`Error::Settings`] also if the proxy's address cannot be one.
    pub fn through(
        tls: rustls::ClientConfig,
        limit: Duration,
        proxy: &str,
        login: Option<(&str, &str)>,
    ) -> Result<Self, Error> {
        let mut proxy = reqwest::Proxy::all(format!("socks5h://{proxy}"))
            .map_err(|_| Error::Settings("`proxy` is no address".into()))?;
        if let Some((user, password)) = login {
            proxy = proxy.basic_auth(user, password);
        }
        Self::built(tls, limit, reqwest::Client::builder().proxy(proxy))
    }

    fn built(
        tls: rustls::ClientConfig,
        limit: Duration,
        builder: reqwest::ClientBuilder,
    ) -> Result<Self, Error> {
        let client = builder
            .tls_backend_preconfigured(tls)
            .https_only(true)
            // A request with a secret in it must not follow a server's word to another host.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("postroom")
            .connect_timeout(limit)
            .timeout(limit)
            .build()
            .map_err(|_| Error::Settings("the HTTP client does not take the TLS settings".into()))?;
        Ok(Self { client })
    }

    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let request =
            request.try_into().map_err(|_| HttpError::Unreachable("cannot be asked with this URL"))?;
        let mut response = self.client.execute(request).await.map_err(|error| trouble(&error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(HttpError::Redirect);
        }
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
        let mut answer = Response::builder().status(status);
        if let Some(kind) = response.headers().get("content-type") {
            answer = answer.header("content-type", kind);
        }
        let mut body = Vec::new();
        while let Some(octets) = response.chunk().await.map_err(|error| trouble(&error))? {
            if body.len() + octets.len() > LONGEST_ANSWER {
                return Err(HttpError::TooLong);
            }
            body.extend_from_slice(&octets);
        }
        // Only an answer with an error code says anything about our request; a status page of a proxy does not.
        let code = status.as_u16();
        if code != 200 && (code == 429 || code >= 500 || !has_error_code(&body)) {
            return Err(HttpError::Status { code, retry_after });
        }
        answer.body(body).map_err(|_| HttpError::Unreachable("gave an answer that is no HTTP"))
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http(..)")
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

/// There was no answer of OAuth.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection, no trust, no end in time: the rest of a sentence about the server.
    #[error("{0}")]
    Unreachable(&'static str),
    /// A status without an OAuth error, or one that asks to come back later.
    #[error("answered with status {code}")]
    Status {
        /// The status.
        code: u16,
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
    },
    /// The answer points elsewhere.
    #[error("sends us elsewhere, which is not followed")]
    Redirect,
    /// The answer is longer than any token.
    #[error("is longer than 256 KiB")]
    TooLong,
}

impl HttpError {
    pub(crate) fn into_error(self, server: String) -> Error {
        match self {
            Self::Unreachable(problem) => {
                Error::Unavailable { server, problem: problem.to_owned(), retry_after: None }
            }
            Self::Status { code, retry_after } if code == 408 || code == 429 || code >= 500 => {
                Error::Unavailable { server, problem: format!("answered with status {code}"), retry_after }
            }
            Self::Status { code, .. } => {
                Error::Answer { server, problem: format!("has status {code} and no OAuth error") }
            }
            Self::Redirect | Self::TooLong => Error::Answer { server, problem: self.to_string() },
        }
    }
}

fn has_error_code(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|answer| answer["error"].is_string())
}

/// In our own words: the texts beneath may quote URLs.
fn trouble(error: &reqwest::Error) -> HttpError {
    if error.source().is_some_and(is_tls) {
        return HttpError::Unreachable("could not be trusted: its certificate or TLS was refused");
    }
    HttpError::Unreachable(if error.is_timeout() {
        "did not answer in time"
    } else if error.is_connect() {
        "could not be reached"
    } else {
        "broke the connection before its answer was complete"
    })
}

/// Whether TLS refused, at any depth. IO errors wrap it, and their own `source` skips what they wrap.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || wrapped.is_some_and(|inner| is_tls(inner))
        || error.source().is_some_and(is_tls)
}
