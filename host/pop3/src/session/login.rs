//! Logging in: `USER` and `PASS`, `APOP`, or SASL (RFC 5034).
//!
//! Owns the sequence, when a `+OK` is a success, and the rule that credentials never cross a channel
//! that is not declared fit for them. Must not try a second mechanism by itself: a refusal may be a
//! lock-out counting.

use std::fmt;

use zeroize::Zeroizing;

use super::exchange::{Machine, Progress, Said, StatusLine};
use super::{Authorization, Channel, Core, Exchange, Session, Transaction};
use crate::command::{Argument, Command, Outgoing, Verb, argument_limit};
use crate::error::{Error, Rejection, ServerMisbehaved, Unencodable, Unsupported};
use crate::sasl::{self, Client, Credentials, Mechanism, Nonce, SaslFault, Secret, Turn};

impl Session<Authorization> {
    /// Logs in with the preferred mechanism, see [`Mechanism::choose`].
    pub fn login(self, credentials: &Credentials, nonce: Nonce) -> Result<Exchange<Login>, Error> {
        let mechanism = Mechanism::choose(self.capabilities(), self.channel(), credentials)?;
        self.login_by(mechanism, credentials, nonce)
    }

    /// Logs in with the mechanism named. Refused on [`Channel::Plaintext`], and for a token on anything
    /// but [`Channel::Tls`].
    pub fn login_by(
        self,
        mechanism: Mechanism,
        credentials: &Credentials,
        nonce: Nonce,
    ) -> Result<Exchange<Login>, Error> {
        if !self.core.channel.may_carry_credentials() {
            return Err(Unsupported::CleartextCredentials.into());
        }
        let secret = match (&credentials.secret, mechanism.takes_token()) {
            (Secret::Password(password), false) => password.as_bytes(),
            (Secret::Token { token, .. }, true) if self.core.channel == Channel::Tls => token.as_bytes(),
            (Secret::Token { .. }, true) => return Err(Unsupported::CleartextToken.into()),
            (Secret::Password(_), true) | (Secret::Token { .. }, false) => {
                return Err(Unsupported::WrongCredentials { mechanism: mechanism.word() }.into());
            }
        };
        let mut secrets = vec![Zeroizing::new(secret.to_vec())];
        let (command, stage) = match mechanism {
            Mechanism::UserPass => {
                let user = Argument::new("user name", credentials.user.as_bytes(), "USER")?;
                let pass = Argument::new("password", secret, "PASS")?;
                (Command::User(user), Stage::User(Command::Pass(pass).encode()))
            }
            Mechanism::Apop => {
                let timestamp = self.apop_timestamp().ok_or(Unsupported::Apop)?;
                let password = std::str::from_utf8(secret).unwrap_or_default();
                (apop(&credentials.user, timestamp, password)?, Stage::Apop)
            }
            Mechanism::Plain
            | Mechanism::Login
            | Mechanism::CramMd5
            | Mechanism::ScramSha1
            | Mechanism::ScramSha256
            | Mechanism::XOAuth2
            | Mechanism::OAuthBearer => {
                let mut client = Client::new(mechanism, credentials, nonce)?;
                let command = Command::Auth(mechanism, initial(mechanism, &mut client, &mut secrets)?);
                (command, Stage::Sasl(client))
            }
        };
        let reply = Login { line: StatusLine::default(), mechanism, stage, secrets };
        Ok(Exchange::new(self, &command, reply))
    }
}

/// `APOP name digest` in 255 octets. A blank in the name would shift the digest.
fn apop(user: &str, timestamp: &[u8], password: &str) -> Result<Command, Unencodable> {
    if user.contains(' ') {
        return Err(Unencodable::Blank { what: "user name" });
    }
    let digest = sasl::apop_digest(timestamp, password);
    let room = argument_limit("APOP") - digest.len() - 1;
    let name = Argument::within("user name", user.as_bytes(), room)?;
    Ok(Command::Apop(name, Argument::new("digest", &digest, "APOP")?))
}

/// The initial response, when the whole line fits 255 octets; beyond that RFC 5034 section 4 demands
/// the two-line form.
fn initial(
    mechanism: Mechanism,
    client: &mut Client,
    secrets: &mut Vec<Zeroizing<Vec<u8>>>,
) -> Result<Option<Argument>, Unencodable> {
    let room = argument_limit("AUTH ") - mechanism.wire_name().len();
    let Some(message) = client.initial(|octets| octets.div_ceil(3) * 4 <= room) else {
        return Ok(None);
    };
    let encoded = sasl::encode(&message);
    let argument = Argument::within("initial response", &encoded, room)?;
    secrets.push(encoded);
    Ok(Some(argument))
}

