//! A maildrop as written. Must not resolve a name or fill in a default.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use postroom_mail::Name;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::config::account::{Auth, First, Flow, Renumbered, Silence, TlsMode};
use crate::config::secret::SecretRef;
use crate::config::units::{Size, Time, parse_duration};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawAccount {
    pub(in crate::config) host: Option<String>,
    pub(in crate::config) port: Option<u16>,
    pub(in crate::config) provider: Option<String>,
    pub(in crate::config) tls: Option<TlsMode>,
    pub(in crate::config) insecure_plaintext: Option<String>,
    pub(in crate::config) user: String,
    pub(in crate::config) password: Option<SecretRef>,
    pub(in crate::config) oauth2: Option<RawOAuth>,
    pub(in crate::config) auth: Option<Auth>,
    pub(in crate::config) ca_file: Option<PathBuf>,
    pub(in crate::config) pins: Option<Vec<String>>,
    pub(in crate::config) tls_minimum: Option<TlsMinimum>,
    pub(in crate::config) client_certificate: Option<PathBuf>,
    pub(in crate::config) client_key: Option<PathBuf>,
    pub(in crate::config) proxy: Option<Word<RawProxy>>,
    pub(in crate::config) poll: Option<Word<RawPoll>>,
    pub(in crate::config) timeout: Option<Time>,
    pub(in crate::config) pipeline: Option<Name>,
    pub(in crate::config) enabled: Option<bool>,
    pub(in crate::config) first: Option<Word<First>>,
    pub(in crate::config) renumbered: Option<Renumbered>,
    pub(in crate::config) delete: Option<Word<RawDelete>>,
    pub(in crate::config) utf8: Option<bool>,
    pub(in crate::config) pipelining: Option<bool>,
    pub(in crate::config) silence: Option<Word<Silence>>,
}

/// Where access tokens come from, as written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawOAuth {
    pub(in crate::config) command: Option<Vec<String>>,
    pub(in crate::config) provider: Option<String>,
    pub(in crate::config) token: Option<PathBuf>,
    pub(in crate::config) client_id: Option<String>,
    pub(in crate::config) client_secret: Option<SecretRef>,
    pub(in crate::config) flow: Option<Flow>,
    pub(in crate::config) tenant: Option<String>,
    pub(in crate::config) scopes: Option<Vec<String>>,
    pub(in crate::config) authorization_endpoint: Option<String>,
    pub(in crate::config) token_endpoint: Option<String>,
    pub(in crate::config) device_endpoint: Option<String>,
    pub(in crate::config) ca_file: Option<PathBuf>,
}

