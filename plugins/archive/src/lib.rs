//! Keeps every message exactly as it came: under a key in an object sink, or filed into a mailbox sink.
//!
//! It must not look into the message beyond what the key is made of: what cannot be parsed is archived all the same.

use postroom_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// The plugin.
#[derive(Debug)]
pub struct Archive;

/// What the operator sets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of a granted sink.
    pub sink: String,
    /// Key in an object sink; variables: account, date:FORMAT, sha256, id, uidl, subject, from, from_domain,
    /// list_id, sent:FORMAT.
    #[schemars(extend("default" = DEFAULT_KEY))]
    pub key: Option<MessageTemplate>,
    /// How an object sink compresses it.
    #[serde(default)]
    pub compress: Compress,
    /// The mailbox of a mailbox sink, instead of a key; empty for the inbox.
    pub mailbox: Option<String>,
    /// Maildir flags of the filed message, letters of `DFPRST`.
    #[schemars(regex(pattern = "^[DFPRST]*$"))]
    pub flags: Option<String>,
}

/// Compression, as the operator names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compress {
    /// As it came.
    #[default]
    None,
    /// Zstandard; `.zst` goes to the end of the key.
    Zstd,
}

const DEFAULT_KEY: &str = "{account}/{date:%Y/%m/%d}/{sha256:16}.eml";

impl Plugin for Archive {
    type Settings = Settings;
    const NAME: &'static str = "archive";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const DESCRIPTION: &'static str = "Keeps every message exactly as it came";

    fn check(settings: &Settings) -> Result<(), Problem> {
        match settings {
            Settings { mailbox: Some(_), key: Some(_), .. } => {
                Err(Problem::new("mailbox", "a mailbox sink has no keys: set either mailbox or key"))
            }
            Settings { mailbox: Some(_), compress: Compress::Zstd, .. } => {
                Err(Problem::new("compress", "a mailbox sink holds plain messages: remove compress"))
            }
            Settings { mailbox: None, flags: Some(_), .. } => {
                Err(Problem::new("flags", "only a mailbox sink has flags: set mailbox too, or remove flags"))
            }
            _ => Ok(()),
        }
    }

    fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
        match &settings.mailbox {
            Some(mailbox) => file(message, settings, mailbox),
            None => store(message, settings),
        }
    }
}

fn file(message: &Message, settings: &Settings, mailbox: &str) -> Result<(), Failure> {
    let raw = message.raw();
    let filing = effects::file_into(&settings.sink, mailbox, &raw);
    let filing = match &settings.flags {
        Some(flags) => filing.flags(flags),
        None => filing,
    };
    filing.queue()?;
    log::info("archived", &[("sink", &settings.sink), ("mailbox", &mailbox)]);
    Ok(())
}

fn store(message: &Message, settings: &Settings) -> Result<(), Failure> {
    let mut key = match &settings.key {
        Some(key) => key.render(message),
        None => MessageTemplate::parse(DEFAULT_KEY).map_err(Failure::permanent)?.render(message),
    };
    let raw = message.raw();
    if settings.compress == Compress::Zstd && !key.ends_with(".zst") {
        key.push_str(".zst");
    }
    let storing = effects::store(&settings.sink, key, &raw)
        .content_type("message/rfc822")
        .meta("message", message.id())
        .meta("received", message.received());
    let storing = match settings.compress {
        Compress::None => storing,
        Compress::Zstd => storing.compress(Compression::Zstd),
    };
    let key = storing.queue()?;
    log::info("archived", &[("sink", &settings.sink), ("key", &key)]);
    Ok(())
}

postroom_sdk::export!(Archive);

#[cfg(test)]
mod tests {
    use postroom_bench::{Bench, Effect, Mail, json};

    use super::*;

    const RAW: &[u8] = b"Subject: x\n\xff\0 bare line ends and octets\n.";

    fn mail() -> Mail {
        Mail::new().raw(RAW)
    }

    #[test]
    fn stores_the_octets_as_they_came_under_the_default_key() {
        let run = Bench::new().sink("vault").run::<Archive>(json!({ "sink": "vault" }), &mail());
        let [Effect::Store { sink, key, content, options }] = &run.effects[..] else { panic!("{run:?}") };
        assert_eq!((sink.as_str(), content.as_slice()), ("vault", RAW));
        assert_eq!(key, "home/2026/11/24/f75fb571717fedd2.eml");
        assert!(options.contains(&("content-type".into(), "message/rfc822".into())));
        assert!(!options.iter().any(|(name, _)| name == "compress" || name == "on-conflict"));
        assert!(!run.parsed, "an archive must not need MIME");
    }

    #[test]
    fn zstd_is_an_option_of_the_effect_and_a_suffix_of_the_key() {
        let mail = Mail::new().from("a@shop.example").subject("Your order");
        for key in ["{from_domain}/{subject}.eml", "{from_domain}/{subject}.eml.zst"] {
            let settings = json!({ "sink": "vault", "key": key, "compress": "zstd" });
            let run = Bench::new().sink("vault").run::<Archive>(settings, &mail);
            let [Effect::Store { key, content, options, .. }] = &run.effects[..] else { panic!("{run:?}") };
            assert_eq!(key, "shop.example/your-order.eml.zst");
            assert_eq!(*content, mail.octets(), "the sink compresses, not the plugin");
            assert!(options.contains(&("compress".into(), "zstd".into())));
        }
    }

    #[test]
    fn a_mailbox_sink_gets_the_message_filed() {
        let settings = json!({ "sink": "maildir", "mailbox": "Archive", "flags": "S" });
        let run = Bench::new().mailbox("maildir").run::<Archive>(settings, &mail());
        let options = vec![("flags".to_owned(), "S".to_owned())];
        assert_eq!(
            run.effects,
            [Effect::FileInto {
                sink: "maildir".into(),
                mailbox: "Archive".into(),
                content: RAW.to_vec(),
                options
            }]
        );
    }

