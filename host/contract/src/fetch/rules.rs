//! What a path and a header field of a call may be. Refuses whatever two programs could read differently, and repairs
//! nothing: a path that was refused is never sent in another spelling.

use postroom_mail::rules::neutral;

/// Octets of a path with its query.
const LONGEST_PATH: usize = 2048;
/// Header fields of a call.
const MOST_FIELDS: usize = 64;
/// Octets of their names and values.
const FIELD_OCTETS: usize = 16 << 10;

/// The host decides about the connection, the framing, who is asked and who asks. Also what lets a server take a request
/// for another one than it is.
const NOT_FOR_GUESTS: [&str; 34] = [
    "accept-encoding",
    "authorization",
    "cf-connecting-ip",
    "client-ip",
    "connection",
    "content-length",
    "cookie",
    "cookie2",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "origin",
    "remote-user",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "via",
    "x-cluster-client-ip",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
    "x-remote-user",
    "x-user",
    "x-rewrite-url",
    "x-host",
    "x-client-ip",
];
/// The same, as beginnings of names.
const NO_SUCH: [&str; 3] = ["proxy-", "x-forwarded-", "sec-"];

/// What a plugin does not see: fields of the connection, cookies, and addresses of the server.
const HIDDEN: [&str; 16] = [
    "alt-svc",
    "connection",
    "content-location",
    "keep-alive",
    "link",
    "location",
    "refresh",
    "set-cookie",
    "set-cookie2",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "www-authenticate",
    "authentication-info",
];

/// A path below that of a target, with a query if there is one: relative, of plain characters and valid percent-encoding
/// (RFC 3986), without empty segments, `.` or `..` in any spelling. Joined to a base that ends with `/` it stays below it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FetchPath(String);

impl FetchPath {
    /// Checks it. An empty path is the target's own.
    ///
    /// # Errors
    /// What is wrong, for the plugin's author.
    pub fn new(text: String) -> Result<Self, String> {
        if text.len() > LONGEST_PATH {
            return Err(format!("a path has at most {LONGEST_PATH} octets, this one {}", text.len()));
        }
        let problem = problem_of(&text);
        match problem {
            None => Ok(Self(text)),
            Some(problem) => Err(format!("the path \"{}\" {problem}", neutral(&text, 120))),
        }
    }

    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn problem_of(text: &str) -> Option<&'static str> {
    let odd = |octet: u8| !(octet.is_ascii_alphanumeric() || b"-._~!$&()*+,;=:@/%?".contains(&octet));
    if text.bytes().any(odd) {
        return Some("has a character that must be percent-encoded");
    }
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    if !is_encoding_plain(path, b"/\\.;%") || query.is_some_and(|query| !is_encoding_plain(query, b"")) {
        return Some(
            "has a percent-encoding that is cut, or hides a character that means something in a path",
        );
    }
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        // Some servers cut what follows a semicolon before they look for dots.
        let name = segment.split(';').next().unwrap_or_default();
        if name == "." || name == ".." {
            return Some("must not go up: \".\" and \"..\" are no segments");
        }
        if segment.is_empty() && segments.peek().is_some() {
            return Some("must be relative, without an empty segment");
        }
    }
    None
}

/// Whether every `%` begins an encoded octet that is neither a control character nor one of `meaningful`.
fn is_encoding_plain(text: &str, meaningful: &[u8]) -> bool {
    text.split('%').skip(1).all(|after| {
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|octet| octet.is_ascii_hexdigit()));
        let octet = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        octet.is_some_and(|octet| !octet.is_ascii_control() && !meaningful.contains(&octet))
    })
}

/// What is wrong with header fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    Invalid(String),
    Quota { what: &'static str, asked: u64, allowed: u64 },
}

/// The fields as they are sent, names in lower case.
pub(crate) fn checked(fields: Vec<(String, String)>) -> Result<Vec<(String, String)>, Unfit> {
    let octets: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
    for (what, asked, allowed) in [
        ("header fields of a call of fetch", fields.len(), MOST_FIELDS),
        ("octets of header fields of a call of fetch", octets, FIELD_OCTETS),
    ] {
        if asked > allowed {
            return Err(Unfit::Quota { what, asked: asked as u64, allowed: allowed as u64 });
        }
    }
    fields.into_iter().map(|(name, value)| field(&name, value)).collect()
}

fn field(name: &str, value: String) -> Result<(String, String), Unfit> {
    let lower = name.to_ascii_lowercase();
    let shown = neutral(name, 60);
    let is_token = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
    if lower.is_empty() || !lower.bytes().all(is_token) {
        return Err(Unfit::Invalid(format!("\"{shown}\" is no name of a header field")));
    }
    // Servers that turn names into variables read `_` as `-`: it could stand for any field of the host's.
    if lower.contains('_') {
        return Err(Unfit::Invalid(format!("\"{shown}\" is no name of a header field here: write - for _")));
    }
    if NOT_FOR_GUESTS.contains(&lower.as_str()) || NO_SUCH.iter().any(|start| lower.starts_with(start)) {
        return Err(Unfit::Invalid(format!("the header field \"{shown}\" is the host's to set")));
    }
    if !value.bytes().all(|octet| octet == b'\t' || (b' '..=b'~').contains(&octet)) {
        return Err(Unfit::Invalid(format!("the value of the header field \"{shown}\" is not plain ASCII")));
    }
    Ok((lower, value))
}

