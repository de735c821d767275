//! From an account as written to the maildrop that is meant: what its provider's profile says, defaults, absolute paths.

use std::path::Path;
use std::time::Duration;

use postroom_dial::{ClientIdentity, Pin, Trust, Version};
use postroom_mail::Name;
use postroom_oauth::Provider;
use postroom_pop3::Mechanism;
use postroom_spool::DeletePolicy;

use super::{Findings, MINUTE, SECOND};
use crate::config::account::{AccountConfig, Auth, Flow, Login, OAuth, OwnOAuth, Poll, Proxy, TlsMode};
use crate::config::diagnose::suggest;
use crate::config::raw::{RawAccount, RawDelete, RawOAuth, TlsMinimum};
use crate::config::read::{called, path};
use crate::config::sources::KeyPath;
use crate::config::units::Time;
use crate::config::written::Part;
use crate::config::{PLAINTEXT_CONSENT, plain_join};

/// Resolves one account; `None` when something that has no default is missing.
pub(super) fn account(
    mut raw: RawAccount,
    pipeline: Option<&Name>,
    at: &KeyPath,
    base: &Path,
    findings: &mut Findings<'_>,
) -> Option<AccountConfig> {
    let key = |key: &str| [at, &path([key])].concat();
    let provider = provider(raw.provider.as_deref(), &key("provider"), findings);
    let profile = provider.as_ref().or(None);
    let host = host(&mut raw, profile, at, findings);
    let tls = raw.tls.unwrap_or(match profile.map(|profile| profile.tls) {
        Some(postroom_oauth::Tls::Stls) => TlsMode::Starttls,
        Some(postroom_oauth::Tls::Implicit) | None => TlsMode::Implicit,
    });
    let known = profile.filter(|_| raw.tls.is_none()).map(|profile| profile.pop3_port);
    let port = raw.port.or(known).unwrap_or(tls.port());
    let poll = poll(&raw, profile, &key("poll"), findings);
    let timeout = raw.timeout.as_ref().map_or(60 * SECOND, |Time(time)| *time);
    user_name(&raw.user, &key("user"), findings);
    if port == 0 {
        let text = format!("{} must be from 1 to 65535", called(&key("port")));
        findings.error(&key("port"), Part::Value, text, None);
    }
    if timeout < SECOND {
        let text = format!("{} must be at least 1s", called(&key("timeout")));
        findings.error(&key("timeout"), Part::Value, text, None);
    }
    consent(tls, raw.insecure_plaintext.as_deref(), at, findings);
    let trust = trust(&mut raw, tls, at, base, findings);
    let mut login = login(&mut raw, at, base, findings)?;
    let proxy =
        raw.proxy.take().map(|word| Proxy { host: word.0.host, port: word.0.port, login: word.0.login });
    if let Login::OAuth(OAuth::Own(own)) = &mut login {
        own.proxy.clone_from(&proxy);
    }
    let auth = raw.auth.unwrap_or_default();
    if let Auth::Only(mechanism) = auth
        && mechanism.takes_token() != matches!(login, Login::OAuth(_))
    {
        let text = format!("{} does not go with what the account logs in with", called(&key("auth")));
        let hint = "xoauth2 and oauthbearer send a token from `oauth2`, all others a `password`";
        findings.error(&key("auth"), Part::Value, text, Some(hint.to_owned()));
    }
    if auth == Auth::Only(Mechanism::Apop) && tls == TlsMode::Starttls {
        // RFC 2595 section 4: what was said before TLS is forgotten, and the timestamp is not said again.
        let text = "APOP needs the greeting's timestamp, which comes unprotected before STARTTLS and cannot be trusted";
        let hint = "with TLS, PLAIN is as safe: leave `auth` out; or use tls = \"implicit\"";
        findings.error(&key("auth"), Part::Value, text, Some(hint.to_owned()));
    }
    Some(AccountConfig {
        host: host?,
        port,
        tls,
        trust,
        proxy,
        user: raw.user,
        login,
        auth,
        provider: provider.map(|provider| provider.name),
        poll,
        timeout,
        pipeline: pipeline?.clone(),
        enabled: raw.enabled.unwrap_or(true),
        first: raw.first.map(|word| word.0).unwrap_or_default(),
        renumbered: raw.renumbered.unwrap_or_default(),
        delete: raw.delete.map_or(DeletePolicy::Never, |word| delete(word.0)),
        utf8: raw.utf8.unwrap_or(false),
        pipelining: raw.pipelining.unwrap_or(true),
        silence: raw.silence.map(|word| word.0).unwrap_or_default(),
    })
}

fn provider(name: Option<&str>, at: &KeyPath, findings: &mut Findings<'_>) -> Option<Provider> {
    let name = name?;
    let found = Provider::find(name);
    if found.is_none() {
        let hint = suggest(name, Provider::names());
        findings.error(at, Part::Value, "there is no profile of that name", hint);
    }
    found
}

