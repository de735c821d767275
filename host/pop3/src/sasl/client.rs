//! One SASL conversation, whatever the mechanism.
//!
//! Owns when a mechanism is complete: only then may `+OK` mean success. No mechanism answers more
//! challenges than it has messages, so an endless server is stopped by the first one too many.

use zeroize::Zeroizing;

use super::login::Login;
use super::scram::{Hash, Scram};
use super::{
    Credentials, Mechanism, Nonce, SaslFault, Secret, TokenRefusal, cram_md5, decode, oauthbearer, plain,
    xoauth2,
};
use crate::error::{Error, Unsupported};

/// What a challenge leads to.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Say this, base64 applied by the caller.
    Answer(Zeroizing<Vec<u8>>),
    /// The mechanism had said everything.
    Unexpected,
}

pub(crate) enum Client {
    /// PLAIN: the message, until it was said.
    Plain(Option<Zeroizing<Vec<u8>>>),
    Login(Login),
    CramMd5 {
        user: Zeroizing<String>,
        password: Zeroizing<String>,
        answered: bool,
    },
    Scram(Scram),
    Bearer(Bearer),
}

/// A token's message and, afterwards, what the server had against it.
pub(crate) struct Bearer {
    message: Option<Zeroizing<Vec<u8>>>,
    token: Zeroizing<Vec<u8>>,
    on_failure: &'static [u8],
    refusal: Option<TokenRefusal>,
}

impl Client {
    /// `mechanism` must be one of SASL.
    pub(crate) fn new(mechanism: Mechanism, credentials: &Credentials, nonce: Nonce) -> Result<Self, Error> {
        let unfit = || Error::from(Unsupported::WrongCredentials { mechanism: mechanism.word() });
        let user = credentials.user.as_str();
        let bearer = |message, token: &str, on_failure| {
            let token = super::join(&[token.as_bytes()]);
            Self::Bearer(Bearer { message: Some(message), token, on_failure, refusal: None })
        };
        Ok(match (mechanism, &credentials.secret) {
            (Mechanism::Plain, Secret::Password(password)) => {
                Self::Plain(Some(plain::message(user, password)))
            }
            (Mechanism::Login, Secret::Password(password)) => Self::Login(Login::new(user, password)),
            (Mechanism::CramMd5, Secret::Password(password)) => {
                Self::CramMd5 { user: credentials.user.clone(), password: password.clone(), answered: false }
            }
            (Mechanism::ScramSha1, Secret::Password(password)) => {
                Self::Scram(Scram::new(Hash::Sha1, credentials, password, nonce)?)
            }
            (Mechanism::ScramSha256, Secret::Password(password)) => {
                Self::Scram(Scram::new(Hash::Sha256, credentials, password, nonce)?)
            }
            (Mechanism::XOAuth2, Secret::Token { token, .. }) => {
                bearer(xoauth2::message(user, token), token, b"")
            }
            (Mechanism::OAuthBearer, Secret::Token { token, endpoint }) => bearer(
                oauthbearer::message(user, token, endpoint.as_ref()),
                token,
                oauthbearer::FAILURE_ANSWER,
            ),
            _ => return Err(unfit()),
        })
    }

    /// The initial response, for mechanisms in which the client speaks first; `fits` says whether the
    /// line has room for it. What is not taken is said to the first challenge.
    pub(crate) fn initial(&mut self, fits: impl Fn(usize) -> bool) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Plain(message) | Self::Bearer(Bearer { message, .. }) => {
                message.take_if(|message| fits(message.len()))
            }
            Self::Scram(scram) => fits(scram.first_length()).then(|| scram.first()),
            Self::Login(_) | Self::CramMd5 { .. } => None,
        }
    }

    /// Whether `+OK` may now mean success.
    pub(crate) fn complete(&self) -> bool {
        match self {
            Self::Plain(message) => message.is_none(),
            Self::Login(login) => login.complete(),
            Self::CramMd5 { answered, .. } => *answered,
            Self::Scram(scram) => scram.proven(),
            Self::Bearer(bearer) => bearer.message.is_none(),
        }
    }

    /// Whether the server owes a proof of itself: then a `+OK` without one is a lie, not a challenge.
    pub(crate) fn awaits_proof(&self) -> bool {
        matches!(self, Self::Scram(scram) if scram.begun() && !scram.proven())
    }

    /// What the server had against the token, when it said so.
    pub(crate) fn refusal(&mut self) -> Option<TokenRefusal> {
        match self {
            Self::Bearer(bearer) => bearer.refusal.take(),
            _ => None,
        }
    }

    /// Whether the server has already said no, whatever it says next.
    pub(crate) fn refused(&self) -> bool {
        matches!(self, Self::Bearer(bearer) if bearer.refusal.is_some())
    }

    /// Answers a challenge, as it came behind `+ `.
    pub(crate) fn answer(&mut self, challenge: &[u8]) -> Result<Turn, SaslFault> {
        let next = match self {
            // These speak without being asked anything, so what the challenge says is not looked at.
            Self::Plain(message) => message.take(),
            Self::Login(login) => login.answer(),
            Self::CramMd5 { answered: true, .. } => None,
            Self::CramMd5 { user, password, answered } => {
                *answered = true;
                Some(cram_md5::response(user, password, &decode(challenge)?))
            }
            Self::Scram(scram) if scram.proven() => None,
            Self::Scram(scram) if !scram.begun() => Some(scram.first()),
            Self::Scram(scram) => Some(scram.answer(&decode(challenge)?)?),
            Self::Bearer(bearer) => bearer.answer(challenge)?,
        };
        Ok(next.map_or(Turn::Unexpected, Turn::Answer))
    }
}

impl Bearer {
    /// The message; after it, one failure, which has an answer of its own.
    fn answer(&mut self, challenge: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, SaslFault> {
        if let Some(message) = self.message.take() {
            return Ok(Some(message));
        }
        if self.refusal.is_some() {
            return Ok(None);
        }
        self.refusal = Some(TokenRefusal::read(&decode(challenge)?, &[&self.token]));
        Ok(Some(super::join(&[self.on_failure])))
    }
}
