//! A target as the operator writes it, and what is wrong with it. Reads no file and resolves no name.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postroom_mail::rules::neutral;
use postroom_sandbox::FetchMethod;
use reqwest::Url;
use reqwest::header::HeaderName;
use serde::{Deserialize, Deserializer};

use super::guard::{Guard, Network};
use crate::config::SecretRef;
use crate::config::units::{Size, Time};

/// `[fetch.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchConfig {
    /// Where it is; what plugins ask for is below it.
    pub url: String,
    /// What may be asked.
    #[serde(default = "get_only")]
    pub methods: Vec<Method>,
    /// Sent with every call: credentials, so each is a reference to a secret.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretRef>,
    /// A token, sent as `Authorization: Bearer`.
    pub bearer: Option<SecretRef>,
    /// How long one call may take.
    #[serde(default = "five_seconds", deserialize_with = "time")]
    pub timeout: Duration,
    /// Octets of one answer.
    #[serde(default = "one_mebibyte", deserialize_with = "size")]
    pub max_response: u64,
    /// Private addresses it may be at.
    #[serde(default)]
    pub private: Vec<Network>,
    /// Allows `http://`, to addresses in `private` only.
    #[serde(default)]
    pub allow_http: bool,
    /// PEM file of the only authorities to trust, relative to the configuration file.
    pub ca_file: Option<PathBuf>,
    /// Calls at the same time.
    #[serde(default = "four")]
    pub connections: u32,
    /// Calls in a minute.
    #[serde(default = "six_hundred")]
    pub per_minute: u32,
}

/// What may be asked of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Look-ups.
    Get,
    /// Questions that are too long for a path. The target must not change anything by them that matters.
    Post,
}

impl From<Method> for FetchMethod {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::Get,
            Method::Post => Self::Post,
        }
    }
}

fn get_only() -> Vec<Method> {
    vec![Method::Get]
}
fn five_seconds() -> Duration {
    Duration::from_secs(5)
}
fn one_mebibyte() -> u64 {
    1 << 20
}
fn four() -> u32 {
    4
}
fn six_hundred() -> u32 {
    600
}
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Time::deserialize(deserializer).map(|Time(time)| time)
}
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Size::deserialize(deserializer).map(|Size(octets)| octets)
}

/// Something wrong with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key.
    pub key: &'static str,
    /// What is wrong. Shows nothing of the URL, which may hold a password by mistake.
    pub text: String,
    /// What to write instead.
    pub hint: Option<String>,
}

fn problem(key: &'static str, text: impl Into<String>, hint: &str) -> Problem {
    Problem { key, text: text.into(), hint: Some(hint.to_owned()) }
}

/// Fields that the HTTP client makes itself.
const NOT_FOR_OPERATORS: [&str; 8] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "accept-encoding",
];

impl FetchConfig {
    /// The files that are read once, when the target is made, as written.
    pub fn files(&self) -> Vec<&Path> {
        let secrets = self.headers.values().chain(&self.bearer).filter_map(|secret| match secret {
            SecretRef::File(path) => Some(path.as_path()),
            SecretRef::Env(_) | SecretRef::Command(_) | SecretRef::Credential(_) => None,
        });
        secrets.chain(self.ca_file.as_deref()).collect()
    }

    /// Everything that is wrong.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.base().err().into_iter().collect();
        if self.methods.is_empty() {
            problems.push(problem("methods", "`methods` is empty", "for example methods = [\"get\"]"));
        }
        for name in self.headers.keys() {
            problems.extend(self.wrong_header(name));
        }
        let times = Duration::from_millis(1)..=Duration::from_secs(60);
        if !times.contains(&self.timeout) {
            problems.push(problem("timeout", "`timeout` must be from 1 ms to 60 s", "the default is \"5s\""));
        }
        if !(1..=16 << 20).contains(&self.max_response) {
            problems.push(problem(
                "max_response",
                "`max_response` must be from 1 to 16 MiB",
                "the default is \"1 MiB\"",
            ));
        }
        for (key, value, most) in
            [("connections", self.connections, 64), ("per_minute", self.per_minute, 60_000)]
        {
            if !(1..=most).contains(&value) {
                let text = format!("`{key}` must be from 1 to {most}");
                problems.push(Problem { key, text, hint: None });
            }
        }
        problems
    }

    fn wrong_header(&self, name: &str) -> Option<Problem> {
        let lower = name.to_ascii_lowercase();
        let shown = neutral(name, 60);
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            let hint = "letters, digits and `-` make one";
            return Some(problem("headers", format!("\"{shown}\" is no name of a header field"), hint));
        }
        if NOT_FOR_OPERATORS.contains(&lower.as_str()) || lower.starts_with("proxy-") {
            let hint = "leave it out: it follows from the call";
            return Some(problem("headers", format!("the header field \"{shown}\" cannot be set"), hint));
        }
        let twice = self.headers.keys().filter(|other| other.eq_ignore_ascii_case(name)).count() > 1;
        if twice || self.bearer.is_some() && lower == "authorization" {
            let hint = "write it once; `bearer` is the field Authorization";
            return Some(problem("headers", format!("the header field \"{shown}\" is there twice"), hint));
        }
        None
    }

    /// The URL, its path ending with `/`.
    ///
    /// # Errors
    /// Why it cannot be one of a target.
    pub(super) fn base(&self) -> Result<Url, Problem> {
        let wrong = |text: &str, hint: &str| Err(problem("url", text, hint));
        const EXAMPLE: &str = "for example url = \"https://crm.example/api/\"";
        if self.url.bytes().any(|octet| !octet.is_ascii_graphic() || octet == b'\\') {
            return wrong("`url` has a character that no URL has", EXAMPLE);
        }
        let Ok(mut url) = Url::parse(&self.url) else { return wrong("`url` is no URL", EXAMPLE) };
        if self.url.contains('@') || !url.username().is_empty() || url.password().is_some() {
            return wrong(
                "`url` may not hold a user or a password",
                "`headers` or `bearer` refer to credentials",
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return wrong(
                "`url` may not have a query or a fragment",
                "plugins add the query; `headers` the credentials",
            );
        }
        match url.scheme() {
            "https" => {}
            "http" if !self.allow_http => {
                return wrong(
                    "`url` must start with https://: over plain http anybody on the way can read the credentials",
                    "`allow_http = true` allows it, to addresses that `private` names",
                );
            }
            "http" if self.private.is_empty() => {
                return wrong(
                    "plain http goes to private addresses only",
                    "name them, for example private = [\"10.1.2.0/24\"]",
                );
            }
            "http" => {}
            _ => return wrong("`url` must start with https://", EXAMPLE),
        }
        if let Some(address) = literal(&url) {
            // 0x7f.1, 2130706433 and 017700000001 are addresses too, and nobody sees which.
            if !self.url.contains(&address.to_string()) {
                return wrong("`url` spells an address in an odd way", "write it as usual, or a name");
            }
            if let Err(forbidden) = self.guard().check([address]) {
                let hint = "name what is meant, for example private = [\"10.1.2.0/24\"]";
                return wrong(&format!("`url`: {forbidden}"), hint);
            }
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(url)
    }

    /// Where its calls may go.
    pub(super) fn guard(&self) -> Guard {
        Guard::new(&self.private, Url::parse(&self.url).is_ok_and(|url| url.scheme() == "http"))
    }
}

/// The host, when it is an address, in whatever spelling.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}
