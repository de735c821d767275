//! The server's half of SASL exchanges: how many lines a mechanism takes. Must not check a credential: whoever comes is
//! let in unless a rule says otherwise.

/// Challenges still to be sent before the login is complete, as lines.
pub(crate) fn challenges(mechanism: &str, with_initial: bool) -> Option<Vec<&'static [u8]>> {
    let empty: &[u8] = b"+ \r\n";
    let all: &[&[u8]] = match mechanism {
        "PLAIN" | "XOAUTH2" | "OAUTHBEARER" => &[empty],
        "LOGIN" => &[b"+ VXNlcm5hbWU6\r\n", b"+ UGFzc3dvcmQ6\r\n"],
        // The challenge of the example in RFC 2195.
        "CRAM-MD5" => &[b"+ PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\r\n"],
        // What a SCRAM client says has to be answered from what it said: by a rule.
        "SCRAM-SHA-1" | "SCRAM-SHA-256" => &[empty, b"+ \r\n"],
        _ => return None,
    };
    Some(all.iter().skip(usize::from(with_initial)).copied().collect())
}
