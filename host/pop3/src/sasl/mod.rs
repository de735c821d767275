//! How a session authenticates: which mechanism, and with what.
//!
//! Owns the credentials, the order of preference and the messages of the mechanisms; one mechanism is
//! one file. Must not send anything: the session asks what to say and sends it, after it has checked
//! the channel.
//!
//! # Which mechanism
//!
//! A mechanism that is named is the one used; it is never replaced by a weaker one. Otherwise
//! [`Mechanism::choose`] takes the first that CAPA lists:
//!
//! | credentials | channel | order |
//! |---|---|---|
//! | password | TLS | SCRAM-SHA-256, SCRAM-SHA-1, PLAIN, USER/PASS, LOGIN |
//! | password | clear, accepted by name | SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5, PLAIN, USER/PASS, LOGIN |
//! | bearer token | TLS only | OAUTHBEARER, XOAUTH2 |
//!
//! USER/PASS is also what remains for a password when CAPA lists nothing usable or was refused: every
//! server before RFC 2449 has it. A token has no such remainder.
//!
//! Inside TLS, CRAM-MD5 is used only when named: servers list it that hold hashed passwords and so can
//! never accept it. APOP is used only when named, on any channel. There is no falling back after a
//! refusal: it may count towards a lock-out, and a peer that can make one mechanism fail could choose
//! the one that shows the password.

mod apop;
mod bearer;
mod client;
mod conversation;
mod cram_md5;
mod credentials;
mod login;
mod mechanism;
mod oauthbearer;
mod plain;
mod scram;
mod xoauth2;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

pub(crate) use self::apop::digest as apop_digest;
pub use self::bearer::TokenRefusal;
pub(crate) use self::client::{Client, Turn};
pub use self::conversation::Conversation;
pub use self::credentials::Credentials;
pub(crate) use self::credentials::{Endpoint, Secret};
pub use self::mechanism::{Mechanism, UnknownMechanism};
pub use self::scram::{LEAST_ITERATIONS, MOST_ITERATIONS, Nonce};

/// Why a challenge cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaslFault {
    /// Base64 was due and something else came.
    #[error("the challenge is not base64")]
    NotBase64,
    /// The challenge does not have the mechanism's form.
    #[error("the challenge does not have the form of the mechanism")]
    Malformed,
    /// The server answered with a nonce that does not go on from ours.
    #[error("the server's nonce does not go on from the client's, which is how an old login is replayed")]
    ForeignNonce,
    /// An iteration count outside what is accepted.
    #[error(
        "the server asks for {count} iterations, accepted are 4096 to 1000000; have the server's setting corrected, or name another mechanism"
    )]
    Iterations {
        /// What it asked for, capped.
        count: u32,
    },
    /// The server does not know the password it claims to have checked.
    #[error(
        "the server could not prove that it knows the account's password; it may not be the server it claims to be"
    )]
    WrongSignature,
    /// The server said success before it proved itself.
    #[error(
        "the server said success without the proof the mechanism demands; it may not be the server it claims to be"
    )]
    Unproven,
    /// SCRAM's own error message.
    #[error("the server ended the mechanism: {text:?}")]
    ServerError {
        /// Its text, neutralised.
        text: String,
    },
}

impl SaslFault {
    /// Whether the conversation is to be ended by `*` (RFC 5034 section 4). A server that failed to
    /// prove itself is told nothing more.
    pub(crate) fn is_cancelled_politely(&self) -> bool {
        match self {
            Self::NotBase64 | Self::Malformed | Self::Iterations { .. } | Self::ServerError { .. } => true,
            Self::ForeignNonce | Self::WrongSignature | Self::Unproven => false,
        }
    }
}

/// The parts in one buffer whose room is set beforehand: growing would leave copies behind.
fn join(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut joined = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| joined.extend_from_slice(part));
    joined
}

/// Base64, encoded in place for the same reason.
pub(crate) fn encode(message: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut encoded = Zeroizing::new(vec![0; message.len().div_ceil(3) * 4]);
    let length = STANDARD.encode_slice(message, &mut encoded).unwrap_or_default();
    encoded.truncate(length);
    encoded
}

/// The octets of a challenge; blanks around it are forgiven.
fn decode(challenge: &[u8]) -> Result<Vec<u8>, SaslFault> {
    STANDARD.decode(challenge.trim_ascii()).map_err(|_| SaslFault::NotBase64)
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(octets: &[u8]) -> Zeroizing<Vec<u8>> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = Zeroizing::new(Vec::with_capacity(octets.len() * 2));
    for octet in octets {
        out.push(DIGITS[usize::from(octet >> 4)]);
        out.push(DIGITS[usize::from(octet & 15)]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_encoded_whole() {
        for length in 0..=1024 {
            let message = vec![b'p'; length];
            assert_eq!(decode(&encode(&message)).unwrap(), message);
        }
    }

    #[test]
    fn what_is_not_base64_is_not_guessed_at() {
        for bad in [&b"!"[..], b"YQ", b"YQ=", b"YQ==YQ==", b"Y Q==", b"\xff"] {
            assert_eq!(decode(bad), Err(SaslFault::NotBase64), "{bad:?}");
        }
        assert_eq!(decode(b" YQ== \t").unwrap(), b"a");
    }
}
