//! Owns STARTTLS (RFC 3207) and AUTH (RFC 4954) of an SMTP session. Must not take a password in the clear where TLS is to
//! be had.

use std::io;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::session::Session;
use crate::Security;

impl Session {
    pub(super) async fn start_tls(&mut self) -> io::Result<()> {
        match self.shared.config.security.clone() {
            Security::Upgrade(identity) if !self.wire.secure() => {
                self.reply(220, "2.0.0 begin TLS").await?;
                (self.client, self.login, self.transaction) = (String::new(), None, None);
                self.upgrade(&identity).await
            }
            Security::Upgrade(_) | Security::Implicit(_) | Security::Plain => {
                self.reply(503, "5.5.1 no TLS to start").await
            }
        }
    }

    /// AUTH PLAIN (RFC 4616) and AUTH LOGIN, with or without an initial response (RFC 4954).
    pub(super) async fn authenticate(&mut self, argument: &str) -> io::Result<()> {
        if self.shared.config.credentials.is_empty() {
            return self.reply(502, "5.5.1 no login here").await;
        }
        if !self.protected() {
            return self.reply(538, "5.7.11 not before STARTTLS").await;
        }
        let (mechanism, initial) = argument.split_once(' ').unwrap_or((argument, ""));
        let initial = (!initial.is_empty()).then(|| initial.as_bytes().to_vec());
        let pair = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => {
                let response = self.response(initial, "").await?;
                let mut fields = response.split(|&octet| octet == 0).map(<[u8]>::to_vec).skip(1);
                (fields.next().unwrap_or_default(), fields.next().unwrap_or_default())
            }
            "LOGIN" => {
                (self.response(initial, "VXNlcm5hbWU6").await?, self.response(None, "UGFzc3dvcmQ6").await?)
            }
            _ => return self.reply(504, "5.5.4 only PLAIN and LOGIN are known").await,
        };
        let mut known = self.shared.config.credentials.iter();
        match known.find(|(name, password)| (name.as_bytes(), password.as_bytes()) == (&pair.0, &pair.1)) {
            Some((name, _)) => {
                self.login = Some(name.clone());
                self.shared.count(|stats| stats.logins += 1);
                self.reply(235, "2.7.0 welcome").await
            }
            None => {
                self.shared.count(|stats| stats.refused_logins += 1);
                self.reply(535, "5.7.8 wrong name or password").await
            }
        }
    }

    /// The client's response, decoded; what is not base64 is nobody's password.
    async fn response(&mut self, initial: Option<Vec<u8>>, challenge: &str) -> io::Result<Vec<u8>> {
        let line = match initial {
            Some(line) => line,
            None => {
                self.wire.write(format!("334 {challenge}\r\n").as_bytes()).await?;
                self.wire.line().await?.ok_or(io::ErrorKind::UnexpectedEof)?
            }
        };
        Ok(BASE64_STANDARD.decode(line).unwrap_or_default())
    }

    /// Whether a login may be taken now.
    pub(super) fn protected(&self) -> bool {
        self.wire.secure() || matches!(self.shared.config.security, Security::Plain)
    }
}
