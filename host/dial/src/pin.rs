//! Pins: the SHA-256 of a public key in the form of RFC 7469 section 2.4. Must not know which certificates are checked.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The SHA-256 of a key's `SubjectPublicKeyInfo` in DER. It stays the same when a certificate is renewed with its key.
///
/// Written `sha256/BASE64`. Also read: `sha256//BASE64` (as curl writes it) and `pin-sha256="BASE64"` (RFC 7469).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pin([u8; 32]);

/// A text that is no pin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a pin: it must be `sha256/` and the 44 characters of BASE64 of a key's SHA-256, as `probe` shows it"
)]
pub struct PinError(String);

impl Pin {
    /// The pin of a key, given its `SubjectPublicKeyInfo` in DER, tag and length included.
    #[must_use]
    pub fn of_spki(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let wrong = || PinError(crate::text::shown(text));
        let encoded = match text.trim().strip_prefix("pin-sha256=") {
            Some(quoted) => quoted.trim_matches('"'),
            None => {
                let after = text.trim().strip_prefix("sha256/").ok_or_else(wrong)?;
                // BASE64 may itself begin with a slash, so only the length tells the two forms apart.
                if after.len() == 45 { after.strip_prefix('/').ok_or_else(wrong)? } else { after }
            }
        };
        let octets = STANDARD.decode(encoded).map_err(|_| wrong())?;
        octets.try_into().map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256/{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_forms_are_read_and_one_is_written() {
        let pin = Pin::of_spki(b"a key");
        let written = pin.to_string();
        let encoded = written.strip_prefix("sha256/").unwrap();
        for form in [&written, &format!("sha256//{encoded}"), &format!("pin-sha256=\"{encoded}\"")] {
            assert_eq!(form.parse::<Pin>().unwrap(), pin, "{form}");
        }
    }

    #[test]
    fn a_pin_that_begins_with_a_slash_is_not_mistaken_for_the_double_slash_form() {
        let pin = Pin([0xff; 32]);
        assert!(pin.to_string().starts_with("sha256///"), "{pin}");
        assert_eq!(pin.to_string().parse(), Ok(pin));
        assert_eq!(pin.to_string().replacen('/', "//", 1).parse(), Ok(pin));
    }

    #[test]
    fn what_is_no_pin_is_refused_with_the_form_expected() {
        let short = format!("sha256/{}", STANDARD.encode([0; 31]));
        let long = format!("sha256/{}", STANDARD.encode([0; 33]));
        for text in ["", "sha256/", "sha1/AAAA", "sha256/!!!!", &short, &long, "AB:CD:EF"] {
            let error = text.parse::<Pin>().unwrap_err();
            assert!(error.to_string().contains("`sha256/`"), "{text}: {error}");
        }
    }
}