/// Whether a plugin may see that field of an answer; `named` are those that its `Connection` field names (RFC 9110 7.6.1).
pub(crate) fn is_visible(name: &str, named: &[String]) -> bool {
    !HIDDEN.contains(&name) && !name.starts_with("proxy-") && !named.iter().any(|hop| hop == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Result<FetchPath, String> {
        FetchPath::new(text.to_owned())
    }

    #[test]
    fn a_plain_path_with_its_query_is_taken_as_it_is() {
        for text in [
            "",
            "people",
            "people/1",
            "people/",
            "v1/people:find",
            "a/b;v=1/c",
            "people?email=a%40shop.example&x=%2F..%2e%25",
            "?q=a?b",
            "...",
            ".hidden",
            "caf%C3%A9",
            "a@b",
            "http:evil.example",
        ] {
            assert_eq!(path(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_path_that_leaves_its_target_is_refused_in_every_spelling() {
        for text in [
            "/people",
            "//evil.example",
            "//evil.example/x",
            "http://evil.example",
            "https://evil.example/",
            "a//b",
            "..",
            "../x",
            "a/..",
            "a/../../x",
            "./x",
            "a/.",
            "..;/x",
            "..;v=1/x",
            "a/.;x/b",
            "%2e%2e",
            "%2E%2E/x",
            ".%2e/x",
            "%2e/x",
            "a%2fb",
            "a%2Fb",
            "a%5cb",
            "a%5Cb",
            "\\",
            "\\\\evil.example",
            "a\\b",
            "%252e%252e/x",
            "%25",
            "..%3b/x",
            "%00",
            "%0d%0aHost:%20evil.example",
            "a?b=%0a",
            "a?b=%7f",
            "a b",
            "a\tb",
            "a\r\nHost: evil.example",
            "a\0",
            "a#b",
            "a%",
            "a%2",
            "a%zz",
            "a%+1",
            "a?%",
            "café",
            "%e2%80%ae%",
            "a\"b",
            "a<b",
            "[::1]",
            "a|b",
            "a^b",
            "a`b",
            "a{b}",
            "a'b",
        ] {
            let refused = path(text).unwrap_err();
            assert!(!refused.contains(['\r', '\n', '\0']), "{refused:?}");
        }
        assert!(path(&"a".repeat(LONGEST_PATH)).is_ok());
        assert!(path(&"a".repeat(LONGEST_PATH + 1)).unwrap_err().contains("2049"));
    }

    fn one(name: &str, value: &str) -> Result<Vec<(String, String)>, Unfit> {
        checked(vec![(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn the_fields_of_the_host_cannot_be_set_in_any_case_or_spelling() {
        for name in [
            "Host",
            "HOST",
            "connection",
            "Content-Length",
            "Transfer-Encoding",
            "Authorization",
            "Cookie",
            "Upgrade",
            "TE",
            "Trailer",
            "Keep-Alive",
            "Proxy-Authorization",
            "Proxy-Connection",
            "proxy-anything",
            "Accept-Encoding",
            "Expect",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-HTTP-Method-Override",
            "X-Original-URL",
            "HTTP2-Settings",
        ] {
            let refused = one(name, "x").unwrap_err();
            assert!(matches!(&refused, Unfit::Invalid(text) if text.contains("the host's to set")), "{name}");
        }
    }

    #[test]
    fn a_field_cannot_bring_another_one_along() {
        for (name, value) in [
            ("a\r\nHost", "x"),
            ("a: b", "x"),
            ("", "x"),
            ("a b", "x"),
            ("content_length", "1"),
            ("X_Api_Key", "x"),
            ("é", "x"),
            ("a\0", "x"),
            ("accept", "x\r\nHost: evil.example"),
            ("accept", "x\ny"),
            ("accept", "x\ry"),
            ("accept", "x\0"),
            ("accept", "\x7f"),
            ("accept", "é"),
        ] {
            assert!(matches!(one(name, value), Err(Unfit::Invalid(_))), "{name:?} {value:?}");
        }
        assert_eq!(one("Accept", "text/plain,\tb").unwrap(), [("accept".into(), "text/plain,\tb".into())]);
    }

    #[test]
    fn more_fields_or_octets_than_allowed_are_a_quota() {
        let fields = |count: usize, len: usize| vec![("x".to_owned(), "v".repeat(len)); count];
        assert!(checked(fields(64, 10)).is_ok());
        let many = checked(fields(65, 1)).unwrap_err();
        assert!(matches!(many, Unfit::Quota { asked: 65, allowed: 64, .. }), "{many:?}");
        let long = checked(fields(1, 16 << 10)).unwrap_err();
        assert!(matches!(long, Unfit::Quota { asked: 16_385, allowed: 16_384, .. }), "{long:?}");
    }

    #[test]
    fn fields_of_the_connection_cookies_and_addresses_are_hidden() {
        let named = ["x-hop".to_owned()];
        for name in
            ["set-cookie", "connection", "transfer-encoding", "location", "link", "x-hop", "proxy-status"]
        {
            assert!(!is_visible(name, &named), "{name}");
        }
        for name in ["content-type", "etag", "x-total-count", "retry-after", "content-length"] {
            assert!(is_visible(name, &named), "{name}");
        }
    }
}
