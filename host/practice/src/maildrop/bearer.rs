//! Owns logins with an access token: XOAUTH2 and OAUTHBEARER (RFC 7628), in one line or two (RFC 5034 section 4). Must not
//! issue tokens: whether one is good is said by whoever started the maildrop.

use std::fmt;
use std::io;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::session::{Session, negative};

/// Says whether a token opens the maildrop of a name.
pub(super) type Check = dyn Fn(&str, &str) -> bool + Send + Sync;

/// Which tokens open which maildrop.
#[derive(Clone)]
pub(super) struct Tokens(pub(super) Arc<Check>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(..)")
    }
}

/// A mechanism that takes a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Xoauth2,
    Oauthbearer,
}

impl Mechanism {
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        match name.to_ascii_uppercase().as_slice() {
            b"XOAUTH2" => Some(Self::Xoauth2),
            b"OAUTHBEARER" => Some(Self::Oauthbearer),
            _ => None,
        }
    }

    /// Name and token of a message.
    fn read(self, message: &str) -> Option<(String, String)> {
        let mut fields = message.split('\u{1}');
        let first = fields.next()?;
        let name = match self {
            Self::Xoauth2 => first.strip_prefix("user=")?.to_owned(),
            Self::Oauthbearer => {
                let name = first.strip_prefix("n,a=")?.strip_suffix(',')?;
                name.replace("=2C", ",").replace("=3D", "=")
            }
        };
        let token = fields.find_map(|field| field.strip_prefix("auth=Bearer "))?;
        message.ends_with("\u{1}\u{1}").then(|| (name, token.to_owned()))
    }

    /// What a refused client says to the reason it was given.
    fn acknowledgement(self) -> &'static [u8] {
        match self {
            Self::Xoauth2 => b"",
            Self::Oauthbearer => b"AQ==",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Xoauth2 => "{\"status\":\"401\",\"schemes\":\"bearer\",\"scope\":\"mail\"}",
            Self::Oauthbearer => "{\"status\":\"invalid_token\",\"scope\":\"mail\"}",
        }
    }
}

impl Session {
    /// Answers `AUTH` with or without its initial response; `false` means that the client has gone.
    pub(super) async fn bearer(&mut self, mechanism: Mechanism, initial: &[u8]) -> io::Result<bool> {
        let mut response = initial.to_vec();
        if response.is_empty() {
            self.wire.write(b"+ \r\n").await?;
            let Some(line) = self.wire.line().await? else { return Ok(false) };
            response = line;
        }
        let message =
            BASE64_STANDARD.decode(&response).ok().and_then(|octets| String::from_utf8(octets).ok());
        let Some((name, token)) = message.and_then(|message| mechanism.read(&message)) else {
            self.wire.write(&negative("no token in this")).await?;
            return Ok(true);
        };
        let good = self.shared.tokens.as_ref().is_some_and(|Tokens(check)| check(&name, &token));
        if !good {
            let reason = format!("+ {}\r\n", BASE64_STANDARD.encode(mechanism.reason()));
            self.wire.write(reason.as_bytes()).await?;
            let Some(line) = self.wire.line().await? else { return Ok(false) };
            if line != mechanism.acknowledgement() {
                self.wire.write(&negative("that is no answer to a refused token")).await?;
                return Ok(true);
            }
        }
        let answer = self.open(&name, good);
        self.wire.write(&answer).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Client;
    use crate::{Maildrop, MaildropConfig, Security};

    async fn stand() -> (Maildrop, Client) {
        let config = MaildropConfig::new(Security::Plain)
            .account("ann", "secret", vec![b"Subject: one\r\n\r\n".to_vec()])
            .tokens(|name, token| name == "ann" && token.starts_with("good"));
        let maildrop = Maildrop::start(config).await.unwrap();
        let mut client = Client::connect(maildrop.addr()).await;
        client.line().await;
        (maildrop, client)
    }

    fn xoauth2(token: &str) -> String {
        BASE64_STANDARD.encode(format!("user=ann\u{1}auth=Bearer {token}\u{1}\u{1}"))
    }

    fn oauthbearer(token: &str) -> String {
        BASE64_STANDARD.encode(format!("n,a=ann,\u{1}host=h\u{1}port=1\u{1}auth=Bearer {token}\u{1}\u{1}"))
    }

    #[tokio::test]
    async fn a_good_token_opens_the_maildrop_in_one_line_or_two() {
        let all = [("XOAUTH2", xoauth2 as fn(&str) -> String), ("OAUTHBEARER", oauthbearer)];
        for (name, message) in all {
            let (maildrop, mut client) = stand().await;
            assert_eq!(client.ask(&format!("AUTH {name} {}", message("good"))).await, "+OK welcome\r\n");
            client.ask("QUIT").await;
            let mut client = Client::connect(maildrop.addr()).await;
            client.line().await;
            let long = message(&format!("good{}", "x".repeat(300)));
            let refused = client.ask(&format!("AUTH {name} {long}")).await;
            assert!(refused.starts_with("-ERR [AUTH] the line is longer"), "{refused}");
            assert_eq!(client.ask(&format!("AUTH {name}")).await, "+ \r\n");
            assert_eq!(client.ask(&long).await, "+OK welcome\r\n");
            assert_eq!(maildrop.stats().account("ann").logins, 2);
        }
    }

    #[tokio::test]
    async fn a_bad_token_is_refused_with_a_reason_that_has_to_be_acknowledged() {
        let (maildrop, mut client) = stand().await;
        assert!(client.ask(&format!("AUTH XOAUTH2 {}", xoauth2("bad"))).await.starts_with("+ ey"));
        assert!(client.ask("").await.starts_with("-ERR [AUTH]"));
        assert!(client.ask(&format!("AUTH OAUTHBEARER {}", oauthbearer("bad"))).await.starts_with("+ ey"));
        assert!(client.ask("AQ==").await.starts_with("-ERR [AUTH]"));
        assert_eq!(maildrop.stats().refused_logins, 2);
        assert!(client.ask(&format!("AUTH OAUTHBEARER {}", oauthbearer("bad"))).await.starts_with("+ ey"));
        assert!(client.ask("").await.starts_with("-ERR that is no answer"));
        for odd in ["*", "AA==", &BASE64_STANDARD.encode("user=ann\u{1}auth=Bearer good")] {
            assert_eq!(client.ask("AUTH XOAUTH2").await, "+ \r\n");
            assert!(client.ask(odd).await.starts_with("-ERR no token"), "{odd}");
        }
        assert_eq!(maildrop.stats().account("ann").logins, 0);
    }

    #[tokio::test]
    async fn a_maildrop_without_tokens_knows_none_of_this() {
        let config = MaildropConfig::new(Security::Plain).account("ann", "secret", Vec::new());
        let maildrop = Maildrop::start(config).await.unwrap();
        let mut client = Client::connect(maildrop.addr()).await;
        client.line().await;
        let capabilities = String::from_utf8(client.ask_lines("CAPA").await).unwrap();
        assert!(capabilities.contains("SASL PLAIN\r\n"), "{capabilities}");
        assert!(client.ask("AUTH XOAUTH2").await.starts_with("-ERR this mechanism"));
    }
}
