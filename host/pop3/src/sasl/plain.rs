//! SASL PLAIN (RFC 4616) in the POP3 profile (RFC 5034).
//!
//! Owns the message and its encoding. Must not leave a copy of it anywhere unwiped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Credentials;

/// The base64 of NUL user NUL password; no authorization identity, the server derives it.
pub(crate) fn response(credentials: &Credentials) -> Zeroizing<Vec<u8>> {
    let (user, password) = (credentials.user.as_bytes(), credentials.password.as_bytes());
    let mut message = Zeroizing::new(Vec::with_capacity(2 + user.len() + password.len()));
    message.push(0);
    message.extend_from_slice(user);
    message.push(0);
    message.extend_from_slice(password);
    // Encoded in place with the room set beforehand: growing would leave copies behind.
    let mut encoded = Zeroizing::new(vec![0; message.len().div_ceil(3) * 4]);
    let length = STANDARD.encode_slice(&message, &mut encoded).unwrap_or_default();
    encoded.truncate(length);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_is_the_one_of_the_rfc() {
        // RFC 4616 section 4, first example: no authorization identity, user tim.
        let credentials = Credentials::new("tim", "tanstaaftanstaaf").unwrap();
        assert_eq!(&*response(&credentials), b"AHRpbQB0YW5zdGFhZnRhbnN0YWFm");
    }

    #[test]
    fn every_length_is_encoded_whole() {
        for length in 1..=1024 {
            let password = "p".repeat(length);
            let credentials = Credentials::new("u", &password).unwrap();
            let decoded = STANDARD.decode(&*response(&credentials)).unwrap();
            assert_eq!(decoded, format!("\0u\0{password}").as_bytes());
        }
    }
}