/// As written, or that of the provider.
fn host(
    raw: &mut RawAccount,
    profile: Option<&Provider>,
    at: &KeyPath,
    findings: &mut Findings<'_>,
) -> Option<String> {
    if let Some(host) = raw.host.take() {
        host_name(&host, &[at, &path(["host"])].concat(), findings);
        return Some(host);
    }
    if let Some(host) = profile.and_then(|profile| profile.pop3_host.clone()) {
        return Some(host);
    }
    // An unknown provider was named already.
    if raw.provider.is_none() || profile.is_some() {
        let hint = "for example host = \"pop.example.net\", or provider = \"gmail\"";
        findings.error(at, Part::Value, format!("{} lacks `host`", called(at)), Some(hint.to_owned()));
    }
    None
}

fn user_name(user: &str, at: &KeyPath, findings: &mut Findings<'_>) {
    if user.is_empty() || user.contains(char::is_control) {
        findings.error(at, Part::Value, format!("{} must be one line with a name", called(at)), None);
    }
}

fn poll(raw: &RawAccount, profile: Option<&Provider>, at: &KeyPath, findings: &mut Findings<'_>) -> Poll {
    let usual = profile.map_or(Duration::ZERO, |profile| Duration::from_secs(profile.least_poll_seconds));
    let Some(word) = &raw.poll else { return Poll::every(usual.max(5 * MINUTE)) };
    let poll = Poll { least: word.0.least, most: word.0.most };
    if poll.least < SECOND {
        findings.error(at, Part::Value, format!("{} must be at least 1s", called(at)), None);
    } else if poll.least < usual {
        let seconds = usual.as_secs();
        findings.warn(at, &format!("this provider wants {seconds} s between two logins and refuses more"));
    }
    poll
}

fn trust(
    raw: &mut RawAccount,
    tls: TlsMode,
    at: &KeyPath,
    base: &Path,
    findings: &mut Findings<'_>,
) -> Trust {
    let key = |key: &str| [at, &path([key])].concat();
    let mut pins: Vec<Pin> = Vec::new();
    for (index, pin) in raw.pins.take().unwrap_or_default().iter().enumerate() {
        match pin.parse() {
            Ok(pin) => pins.push(pin),
            Err(error) => {
                let at = [&*key("pins"), &path([&index.to_string()])].concat();
                let text = format!("the pin number {} of {}: {error}", index + 1, called(&key("pins")));
                let hint = "`postroom probe ACCOUNT` prints the pins of a server in this form";
                findings.error(&at, Part::Key, text, Some(hint.to_owned()));
            }
        }
    }
    if pins.len() == 1 {
        let text = "one pin alone locks you out when the server's key changes: add that of a backup key";
        findings.warn(&key("pins"), text);
    }
    if tls == TlsMode::None && (!pins.is_empty() || raw.client_certificate.is_some()) {
        findings.warn(at, "pins and client certificates have no effect without TLS");
    }
    let identity = match (raw.client_certificate.take(), raw.client_key.take()) {
        (Some(certificate), Some(secret)) => Some(ClientIdentity {
            certificate: plain_join(base, &certificate),
            key: plain_join(base, &secret),
        }),
        (None, None) => None,
        (certificate, _) => {
            let there = if certificate.is_some() { "client_certificate" } else { "client_key" };
            let text = "`client_certificate` and `client_key` go together";
            findings.error(&key(there), Part::Key, text, None);
            None
        }
    };
    Trust {
        ca_file: raw.ca_file.take().map(|file| plain_join(base, &file)),
        pins,
        minimum: match raw.tls_minimum {
            Some(TlsMinimum::Tls13) => Version::Tls13,
            Some(TlsMinimum::Tls12) | None => Version::Tls12,
        },
        identity,
    }
}

fn login(raw: &mut RawAccount, at: &KeyPath, base: &Path, findings: &mut Findings<'_>) -> Option<Login> {
    match (raw.password.take(), raw.oauth2.take()) {
        (Some(password), None) => Some(Login::Password(password)),
        (None, Some(oauth)) => {
            let at = [at, &path(["oauth2"])].concat();
            oauth2(oauth, raw.provider.as_deref(), &at, base, findings).map(Login::OAuth)
        }
        (Some(_), Some(_)) => {
            let text = format!("{} has both `password` and `oauth2`", called(at));
            findings.error(at, Part::Key, text, Some("leave one of them out".to_owned()));
            None
        }
        (None, None) => {
            let hint = "for example password = { file = \"secrets/NAME\" }";
            findings.error(
                at,
                Part::Value,
                format!("{} lacks `password`", called(at)),
                Some(hint.to_owned()),
            );
            None
        }
    }
}

