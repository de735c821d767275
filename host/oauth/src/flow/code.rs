//! Owns the authorization code flow with PKCE (RFC 6749 section 4.1, RFC 7636 S256) and a loopback redirect (RFC 8252).
//! Must not open a browser: the caller shows the URL.

use std::fmt;
use std::time::Duration;

use oauth2::basic::BasicClient;
use oauth2::url::Url;
use oauth2::{
    AuthUrl, AuthorizationCode, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, TokenUrl,
};

use super::loopback::Loopback;
use crate::client::Client;
use crate::error::Error;
use crate::grant::{Grant, by_code, refusal};
use crate::http::Http;

/// A sign-in that waits for the browser. For one use: waiting consumes it.
pub struct CodeFlow<'a> {
    client: &'a Client,
    loopback: Loopback,
    redirect: RedirectUrl,
    url: Url,
    state: CsrfToken,
    verifier: PkceCodeVerifier,
}

impl<'a> CodeFlow<'a> {
    /// Opens a port on 127.0.0.1 for the way back and makes the URL the user has to open.
    ///
    /// # Errors
    /// [`Error::Settings`] if the provider has no authorization endpoint or loopback has no port.
    pub async fn begin(client: &'a Client) -> Result<Self, Error> {
        let Some(authorization) = &client.authorization else {
            return Err(Error::Settings(
                "the provider has no `authorization_endpoint`; write the server's".into(),
            ));
        };
        let loopback = Loopback::open().await?;
        let redirect = format!("http://{}:{}/", client.redirect_host, loopback.port());
        let redirect = RedirectUrl::new(redirect)
            .map_err(|_| Error::Settings("`redirect_host` must be 127.0.0.1 or localhost".into()))?;
        if !matches!(client.redirect_host.as_str(), "127.0.0.1" | "localhost") {
            return Err(Error::Settings("`redirect_host` must be 127.0.0.1 or localhost".into()));
        }
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let oauth = BasicClient::new(client.oauth_id())
            .set_auth_uri(AuthUrl::from_url(authorization.clone()))
            .set_redirect_uri(redirect.clone());
        let mut request = oauth
            .authorize_url(CsrfToken::new_random)
            .add_scopes(client.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(challenge);
        for (name, value) in &client.parameters {
            request = request.add_extra_param(name, value);
        }
        let (url, state) = request.url();
        Ok(Self { client, loopback, redirect, url, state, verifier })
    }

    /// The URL the user has to open in a browser on this machine.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Waits for the browser to come back, at most for `limit`, and fetches the token.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Denied`], or what the token endpoint refused.
    pub async fn wait(self, http: &Http, limit: Duration) -> Result<Grant, Error> {
        let Self { client, loopback, redirect, state, verifier, .. } = self;
        let back = tokio::time::timeout(limit, loopback.redirected(state.secret()))
            .await
            .map_err(|_| Error::TimedOut { account: client.account.clone() })??;
        let code = match (back.code, back.error) {
            (_, Some(error)) => {
                let said = back.error_description.unwrap_or_else(|| error.clone());
                return Err(by_code(&error, &said, client, &[]));
            }
            (Some(code), None) => code,
            (None, None) => {
                let problem = "sent the browser back without a code".to_owned();
                return Err(Error::Answer { server: client.server(), problem });
            }
        };
        let mut oauth = BasicClient::new(client.oauth_id())
            .set_auth_type(client.auth_type())
            .set_token_uri(TokenUrl::from_url(client.token.clone()))
            .set_redirect_uri(redirect);
        if let Some(secret) = client.oauth_secret() {
            oauth = oauth.set_client_secret(secret);
        }
        let secrets = [code.to_string(), verifier.secret().clone()];
        let answer = oauth
            .exchange_code(AuthorizationCode::new(code.to_string()))
            .set_pkce_verifier(verifier)
            .request_async(http)
            .await;
        let answer =
            answer.map_err(|error| refusal(error, client, &secrets.each_ref().map(String::as_str)))?;
        Grant::from_answer(&answer, client)
    }
}

impl fmt::Debug for CodeFlow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL holds the state.
        f.write_str("CodeFlow(..)")
    }
}