    #[test]
    fn a_sink_that_is_not_granted_fails_with_the_line_that_would_grant_it() {
        let run = Bench::new().run::<Archive>(json!({ "sink": "vault" }), &mail());
        assert_eq!(run.result, Err(Failure::permanent("not granted: grants = { sinks = [\"vault\"] }")));
        assert!(run.effects.is_empty());
    }

    #[track_caller]
    fn refused(settings: serde_json::Value, path: &str, because: &str) {
        let problems = Bench::new().configure::<Archive>(&settings).unwrap_err();
        assert_eq!(problems[0].path, path);
        assert!(problems[0].text.contains(because), "{problems:?}");
    }

    #[test]
    fn senseless_settings_are_refused_before_any_mail() {
        refused(json!({}), "settings", "missing field `sink`");
        refused(json!({ "sink": "v", "keys": "x" }), "settings.keys", "unknown field `keys`");
        refused(json!({ "sink": "v", "key": "{nope}" }), "settings.key", "unknown variable {nope}");
        refused(json!({ "sink": "v", "key": "{filename}" }), "settings.key", "unknown variable");
        refused(json!({ "sink": "v", "compress": "gzip" }), "settings.compress", "unknown variant `gzip`");
        refused(
            json!({ "sink": "v", "key": "a", "mailbox": "" }),
            "settings.mailbox",
            "either mailbox or key",
        );
        refused(
            json!({ "sink": "v", "compress": "zstd", "mailbox": "" }),
            "settings.compress",
            "plain messages",
        );
        refused(json!({ "sink": "v", "flags": "S" }), "settings.flags", "set mailbox too");
    }

    #[track_caller]
    fn key_of(template: &str, mail: &Mail) -> String {
        let run =
            Bench::new().sink("vault").run::<Archive>(json!({ "sink": "vault", "key": template }), mail);
        let [Effect::Store { key, .. }] = &run.effects[..] else { panic!("{run:?}") };
        key.clone()
    }

    #[test]
    fn what_the_sender_writes_makes_clean_keys_of_bounded_length() {
        let mail = Mail::new().header("List-Id", "N\u{e9}ws <../a/ \u{1}News.Shop.example>");
        assert_eq!(key_of("{list_id}/a.eml", &mail), "a-news.shop.example/a.eml");
        assert_eq!(key_of("{list_id}/a.eml", &Mail::new()), "none/a.eml");
        // 2020, and a day that is still to come: that of the retrieval counts.
        let sent = |ms| key_of("{sent:%Y/%m}.eml", &Mail::new().date_ms(ms));
        assert_eq!(
            (sent(1_580_000_000_000), sent(4_000_000_000_000)),
            ("2020/01.eml".into(), "2026/11.eml".into())
        );
        let long = "subject ".repeat(40);
        let mail = Mail::new().subject(&long).uidl(Some(&"u".repeat(150))).from("abc@shop.example");
        let key = key_of("{subject:120}-{from}-{uidl}/{sha256}.eml", &mail);
        let segments: Vec<&str> = key.split('/').collect();
        assert!(segments[0].len() <= 200 && segments[0].starts_with("subject-subject"), "{key}");
        assert!(
            segments[0].contains(&segments[1][..16]),
            "the digest takes the place of what was cut: {key}"
        );
    }

    const README: &str = include_str!("../README.md");

    #[test]
    fn the_examples_of_the_readme_work_as_it_says() {
        let mail = Mail::new()
            .from("Shop <a@shop.example>")
            .subject("Your order")
            .header("List-Id", "<news.shop.example>");
        let mut keys = Vec::new();
        for block in README.split("```toml\n").skip(1) {
            let text = block.split("```").next().unwrap();
            let config: toml::Table = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            let Some(steps) = config.get("pipelines").map(|all| all["main"]["steps"].as_array().unwrap())
            else {
                continue;
            };
            for step in steps {
                let settings = json!(step["settings"]);
                let sink = settings["sink"].as_str().unwrap();
                let is_mailbox = config["sinks"][sink]["type"].as_str() == Some("maildir");
                let bench = if is_mailbox { Bench::new().mailbox(sink) } else { Bench::new().sink(sink) };
                let run = bench.run::<Archive>(settings, &mail);
                assert_eq!(run.result, Ok(()), "{text}");
                keys.extend(run.effects.iter().filter_map(|effect| match effect {
                    Effect::Store { key, .. } => Some(key.clone()),
                    _ => None,
                }));
            }
        }
        assert!(keys.len() >= 3, "{keys:?}");
        for key in keys {
            let shape: Vec<&str> = key.rsplitn(2, '/').collect();
            assert!(README.contains(&format!("`{}/", shape[1].split('/').next().unwrap())), "{key}");
        }
    }

    #[test]
    fn the_readme_has_a_row_for_each_setting() {
        let described: serde_json::Value =
            serde_json::from_str(&postroom_bench::describe::<Archive>()).unwrap();
        for setting in described["settings"]["properties"].as_object().unwrap().keys() {
            assert!(README.contains(&format!("\n| `{setting}` |")), "{setting}");
        }
    }

    #[test]
    fn describes_itself_with_a_schema() {
        let described: serde_json::Value =
            serde_json::from_str(&postroom_bench::describe::<Archive>()).unwrap();
        assert_eq!(described["name"], "archive");
        assert_eq!(described["settings"]["additionalProperties"], false);
        assert_eq!(described["settings"]["properties"]["key"]["default"], DEFAULT_KEY);
    }
}
