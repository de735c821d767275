//! The schema a bundled plugin describes its settings with, held against what it reads: the same fields, needed where it
//! says so, and each sample is fit for both.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use postroom_bench::{Bench, describe, json};
use postroom_plugin_archive::Archive;
use postroom_plugin_attachments::Attachments;
use postroom_plugin_calendar::CalendarFiles;
use postroom_plugin_dedupe::Dedupe;
use postroom_plugin_filter::Filter;
use postroom_plugin_forward::Forward;
use postroom_plugin_notify::Notify;
use postroom_plugin_sieve::Sieve;
use postroom_sdk::{Plugin, Problem};
use regex_lite::Regex;
use serde_json::Value;

/// A field that no plugin has.
const NOBODY: &str = "nobody's";

fn schema<P: Plugin>() -> Value {
    serde_json::from_str::<Value>(&describe::<P>()).unwrap()["settings"].take()
}

fn read<P: Plugin>(settings: &Value) -> Result<(), Vec<Problem>> {
    Bench::new().configure::<P>(settings)
}

/// Follows a `$ref`, which names something in `$defs`.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(name) => resolved(root, root.pointer(name.strip_prefix('#').unwrap()).expect("it is defined")),
        None => schema,
    }
}

/// What a value of JSON is called in a schema.
fn types(value: &Value) -> &'static [&'static str] {
    match value {
        Value::Null => &["null"],
        Value::Bool(_) => &["boolean"],
        Value::Number(number) if number.is_f64() => &["number"],
        Value::Number(_) => &["integer", "number"],
        Value::String(_) => &["string"],
        Value::Array(_) => &["array"],
        Value::Object(_) => &["object"],
    }
}

/// Whether a value is valid, by the keywords of JSON Schema 2020-12 that the plugins' schemas use.
fn valid(root: &Value, schema: &Value, value: &Value) -> bool {
    schema.as_object().expect("a schema is an object").iter().all(|(keyword, said)| {
        match (keyword.as_str(), value) {
            ("$ref", _) => valid(root, resolved(root, schema), value),
            ("const", _) => value == said,
            ("enum", _) => said.as_array().unwrap().contains(value),
            ("anyOf", _) => said.as_array().unwrap().iter().any(|choice| valid(root, choice, value)),
            ("oneOf", _) => {
                said.as_array().unwrap().iter().filter(|choice| valid(root, choice, value)).count() == 1
            }
            ("type", _) => match said {
                Value::Array(words) => types(value).iter().any(|word| words.contains(&json!(word))),
                word => types(value).iter().any(|known| word == known),
            },
            ("pattern", Value::String(text)) => Regex::new(said.as_str().unwrap()).unwrap().is_match(text),
            ("minLength", Value::String(text)) => text.chars().count() as u64 >= said.as_u64().unwrap(),
            ("maxLength", Value::String(text)) => text.chars().count() as u64 <= said.as_u64().unwrap(),
            ("minimum", Value::Number(number)) => number.as_f64() >= said.as_f64(),
            ("maximum", Value::Number(number)) => number.as_f64() <= said.as_f64(),
            ("minProperties", Value::Object(map)) => map.len() as u64 >= said.as_u64().unwrap(),
            ("maxProperties", Value::Object(map)) => map.len() as u64 <= said.as_u64().unwrap(),
            ("minItems", Value::Array(list)) => list.len() as u64 >= said.as_u64().unwrap(),
            ("items", Value::Array(list)) => list.iter().all(|item| valid(root, said, item)),
            ("required", Value::Object(map)) => {
                said.as_array().unwrap().iter().all(|name| map.contains_key(name.as_str().unwrap()))
            }
            ("properties", Value::Object(map)) => map
                .iter()
                .all(|(name, value)| said.get(name).is_none_or(|property| valid(root, property, value))),
            ("additionalProperties", Value::Object(map)) => map.iter().all(|(name, value)| {
                let is_known = schema["properties"].get(name).is_some();
                is_known || (said != false && valid(root, said, value))
            }),
            ("pattern" | "minLength" | "maxLength", _)
            | ("minimum" | "maximum" | "minProperties" | "maxProperties", _)
            | ("minItems" | "items", _) => true,
            ("required" | "properties" | "additionalProperties", _) => true,
            ("$schema" | "$defs" | "title" | "description" | "default" | "examples" | "format", _) => true,
            (other, _) => panic!("this test does not know the keyword {other}"),
        }
    })
}

