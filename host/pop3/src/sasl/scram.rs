//! SCRAM-SHA-1 (RFC 5802) and SCRAM-SHA-256 (RFC 7677), without channel binding.
//!
//! Owns both proofs: ours, and the server's, without which a login never counts. Randomness is not
//! made here, the [`Nonce`] comes from the caller.
//!
//! Iteration counts: fewer than 4096 are refused. RFC 5802 section 5.1 and RFC 7677 section 3 ask
//! servers for at least that many, and the proof is sent before the server has proved anything, so a
//! count chosen low by an impostor makes guessing the password from the proof cheap. An honest server
//! below it can be used with another mechanism, named. More than a million are refused too: the count
//! is the server's to choose and the time spent is ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Credentials, SaslFault, join};
use crate::error::Unencodable;

/// The fewest iterations accepted.
pub const LEAST_ITERATIONS: u32 = 4096;
/// The most iterations accepted.
pub const MOST_ITERATIONS: u32 = 200_000;

type Wiped = Zeroizing<Vec<u8>>;

/// The hash a SCRAM mechanism is built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
}

/// Random octets for one login, from the caller's source of randomness. Not `Clone`: a nonce is used
/// once. Mechanisms other than SCRAM leave it unused.
#[derive(Debug)]
pub struct Nonce(String);

impl Nonce {
    /// Encodes 18 octets from a cryptographic source (144 bits, RFC 5802 section 5.1 leaves the amount
    /// to the client) so that no comma can be among them.
    #[must_use]
    pub fn new(random: [u8; 18]) -> Self {
        Self(STANDARD.encode(random))
    }
}

/// One conversation.
pub(crate) struct Scram {
    hash: Hash,
    password: Zeroizing<String>,
    nonce: String,
    first_bare: String,
    stage: Stage,
}

enum Stage {
    /// The client-first-message is to be said.
    First,
    /// The server-first-message is due.
    ServerFirst,
    /// The server-final-message with this signature is due.
    ServerFinal(Zeroizing<Vec<u8>>),
    /// The server proved that it knows the password's verifier.
    Proven,
}

impl Scram {
    pub(crate) fn new(
        hash: Hash,
        credentials: &Credentials,
        password: &str,
        nonce: Nonce,
    ) -> Result<Self, Unencodable> {
        let user = prepared("user name", &credentials.user)?.replace('=', "=3D").replace(',', "=2C");
        let password = prepared("password", password)?;
        let first_bare = format!("n={user},r={}", nonce.0);
        Ok(Self { hash, password, nonce: nonce.0, first_bare, stage: Stage::First })
    }

    pub(crate) fn proven(&self) -> bool {
        matches!(self.stage, Stage::Proven)
    }

    pub(crate) fn begun(&self) -> bool {
        !matches!(self.stage, Stage::First)
    }

    /// The octets of [`first`](Self::first).
    pub(crate) fn first_length(&self) -> usize {
        self.first_bare.len() + b"n,,".len()
    }

    /// The client-first-message; no authorization identity, no channel binding.
    pub(crate) fn first(&mut self) -> Zeroizing<Vec<u8>> {
        self.stage = Stage::ServerFirst;
        join(&[b"n,,", self.first_bare.as_bytes()])
    }

    /// Answers a decoded challenge; an empty answer follows the server's proof (RFC 5034 section 4).
    pub(crate) fn answer(&mut self, challenge: &[u8]) -> Result<Zeroizing<Vec<u8>>, SaslFault> {
        match std::mem::replace(&mut self.stage, Stage::First) {
            Stage::First => Ok(self.first()),
            Stage::ServerFirst => {
                let (answer, signature) = self.prove(challenge)?;
                self.stage = Stage::ServerFinal(signature);
                Ok(answer)
            }
            Stage::ServerFinal(signature) => {
                self.verify(&signature, challenge)?;
                self.stage = Stage::Proven;
                Ok(Zeroizing::default())
            }
            Stage::Proven => Err(SaslFault::Malformed),
        }
    }

