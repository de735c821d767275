//! The same content is found again, and nothing else is.

use postroom_bench::{Bench, Mail, Run, json};
use serde_json::Value;

use super::*;

const DAY: u64 = 86_400_000;
const NOW: u64 = 1_795_514_400_000;

fn bench() -> Bench {
    Bench::new().kv()
}

fn run(bench: &mut Bench, settings: Value, mail: &Mail) -> Run {
    let run = bench.run_keeping::<Dedupe>(settings, mail);
    assert_eq!(run.result, Ok(()));
    run
}

fn mail(uidl: &str) -> Mail {
    let mail = Mail::new().uidl(Some(uidl)).from("ada@shop.example").header("Message-ID", "<1@shop.example>");
    mail.date_ms(NOW as i64).subject("Bill").text("The bill.")
}

/// As another server delivered it.
fn copy(uidl: &str, on_top: &str, at_the_end: &str) -> Mail {
    let octets = mail("x").octets();
    Mail::new().uidl(Some(uidl)).raw(&[on_top.as_bytes(), &octets, at_the_end.as_bytes()].concat())
}

#[test]
fn readme_examples_come_out_as_they_say() {
    postroom_bench::examples::<Dedupe>("README.md");
}

#[test]
fn the_same_octets_under_another_unique_id_are_a_duplicate() {
    let mut bench = bench();
    let first = run(&mut bench, json!({}), &mail("1"));
    assert!(first.effects.is_empty());
    let second = run(&mut bench, json!({}), &mail("2"));
    assert_eq!(second.lines(), ["label duplicate"]);
    let of = second.logs[0].field("of").unwrap();
    assert_eq!(of.len(), 24, "enough for `why`");
    let other = run(&mut bench, json!({}), &mail("3").text("Another."));
    assert!(other.effects.is_empty());
}

#[test]
fn a_message_that_is_handled_again_is_no_duplicate_of_itself() {
    let mut bench = bench();
    for _ in 0..3 {
        assert!(run(&mut bench, json!({}), &mail("1")).effects.is_empty());
    }
    for _ in 0..2 {
        assert_eq!(run(&mut bench, json!({}), &mail("2")).lines(), ["label duplicate"]);
    }
}

#[test]
fn the_same_message_id_alone_makes_no_duplicate() {
    for by in ["raw", "content"] {
        let mut bench = bench();
        run(&mut bench, json!({ "by": by }), &mail("1"));
        let other = Mail::new().uidl(Some("2")).header("Message-ID", "<1@shop.example>").text("Parcel 2");
        assert!(run(&mut bench, json!({ "by": by }), &other).effects.is_empty());
    }
}

#[test]
fn by_content_what_servers_add_does_not_count() {
    let content = json!({ "by": "content" });
    let on_top = "Return-Path: <x@y.example>\r\nReceived: from a by b\r\nDelivered-To: alias@my.example\r\n";
    let mut bench = bench();
    run(&mut bench, content.clone(), &mail("1"));
    assert_eq!(run(&mut bench, content.clone(), &copy("2", on_top, "\r\n\r\n")).lines(), ["label duplicate"]);
    assert!(run(&mut bench, content, &copy("3", on_top, "\r\nA footer.")).effects.is_empty());
    let mut raw = self::bench();
    run(&mut raw, json!({}), &mail("1"));
    assert!(run(&mut raw, json!({}), &copy("2", on_top, "")).effects.is_empty());
}

#[test]
fn by_content_fields_that_differ_make_another_message() {
    let content = json!({ "by": "content", "fields": ["Subject", "Date"] });
    let mut bench = bench();
    let bare = |uidl: &str, subject: &str| Mail::new().uidl(Some(uidl)).subject(subject).text("x");
    run(&mut bench, content.clone(), &bare("1", "a"));
    assert!(run(&mut bench, content.clone(), &bare("2", "b")).effects.is_empty());
    assert_eq!(run(&mut bench, content, &bare("3", "a")).lines(), ["label duplicate"]);
}

#[test]
fn a_message_without_the_fields_is_compared_by_all_its_octets() {
    let content = json!({ "by": "content", "fields": ["Date"] });
    let mut bench = bench();
    let bare = |uidl: &str, trace: &str| Mail::new().uidl(Some(uidl)).header("Received", trace).text("x");
    run(&mut bench, content.clone(), &bare("1", "a"));
    assert!(run(&mut bench, content.clone(), &bare("2", "b")).effects.is_empty());
    assert_eq!(run(&mut bench, content, &bare("3", "a")).lines(), ["label duplicate"]);
}

#[test]
fn what_is_to_happen_to_a_duplicate_happens() {
    let mut bench = bench();
    let settings = json!({ "label": "again", "quarantine": true, "stop": true });
    run(&mut bench, settings.clone(), &mail("1"));
    let lines = run(&mut bench, settings, &mail("2")).lines();
    assert_eq!((lines[0].as_str(), lines[2].as_str()), ("label again", "stop"));
    assert!(lines[1].starts_with("quarantine the account had this before: message "), "{lines:?}");
}

#[test]
fn a_message_is_forgotten_after_its_days_and_not_before() {
    let again = |days: u64| {
        let mut bench = bench();
        run(&mut bench, json!({ "days": 7 }), &mail("1").received_ms(NOW));
        run(&mut bench, json!({ "days": 7 }), &mail("2").received_ms(NOW + days * DAY)).effects.len()
    };
    assert_eq!((again(6), again(7)), (1, 0));
}

#[test]
fn accounts_are_apart() {
    let mut bench = bench();
    run(&mut bench, json!({}), &mail("1").account("home"));
    assert!(run(&mut bench, json!({}), &mail("1").account("shop")).effects.is_empty());
}

#[test]
fn without_the_grant_it_fails_and_says_which() {
    let refused = Bench::new().run::<Dedupe>(json!({}), &mail("1"));
    assert!(
        matches!(&refused.result, Err(Failure::Permanent(text)) if text.contains("kv = true")),
        "{refused:?}"
    );
}

#[test]
fn settings_that_would_make_everything_a_duplicate_are_refused_or_told() {
    let problems = Bench::new().configure::<Dedupe>(&json!({ "by": "content", "fields": [] })).unwrap_err();
    assert_eq!(problems[0].path, "settings.fields");
    assert!(Bench::new().configure::<Dedupe>(&json!({ "days": 0 })).is_err());
    let warnings =
        Bench::new().warnings::<Dedupe>(&json!({ "by": "content", "fields": ["Subject"] })).unwrap();
    assert_eq!(warnings[0].path, "settings.fields");
    assert_eq!(Bench::new().warnings::<Dedupe>(&json!({ "by": "content" })), Ok(Vec::new()));
}