/// The fields that reading fails with when it meets [`NOBODY`] at a place of the settings; `at` puts a value there.
fn read_fields<P: Plugin>(at: &dyn Fn(Value) -> Value) -> BTreeSet<String> {
    let problems = read::<P>(&at(json!({ NOBODY: 1 }))).expect_err("no plugin has such a field");
    let text = &problems[0].text;
    let (_, expected) = text.split_once("expected ").unwrap_or_else(|| panic!("no fields in: {text}"));
    assert!(text.starts_with(&format!("unknown field `{NOBODY}`")), "{text}");
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Goes down a schema, and at each table in it holds its properties against the fields that are read there. `seen` has the
/// references that were followed, since conditions hold conditions.
fn compare<P: Plugin>(
    root: &Value,
    schema: &Value,
    at: &dyn Fn(Value) -> Value,
    seen: &mut BTreeSet<String>,
) -> usize {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str)
        && !seen.insert(name.to_owned())
    {
        return 0;
    }
    let schema = resolved(root, schema);
    let mut tables = 0;
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let described: BTreeSet<_> = properties.keys().cloned().collect();
        assert_eq!(described, read_fields::<P>(at), "of {schema}");
        assert_eq!(schema["additionalProperties"], false, "what is unknown is an error: {schema}");
        tables += 1;
        for (name, property) in properties {
            tables += compare::<P>(root, property, &|value| at(json!({ name: value })), seen);
        }
    } else if let Some(values @ Value::Object(_)) = schema.get("additionalProperties") {
        tables += compare::<P>(root, values, &|value| at(json!({ "any": value })), seen);
    }
    if let Some(items) = schema.get("items") {
        tables += compare::<P>(root, items, &|value| at(json!([value])), seen);
    }
    for choice in ["anyOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten() {
        tables += compare::<P>(root, choice, at, seen);
    }
    tables
}

/// Each sample is fit for the schema and for the plugin; together they set everything there is. `least` has what the plugin
/// cannot do without; what the schema calls required is required by both.
#[track_caller]
fn samples<P: Plugin>(least: Value, others: &[Value]) {
    let schema = schema::<P>();
    let mut set = BTreeSet::new();
    for sample in others.iter().chain([&least]) {
        assert!(valid(&schema, &schema, sample), "{sample} is not valid");
        assert_eq!(read::<P>(sample), Ok(()), "{sample}");
        set.extend(sample.as_object().unwrap().keys().cloned());
    }
    let properties: BTreeSet<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(set, properties, "the samples set everything");
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.map(|name| name.as_str().unwrap()) {
        let mut without = least.clone();
        without.as_object_mut().unwrap().remove(name);
        assert!(!valid(&schema, &schema, &without), "{name} is not required");
        let problems = read::<P>(&without).unwrap_err();
        assert!(problems[0].text.contains(&format!("missing field `{name}`")), "{problems:?}");
    }
}

/// Neither the schema nor the plugin takes them.
#[track_caller]
fn refused<P: Plugin>(samples: &[Value]) {
    let schema = schema::<P>();
    for sample in samples {
        assert!(!valid(&schema, &schema, sample), "{sample} is valid");
        assert!(read::<P>(sample).is_err(), "{sample} is read");
    }
}

#[test]
fn every_schema_names_exactly_the_fields_that_are_read() {
    fn tables<P: Plugin>() -> usize {
        let schema = schema::<P>();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        compare::<P>(&schema, &schema, &|value| value, &mut BTreeSet::new())
    }
    assert_eq!((tables::<Archive>(), tables::<Forward>(), tables::<Notify>()), (1, 1, 1));
    assert_eq!((tables::<Dedupe>(), tables::<CalendarFiles>()), (1, 1));
    assert_eq!(tables::<Attachments>(), 2, "the settings and the budget");
    assert_eq!(tables::<Sieve>(), 4, "the settings, keep, mailboxes and redirect");
    assert_eq!(tables::<Filter>(), 11, "the settings, a rule, a condition and what stands in it");
}

#[test]
fn every_field_is_described_to_the_operator() {
    fn check(schema: &Value) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let described = property["description"].as_str().unwrap_or_default();
            assert!(!described.is_empty() && !described.contains("[`"), "{name}: {described:?}");
        }
    }
    for schema in [schema::<Archive>(), schema::<Attachments>(), schema::<Filter>(), schema::<Forward>()] {
        check(&schema);
        schema
            .get("$defs")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .for_each(|(_, schema)| check(schema));
    }
}

