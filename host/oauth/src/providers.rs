//! Owns what is known about mail providers, as data: endpoints, scopes, quirks, advice. Must not act on any of it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::client::ClientAuth;

/// How a bearer token is presented (SASL).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mechanism {
    /// Google's and Microsoft's `XOAUTH2`.
    Xoauth2,
    /// `OAUTHBEARER` (RFC 7628).
    Oauthbearer,
    /// The provider takes no bearer tokens for POP3; see [`Provider::app_password`].
    None,
}

/// How TLS starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// From the first octet (RFC 8314).
    Implicit,
    /// After `STLS` (RFC 2595).
    Stls,
}

/// One provider. Every field may be overridden: change it, then make a [`crate::Client`] of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The key in the data, e.g. `gmail`.
    #[serde(skip)]
    pub name: String,
    /// Host of the POP3 service; none for `generic` and where there is no POP3.
    pub pop3_host: Option<String>,
    /// Port of the POP3 service.
    #[serde(default = "default_port")]
    pub pop3_port: u16,
    /// How TLS starts there.
    #[serde(default = "default_tls")]
    pub tls: Tls,
    /// Whether there is a POP3 service at all.
    #[serde(default = "yes")]
    pub pop3: bool,
    /// For users: how POP3 is switched on, or why there is none.
    pub pop3_hint: Option<String>,
    /// Other hosts and mail domains by which the provider is recognised; their subdomains count too.
    #[serde(default)]
    pub other_hosts: Vec<String>,
    /// Where the user signs in (RFC 6749 section 3.1); `{tenant}` is replaced by [`crate::Client::new`].
    pub authorization_endpoint: Option<String>,
    /// Where tokens come from (section 3.2).
    pub token_endpoint: Option<String>,
    /// Where device codes come from (RFC 8628 section 3.1); none where that flow cannot be used for mail.
    pub device_endpoint: Option<String>,
    /// What is asked for when a user signs in.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// What is asked for with client credentials; empty where that is not offered.
    #[serde(default)]
    pub application_scopes: Vec<String>,
    /// More parameters of the authorization request.
    #[serde(default)]
    pub authorization_parameters: BTreeMap<String, String>,
    /// How the client proves itself.
    #[serde(default = "default_auth")]
    pub client_auth: ClientAuth,
    /// The host in the loopback redirect URI (RFC 8252 section 7.3): 127.0.0.1, unless the server wants `localhost`.
    #[serde(default = "default_redirect")]
    pub redirect_host: String,
    /// How the token is presented.
    pub sasl: Mechanism,
    /// For users: how to register a client.
    pub oauth_hint: Option<String>,
    /// For users: what to use where OAuth is not open to new clients.
    pub app_password: Option<String>,
    /// Values of the claim `aud` the provider's mail service accepts; empty when not known.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// The scope (claim `scp`) a user's token must have for POP3.
    pub user_permission: Option<String>,
    /// The role (claim `roles`) an application's token must have for POP3.
    pub application_permission: Option<String>,
    /// The least time between two logins, in seconds.
    #[serde(default)]
    pub least_poll_seconds: u64,
    /// Whether mail that was retrieved is hidden after `QUIT`, as with `EXPIRE 0` (RFC 2449 section 6.7).
    #[serde(default)]
    pub retrieve_hides: bool,
    /// Whether `AUTH` must be sent without an initial response.
    #[serde(default)]
    pub two_line_auth: bool,
    /// After how many seconds without a command the server may hang up, where that is less than RFC 1939's 10 minutes.
    pub idle_seconds: Option<u64>,
}

impl Provider {
    /// The provider of this name (`gmail`, `microsoft`, `yahoo`, `aol`, `fastmail`, `gmx`, `web.de`, `icloud`,
    /// `generic`), in any case.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        KNOWN.get(&name.to_ascii_lowercase()).cloned()
    }

    /// The provider a POP3 host or a mail domain belongs to.
    #[must_use]
    pub fn for_host(host: &str) -> Option<Self> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let below = |domain: &String| {
            host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let mut providers = KNOWN.values();
        providers.find(|known| known.pop3_host.iter().chain(&known.other_hosts).any(below)).cloned()
    }

    /// The names that [`Provider::find`] knows, in order.
    pub fn names() -> impl Iterator<Item = &'static str> {
        KNOWN.keys().map(String::as_str)
    }
}

static KNOWN: LazyLock<BTreeMap<String, Provider>> = LazyLock::new(|| {
    // The data is part of the program and read in a test, so an error cannot reach a user.
    let mut known: BTreeMap<String, Provider> =
        toml::from_str(include_str!("providers.toml")).unwrap_or_default();
    for (name, provider) in &mut known {
        provider.name.clone_from(name);
    }
    known
});

fn default_port() -> u16 {
    995
}

fn default_tls() -> Tls {
    Tls::Implicit
}

fn default_auth() -> ClientAuth {
    ClientAuth::Basic
}

fn default_redirect() -> String {
    "127.0.0.1".to_owned()
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;

    #[test]
    fn the_data_can_be_read_and_names_every_promised_provider() {
        toml::from_str::<BTreeMap<String, Provider>>(include_str!("providers.toml")).unwrap();
        let names: Vec<_> = Provider::names().collect();
        let all = ["aol", "fastmail", "generic", "gmail", "gmx", "icloud", "microsoft", "web.de", "yahoo"];
        assert_eq!(names, all);
    }

    #[test]
    fn a_provider_is_recognised_by_its_hosts_and_not_by_lookalikes() {
        let name = |host: &str| Provider::for_host(host).map(|provider| provider.name);
        assert_eq!(name("outlook.office365.com").as_deref(), Some("microsoft"));
        assert_eq!(name("POP.gmail.com.").as_deref(), Some("gmail"));
        assert_eq!(name("web.de").as_deref(), Some("web.de"));
        assert_eq!(name("notgmail.com"), None);
        assert_eq!(name("gmail.com.example"), None);
        assert_eq!(name(""), None);
    }

    #[test]
    fn whoever_takes_tokens_has_endpoints_that_make_a_client_and_whoever_does_not_has_advice() {
        for name in Provider::names().filter(|name| *name != "generic") {
            let provider = Provider::find(name).unwrap();
            match provider.sasl {
                Mechanism::None => {
                    assert!(provider.app_password.is_some() || !provider.pop3, "{name}");
                }
                Mechanism::Xoauth2 | Mechanism::Oauthbearer => {
                    Client::new("a", &provider, "id", None, None).unwrap();
                    assert!(!provider.scopes.is_empty(), "{name}");
                }
            }
        }
    }

    #[test]
    fn quirks_that_the_session_needs_are_there() {
        let gmail = Provider::find("Gmail").unwrap();
        assert!(gmail.retrieve_hides && gmail.least_poll_seconds == 300);
        let microsoft = Provider::find("microsoft").unwrap();
        assert!(microsoft.two_line_auth && microsoft.idle_seconds == Some(60));
        assert_eq!(Provider::find("web.de").unwrap().least_poll_seconds, 720);
    }
}
