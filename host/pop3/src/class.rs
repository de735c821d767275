//! What a refusal means for the schedule.
//!
//! Owns the reading of response codes (RFC 2449, RFC 3206) and, where a server has none, of the words
//! it uses. Must not decide how long to wait.

use crate::error::{Error, Rejection, ServerMisbehaved};
use crate::wire::ResponseCode;

/// The kinds of refusal that are to be treated differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The credentials are wrong, as far as the server lets on. Some word a throttle the same way: an
    /// account that worked before is to be tried again with growing pauses, not given up.
    Credentials,
    /// The server says that the bearer token is not valid: fetch a new one and try once more.
    TokenExpired,
    /// Another session holds the maildrop; after a dropped connection this can last ten minutes.
    InUse,
    /// Logged in again too soon: wait for at least the server's delay.
    LoginDelay,
    /// A quota of octets, messages or requests is used up: wait longer than for passing trouble.
    Throttled,
    /// Passing trouble.
    Temporary,
    /// Trouble that does not pass by itself.
    Permanent,
    /// The connection was closed instead of an answer to the login: refused or blocked, not known
    /// which. Back off; never try the next mechanism.
    ClosedDuringLogin,
    /// None of these can be told.
    Other,
}

impl Rejection {
    /// The kind of refusal. A response code decides; without one the words do, and only then the
    /// silence of a server that promised codes (RFC 3206 section 6).
    #[must_use]
    pub fn class(&self) -> Class {
        if self.token.as_ref().is_some_and(crate::sasl::TokenRefusal::token_is_invalid) {
            return Class::TokenExpired;
        }
        match &self.code {
            Some(ResponseCode::InUse) => Class::InUse,
            Some(ResponseCode::LoginDelay) => Class::LoginDelay,
            Some(ResponseCode::SysTemp) => Class::Temporary,
            Some(ResponseCode::SysPerm) => Class::Permanent,
            Some(ResponseCode::Auth) => Class::Credentials,
            Some(ResponseCode::Other(_)) => worded(&self.text).unwrap_or(Class::Other),
            None => worded(&self.text).unwrap_or(if self.blames_credentials() {
                Class::Credentials
            } else {
                Class::Other
            }),
        }
    }

    fn blames_credentials(&self) -> bool {
        self.verb.is_authentication() && !self.codes_promised
    }
}

impl Error {
    /// The kind of trouble, as for [`Rejection::class`]. What is no refusal and no closed login is
    /// [`Class::Other`]; see [`disposition`](Self::disposition) for that.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Rejected(rejection) => rejection.class(),
            Self::ServerMisbehaved(ServerMisbehaved::Closed { during }) if during.is_authentication() => {
                Class::ClosedDuringLogin
            }
            _ => Class::Other,
        }
    }
}

/// Words seen at servers without codes, the more telling ones first.
fn worded(text: &str) -> Option<Class> {
    const WORDS: [(Class, &[&str]); 4] = [
        (
            Class::LoginDelay,
            &["too frequent", "login limit", "login rate", "login delay", "logins too", "minimum interval"],
        ),
        (
            Class::Throttled,
            &["exceed", "quota", "too many", "throttl", "rate limit", "bandwidth", "limit reached"],
        ),
        // "lock" as a word of its own or in "locked": "blocked" is no lock of the maildrop.
        (Class::InUse, &["in use", "in-use", " lock", "already open", "another session", "another pop"]),
        (Class::Temporary, &["busy", "try again", "try later", "later", "unavailable", "temporar"]),
    ];
    // The blank in front lets a first word match " lock" too.
    let text = format!(" {}", text.to_ascii_lowercase());
    WORDS.iter().find(|(_, words)| words.iter().any(|word| text.contains(word))).map(|&(class, _)| class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Verb;
    use crate::sasl::TokenRefusal;

    fn class(verb: Verb, text: &str) -> Class {
        let (code, text, token) = (None, text.into(), None);
        Rejection { verb, code, text, codes_promised: false, token }.class()
    }

    #[test]
    fn words_of_servers_without_codes_are_understood() {
        for (text, expected) in [
            ("maildrop is LOCKED", Class::InUse),
            ("Unable to lock maildrop", Class::InUse),
            ("lock busy! try again", Class::InUse),
            ("mailbox in use", Class::InUse),
            ("login too frequent, wait", Class::LoginDelay),
            ("User login limit, retry", Class::LoginDelay),
            ("Download exceed", Class::Throttled),
            ("Account exceeded command or bandwidth limits", Class::Throttled),
            ("Too many connections", Class::Throttled),
            ("Can't get the letter, try again later", Class::Temporary),
            ("service unavailable", Class::Temporary),
            ("unknown user name or bad password", Class::Credentials),
            ("your address is blocked", Class::Credentials),
            ("", Class::Credentials),
        ] {
            assert_eq!(class(Verb::Pass, text), expected, "{text}");
        }
        assert_eq!(class(Verb::Retr, "no such message"), Class::Other);
        assert_eq!(class(Verb::Retr, "Download exceed"), Class::Throttled);
        assert_eq!(class(Verb::Connect, "go away"), Class::Other);
    }

    #[test]
    fn a_code_outweighs_the_words() {
        let of = |code, promised| {
            let text = "try again, quota".to_owned();
            Rejection { verb: Verb::Pass, code, text, codes_promised: promised, token: None }.class()
        };
        assert_eq!(of(Some(ResponseCode::Auth), false), Class::Credentials);
        assert_eq!(of(Some(ResponseCode::SysPerm), false), Class::Permanent);
        assert_eq!(of(Some(ResponseCode::Other("X".into())), false), Class::Throttled);
        let mut silent =
            Rejection { verb: Verb::Pass, code: None, text: "no".into(), codes_promised: true, token: None };
        assert_eq!(silent.class(), Class::Other);
        silent.token = Some(TokenRefusal { status: "invalid_token".into(), scope: None });
        assert_eq!(silent.class(), Class::TokenExpired);
    }

    #[test]
    fn a_connection_closed_on_the_login_is_a_class_of_its_own() {
        let of = |during| Error::from(ServerMisbehaved::Closed { during }).class();
        assert_eq!(of(Verb::Auth), Class::ClosedDuringLogin);
        assert_eq!(of(Verb::Apop), Class::ClosedDuringLogin);
        assert_eq!(of(Verb::Retr), Class::Other);
    }
}