/// The oldest version of TLS that is spoken.
#[derive(Deserialize)]
pub(in crate::config) enum TlsMinimum {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

/// A value written as one word, or as a table where the word does not say enough.
pub(in crate::config) struct Word<T>(pub(in crate::config) T);

/// What can be written so.
pub(in crate::config) trait Worded: Sized {
    /// The table.
    type Table: for<'de> Deserialize<'de>;
    /// What may be written, for the error.
    const FORMS: &'static str;
    /// From a word; the error replaces [`Self::FORMS`] when it says more.
    fn word(word: &str) -> Result<Self, Option<String>>;
    /// From a table; the error says what is wrong with it.
    fn table(table: Self::Table) -> Result<Self, String>;
}

impl<'de, T: Worded> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T>(PhantomData<T>);
        impl<'de, T: Worded> Visitor<'de> for Read<T> {
            type Value = Word<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::FORMS)
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Word<T>, E> {
                let why = |why: Option<String>| {
                    E::custom(why.unwrap_or_else(|| format!("this must be {}", T::FORMS)))
                };
                T::word(word).map(Word).map_err(why)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Word<T>, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Word<T>, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Word<T>, A::Error> {
                let table = T::Table::deserialize(MapAccessDeserializer::new(map))?;
                T::table(table).map(Word).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(Read(PhantomData))
    }
}

/// When mail may be deleted at the server.
#[derive(Clone, Copy)]
pub(in crate::config) enum RawDelete {
    Never,
    Spooled { after: Duration },
    Done { after: Duration, keep: Option<u64>, over: Option<u64> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Deletion {
    when: Deletable,
    after: Option<Time>,
    keep: Option<u64>,
    over: Option<Size>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Deletable {
    Done,
    Spooled,
}

impl Worded for RawDelete {
    type Table = Deletion;
    const FORMS: &'static str = "\"never\" or { when = \"done\", after = \"7d\" }";

    fn word(word: &str) -> Result<Self, Option<String>> {
        if word == "never" { Ok(Self::Never) } else { Err(None) }
    }

    fn table(table: Deletion) -> Result<Self, String> {
        let Deletion { when, after, keep, over } = table;
        let after = after.map(|Time(after)| after);
        match (when, after, keep, over) {
            (Deletable::Done, Some(after), keep, over) => {
                Ok(Self::Done { after, keep, over: over.map(|Size(octets)| octets) })
            }
            (Deletable::Done, None, ..) => {
                Err("`after` is missing: \"7d\" is a week after retrieval, \"0s\" as soon as it is done"
                    .to_owned())
            }
            (Deletable::Spooled, after, None, None) => Ok(Self::Spooled { after: after.unwrap_or_default() }),
            (Deletable::Spooled, ..) => Err("`keep` and `over` go with when = \"done\" only".to_owned()),
        }
    }
}

/// `socks5://host:port`, or a table where the proxy asks who is there.
pub(in crate::config) struct RawProxy {
    pub(in crate::config) host: String,
    pub(in crate::config) port: u16,
    pub(in crate::config) login: Option<(String, SecretRef)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ProxyTable {
    socks5: String,
    user: Option<String>,
    password: Option<SecretRef>,
}

const PROXY: &str = "\"socks5://HOST:PORT\" or { socks5 = \"HOST:PORT\", user = \"…\", password = { … } }";

impl RawProxy {
    fn at(address: &str, login: Option<(String, SecretRef)>) -> Option<Self> {
        let (host, port) = address.trim_end_matches('/').rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let odd = host.is_empty() || host.contains(['/', '@']) || host.contains(char::is_whitespace);
        let port = port.parse().ok().filter(|port| *port != 0)?;
        (!odd).then(|| Self { host: host.to_owned(), port, login })
    }
}

impl Worded for RawProxy {
    type Table = ProxyTable;
    const FORMS: &'static str = PROXY;

    fn word(word: &str) -> Result<Self, Option<String>> {
        word.strip_prefix("socks5://").and_then(|address| Self::at(address, None)).ok_or(None)
    }

    fn table(table: ProxyTable) -> Result<Self, String> {
        let login = match (table.user, table.password) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            _ => return Err("`user` and `password` of a proxy go together".to_owned()),
        };
        Self::at(&table.socks5, login).ok_or_else(|| "`socks5` must be \"HOST:PORT\"".to_owned())
    }
}

/// One pause, or the shortest and the longest.
pub(in crate::config) struct RawPoll {
    pub(in crate::config) least: Duration,
    pub(in crate::config) most: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct PollTable {
    least: Time,
    most: Time,
}

impl Worded for RawPoll {
    type Table = PollTable;
    const FORMS: &'static str = "a duration such as \"5m\", or { least = \"1m\", most = \"15m\" }";

    fn word(word: &str) -> Result<Self, Option<String>> {
        let pause = parse_duration(word).map_err(|error| Some(error.to_string()))?;
        Ok(Self { least: pause, most: pause })
    }

    fn table(PollTable { least: Time(least), most: Time(most) }: PollTable) -> Result<Self, String> {
        if least > most {
            return Err("`least` is longer than `most`".to_owned());
        }
        Ok(Self { least, most })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct FirstTable {
    days: Option<u32>,
    newest: Option<u32>,
}

impl Worded for First {
    type Table = FirstTable;
    const FORMS: &'static str = "\"all\", \"new\", { days = 30 } or { newest = 100 }";

    fn word(word: &str) -> Result<Self, Option<String>> {
        match word {
            "all" => Ok(Self::All),
            "new" => Ok(Self::New),
            _ => Err(None),
        }
    }

    fn table(table: FirstTable) -> Result<Self, String> {
        match (table.days, table.newest) {
            (Some(days), None) => Ok(Self::Days(days)),
            (None, Some(newest)) => Ok(Self::Newest(newest)),
            _ => Err("either `days` or `newest` is to be given".to_owned()),
        }
    }
}

/// No table is allowed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct NoTable {}

impl Worded for Silence {
    type Table = NoTable;
    const FORMS: &'static str = "\"rhythm\", \"never\" or a duration such as \"3d\"";

    fn word(word: &str) -> Result<Self, Option<String>> {
        match word {
            "rhythm" => Ok(Self::Rhythm),
            "never" => Ok(Self::Never),
            other => parse_duration(other).map(Self::After).map_err(|_| None),
        }
    }

    fn table(_: NoTable) -> Result<Self, String> {
        Err(format!("this must be {}", Self::FORMS))
    }
}
