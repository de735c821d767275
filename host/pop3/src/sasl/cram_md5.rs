//! CRAM-MD5 (RFC 2195): a keyed digest over a challenge.
//!
//! Owns the response. The server proves nothing about itself.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use zeroize::Zeroizing;

use super::{hex, join};

/// User, blank, 32 hexadecimal digits; `challenge` already decoded.
pub(crate) fn response(user: &str, password: &str, challenge: &[u8]) -> Zeroizing<Vec<u8>> {
    // HMAC takes a key of any length, so this cannot fail; an empty digest would be refused.
    let digest = Hmac::<Md5>::new_from_slice(password.as_bytes())
        .map(|mac| hex(&mac.chain_update(challenge).finalize().into_bytes()))
        .unwrap_or_default();
    join(&[user.as_bytes(), b" ", &digest])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_is_the_one_of_the_rfc() {
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        let response = response("tim", "tanstaaftanstaaf", challenge);
        assert_eq!(&**response, b"tim b913a602c7eda7a495b4e6e7334d3890");
    }
}
