//! APOP (RFC 1939 section 7): a digest over the greeting's timestamp and the password.
//!
//! Owns the digest. MD5 is broken for collisions and a chosen timestamp leaks the first characters of
//! a password to who can answer in the server's place (CVE-2007-1558), so it is used only when named,
//! and only with a timestamp that is a valid msg-id; the session checks that before it gets here.

use md5::{Digest as _, Md5};
use zeroize::Zeroizing;

use super::hex;

/// The digest in 32 hexadecimal digits; `timestamp` with its angle brackets.
pub(crate) fn digest(timestamp: &[u8], password: &str) -> Zeroizing<Vec<u8>> {
    let mut md5 = Md5::new();
    md5.update(timestamp);
    md5.update(password.as_bytes());
    hex(&md5.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_one_of_the_rfc() {
        let digest = digest(b"<1896.697170952@dbc.mtview.ca.us>", "tanstaaf");
        assert_eq!(&**digest, b"c4c9334bac560ecc979e58001b3e22fb");
    }
}
