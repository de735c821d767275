//! Fixtures of a project, run natively.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;

use postroom_bench::fixtures;
use postroom_sdk::prelude::*;

/// Keeps a mail under its account, unique-id and day.
struct Keeper;

#[derive(serde::Deserialize, JsonSchema)]
struct Settings {
    sink: String,
}

impl Plugin for Keeper {
    type Settings = Settings;
    const NAME: &'static str = "keeper";
    const VERSION: &'static str = "0";
    const DESCRIPTION: &'static str = "";

    fn handle(message: &Message, settings: &Settings) -> Result<(), Failure> {
        effects::label("kept")?;
        let uidl = message.uidl().unwrap_or_default();
        let key = format!("{}/{uidl}/{}", message.account(), message.received().format("%Y-%m-%d"));
        effects::store(&settings.sink, key, &message.raw()).queue()?;
        Ok(())
    }
}

const CONDITIONS: &str = "[settings]\nsink = \"papers\"\n[grants]\nsinks = { papers = \"object\" }\n";

/// What running these files panics with; empty when it does not.
fn panic_of(files: &[(&str, &str)]) -> String {
    let directory = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| fs::write(directory.path().join(name), text).unwrap());
    let path = directory.path().to_owned();
    match std::panic::catch_unwind(move || fixtures::<Keeper>(&path)) {
        Ok(()) => String::new(),
        Err(panic) => panic.downcast_ref::<String>().expect("a text").clone(),
    }
}

/// The fixtures of one mail.
fn one(conditions: &str, own: &str, expected: &str) -> String {
    panic_of(&[
        ("fixture.toml", conditions),
        ("a.eml", "Subject: A\r\n\r\n"),
        ("a.toml", own),
        ("a.expected", expected),
    ])
}

#[test]
fn each_mail_comes_from_where_its_fixture_says_and_else_from_where_the_host_has_it() {
    assert_eq!(one(CONDITIONS, "", "label kept\nstore papers:fixture/a/2026-11-24 14 octets …\n"), "");
    let general = format!("account = \"home\"\nuidl = \"u1\"\n{CONDITIONS}");
    let own = "account = \"shop\"\nreceived = 2001-02-03T04:05:06Z\n";
    assert_eq!(one(&general, own, "label kept\nstore papers:shop/u1/2001-02-03 14 octets …\n"), "");
}

#[test]
fn it_fails_with_the_first_line_that_differs_and_the_file_it_is_in() {
    let said = one(CONDITIONS, "", "label kept\nstore papers:elsewhere …\n");
    assert!(
        said.contains(
            "a.expected, line 2:\n    label kept\n  - store papers:elsewhere …\n  + store papers:fixture/a/"
        ),
        "{said}"
    );
    let said = panic_of(&[("fixture.toml", CONDITIONS), ("a.eml", "\r\n")]);
    assert!(said.contains("a.expected is not there yet") && said.contains("label kept"), "{said}");
    assert!(panic_of(&[]).contains("there is no mail in"));
}

#[test]
fn grants_and_limits_are_those_of_the_fixture_and_no_others() {
    let without = "[settings]\nsink = \"papers\"\n";
    assert_eq!(one(without, "", "failed: …\n"), "");
    let mailbox = CONDITIONS.replace("object", "mailbox");
    assert_eq!(one(&mailbox, "", "failed: …\n"), "");
    let none = format!("{CONDITIONS}[limits]\neffects = 0\n");
    assert_eq!(one(&none, "", "failed: …\n"), "");
    let said = one(&format!("{CONDITIONS}[limits]\ncolour = 1\n"), "", "nothing\n");
    assert!(said.contains("the limits in fixture.toml") && said.contains("colour"), "{said}");
    let said = one(&format!("{CONDITIONS}[limits]\nmemory = \"1000 GiB\"\n"), "", "failed: …\n");
    assert!(said.contains("limit memory"), "{said}");
}

#[test]
fn settings_are_checked_as_the_host_checks_them() {
    let said = one("[settings]\nsnk = \"papers\"\n", "", "nothing\n");
    assert!(said.contains("sink"), "{said}");
}
