//! XOAUTH2, the bearer mechanism that came before the standard one and that most providers speak.
//!
//! Owns the message. A failure comes as a challenge and is answered by an empty line.

use zeroize::Zeroizing;

use super::join;

/// The message; `user` and `token` hold no 0x01, which ends the fields.
pub(crate) fn message(user: &str, token: &str) -> Zeroizing<Vec<u8>> {
    join(&[b"user=", user.as_bytes(), b"\x01auth=Bearer ", token.as_bytes(), b"\x01\x01"])
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;

    #[test]
    fn the_message_is_the_one_of_the_published_example() {
        let token = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg";
        let encoded = encode(&message("someuser@example.com", token));
        let expected = "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==";
        assert_eq!(&**encoded, expected.as_bytes());
    }
}
