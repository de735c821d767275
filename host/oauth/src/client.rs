//! Owns who we are to an authorization server: the client's id and secret, the endpoints, the scopes. Must not talk.

use std::collections::BTreeMap;
use std::fmt;

use oauth2::url::Url;
use oauth2::{AuthType, ClientId, ClientSecret};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::providers::Provider;

/// How the client's id and secret are sent (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// As parameters of the request.
    Body,
    /// As HTTP Basic authentication.
    Basic,
}

/// A registered OAuth client at one server, for one account.
pub struct Client {
    /// Name of the account; error texts tell the user to run `postroom auth` with it.
    pub(crate) account: String,
    pub(crate) id: String,
    pub(crate) secret: Option<Zeroizing<String>>,
    pub(crate) auth: ClientAuth,
    pub(crate) authorization: Option<Url>,
    pub(crate) token: Url,
    pub(crate) device: Option<Url>,
    pub(crate) scopes: Vec<String>,
    pub(crate) application_scopes: Vec<String>,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) redirect_host: String,
}

impl Client {
    /// A client of `provider` (after the user's overrides). `secret` is absent for public clients; `tenant` replaces
    /// `{tenant}` in the endpoints, by default `common`.
    ///
    /// # Errors
    /// [`Error::Settings`] if the id is empty, or an endpoint is missing or no https URL.
    pub fn new(
        account: &str,
        provider: &Provider,
        id: &str,
        secret: Option<Zeroizing<String>>,
        tenant: Option<&str>,
    ) -> Result<Self, Error> {
        if id.is_empty() {
            return Err(Error::Settings(
                "`client_id` is empty; register a client with the provider and write its id".into(),
            ));
        }
        let tenant = tenant.unwrap_or("common");
        if tenant.is_empty()
            || !tenant.bytes().all(|octet| octet.is_ascii_alphanumeric() || b".-".contains(&octet))
        {
            return Err(Error::Settings(
                "`tenant` must be a domain, an id, `common`, `organizations` or `consumers`".into(),
            ));
        }
        let endpoint = |name: &str, url: &Option<String>| -> Result<Option<Url>, Error> {
            url.as_ref().map(|url| https(name, &url.replace("{tenant}", tenant))).transpose()
        };
        let token = endpoint("token_endpoint", &provider.token_endpoint)?.ok_or_else(|| {
            Error::Settings(format!("provider {} has no `token_endpoint`; write the server's", provider.name))
        })?;
        Ok(Self {
            account: account.to_owned(),
            id: id.to_owned(),
            secret,
            auth: provider.client_auth,
            authorization: endpoint("authorization_endpoint", &provider.authorization_endpoint)?,
            token,
            device: endpoint("device_endpoint", &provider.device_endpoint)?,
            scopes: provider.scopes.clone(),
            application_scopes: provider.application_scopes.clone(),
            parameters: provider.authorization_parameters.clone(),
            redirect_host: provider.redirect_host.clone(),
        })
    }

    /// Host of the token endpoint, for texts.
    pub(crate) fn server(&self) -> String {
        self.token.host_str().unwrap_or("").to_owned()
    }

    pub(crate) fn oauth_id(&self) -> ClientId {
        ClientId::new(self.id.clone())
    }

    pub(crate) fn oauth_secret(&self) -> Option<ClientSecret> {
        self.secret.as_ref().map(|secret| ClientSecret::new(secret.as_str().to_owned()))
    }

    pub(crate) fn auth_type(&self) -> AuthType {
        match self.auth {
            ClientAuth::Body => AuthType::RequestBody,
            ClientAuth::Basic => AuthType::BasicAuth,
        }
    }

    /// Everything that must not be shown if a server repeats it, with `others` of the request at hand.
    pub(crate) fn secrets<'a>(&'a self, others: &[&'a str]) -> Vec<&'a str> {
        self.secret.iter().map(|secret| secret.as_str()).chain(others.iter().copied()).collect()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("account", &self.account)
            .field("id", &self.id)
            .field("token", &self.token.as_str())
            .finish_non_exhaustive()
    }
}

fn https(name: &str, url: &str) -> Result<Url, Error> {
    let wrong = || Error::Settings(format!("`{name}` must be an https URL without user name and fragment"));
    let parsed = Url::parse(url).map_err(|_| wrong())?;
    let plain = parsed.scheme() == "https"
        && parsed.has_host()
        && parsed.username().is_empty()
        && parsed.password().is_none()
        && parsed.fragment().is_none();
    if plain { Ok(parsed) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(endpoint: &str, tenant: Option<&str>) -> Result<Client, Error> {
        let mut provider = Provider::find("generic").unwrap();
        provider.token_endpoint = Some(endpoint.to_owned());
        Client::new("work", &provider, "id", None, tenant)
    }

    #[test]
    fn an_endpoint_that_is_not_https_is_refused() {
        for wrong in [
            "http://auth.example/token",
            "auth.example",
            "https://me:pw@auth.example/",
            "https://a.example/#x",
        ] {
            let error = client(wrong, None).unwrap_err();
            assert!(error.to_string().contains("token_endpoint"), "{wrong}: {error}");
            assert!(!error.to_string().contains("pw@"), "{error}");
        }
        assert!(client("https://auth.example/token", None).is_ok());
    }

    #[test]
    fn the_tenant_goes_into_the_endpoint_but_cannot_change_its_host() {
        let found = client("https://auth.example/{tenant}/token", Some("corp.example")).unwrap();
        assert_eq!(found.token.as_str(), "https://auth.example/corp.example/token");
        for wrong in ["", "a/b", "a@b", "a?b", "a%2fb"] {
            assert!(client("https://auth.example/{tenant}/token", Some(wrong)).is_err(), "{wrong}");
        }
    }
}
