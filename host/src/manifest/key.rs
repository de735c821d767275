//! The key that signs heads: made at first use, kept in the state directory, readable for its owner only.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox};

/// Its file in the state directory, in the format of `minisign`.
pub(super) const FILE: &str = "manifest.key";

/// The secret key. Not shown by anything.
pub struct SigningKey {
    secret: SecretKey,
    public: PublicKey,
}

impl SigningKey {
    /// The key of this state, made when there is none.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is no such key.
    pub fn of_state(state: &Path) -> io::Result<Self> {
        match Self::read(state) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(state),
            found => found,
        }
    }

    /// The key of this state.
    ///
    /// # Errors
    /// As [`SigningKey::of_state`], and when there is none yet.
    pub fn read(state: &Path) -> io::Result<Self> {
        let mut text = String::new();
        File::open(state.join(FILE))?.take(4096).read_to_string(&mut text)?;
        let boxed = SecretKeyBox::from_string(&text).map_err(unusable)?;
        let secret = boxed.into_unencrypted_secret_key().map_err(unusable)?;
        let public = PublicKey::from_secret_key(&secret).map_err(unusable)?;
        Ok(Self { secret, public })
    }

    fn make(state: &Path) -> io::Result<Self> {
        let pair = KeyPair::generate_unencrypted_keypair().map_err(unusable)?;
        let text =
            pair.sk.to_box(Some("postroom: signs heads of manifests")).map_err(unusable)?.into_string();
        let draft = state.join(".manifest.key.tmp");
        let _ = std::fs::remove_file(&draft);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // Two processes may make one at once: the first name counts.
        let named = std::fs::hard_link(&draft, state.join(FILE));
        std::fs::remove_file(&draft)?;
        File::open(state)?.sync_all()?;
        match named {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Self::read(state),
        }
    }

    /// The public key as `minisign -P` takes it.
    pub fn public(&self) -> String {
        self.public.to_base64()
    }

    /// The signature of these octets, as `minisign` writes it.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub(super) fn sign(&self, octets: &[u8], comment: &str) -> io::Result<String> {
        let signed =
            minisign::sign(None, &self.secret, octets, Some(comment), Some("postroom manifest head"));
        Ok(signed.map_err(unusable)?.into_string())
    }
}

/// Whose signatures count.
#[derive(Clone, Debug, Default)]
pub struct PublicKeys(Vec<minisign_verify::PublicKey>);

impl PublicKeys {
    /// Adds one, as `minisign -P` takes it.
    ///
    /// # Errors
    /// When it is none.
    pub fn add(&mut self, key: &str) -> Result<(), String> {
        let key = minisign_verify::PublicKey::from_base64(key.trim());
        self.0.push(key.map_err(|_| "it is no public key of minisign".to_owned())?);
        Ok(())
    }

    /// Whether any signature can count.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them made this signature of these octets.
    pub(super) fn made(&self, signature: &str, octets: &[u8]) -> bool {
        minisign_verify::Signature::decode(signature)
            .is_ok_and(|signature| self.0.iter().any(|key| key.verify(octets, &signature, false).is_ok()))
    }
}

fn unusable(error: minisign::PError) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the key that signs manifests cannot be used: {error}"),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_private_and_signs_for_minisign() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(SigningKey::read(state.path()).err().unwrap().kind(), io::ErrorKind::NotFound);
        let key = SigningKey::of_state(state.path()).unwrap();
        assert_eq!(SigningKey::of_state(state.path()).unwrap().public(), key.public());
        let mode = std::fs::metadata(state.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 1, "no draft stays");
        let signature = key.sign(b"octets", "2026-11-24").unwrap();
        let mut keys = PublicKeys::default();
        keys.add(&key.public()).unwrap();
        assert!(keys.made(&signature, b"octets"));
        assert!(!keys.made(&signature, b"other"));
        assert!(!PublicKeys::default().made(&signature, b"octets"));
        assert!(keys.add("nonsense").is_err());
    }
}
