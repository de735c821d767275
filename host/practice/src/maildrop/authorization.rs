//! Owns the authorization state (RFC 1939 section 4): TLS, names and passwords, and what a client may use now. Must not
//! let anybody log in without TLS where TLS is asked for.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::bearer::Mechanism;
use super::fault::{Fault, Verb};
use super::listing::Listing;
use super::session::{Session, Step, negative, positive, split};
use crate::Security;

/// The longest command without its line end (RFC 5034 section 4); a longer response goes into a line of its own.
const LINE: usize = 253;

impl Session {
    pub(super) fn authorization(&mut self, verb: Verb, argument: &[u8]) -> Step {
        let text = match verb {
            Verb::Stls => match &self.shared.security {
                Security::Upgrade(identity) if !self.wire.secure() => return Step::Upgrade(identity.clone()),
                Security::Upgrade(_) | Security::Implicit(_) => "TLS is already on",
                Security::Plain => "no TLS here",
            },
            Verb::User | Verb::Pass | Verb::Auth if !self.login_allowed() => "[AUTH] not before STLS",
            Verb::User => {
                self.name = Some(String::from_utf8_lossy(argument).into_owned());
                return Step::Answer(positive("password?"));
            }
            Verb::Pass => match self.name.take() {
                Some(name) => return Step::Credentials { name, password: argument.to_vec() },
                None => "USER comes first",
            },
            Verb::Auth => {
                let (mechanism, response) = split(argument);
                let bearer = Mechanism::of(mechanism).filter(|_| self.shared.tokens.is_some());
                if "AUTH ".len() + argument.len() > LINE {
                    "[AUTH] the line is longer than 255 octets"
                } else if let Some(mechanism) = bearer {
                    return Step::Bearer { mechanism, response: response.to_vec() };
                } else if !mechanism.eq_ignore_ascii_case(b"PLAIN") {
                    "this mechanism is not known"
                } else if response.is_empty() {
                    return Step::Challenge;
                } else {
                    return Step::Answer(self.plain(response));
                }
            }
            Verb::Capa | Verb::Quit | Verb::Stat | Verb::List | Verb::Uidl | Verb::Retr => "log in first",
            Verb::Top | Verb::Dele | Verb::Rset | Verb::Noop => "log in first",
        };
        Step::Answer(negative(text))
    }

    /// Takes a PLAIN response: authorization identity, NUL, name, NUL, password, in base64 (RFC 4616).
    pub(super) fn plain(&mut self, response: &[u8]) -> Vec<u8> {
        if response == b"*" {
            return negative("cancelled");
        }
        let Ok(decoded) = BASE64_STANDARD.decode(response) else { return negative("not base64") };
        let mut fields = decoded.split(|&octet| octet == 0);
        match (fields.next(), fields.next(), fields.next(), fields.next()) {
            (Some(_), Some(name), Some(password), None) => {
                self.login(&String::from_utf8_lossy(name), password)
            }
            _ => negative("not a PLAIN response"),
        }
    }

    pub(super) fn login(&mut self, name: &str, password: &[u8]) -> Vec<u8> {
        let admitted = self.shared.accounts.get(name).is_some_and(|account| account.admits(password));
        self.open(name, admitted)
    }

    /// Opens the maildrop of whoever has proved himself.
    pub(super) fn open(&mut self, name: &str, admitted: bool) -> Vec<u8> {
        let admitted = self.shared.accounts.get(name).filter(|_| admitted);
        let refusal = self.shared.due(|fault| match fault {
            Fault::RefuseLogin(text) => Some(text.clone()),
            _ => None,
        });
        let refusal = match (refusal, admitted) {
            (Some(text), _) => text,
            (None, None) => "[AUTH] wrong name, password or token".to_owned(),
            (None, Some(account)) => match account.lock() {
                None => "[IN-USE] another session has this maildrop".to_owned(),
                Some(lock) => {
                    self.listing = Some(Listing::open(lock, &self.shared.faults));
                    self.shared.count_for(name, |stats| stats.logins += 1);
                    return positive("welcome");
                }
            },
        };
        self.shared.count(|stats| stats.refused_logins += 1);
        negative(&refusal)
    }

    fn login_allowed(&self) -> bool {
        self.wire.secure() || matches!(self.shared.security, Security::Plain)
    }

    pub(super) fn capabilities(&self) -> Vec<u8> {
        let mut lines = "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n".to_owned();
        if self.login_allowed() {
            let tokens = if self.shared.tokens.is_some() { " XOAUTH2 OAUTHBEARER" } else { "" };
            lines.push_str(&format!("USER\r\nSASL PLAIN{tokens}\r\n"));
        } else {
            lines.push_str("STLS\r\n");
        }
        lines.push_str("IMPLEMENTATION Postroom-practice\r\n.\r\n");
        lines.into_bytes()
    }
}
