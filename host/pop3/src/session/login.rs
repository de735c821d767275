//! Logging in: `USER` and `PASS`, or SASL PLAIN.
//!
//! Owns the sequence and the rule that credentials never cross a channel that is not declared fit for
//! them. Must not try a second mechanism by itself: a refusal may be a lock-out counting.

use std::fmt;

use zeroize::Zeroizing;

use super::exchange::{Machine, Progress, Said, StatusLine};
use super::{Authorization, Core, Exchange, Session, Transaction};
use crate::command::{Argument, Command, Outgoing, Verb, argument_limit};
use crate::error::{Error, Rejection, ServerMisbehaved, Unsupported};
use crate::sasl::{Credentials, Mechanism, plain};

impl Session<Authorization> {
    /// Logs in with the preferred mechanism, see [`Mechanism::choose`].
    pub fn login(self, credentials: &Credentials) -> Result<Exchange<Login>, Error> {
        let mechanism = Mechanism::choose(self.capabilities());
        self.login_by(mechanism, credentials)
    }

    /// Logs in with the mechanism named. Refused on [`Channel::Plaintext`](super::Channel::Plaintext).
    pub fn login_by(self, mechanism: Mechanism, credentials: &Credentials) -> Result<Exchange<Login>, Error> {
        if !self.core.channel.may_carry_credentials() {
            return Err(Unsupported::CleartextCredentials.into());
        }
        let password = Zeroizing::new(credentials.password.as_bytes().to_vec());
        let (command, stage, response) = match mechanism {
            Mechanism::UserPass => {
                let user = Argument::new("user name", credentials.user.as_bytes(), "USER")?;
                let pass = Argument::new("password", &password, "PASS")?;
                let pass = Command::Pass(pass).encode();
                (Command::User(user), Stage::User(pass), Zeroizing::default())
            }
            Mechanism::Plain => {
                let response = plain::response(credentials);
                // Beyond 255 octets RFC 5034 section 4 demands the two-line form.
                if response.len() <= argument_limit("AUTH PLAIN") {
                    let initial = Argument::new("password", &response, "AUTH PLAIN")?;
                    (Command::AuthPlain(Some(initial)), Stage::Plain, response)
                } else {
                    let line = Outgoing::line(&[&response]);
                    (Command::AuthPlain(None), Stage::Challenge(line), response)
                }
            }
        };
        let reply = Login { line: StatusLine::default(), stage, password, response };
        Ok(Exchange::new(self, &command, reply))
    }
}

/// The replies to a login.
pub struct Login {
    line: StatusLine,
    stage: Stage,
    // Kept to take them out of what the server says.
    password: Zeroizing<Vec<u8>>,
    response: Zeroizing<Vec<u8>>,
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
    /// `AUTH PLAIN` was sent alone; this response is next.
    Challenge(Outgoing),
    /// The response was sent, there is nothing more to say.
    Plain,
}

/// What a login led to.
#[derive(Debug)]
pub enum LoginAnswer {
    /// Logged in. The capabilities are forgotten: ask again, the answer may differ.
    Accepted(Session<Transaction>),
    /// Refused. Say `QUIT`, or try another mechanism when the refusal allows it.
    Refused(Session<Authorization>, Rejection),
}

impl Machine for Login {
    type State = Authorization;
    type Output = LoginAnswer;
    type Value = Result<(), Rejection>;

    fn verb(&self) -> Verb {
        match self.stage {
            Stage::User(_) => Verb::User,
            Stage::Pass => Verb::Pass,
            Stage::Challenge(_) | Stage::Plain => Verb::Auth,
        }
    }

    fn receive<'a>(
        &mut self,
        core: &mut Core,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a, Self::Value>, Error> {
        let verb = self.verb();
        let secrets: [&[u8]; 2] = [&self.response, &self.password];
        let Some(said) = self.line.read(verb, core, input, &secrets)? else {
            return Ok(Progress::Receive);
        };
        if let Said::Err(rejection) = said {
            return Ok(Progress::Done(Err(rejection)));
        }
        // `+OK` instead of `+` asks for the response too, but only while it has not been sent.
        match (std::mem::replace(&mut self.stage, Stage::Plain), said) {
            (Stage::User(pass), Said::Ok(_)) => {
                self.stage = Stage::Pass;
                Ok(Progress::Send(pass))
            }
            (Stage::Challenge(response), Said::Ok(_) | Said::Challenge) => Ok(Progress::Send(response)),
            (Stage::Pass | Stage::Plain, Said::Ok(_)) => Ok(Progress::Done(Ok(()))),
            (_, Said::Challenge | Said::Err(_)) => Err(ServerMisbehaved::UnexpectedChallenge { verb }.into()),
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
}
