//! What a server says it can do, in words; which ways to log in it offers, which one is used, and why.

use postroom_pop3::capability::{Expire, LoginDelay};
use postroom_pop3::{Authorization, Capabilities, Channel, Mechanism, Session};

use super::Probe;
use crate::config::Auth;

/// A CAPA reply in one line.
pub(super) fn listed(found: &Capabilities) -> String {
    let flags = [
        (found.top, "TOP"),
        (found.user, "USER"),
        (found.uidl, "UIDL"),
        (found.stls, "STLS"),
        (found.pipelining, "PIPELINING"),
        (found.resp_codes, "RESP-CODES"),
        (found.auth_resp_code, "AUTH-RESP-CODE"),
    ];
    let mut all: Vec<String> =
        flags.iter().filter(|(there, _)| *there).map(|(_, name)| (*name).to_owned()).collect();
    if !found.sasl.is_empty() {
        all.push(format!("SASL {}", found.sasl.join(" ")));
    }
    all.extend(found.login_delay.map(|LoginDelay { seconds, per_user }| {
        format!("LOGIN-DELAY {seconds}{}", if per_user { " USER" } else { "" })
    }));
    all.extend(found.expire.map(|Expire { days, per_user }| {
        let days = days.map_or_else(|| "NEVER".to_owned(), |days| days.to_string());
        format!("EXPIRE {days}{}", if per_user { " USER" } else { "" })
    }));
    all.extend(found.utf8.map(|utf8| if utf8.user { "UTF8 USER" } else { "UTF8" }.to_owned()));
    all.extend(found.implementation.as_ref().map(|name| format!("IMPLEMENTATION {name}")));
    all.extend(found.others.iter().cloned());
    if all.is_empty() { "CAPA lists nothing".to_owned() } else { all.join(", ") }
}

/// The ways to log in that are offered now.
pub(super) fn offered(probe: &mut Probe<'_>, session: &Session<Authorization>) {
    let mut names: Vec<String> = Vec::new();
    if let Some(found) = session.capabilities() {
        names.extend(found.sasl.iter().cloned());
        if found.user {
            names.push("USER/PASS".to_owned());
        }
    }
    if session.apop_timestamp().is_some() {
        names.push("APOP (by the greeting)".to_owned());
    }
    let text = match names.as_slice() {
        [] => "the server names none; USER/PASS is what every server has".to_owned(),
        names => names.join(", "),
    };
    probe.fact("mechanisms", text);
}

/// The one that is used.
pub(super) fn chosen(probe: &mut Probe<'_>, session: &Session<Authorization>, mechanism: Mechanism) {
    let lists = session.capabilities().is_some_and(|found| found.offers(mechanism));
    let named = probe.of.account.auth != Auth::Auto;
    probe.fact("mechanism used", why(mechanism, named, lists, session.channel() == Channel::Tls));
    if named && !lists && mechanism.is_sasl() {
        let text = format!("the server does not list {}, which `auth` names", mechanism.wire_name());
        probe.warn("mechanism used", text);
    }
}

fn why(mechanism: Mechanism, named: bool, lists: bool, tls: bool) -> String {
    let channel = if tls { "inside TLS" } else { "without TLS" };
    match (named, lists) {
        (true, _) => format!("{mechanism}: `auth` names it, no other is ever tried"),
        (false, true) => format!("{mechanism}: of what the server lists, the one preferred {channel}"),
        (false, false) => format!("{mechanism}: the server lists nothing that is preferred to it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_told_in_the_words_of_the_protocol() {
        let mut found = Capabilities::default();
        assert_eq!(listed(&found), "CAPA lists nothing");
        found.top = true;
        found.sasl = vec!["PLAIN".to_owned(), "SCRAM-SHA-1".to_owned()];
        found.login_delay = Some(LoginDelay { seconds: 300, per_user: true });
        found.expire = Some(Expire { days: Some(0), per_user: false });
        found.others = vec!["X-ODD".to_owned()];
        assert_eq!(listed(&found), "TOP, SASL PLAIN SCRAM-SHA-1, LOGIN-DELAY 300 USER, EXPIRE 0, X-ODD");
        found.expire = Some(Expire { days: None, per_user: false });
        assert!(listed(&found).contains("EXPIRE NEVER"));
    }

    #[test]
    fn the_reason_for_a_mechanism_is_told() {
        assert!(why(Mechanism::Plain, true, true, true).contains("`auth` names it"));
        assert!(why(Mechanism::ScramSha256, false, true, true).contains("preferred inside TLS"));
        assert!(why(Mechanism::UserPass, false, false, false).contains("lists nothing"));
    }
}
