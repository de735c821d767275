//! The configuration that fits what was found, as lines of TOML. Must not repeat a secret, or suggest less protection than
//! there is.

use std::time::Duration;

use postroom_dial::Pin;
use postroom_mail::AccountId;
use postroom_oauth::Provider;
use postroom_pop3::Mechanism;

use crate::config::units::duration;
use crate::config::{AccountConfig, Login, TlsMode};

/// What the suggestion is made of.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The server hangs up at CAPA.
    pub(super) no_capa: bool,
    /// STLS is offered where none is used.
    pub(super) stls: bool,
    /// The keys of the chain as sent, the server's first, with whose they are.
    pub(super) pins: Vec<(Pin, String)>,
    /// What the login went by.
    pub(super) mechanism: Option<Mechanism>,
    /// Seconds between two logins.
    pub(super) login_delay: u64,
    /// Commands sent ahead are not answered as they should be.
    pub(super) broken_pipelining: bool,
}

/// The account's table with what was found; what is not named stays as it is.
pub(super) fn lines(id: &AccountId, account: &AccountConfig, known: &Known) -> Vec<String> {
    let profile =
        account.provider.as_deref().map_or_else(|| Provider::for_host(&account.host), Provider::find);
    let tls = match account.tls {
        TlsMode::None if known.stls => {
            "tls = \"starttls\"                # remove `insecure_plaintext`".to_owned()
        }
        TlsMode::Implicit => "tls = \"implicit\"".to_owned(),
        TlsMode::Starttls => "tls = \"starttls\"".to_owned(),
        TlsMode::None => {
            "tls = \"none\"                    # the server offers nothing better here; try port 995"
                .to_owned()
        }
    };
    let mut lines = vec![
        format!("[accounts.{id}]"),
        format!("host = {}", quoted(&account.host)),
        format!("port = {}", account.port),
        tls,
    ];
    if let Some(profile) = profile.as_ref().filter(|profile| fits(account, profile)) {
        lines.push(format!("provider = {}", quoted(&profile.name)));
    }
    if let Some(mechanism) = known.mechanism {
        lines.push(format!(
            "auth = \"{mechanism}\"  # this one only, so that nobody can talk it down to a weaker one"
        ));
    }
    let least = profile.map_or(0, |profile| profile.least_poll_seconds).max(known.login_delay);
    let least = Duration::from_secs(least).max(account.poll.least);
    lines.push(match account.poll.most.max(least) {
        most if most == least => format!("poll = \"{}\"", duration(least)),
        most => format!("poll = {{ least = \"{}\", most = \"{}\" }}", duration(least), duration(most)),
    });
    if known.broken_pipelining {
        lines.push("pipelining = false  # it is offered, but does not work".to_owned());
    } else if !account.pipelining {
        lines.push("pipelining = false".to_owned());
    }
    lines.extend(pins(known));
    lines
}

/// Commented out: pins are a promise that the operator of the server has to keep.
fn pins(known: &Known) -> Vec<String> {
    let Some((server, _)) = known.pins.first() else { return Vec::new() };
    let mut lines = vec![
        "# Pins are optional. One of them has to be in the verified chain, so give at least two: with the server's key alone you \
         are locked"
            .to_owned(),
        "# out when it changes. The second is a backup: the issuing authority's key, or the key the server will have next."
            .to_owned(),
    ];
    match known.pins.get(1) {
        Some((issuer, _)) => lines.push(format!("# pins = [\"{server}\", \"{issuer}\"]")),
        None => lines.push(format!("# pins = [\"{server}\", \"sha256/...the backup key's...\"]")),
    }
    lines
}

/// Naming a profile must not change where tokens come from.
fn fits(account: &AccountConfig, profile: &Provider) -> bool {
    account.provider.as_deref() == Some(&profile.name)
        || (account.provider.is_none() && matches!(account.login, Login::Password(_)))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

impl super::Probe<'_> {
    /// What is known of the provider beyond what its server says.
    pub(super) fn provider(&mut self) {
        let account = self.of.account;
        let named = account.provider.as_deref().and_then(Provider::find);
        let Some(profile) = named.or_else(|| Provider::for_host(&account.host)) else { return };
        let mut say = |text: Option<&String>| {
            if let Some(text) = text {
                self.note("provider", text.clone());
            }
        };
        say(profile.pop3_hint.as_ref());
        match &account.login {
            Login::Password(_) => say(profile.app_password.as_ref()),
            Login::OAuth(_) => say(profile.oauth_hint.as_ref()),
        }
        if profile.retrieve_hides {
            self.warn(
                "provider",
                format!(
                    "{} may hide or delete mail once it was retrieved, whatever EXPIRE says: leaving it on the server is not \
                     guaranteed",
                    profile.name
                ),
            );
        }
        if profile.least_poll_seconds > 0 {
            let text = format!("{} wants {} s between two logins", profile.name, profile.least_poll_seconds);
            self.note("provider", text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::account;

    fn suggested(account: &AccountConfig, known: &Known) -> (String, toml::Value) {
        let text = lines(&AccountId::new("home").unwrap(), account, known).join("\n");
        let parsed = toml::from_str::<toml::Value>(&text).unwrap();
        (text, parsed["accounts"]["home"].clone())
    }

    #[test]
    fn the_suggestion_is_toml_and_keeps_to_what_was_found() {
        let known = Known {
            mechanism: Some(Mechanism::ScramSha256),
            login_delay: 720,
            broken_pipelining: true,
            pins: vec![(Pin::of_spki(b"a"), "CN=a".to_owned()), (Pin::of_spki(b"b"), "CN=b".to_owned())],
            ..Known::default()
        };
        let (text, table) = suggested(&account(), &known);
        assert_eq!(table["tls"].as_str(), Some("implicit"));
        assert_eq!(table["auth"].as_str(), Some("scram-sha-256"));
        assert_eq!(table["poll"].as_str(), Some("12m"));
        assert_eq!(table["pipelining"].as_bool(), Some(false));
        assert!(table.get("pins").is_none() && table.get("provider").is_none(), "{text}");
        let pins: Vec<_> = text.lines().filter(|line| line.contains("pins = [")).collect();
        assert!(
            pins[0].contains(&Pin::of_spki(b"a").to_string())
                && pins[0].contains(&Pin::of_spki(b"b").to_string())
        );
    }

    #[test]
    fn a_provider_is_named_by_its_host_and_its_pace_is_kept() {
        let mut gmail = account();
        gmail.host = "pop.gmail.com".to_owned();
        gmail.poll = crate::config::Poll::every(Duration::from_secs(60));
        let (_, table) = suggested(&gmail, &Known::default());
        assert_eq!((table["provider"].as_str(), table["poll"].as_str()), (Some("gmail"), Some("5m")));
    }

    #[test]
    fn a_plain_connection_is_suggested_stls_where_it_is_offered() {
        let mut plain = account();
        plain.tls = TlsMode::None;
        let of = |stls| {
            suggested(&plain, &Known { stls, ..Known::default() }).1["tls"].as_str().map(str::to_owned)
        };
        assert_eq!(of(true).as_deref(), Some("starttls"));
        assert_eq!(of(false).as_deref(), Some("none"));
    }

    #[test]
    fn a_host_cannot_break_out_of_its_quotes() {
        let mut odd = account();
        odd.host = "a\"\nevil = \"1".to_owned();
        let (_, table) = suggested(&odd, &Known::default());
        assert_eq!(table["host"].as_str(), Some("a\"\nevil = \"1"));
        assert!(table.get("evil").is_none());
    }
}