/// The replies to a login.
pub struct Login {
    line: StatusLine,
    mechanism: Mechanism,
    stage: Stage,
    // Kept to take them out of what the server says: the secret itself and every line sent.
    secrets: Vec<Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.verb())
    }
}

enum Stage {
    /// `USER` was sent; this `PASS` is next.
    User(Outgoing),
    Pass,
    Apop,
    Sasl(Client),
    /// `*` was sent because of this fault; whatever the server says now, the login did not succeed.
    Cancelled(SaslFault),
}

/// What a login led to.
#[derive(Debug)]
pub enum LoginAnswer {
    /// Logged in. The capabilities are forgotten: ask again, the answer may differ.
    Accepted(Session<Transaction>),
    /// Refused. Say `QUIT`; another mechanism only when a person named it, a refusal may count.
    Refused(Session<Authorization>, Rejection),
}

impl Login {
    fn sasl(&mut self, said: Said) -> Result<Progress<'static, Result<(), Rejection>>, Error> {
        let verb = Verb::Auth;
        let Stage::Sasl(client) = &mut self.stage else {
            return Err(ServerMisbehaved::UnexpectedChallenge { verb }.into());
        };
        let (text, ok) = match said {
            Said::Err(mut rejection) => {
                rejection.token = client.refusal();
                return Ok(Progress::Done(Err(rejection)));
            }
            Said::Ok(_) if client.refused() => return Err(ServerMisbehaved::AcceptedAfterRefusal.into()),
            Said::Ok(_) if client.complete() => return Ok(Progress::Done(Ok(()))),
            // `+OK` instead of `+` is seen, but can only be meant so while something is still to be said.
            Said::Ok(text) => (text, true),
            Said::Challenge(text) => (text, false),
        };
        let proof_due = ok && client.awaits_proof();
        match client.answer(&text) {
            Ok(Turn::Answer(message)) => {
                let encoded = sasl::encode(&message);
                let line = Outgoing::line(&[&encoded]);
                self.secrets.push(encoded);
                Ok(Progress::Send(line))
            }
            Ok(Turn::Unexpected) => Err(ServerMisbehaved::UnexpectedChallenge { verb }.into()),
            Err(SaslFault::NotBase64 | SaslFault::Malformed) if proof_due => {
                Err(self.fault(SaslFault::Unproven))
            }
            Err(fault) if fault.is_cancelled_politely() => {
                self.stage = Stage::Cancelled(fault);
                Ok(Progress::Send(Outgoing::line(&[b"*"])))
            }
            Err(fault) => Err(self.fault(fault)),
        }
    }

    fn fault(&self, fault: SaslFault) -> Error {
        Error::Sasl { mechanism: self.mechanism.word(), fault }
    }
}

impl Machine for Login {
    type State = Authorization;
    type Output = LoginAnswer;
    type Value = Result<(), Rejection>;

    fn verb(&self) -> Verb {
        match self.stage {
            Stage::User(_) => Verb::User,
            Stage::Pass => Verb::Pass,
            Stage::Apop => Verb::Apop,
            Stage::Sasl(_) | Stage::Cancelled(_) => Verb::Auth,
        }
    }

    fn receive<'a>(
        &mut self,
        core: &mut Core,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a, Self::Value>, Error> {
        let verb = self.verb();
        let secrets: Vec<&[u8]> = self.secrets.iter().map(|secret| secret.as_slice()).collect();
        let Some(said) = self.line.read(verb, core, input, &secrets)? else {
            return Ok(Progress::Receive);
        };
        match (&mut self.stage, said) {
            (Stage::Cancelled(fault), _) => {
                let fault = fault.clone();
                Err(self.fault(fault))
            }
            (Stage::Sasl(_), said) => self.sasl(said),
            (_, Said::Err(rejection)) => Ok(Progress::Done(Err(rejection))),
            (_, Said::Challenge(_)) => Err(ServerMisbehaved::UnexpectedChallenge { verb }.into()),
            (Stage::Pass | Stage::Apop, Said::Ok(_)) => Ok(Progress::Done(Ok(()))),
            (stage @ Stage::User(_), Said::Ok(_)) => match std::mem::replace(stage, Stage::Pass) {
                Stage::User(pass) => Ok(Progress::Send(pass)),
                _ => Ok(Progress::Receive),
            },
        }
    }

    fn finish(mut session: Session<Authorization>, value: Self::Value) -> LoginAnswer {
        match value {
            Ok(()) => {
                session.core.capabilities = None;
                LoginAnswer::Accepted(session.into_state())
            }
            Err(rejection) => LoginAnswer::Refused(session, rejection),
        }
    }

    fn closed(&self) -> Error {
        match &self.stage {
            Stage::Cancelled(fault) => self.fault(fault.clone()),
            _ => ServerMisbehaved::Closed { during: self.verb() }.into(),
        }
    }
}