    /// The client-final-message and the signature only the true server can answer with.
    fn prove(&self, challenge: &[u8]) -> Result<(Wiped, Wiped), SaslFault> {
        let text = std::str::from_utf8(challenge).map_err(|_| SaslFault::Malformed)?;
        let ServerFirst { nonce, salt, iterations } = ServerFirst::parse(text)?;
        // An equal nonce would let the server leave out its own part, and so replay.
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(SaslFault::ForeignNonce);
        }
        if !(LEAST_ITERATIONS..=MOST_ITERATIONS).contains(&iterations) {
            return Err(SaslFault::Iterations { count: iterations });
        }
        // "biws" is the base64 of "n,,".
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{text},{without_proof}", self.first_bare);
        let salted = self.salted(&salt, iterations);
        let client_key = self.mac(&salted, b"Client Key");
        let stored_key = self.digest(&client_key);
        let mut proof = self.mac(&stored_key, message.as_bytes());
        proof.iter_mut().zip(client_key.iter()).for_each(|(octet, key)| *octet ^= key);
        let server_key = self.mac(&salted, b"Server Key");
        let signature = self.mac(&server_key, message.as_bytes());
        let proof = Zeroizing::new(STANDARD.encode(&proof));
        Ok((join(&[without_proof.as_bytes(), b",p=", proof.as_bytes()]), signature))
    }

    fn verify(&self, signature: &[u8], challenge: &[u8]) -> Result<(), SaslFault> {
        if challenge.starts_with(b"e=") {
            return Err(SaslFault::ServerError { text: crate::error::shown(&challenge[2..]) });
        }
        let value = challenge.strip_prefix(b"v=").ok_or(SaslFault::Malformed)?;
        let value = value.split(|&octet| octet == b',').next().unwrap_or_default();
        let given = STANDARD.decode(value).map_err(|_| SaslFault::Malformed)?;
        // Compared through a second MAC, so that the time taken says nothing about the signature.
        let same = !signature.is_empty() && self.mac(signature, signature) == self.mac(signature, &given);
        if same { Ok(()) } else { Err(SaslFault::WrongSignature) }
    }

    fn salted(&self, salt: &[u8], iterations: u32) -> Zeroizing<Vec<u8>> {
        let password = self.password.as_bytes();
        match self.hash {
            Hash::Sha1 => {
                let mut out = Zeroizing::new(vec![0; 20]);
                pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut out);
                out
            }
            Hash::Sha256 => {
                let mut out = Zeroizing::new(vec![0; 32]);
                pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut out);
                out
            }
        }
    }

    fn mac(&self, key: &[u8], message: &[u8]) -> Zeroizing<Vec<u8>> {
        match self.hash {
            Hash::Sha1 => keyed::<Hmac<Sha1>>(key, message),
            Hash::Sha256 => keyed::<Hmac<Sha256>>(key, message),
        }
    }

    fn digest(&self, octets: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self.hash {
            Hash::Sha1 => Sha1::digest(octets).to_vec(),
            Hash::Sha256 => Sha256::digest(octets).to_vec(),
        })
    }
}

/// HMAC takes a key of any length, so nothing is lost in the default; an empty signature never passes.
fn keyed<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Zeroizing<Vec<u8>> {
    let digest = M::new_from_slice(key).map(|mac| mac.chain_update(message).finalize().into_bytes().to_vec());
    Zeroizing::new(digest.unwrap_or_default())
}

/// SASLprep (RFC 4013), without which two spellings of one password would be two passwords.
fn prepared(what: &'static str, text: &str) -> Result<Zeroizing<String>, Unencodable> {
    let prepared = stringprep::saslprep(text).map_err(|_| Unencodable::NotSaslprep { what })?;
    if prepared.is_empty() {
        return Err(Unencodable::NotSaslprep { what });
    }
    Ok(Zeroizing::new(prepared.into_owned()))
}

struct ServerFirst<'c> {
    nonce: &'c str,
    salt: Vec<u8>,
    iterations: u32,
}

impl<'c> ServerFirst<'c> {
    /// `r=`, `s=`, `i=` in this order, then extensions, which are ignored; a mandatory extension (`m=`)
    /// in front is one this client does not know, so it must not go on.
    fn parse(text: &'c str) -> Result<Self, SaslFault> {
        let mut fields = text.split(',');
        let mut field = |name| fields.next().and_then(|field| field.strip_prefix(name));
        let (Some(nonce), Some(salt), Some(count)) = (field("r="), field("s="), field("i=")) else {
            return Err(SaslFault::Malformed);
        };
        if !nonce.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(SaslFault::Malformed);
        }
        let salt = STANDARD.decode(salt).map_err(|_| SaslFault::Malformed)?;
        let digits = !count.is_empty() && count.bytes().all(|octet| octet.is_ascii_digit());
        if salt.is_empty() || !digits {
            return Err(SaslFault::Malformed);
        }
        // Digits that do not fit are a number that is too large.
        Ok(Self { nonce, salt, iterations: count.parse().unwrap_or(u32::MAX) })
    }
}

#[cfg(test)]
mod tests;
