//! Owns the device code flow (RFC 8628): the user signs in on another device, we ask until it has happened. Must not
//! know how the user is told, or which clock runs.

use std::fmt;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use oauth2::basic::BasicClient;
use oauth2::{DeviceAuthorizationUrl, Scope, StandardDeviceAuthorizationResponse, TokenUrl};
use postroom_mail::rules::neutral;

use crate::client::Client;
use crate::error::Error;
use crate::grant::{Grant, device_refusal, refusal, unix};
use crate::http::Http;

/// The longest step between two questions while the server cannot be reached.
const LONGEST_STEP: Duration = Duration::from_secs(60);

/// A sign-in that waits for its user.
pub struct DeviceFlow<'a> {
    client: &'a Client,
    answer: StandardDeviceAuthorizationResponse,
}

impl<'a> DeviceFlow<'a> {
    /// Asks for a code to show to the user.
    ///
    /// # Errors
    /// [`Error::Settings`] if the provider has no device endpoint, else what the server or the way to it gave.
    pub async fn begin(http: &Http, client: &'a Client) -> Result<Self, Error> {
        let Some(device) = &client.device else {
            return Err(Error::Settings(
                "this provider offers no device code for mail: sign in with the browser (`flow = \"code\"`)"
                    .into(),
            ));
        };
        let mut oauth = BasicClient::new(client.oauth_id())
            .set_auth_type(client.auth_type())
            .set_device_authorization_url(DeviceAuthorizationUrl::from_url(device.clone()));
        if let Some(secret) = client.oauth_secret() {
            oauth = oauth.set_client_secret(secret);
        }
        let answer: Result<StandardDeviceAuthorizationResponse, _> = oauth
            .exchange_device_code()
            .add_scopes(client.scopes.iter().cloned().map(Scope::new))
            .request_async(http)
            .await;
        Ok(Self { client, answer: answer.map_err(|error| refusal(error, client, &[]))? })
    }

    /// Where the user has to go; neutralised, a server wrote it.
    #[must_use]
    pub fn verification_uri(&self) -> String {
        neutral(self.answer.verification_uri().as_str(), 500)
    }

    /// The code the user has to type there; neutralised.
    #[must_use]
    pub fn user_code(&self) -> String {
        neutral(self.answer.user_code().secret(), 100)
    }

    /// How long the user has.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.answer.expires_in()
    }

    /// Asks until the user has signed in, refused, or run out of time. `sleep` and `clock` are the caller's;
    /// `slow_down` (section 3.5) makes the steps longer, and so does a server that cannot be reached.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Denied`], or what the server refused.
    pub async fn wait<S, F>(
        &self,
        http: &Http,
        clock: impl Fn() -> SystemTime + Send + Sync,
        sleep: S,
    ) -> Result<Grant, Error>
    where
        S: Fn(Duration) -> F,
        F: Future<Output = ()>,
    {
        let client = self.client;
        let mut oauth = BasicClient::new(client.oauth_id())
            .set_auth_type(client.auth_type())
            .set_token_uri(TokenUrl::from_url(client.token.clone()));
        if let Some(secret) = client.oauth_secret() {
            oauth = oauth.set_client_secret(secret);
        }
        let device_code = self.answer.device_code().secret();
        let time = || {
            let seconds = i64::try_from(unix(clock())).unwrap_or(i64::MAX);
            DateTime::<Utc>::from_timestamp(seconds, 0).unwrap_or_default()
        };
        let answer = oauth
            .exchange_device_access_token(&self.answer)
            .set_time_fn(time)
            .set_max_backoff_interval(LONGEST_STEP)
            .request_async(http, sleep, None)
            .await;
        let answer = answer.map_err(|error| device_refusal(error, client, &[device_code]))?;
        Grant::from_answer(&answer, client)
    }
}

impl fmt::Debug for DeviceFlow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceFlow")
            .field("verification_uri", &self.verification_uri())
            .finish_non_exhaustive()
    }
}
