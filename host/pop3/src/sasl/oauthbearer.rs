//! OAUTHBEARER (RFC 7628): a bearer token, and where it is shown.
//!
//! Owns the message. A failure comes as a challenge and is answered by a lone 0x01 (section 3.2.3).

use zeroize::Zeroizing;

use super::{Endpoint, join};

/// The answer to a failure, before its encoding.
pub(crate) const FAILURE_ANSWER: &[u8] = b"\x01";

/// The message of section 3.1. `endpoint` goes in when known: a server behind several names may check
/// that the token was meant for it.
pub(crate) fn message(user: &str, token: &str, endpoint: Option<&Endpoint>) -> Zeroizing<Vec<u8>> {
    let user = user.replace('=', "=3D").replace(',', "=2C");
    let place =
        endpoint.map(|Endpoint { host, port }| format!("host={host}\x01port={port}\x01")).unwrap_or_default();
    join(&[
        b"n,a=",
        user.as_bytes(),
        b",\x01",
        place.as_bytes(),
        b"auth=Bearer ",
        token.as_bytes(),
        b"\x01\x01",
    ])
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;

    #[test]
    fn the_message_is_the_one_of_the_rfc() {
        let endpoint = Endpoint { host: "server.example.com".into(), port: 143 };
        let token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";
        let encoded = encode(&message("user@example.com", token, Some(&endpoint)));
        let expected = "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB";
        assert_eq!(&**encoded, expected.as_bytes());
        assert!(message("a=b,c", "t", None).starts_with(b"n,a=a=3Db=2Cc,\x01auth=Bearer t\x01"));
    }
}