/// Where the access tokens come from that log in at an IMAP sink. What a profile says is for POP3, and where a provider
/// grants the two apart, IMAP's scope is asked for.
pub(super) fn oauth2_of_sink(
    raw: RawOAuth,
    at: &KeyPath,
    base: &Path,
    findings: &mut Findings<'_>,
) -> Option<OAuth> {
    let own_scopes = raw.scopes.is_some();
    let mut oauth = oauth2(raw, None, at, base, findings)?;
    if let OAuth::Own(own) = &mut oauth
        && !own_scopes
    {
        for scope in &mut own.provider.scopes {
            *scope = scope.replace("/POP.AccessAsUser.All", "/IMAP.AccessAsUser.All");
            *scope = scope.replace("/protocol-pop", "/protocol-imap");
        }
    }
    Some(oauth)
}

fn oauth2(
    raw: RawOAuth,
    of_account: Option<&str>,
    at: &KeyPath,
    base: &Path,
    findings: &mut Findings<'_>,
) -> Option<OAuth> {
    let key = |key: &str| [at, &path([key])].concat();
    if let Some(command) = raw.command {
        if command.first().is_none_or(String::is_empty) {
            findings.error(&key("command"), Part::Key, "the command of a token is empty", None);
        }
        return Some(OAuth::Command(command));
    }
    let name = raw.provider.as_deref().or(of_account).unwrap_or("generic");
    let mut profile = match raw.provider {
        Some(_) => provider(Some(name), &key("provider"), findings)?,
        // An unknown one of the account was named there.
        None => Provider::find(name)?,
    };
    if let Some(scopes) = raw.scopes {
        profile.scopes.clone_from(&scopes);
        profile.application_scopes = scopes;
    }
    let overridden = [
        (raw.authorization_endpoint, &mut profile.authorization_endpoint),
        (raw.token_endpoint, &mut profile.token_endpoint),
        (raw.device_endpoint, &mut profile.device_endpoint),
    ];
    for (written, endpoint) in overridden {
        *endpoint = written.or(endpoint.take());
    }
    let flow = raw.flow.unwrap_or_default();
    let mut missing = |what: &str, hint: &str| {
        let text = format!("{} lacks `{what}`", called(at));
        findings.error(at, Part::Value, text, Some(hint.to_owned()));
    };
    if profile.token_endpoint.is_none() {
        missing("token_endpoint", "name a provider whose endpoints are known, or all endpoints yourself");
    }
    if flow == Flow::Device && profile.device_endpoint.is_none() {
        missing("device_endpoint", "this provider has no device flow for mail: flow = \"browser\"");
    }
    if flow == Flow::ClientCredentials && raw.client_secret.is_none() {
        missing("client_secret", "client credentials need one: client_secret = { file = \"secrets/NAME\" }");
    }
    if raw.token.is_none() {
        missing("token", "the file that will hold the tokens, for example token = \"secrets/NAME.json\"");
    }
    if raw.client_id.is_none() {
        missing("client_id", "the identifier of the client you registered with the provider");
    }
    Some(OAuth::Own(Box::new(OwnOAuth {
        provider: profile,
        token: plain_join(base, &raw.token?),
        client_id: raw.client_id?,
        client_secret: raw.client_secret,
        flow,
        tenant: raw.tenant,
        ca_file: raw.ca_file.map(|file| plain_join(base, &file)),
        proxy: None,
    })))
}

fn delete(raw: RawDelete) -> DeletePolicy {
    match raw {
        RawDelete::Never => DeletePolicy::Never,
        RawDelete::Spooled { after } => DeletePolicy::Spooled { after },
        RawDelete::Done { after, keep, over } => DeletePolicy::Done { after, keep, over },
    }
}

fn host_name(host: &str, at: &KeyPath, findings: &mut Findings<'_>) {
    let odd = |ch: char| ch.is_whitespace() || ch.is_control() || ch == '/';
    let (part, hint) = if host.contains('@') {
        // What stands before it may be a password: the value is not shown.
        (Part::Key, "the user has a key of its own: `user`")
    } else if host.is_empty() || host.contains(odd) {
        (Part::Value, "only the name, without a path or \"pop3://\": for example \"pop.example.net\"")
    } else if host.matches(':').count() == 1 {
        (Part::Value, "the port has a key of its own: `port`")
    } else {
        return;
    };
    findings.error(at, part, format!("{} is no host name", called(at)), Some(hint.to_owned()));
}

/// Without TLS only in so many words.
fn consent(tls: TlsMode, written: Option<&str>, at: &KeyPath, findings: &mut Findings<'_>) {
    let key = |key: &str| [at, &path([key])].concat();
    match (tls, written) {
        (TlsMode::None, Some(PLAINTEXT_CONSENT)) | (TlsMode::Implicit | TlsMode::Starttls, None) => {}
        (TlsMode::None, _) => {
            let text = "without TLS anyone on the network can read the password and all mail, and change it";
            let hint = format!(
                "use tls = \"implicit\"; if it has to be: insecure_plaintext = \"{PLAINTEXT_CONSENT}\""
            );
            findings.error(&key("tls"), Part::Value, text, Some(hint));
        }
        (TlsMode::Implicit | TlsMode::Starttls, Some(_)) => {
            findings
                .warn(&key("insecure_plaintext"), "`insecure_plaintext` has no effect with TLS: remove it");
        }
    }
}
