//! What is extracted, and what is left with its reason.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

pub(crate) mod build;
mod choosing;
mod corpus;
mod limits;
mod opening;
mod readme;
mod safe_names;
mod table;
mod telling;

use postroom_bench::{Bench, Effect, Mail, Run, json};
use postroom_sdk::log::Level;
use serde_json::Value;

use super::*;

fn bench() -> Bench {
    Bench::new().sink("files")
}

fn run_over(settings: Value, mail: &Mail) -> Run {
    let mut settings = settings;
    settings["sink"] = json!("files");
    bench().run::<Attachments>(settings, mail)
}

/// Over raw lines, which end with CRLF in the message.
fn run_raw(settings: Value, text: &str) -> Run {
    let octets = text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes();
    run_over(settings, &Mail::new().raw(&octets))
}

/// The keys, without the part that all have.
fn keys(run: &Run) -> Vec<String> {
    assert_eq!(run.result, Ok(()), "{:?}", run.logs);
    let key = |effect: &Effect| match effect {
        Effect::Store { key, .. } => Some(key.trim_start_matches("home/2026-11/").to_owned()),
        _ => None,
    };
    run.effects.iter().filter_map(key).collect()
}

/// The content of the file with that key.
fn content<'a>(run: &'a Run, name: &str) -> &'a [u8] {
    let found = run.effects.iter().find_map(|effect| match effect {
        Effect::Store { key, content, .. } if key.ends_with(name) => Some(&content[..]),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no {name} in {:?}", run.lines()))
}

fn reasons(run: &Run) -> Vec<(String, String)> {
    let skipped = run.logs.iter().filter(|line| line.level == Level::Info && line.text == "skipped");
    let field = |line: &postroom_bench::LogLine, name| line.field(name).unwrap_or("").to_owned();
    skipped.map(|line| (field(line, "name"), field(line, "reason"))).collect()
}

/// The manifest, and of it the part at a place.
fn manifest(run: &Run) -> Value {
    assert_eq!(run.result, Ok(()));
    serde_json::from_slice(content(run, ".manifest.json")).unwrap()
}

fn part(manifest: &Value, path: &str) -> Value {
    let parts = manifest["parts"].as_array().unwrap();
    let found = parts.iter().find(|part| part["path"] == path);
    found.unwrap_or_else(|| panic!("no {path} in {manifest:#}")).clone()
}