#[test]
fn what_the_schema_of_archive_takes_is_read() {
    samples::<Archive>(
        json!({ "sink": "vault" }),
        &[
            json!({ "sink": "vault", "key": "{account}/{id}.eml", "compress": "zstd" }),
            json!({ "sink": "box", "mailbox": "Old", "flags": "FS", "compress": "none" }),
        ],
    );
    refused::<Archive>(&[
        json!({ "sink": 1 }),
        json!({ "sink": "vault", "key": "" }),
        json!({ "sink": "vault", "compress": "gzip" }),
        json!({ "sink": "vault", "colour": "red" }),
    ]);
}

#[test]
fn what_the_schema_of_attachments_takes_is_read() {
    samples::<Attachments>(
        json!({ "sink": "vault" }),
        &[json!({
            "sink": "vault", "key": "{path}", "include": ["*.pdf"], "exclude": [], "types": ["image/*"],
            "sniffed": ["application/pdf"], "min_size": 10, "max_size": " 25 mb ", "inline": true,
            "decoration_size": "8 KiB", "open": ["nested"], "expand": ["zip"], "keep_opened": true,
            "manifest": "{id}.json", "on_partial": "quarantine", "budget": { "parts": 7, "made": "1 MiB" },
        })],
    );
    refused::<Attachments>(&[
        json!({ "sink": "vault", "include": "*" }),
        json!({ "sink": "vault", "min_size": "10 M" }),
        json!({ "sink": "vault", "min_size": "1.5 MB" }),
        json!({ "sink": "vault", "min_size": -1 }),
        json!({ "sink": "vault", "inline": "maybe" }),
        json!({ "sink": "vault", "expand": ["rar"] }),
        json!({ "sink": "vault", "manifest": 1 }),
        json!({ "sink": "vault", "budget": { "depth": -1 } }),
    ]);
}

#[test]
fn what_the_schema_of_filter_takes_is_read() {
    let rule = |when: Value, then: &[&str]| json!({ "rules": [{ "name": "x", "when": when, "then": then }] });
    let whole = json!({
        "header": { "X-Spam-Flag": "YES" }, "from": ["*@a.example", { "regex": "b" }], "to": { "regex": "c" },
        "cc": "d", "recipient": "e", "subject": "f", "account": "g", "label": "h", "not_label": "i",
        "attachment": ["*.pdf", { "extension": "exe", "larger": 5 }], "has_attachment": true, "larger": "1 MiB", "smaller": 7,
        "header_raw": { "Subject": "=?*" }, "exists": ["List-Id"], "address": { "Sender": { "domain": "a.example" } },
        "list_id": { "list": "known" }, "auth": { "by": "mx.example", "dkim": "pass" }, "date": { "older": "30d" },
        "retrieved": { "after": "2026-11-24" }, "attachments": { "at_least": 1 }, "body": { "words": "known" },
        "all": [{ "any": [{}] }], "any": [], "not": { "from": "j" },
    });
    let actions =
        ["label:a/b", "quarantine", "quarantine: why\nnot", "discard", " discard :x", "stop ", "continue"];
    let mut all = rule(whole, &actions);
    all.as_object_mut().unwrap().extend(
        json!({
            "lists": { "known": "a@x.example" }, "mailboxes": "home", "relay": "out", "store": "vault", "body_limit": "8 KiB",
        })
        .as_object()
        .unwrap()
        .clone(),
    );
    let tables = json!([{ "file": "Bills", "flags": "S" }, { "forward": "me@x.example" }, { "store": "{id}" }, "file:A"]);
    let mut written = all.clone();
    written["rules"][0]["then"] = tables;
    samples::<Filter>(json!({ "rules": [] }), &[all, written]);
    refused::<Filter>(&[
        rule(json!({}), &[]),
        rule(json!({}), &["label:"]),
        rule(json!({}), &["label:two words"]),
        rule(json!({}), &["stop:now"]),
        rule(json!({}), &["delete"]),
        rule(json!({ "from": 1 }), &["stop"]),
        rule(json!({ "from": { "regexp": "x" } }), &["stop"]),
        rule(json!({ "subject": { "regex": "x", "list": "y" } }), &["stop"]),
        rule(json!({ "date": { "older": "soon" } }), &["stop"]),
        rule(json!({ "not": { "form": "x" } }), &["stop"]),
        rule(json!({ "larger": "big" }), &["stop"]),
        json!({ "rules": [{ "when": {} }] }),
    ]);
}

