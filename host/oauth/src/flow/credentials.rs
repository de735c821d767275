//! Owns client credentials (RFC 6749 section 4.4) with a secret; an assertion signed with a certificate (RFC 7523) is not
//! offered. Must not ask a user anything: there is none.

use oauth2::basic::BasicClient;
use oauth2::{Scope, TokenUrl};

use crate::client::Client;
use crate::error::Error;
use crate::grant::{Grant, refusal};
use crate::http::Http;

pub(crate) async fn client_credentials(http: &Http, client: &Client) -> Result<Grant, Error> {
    let Some(secret) = client.oauth_secret() else {
        return Err(Error::Settings("client credentials need `client_secret`".into()));
    };
    let oauth = BasicClient::new(client.oauth_id())
        .set_client_secret(secret)
        .set_auth_type(client.auth_type())
        .set_token_uri(TokenUrl::from_url(client.token.clone()));
    let scopes =
        if client.application_scopes.is_empty() { &client.scopes } else { &client.application_scopes };
    let answer = oauth
        .exchange_client_credentials()
        .add_scopes(scopes.iter().cloned().map(Scope::new))
        .request_async(http)
        .await;
    Grant::from_answer(&answer.map_err(|error| refusal(error, client, &[]))?, client)
}
