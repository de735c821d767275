//! SASL PLAIN (RFC 4616) in the POP3 profile (RFC 5034).
//!
//! Owns the message. Must not leave a copy of it anywhere unwiped.

use zeroize::Zeroizing;

use super::join;

/// NUL user NUL password; no authorization identity, the server derives it.
pub(crate) fn message(user: &str, password: &str) -> Zeroizing<Vec<u8>> {
    join(&[b"\0", user.as_bytes(), b"\0", password.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;

    #[test]
    fn the_response_is_the_one_of_the_rfc() {
        // RFC 4616 section 4, first example: no authorization identity, user tim.
        let encoded = encode(&message("tim", "tanstaaftanstaaf"));
        assert_eq!(&*encoded, b"AHRpbQB0YW5zdGFhZnRhbnN0YWFm");
    }
}
