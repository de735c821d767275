//! Owns the refresh request (RFC 6749 section 6). Must not keep what it brings.

use oauth2::basic::BasicClient;
use oauth2::{RefreshToken, TokenUrl};

use crate::client::Client;
use crate::error::Error;
use crate::grant::{Grant, refusal};
use crate::http::Http;

/// Asks for a new access token. The scope is left out: then it is the one first granted.
pub(crate) async fn refresh(http: &Http, client: &Client, token: &str) -> Result<Grant, Error> {
    let mut oauth = BasicClient::new(client.oauth_id())
        .set_auth_type(client.auth_type())
        .set_token_uri(TokenUrl::from_url(client.token.clone()));
    if let Some(secret) = client.oauth_secret() {
        oauth = oauth.set_client_secret(secret);
    }
    let presented = RefreshToken::new(token.to_owned());
    let answer = oauth.exchange_refresh_token(&presented).request_async(http).await;
    Grant::from_answer(&answer.map_err(|error| refusal(error, client, &[token]))?, client)
}
