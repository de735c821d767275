//! The configuration as written: one struct a table, in the words of the file. Must not resolve a name or fill in a default.

mod account;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use postroom_mail::{AccountId, Label, Name};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::units::{Size, Time};
use super::{LogFormat, Then};
use crate::fetch::FetchConfig;
use crate::origin::RegistryConfig;
use crate::sinks::SinkConfig;

pub use account::RawOAuth;
pub(super) use account::{RawAccount, RawDelete, TlsMinimum};

/// The keys of the top level.
pub(super) const TOP: [&str; 10] = [
    "state",
    "never_delete",
    "limits",
    "accounts",
    "sinks",
    "fetch",
    "registries",
    "keys",
    "pipelines",
    "log",
];

/// All of it.
#[derive(Default)]
pub(super) struct RawConfig {
    pub(super) state: Option<PathBuf>,
    pub(super) never_delete: bool,
    pub(super) limits: RawLimits,
    pub(super) accounts: BTreeMap<AccountId, RawAccount>,
    pub(super) sinks: BTreeMap<Name, SinkConfig>,
    pub(super) fetch: BTreeMap<Name, FetchConfig>,
    pub(super) registries: BTreeMap<Name, RegistryConfig>,
    pub(super) keys: BTreeMap<Name, String>,
    pub(super) pipelines: BTreeMap<Name, RawPipeline>,
    pub(super) log: RawLog,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) message: Option<Size>,
    pub(super) attempts: Option<u32>,
    pub(super) keep_bodies: Option<Time>,
    pub(super) workers: Option<u32>,
    pub(super) sessions: Option<u32>,
    pub(super) sessions_per_host: Option<u32>,
    pub(super) free_space: Option<Size>,
    pub(super) spool: Option<Size>,
    pub(super) waiting: Option<u32>,
    pub(super) in_flight: Option<Size>,
    pub(super) compile_cpu: Option<Time>,
    pub(super) compile_memory: Option<Size>,
}

/// A pipeline without its steps, which are read one by one.
pub(super) struct RawPipeline {
    pub(super) accounts: Option<Vec<AccountId>>,
    pub(super) steps: Vec<RawStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStep {
    pub(super) name: Option<Name>,
    pub(super) plugin: String,
    pub(super) sha256: Option<String>,
    pub(super) signed_by: Option<Name>,
    #[serde(default)]
    pub(super) grants: RawGrants,
    #[serde(default)]
    pub(super) settings: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    pub(super) files: BTreeMap<String, String>,
    pub(super) required: Option<bool>,
    #[serde(default)]
    pub(super) when: RawWhen,
    #[serde(default)]
    pub(super) on_error: RawOnError,
    #[serde(default)]
    pub(super) limits: RawStepLimits,
    #[serde(default)]
    pub(super) breaker: RawBreaker,
    pub(super) shadow: Option<String>,
    pub(super) shadow_sha256: Option<String>,
    pub(super) shadow_settings: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawGrants {
    pub(super) sinks: Vec<Name>,
    pub(super) discard: bool,
    pub(super) kv: bool,
    pub(super) fetch: Vec<Name>,
    pub(super) entropy: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawWhen {
    pub(super) account: OneOrMany<AccountId>,
    pub(super) label: OneOrMany<Label>,
    pub(super) not_label: OneOrMany<Label>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawOnError {
    pub(super) retry: Option<Time>,
    pub(super) then: Option<Then>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawBreaker {
    pub(super) failures: Option<u32>,
    pub(super) within: Option<Time>,
    pub(super) fall_back: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawStepLimits {
    pub(super) component: Option<Size>,
    pub(super) memory: Option<Size>,
    pub(super) cpu: Option<Time>,
    pub(super) wall: Option<Time>,
    pub(super) effects: Option<u32>,
    pub(super) effect_octets: Option<Size>,
    pub(super) made_octets: Option<Size>,
    pub(super) recipients: Option<u32>,
    pub(super) labels: Option<u32>,
    pub(super) log: Option<Size>,
    pub(super) log_lines: Option<u32>,
    pub(super) log_line: Option<u32>,
    pub(super) log_rate: Option<Size>,
    pub(super) handles: Option<u32>,
    pub(super) table_elements: Option<u32>,
    pub(super) random_octets: Option<Size>,
    pub(super) hostcall_octets: Option<Size>,
    pub(super) kv_ops: Option<u32>,
    pub(super) kv_key: Option<u32>,
    pub(super) kv_value: Option<Size>,
    pub(super) kv_total: Option<Size>,
    pub(super) fetch_calls: Option<u32>,
    pub(super) fetch_octets: Option<Size>,
    pub(super) fetch_time: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLog {
    pub(super) level: Option<String>,
    pub(super) format: Option<LogFormat>,
}

/// `"a"` or `["a", "b"]`.
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Read<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany<T>, E> {
                Ok(OneOrMany(vec![T::deserialize(text.into_deserializer())?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<OneOrMany<T>, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMany)
            }
        }
        deserializer.deserialize_any(Read(PhantomData))
    }
}
