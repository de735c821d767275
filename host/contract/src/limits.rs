//! How much one call of a plugin may use. Every limit has a default, a hard maximum where one is needed, and is
//! named in the text of the refusal.

use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// Linear memory of one instance can never pass this: the pool reserves no more, and one `memory.copy` runs
/// uninterrupted over at most this much.
pub const MEMORY_MAX: u64 = 256 << 20;

/// A component's file can never pass this: it is in memory while it is hashed and compiled.
pub const COMPONENT_MAX: u64 = 64 << 20;

/// Elements of one table can never pass this: the pool reserves no more.
pub const TABLE_ELEMENTS_MAX: u32 = 100_000;

/// Limits of one step, each per call (one message). Sizes are octets: numbers, or texts like `"64 MiB"`; times are
/// milliseconds, or texts like `"2s"`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// The component's file.
    #[serde(deserialize_with = "size")]
    pub component: u64,
    /// Linear memory, all memories together.
    #[serde(deserialize_with = "size")]
    pub memory: u64,
    /// CPU time of the calling thread, host functions included, parsing the MIME structure excluded.
    #[serde(deserialize_with = "time")]
    pub cpu: Duration,
    /// Elapsed time.
    #[serde(deserialize_with = "time")]
    pub wall: Duration,
    /// Effects: `store`, `file-into`, `forward`, `send`.
    pub effects: u32,
    /// Sum of the sizes of the effects' contents; at least twice the message is always allowed.
    #[serde(deserialize_with = "size")]
    pub effect_octets: u64,
    /// Octets the plugin makes itself, and of those the octets that the journal has to keep.
    #[serde(deserialize_with = "size")]
    pub made_octets: u64,
    /// Recipients of one `forward` or `send`.
    pub recipients: u32,
    /// Labels.
    pub labels: u32,
    /// Log lines, output included.
    pub log_lines: u32,
    /// Octets of all log lines together.
    #[serde(deserialize_with = "size")]
    pub log_octets: u64,
    /// Characters of one log line.
    pub log_line: u32,
    /// Live handles: blobs, parts, writers.
    pub handles: u32,
    /// Octets a plugin passes to the host in one call of a host function.
    #[serde(deserialize_with = "size")]
    pub hostcall_octets: u64,
    /// Calls of `kv`.
    pub kv_ops: u32,
    /// Octets of a `kv` key.
    pub kv_key: u32,
    /// Octets of a `kv` value.
    #[serde(deserialize_with = "size")]
    pub kv_value: u64,
    /// Octets of all keys and values of the step and an account.
    #[serde(deserialize_with = "size")]
    pub kv_total: u64,
    /// Elements of all tables together.
    pub table_elements: u32,
    /// Random octets, all together.
    #[serde(deserialize_with = "size")]
    pub random_octets: u64,
    /// Octets of log lines a minute, over all calls of the step.
    #[serde(deserialize_with = "size")]
    pub log_rate: u64,
    /// Calls of `fetch`.
    pub fetch_calls: u32,
    /// Octets that all calls of `fetch` send together, and as many that they are answered: bodies only.
    #[serde(deserialize_with = "size")]
    pub fetch_octets: u64,
    /// Elapsed time of all calls of `fetch` together; it is part of `wall`.
    #[serde(deserialize_with = "time")]
    pub fetch_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // What a Python interpreter needs is two thirds of it.
            component: COMPONENT_MAX,
            memory: 64 << 20,
            cpu: Duration::from_secs(2),
            wall: Duration::from_secs(30),
            effects: 256,
            effect_octets: 256 << 20,
            made_octets: 4 << 20,
            recipients: 10,
            labels: 32,
            log_lines: 200,
            log_octets: 64 << 10,
            log_line: 4 << 10,
            handles: 4096,
            hostcall_octets: 4 << 20,
            kv_ops: 64,
            kv_key: 256,
            kv_value: 64 << 10,
            kv_total: 16 << 20,
            table_elements: TABLE_ELEMENTS_MAX,
            random_octets: 64 << 10,
            log_rate: 1 << 20,
            fetch_calls: 16,
            fetch_octets: 1 << 20,
            fetch_time: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// Whether every limit is below its hard maximum; the text names the first that is not.
    ///
    /// # Errors
    /// A text for the operator.
    pub fn check(&self) -> Result<(), String> {
        let seconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let bounds: [(&str, u64, u64, u64); 23] = [
            ("component", self.component, 1, COMPONENT_MAX),
            ("memory", self.memory, 1 << 20, MEMORY_MAX),
            ("cpu (milliseconds)", seconds(self.cpu), 1, 30_000),
            ("wall (milliseconds)", seconds(self.wall), 1, 300_000),
            ("effects", self.effects.into(), 0, 1024),
            ("made-octets", self.made_octets, 0, 64 << 20),
            ("recipients", self.recipients.into(), 0, 100),
            ("log-octets", self.log_octets, 0, 1 << 20),
            ("handles", self.handles.into(), 16, 65_536),
            ("hostcall-octets", self.hostcall_octets, 4096, 64 << 20),
            ("effect-octets", self.effect_octets, 0, 1 << 30),
            ("labels", self.labels.into(), 0, 256),
            ("log-lines", self.log_lines.into(), 0, 10_000),
            ("log-line", self.log_line.into(), 16, 64 << 10),
            ("kv-ops", self.kv_ops.into(), 0, 4096),
            ("kv-key", self.kv_key.into(), 1, 1024),
            ("kv-value", self.kv_value, 0, 1 << 20),
            ("table-elements", self.table_elements.into(), 1, TABLE_ELEMENTS_MAX.into()),
            ("random-octets", self.random_octets, 0, 1 << 20),
            ("log-rate", self.log_rate, 0, 64 << 20),
            ("fetch-calls", self.fetch_calls.into(), 0, 256),
            ("fetch-octets", self.fetch_octets, 0, 16 << 20),
            ("fetch-time (milliseconds)", seconds(self.fetch_time), 1, 60_000),
        ];
        match bounds.iter().find(|(_, value, least, most)| !(least..=most).contains(&value)) {
            None => Ok(()),
            Some((name, value, least, most)) => {
                Err(format!("limit {name} = {value} is out of range: {least} to {most}"))
            }
        }
    }
}