#[test]
fn what_the_schema_of_sieve_takes_is_read() {
    samples::<Sieve>(
        json!({ "script": "keep;" }),
        &[json!({
            "script": "discard;", "keep": { "sink": "home", "mailbox": "" }, "mailboxes": { "sink": "home", "separator": "." },
            "redirect": { "sink": "relay" }, "discard": "discard", "reject": "quarantine", "later_steps": "kept",
            "zone": "+0100", "separator": "-",
        })],
    );
    refused::<Sieve>(&[
        json!({ "script": 1 }),
        json!({ "script": "keep;", "keep": "home" }),
        json!({ "script": "keep;", "reject": "bounce" }),
        json!({ "script": "keep;", "zone": "CET" }),
        json!({ "script": "keep;", "mailboxes": { "sink": "home", "separator": "//" } }),
    ]);
}

#[test]
fn what_the_schemas_of_the_small_plugins_take_is_read() {
    samples::<Dedupe>(
        json!({}),
        &[json!({
            "by": "content", "fields": ["Date"], "days": 7, "label": "again", "quarantine": true, "stop": true,
        })],
    );
    refused::<Dedupe>(&[json!({ "by": "id" }), json!({ "days": 0 }), json!({ "days": 5000 })]);
    samples::<Notify>(
        json!({ "sink": "box", "as": "json" }),
        &[
            json!({
                "sink": "relay", "as": "mail", "from": "a@x.example", "to": ["b@x.example"], "subject": "{count}", "text": "{from}",
                "line": "{subject}", "digest": "1d", "max_lines": 5, "at_most": 2, "per": "1h",
            }),
            json!({ "sink": "box", "as": "json", "key": "{id}.json" }),
        ],
    );
    samples::<CalendarFiles>(
        json!({ "sink": "box" }),
        &[json!({
            "sink": "box", "key": "{id}", "methods": ["REQUEST"], "ics": true, "json": false, "label": "meeting",
            "max_size": "8 KiB",
        })],
    );
    refused::<CalendarFiles>(&[
        json!({ "sink": "box", "ics": "yes" }),
        json!({ "sink": "box", "max_size": "big" }),
    ]);
}

#[test]
fn what_the_schema_of_forward_takes_is_read() {
    samples::<Forward>(
        json!({ "sink": "relay", "to": ["a@x.example"] }),
        &[json!({
            "sink": "relay", "to": ["a@x.example"], "mode": "auto", "from": "b@x.example", "subject": "Fwd: {subject}",
            "trusted": "mx.example", "relay_insists": true, "unknown": "redirect", "own": ["c@x.example"], "resent": true,
            "max_size": "25 MB", "oversize": "notice",
        })],
    );
    refused::<Forward>(&[
        json!({ "sink": "relay", "to": ["a@x.example"], "mode": "auto", "from": "b@x.example", "unknown": "ask" }),
        json!({ "sink": "relay", "to": ["a@x.example"], "max_size": 1, "oversize": "cut" }),
        json!({ "sink": "relay", "to": ["a@x.example"], "own": "c@x.example" }),
        json!({ "sink": "relay", "to": [] }),
        json!({ "sink": "relay", "to": "a@x.example" }),
        json!({ "sink": "relay", "to": ["a@x.example"], "mode": "resend" }),
    ]);
}

#[test]
fn defaults_are_told_as_the_plugin_has_them() {
    let default = |schema: Value, name: &str| schema["properties"][name]["default"].clone();
    assert_eq!(default(schema::<Archive>(), "compress"), "none");
    assert_eq!(default(schema::<Attachments>(), "key"), "{account}/{date:%Y-%m}/{filename}");
    assert_eq!(default(schema::<Attachments>(), "inline"), "decoration");
    assert_eq!(default(schema::<Forward>(), "mode"), "redirect");
    assert_eq!(default(schema::<Forward>(), "subject"), "Fwd: {subject}");
    assert_eq!(default(schema::<Forward>(), "unknown"), "wrap");
    assert_eq!(default(schema::<Forward>(), "oversize"), "quarantine");
}
