//! A SASL conversation for whoever carries it in another protocol: what to say, in base64, and when it has succeeded.
//! Must not know how the lines around it look.

use std::fmt;

use zeroize::Zeroizing;

use super::client::{Client, Turn};
use super::{Credentials, Mechanism, Nonce, SaslFault, TokenRefusal, encode};
use crate::error::Error;

/// One login by SASL, begun with [`Conversation::new`].
pub struct Conversation(Client);

impl Conversation {
    /// Begins one. `nonce` is for SCRAM.
    ///
    /// # Errors
    /// When the mechanism is none of SASL, or does not take such credentials.
    pub fn new(mechanism: Mechanism, credentials: &Credentials, nonce: Nonce) -> Result<Self, Error> {
        Client::new(mechanism, credentials, nonce).map(Self)
    }

    /// The initial response in base64, for mechanisms in which the client speaks first. What is not asked for here is said
    /// to the first challenge.
    pub fn initial(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        self.0.initial(|_| true).map(|message| encode(&message))
    }

    /// Answers a challenge in base64; `None` when there is nothing left to say.
    ///
    /// # Errors
    /// When the challenge is malformed, or the server fails to prove itself. Nothing more may be sent then but a cancellation.
    pub fn answer(&mut self, challenge: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, SaslFault> {
        Ok(match self.0.answer(challenge)? {
            Turn::Answer(message) => Some(encode(&message)),
            Turn::Unexpected => None,
        })
    }

    /// Whether the server's success may be believed: everything was said, it proved what it had to, and has not said no.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.0.complete() && !self.0.refused()
    }

    /// What the server had against a token, when it said so.
    pub fn refusal(&mut self) -> Option<TokenRefusal> {
        self.0.refusal()
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Conversation(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_believed_only_after_everything_was_said_and_not_after_a_no() {
        let password = Credentials::new("ann", "pass").unwrap();
        let mut plain = Conversation::new(Mechanism::Plain, &password, Nonce::new([0; 18])).unwrap();
        assert!(!plain.complete());
        assert_eq!(plain.initial().unwrap().as_slice(), b"AGFubgBwYXNz");
        assert!(plain.complete());
        assert!(plain.answer(b"").unwrap().is_none());

        let token = Credentials::bearer("ann", "t").unwrap();
        let mut bearer = Conversation::new(Mechanism::XOAuth2, &token, Nonce::new([0; 18])).unwrap();
        assert!(bearer.initial().is_some());
        let challenge = encode(br#"{"status":"401"}"#);
        assert!(bearer.answer(&challenge).unwrap().is_some_and(|answer| answer.is_empty()));
        assert!(!bearer.complete());
        assert!(bearer.refusal().is_some_and(|refusal| refusal.token_is_invalid()));

        let scram = Conversation::new(Mechanism::ScramSha256, &password, Nonce::new([0; 18]));
        let mut scram = scram.unwrap();
        assert!(scram.initial().is_some() && !scram.complete());
        assert!(Conversation::new(Mechanism::UserPass, &password, Nonce::new([0; 18])).is_err());
        assert!(Conversation::new(Mechanism::Plain, &token, Nonce::new([0; 18])).is_err());
    }
}
