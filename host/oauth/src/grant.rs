//! Owns what a flow brings home, and how refusals of the token endpoint become errors. Must not keep anything.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oauth2::basic::{BasicErrorResponseType, BasicTokenResponse};
use oauth2::{
    DeviceCodeErrorResponse, DeviceCodeErrorResponseType, ErrorResponseType, RequestTokenError,
    StandardErrorResponse, TokenResponse,
};
use zeroize::Zeroizing;

use crate::claims::Claims;
use crate::client::Client;
use crate::error::{Error, shown};
use crate::http::HttpError;

/// How long a token is taken to live when neither the server nor the token says so.
const USUAL_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// No server's word makes us believe in a token for longer.
const LONGEST_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a flow brought: an access token, perhaps a refresh token. Shows neither.
pub struct Grant {
    pub(crate) access_token: Zeroizing<String>,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) refresh_token: Option<Zeroizing<String>>,
    /// The scope in the answer; `None` means as asked (RFC 6749 section 5.1).
    pub(crate) scope: Option<String>,
}

impl Grant {
    pub(crate) fn from_answer(answer: &BasicTokenResponse, client: &Client) -> Result<Self, Error> {
        let access_token = Zeroizing::new(answer.access_token().secret().clone());
        // It becomes part of a SASL exchange: RFC 6750 section 2.1 allows visible ASCII only.
        if access_token.is_empty() || !access_token.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(Error::Answer { server: client.server(), problem: "holds no usable token".into() });
        }
        let scope =
            answer.scopes().map(|list| list.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" "));
        Ok(Self {
            access_token,
            lifetime: answer.expires_in(),
            refresh_token: answer
                .refresh_token()
                .map(|token| Zeroizing::new(token.secret().clone()))
                .filter(|token| !token.is_empty()),
            scope,
        })
    }

    /// When the access token ends, in seconds since 1970.
    pub(crate) fn expires_at(&self, now: SystemTime) -> u64 {
        let end = self.lifetime.map(|lifetime| unix(now).saturating_add(lifetime.as_secs()));
        let end = end.or_else(|| Claims::read(&self.access_token)?.expires_at);
        let end = end.unwrap_or_else(|| unix(now) + USUAL_LIFETIME.as_secs());
        end.min(unix(now) + LONGEST_LIFETIME.as_secs())
    }

    /// What was granted, if the server said so; the scopes separated by blanks.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Whether the sign-in can outlive its first access token.
    #[must_use]
    pub fn can_refresh(&self) -> bool {
        self.refresh_token.is_some()
    }

    /// What the access token says of itself, if it is one that can be read.
    #[must_use]
    pub fn claims(&self) -> Option<Claims> {
        Claims::read(&self.access_token)
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("lifetime", &self.lifetime)
            .field("can_refresh", &self.can_refresh())
            .finish_non_exhaustive()
    }
}

/// Seconds since 1970; before it, 0.
pub(crate) fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The refusals of the token endpoint (RFC 6749 section 5.2).
pub(crate) fn refusal(
    error: RequestTokenError<HttpError, StandardErrorResponse<BasicErrorResponseType>>,
    client: &Client,
    secrets: &[&str],
) -> Error {
    refused(error, client, secrets)
}

/// The refusals while a device waits (RFC 8628 section 3.5).
pub(crate) fn device_refusal(
    error: RequestTokenError<HttpError, DeviceCodeErrorResponse>,
    client: &Client,
    secrets: &[&str],
) -> Error {
    match error {
        RequestTokenError::ServerResponse(answer)
            if *answer.error() == DeviceCodeErrorResponseType::ExpiredToken =>
        {
            Error::TimedOut { account: client.account.clone() }
        }
        other => refused(other, client, secrets),
    }
}

fn refused<T>(
    error: RequestTokenError<HttpError, StandardErrorResponse<T>>,
    client: &Client,
    secrets: &[&str],
) -> Error
where
    T: ErrorResponseType + fmt::Display + AsRef<str> + 'static,
{
    let server = client.server();
    match error {
        RequestTokenError::Request(error) => error.into_error(server),
        RequestTokenError::ServerResponse(answer) => {
            let code = answer.error().as_ref();
            let said = answer.error_description().map_or(code, String::as_str);
            by_code(code, said, client, secrets)
        }
        // The parser's words and the body may hold tokens.
        RequestTokenError::Parse(..) => {
            Error::Answer { server, problem: "is not the JSON of RFC 6749".into() }
        }
        RequestTokenError::Other(problem) => {
            let problem = format!("cannot be used ({})", shown(&problem, &client.secrets(secrets)));
            Error::Answer { server, problem }
        }
    }
}

/// What an error code means for whoever has to act.
pub(crate) fn by_code(code: &str, said: &str, client: &Client, secrets: &[&str]) -> Error {
    let secrets = client.secrets(secrets);
    let account = client.account.clone();
    let said = shown(said, &secrets);
    let advice = match code {
        "invalid_grant" | "interaction_required" | "consent_required" | "login_required" => {
            return Error::SignInExpired { account, said };
        }
        "access_denied" | "authorization_declined" => return Error::Denied { account, said },
        "server_error" | "temporarily_unavailable" => {
            return Error::Unavailable {
                server: client.server(),
                problem: format!("is unwell ({said})"),
                retry_after: None,
            };
        }
        "invalid_client" => {
            "`client_id` or `client_secret` is wrong, or the secret has expired: make a new one at the provider and \
             write it"
        }
        "unauthorized_client" => {
            "this client may not use this kind of sign-in: allow it in the client's registration at the provider, or \
             choose another `flow`"
        }
        "invalid_scope" => {
            "the scopes are unknown or not allowed for this client: correct `scopes`, or add the permission to the \
             client's registration"
        }
        "unsupported_grant_type" => "the server does not know this kind of sign-in: choose another `flow`",
        "invalid_request" => {
            "the server does not take the request: check `client_secret`, `scopes` and the endpoints"
        }
        _ => "look the code up at the provider, and check the client's registration",
    };
    Error::Refused { server: client.server(), code: shown(code, &secrets), said, advice }
}
