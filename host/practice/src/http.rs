//! Owns the little HTTP/1.1 that the token server and the registry speak: one request, one answer, then the end. Must not
//! know what either is for.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::wire::Wire;

/// The longest body taken, in octets.
const LONGEST_BODY: usize = 64 * 1024;

pub(crate) struct Request {
    pub(crate) path: String,
    /// Of the query and of the body.
    pub(crate) parameters: Vec<(String, String)>,
    /// User name and password of HTTP Basic, form-decoded (RFC 6749 section 2.3.1).
    pub(crate) basic: Option<(String, String)>,
    /// The token of HTTP Bearer (RFC 6750 section 2.1).
    pub(crate) bearer: Option<String>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Name and value.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("Content-Type", "application/json".into())], body: body.into() }
    }

    pub(crate) fn to_octets(&self) -> Vec<u8> {
        let mut octets = format!("HTTP/1.1 {} Practice\r\n", self.status);
        for (name, value) in &self.headers {
            octets.push_str(&format!("{name}: {value}\r\n"));
        }
        octets.push_str(&format!("Content-Length: {}\r\nConnection: close\r\n\r\n", self.body.len()));
        [octets.as_bytes(), &self.body].concat()
    }
}

/// The request, or `None` if the client says something else or nothing.
pub(crate) async fn read(wire: &mut Wire) -> io::Result<Option<Request>> {
    let Some(first) = wire.line().await? else { return Ok(None) };
    let first = String::from_utf8_lossy(&first).into_owned();
    let mut words = first.split(' ');
    let (Some(_), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut parameters = form(query);
    let (mut length, mut basic, mut bearer) = (0, None, None);
    loop {
        let Some(line) = wire.line().await? else { return Ok(None) };
        if line.is_empty() {
            break;
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let Some((name, value)) = line.split_once(':') else { return Ok(None) };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(usize::MAX),
            "authorization" => {
                basic = credentials(value.trim());
                bearer = value.trim().strip_prefix("Bearer ").map(str::to_owned);
            }
            _ => {}
        }
    }
    if length > LONGEST_BODY {
        return Ok(None);
    }
    let mut body = Vec::new();
    while body.len() < length {
        let octets = wire.octets().await?;
        if octets.is_empty() {
            return Ok(None);
        }
        body.extend(octets);
    }
    parameters.extend(form(&String::from_utf8_lossy(&body)));
    Ok(Some(Request { path: path.to_owned(), parameters, basic, bearer }))
}

fn credentials(value: &str) -> Option<(String, String)> {
    let decoded = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((decode(name), decode(password)))
}

/// `application/x-www-form-urlencoded`.
fn form(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16)).unwrap_or(0);
                let (high, low) = (digit(), digit());
                u8::try_from(high * 16 + low).unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&octets).into_owned()
}

/// The inverse of [`decode`], for a query.
pub(crate) fn encode(text: &str) -> String {
    text.bytes()
        .map(|octet| match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(octet).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