const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];
const TIMES: [(&str, u64); 4] = [("ms", 1), ("min", 60_000), ("s", 1000), ("m", 60_000)];

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(Quantity { units: &SIZES, example: "\"64 MiB\"" })
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Quantity { units: &TIMES, example: "\"2s\"" }).map(Duration::from_millis)
}

/// A number, or a number with a unit.
struct Quantity {
    units: &'static [(&'static str, u64)],
    example: &'static str,
}

impl Visitor<'_> for Quantity {
    type Value = u64;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a whole number, or a text like {}", self.example)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
        Ok(value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<u64, E> {
        u64::try_from(value).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim() {
            "" => Some(1),
            unit => self.units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor),
        };
        let value =
            number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
        value.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

/// Octets for people: `64 MiB`, `96.5 MiB`, `812 octets`.
pub fn octets(count: u64) -> String {
    for (unit, size) in [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if count >= size {
            let tenths = count / (size / 10).max(1);
            return match tenths % 10 {
                _ if count.is_multiple_of(size) => format!("{} {unit}", count / size),
                tenth => format!("{}.{tenth} {unit}", tenths / 10),
            };
        }
    }
    format!("{count} octets")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_from_numbers_and_texts() {
        let limits: Limits =
            serde_json::from_str(r#"{"memory":"32 MiB","cpu":"500ms","wall":"2m","log-octets":1000}"#)
                .unwrap();
        let expected = Limits {
            memory: 32 << 20,
            cpu: Duration::from_millis(500),
            wall: Duration::from_secs(120),
            log_octets: 1000,
            ..Limits::default()
        };
        assert_eq!(limits, expected);
    }

    #[test]
    fn wrong_units_unknown_names_and_negative_numbers_are_refused() {
        for bad in [r#"{"memory":"32 bananas"}"#, r#"{"memory":-1}"#, r#"{"colour":1}"#, r#"{"cpu":"s"}"#] {
            assert!(serde_json::from_str::<Limits>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_limit_past_its_hard_maximum_is_named() {
        let limits = Limits { memory: MEMORY_MAX + 1, ..Limits::default() };
        assert!(limits.check().unwrap_err().starts_with("limit memory"), "{:?}", limits.check());
        assert_eq!(Limits::default().check(), Ok(()));
    }

    /// Each limit, with a value past its hard maximum.
    #[test]
    fn every_limit_has_a_hard_maximum_and_is_named_by_it() {
        let far = r#"["component","memory","effect-octets","made-octets","recipients","labels","effects","log-lines","log-octets","log-line",
            "handles","hostcall-octets","kv-ops","kv-key","kv-value","fetch-calls","fetch-octets","table-elements","random-octets","log-rate","cpu","wall"]"#;
        let names: Vec<String> = serde_json::from_str(far).unwrap();
        for name in names {
            let limits: Limits = serde_json::from_str(&format!(r#"{{"{name}":4294967295}}"#)).unwrap();
            let text = limits.check().expect_err(&name);
            assert!(
                text.starts_with(&format!("limit {name} ")) && text.contains("is out of range"),
                "{text}"
            );
        }
    }

    #[test]
    fn octets_are_shown_in_the_largest_unit() {
        let shown = [0, 812, 1024, 1536, 64 << 20, (96 << 20) + (512 << 10)].map(octets);
        assert_eq!(shown, ["0 octets", "812 octets", "1 KiB", "1.5 KiB", "64 MiB", "96.5 MiB"]);
    }
}
