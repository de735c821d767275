//! The right people are told, once, and never for ever.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postroom_bench::{Bench, Effect, Mail, Run, json};
use serde_json::Value;

use super::*;

const HOUR: u64 = 3_600_000;
const NOW: u64 = 1_795_514_400_000;

fn bench() -> Bench {
    Bench::new().kv().relay("relay").sink("hook")
}

fn by_mail() -> Value {
    json!({ "sink": "relay", "from": "postroom@my.example", "to": ["ada@my.example"] })
}

fn with(mut settings: Value, more: Value) -> Value {
    let more = more.as_object().unwrap().clone();
    settings.as_object_mut().unwrap().extend(more);
    settings
}

fn mail(uidl: &str) -> Mail {
    Mail::new().uidl(Some(uidl)).from("Bob <bob@shop.example>").subject("Your bill").text("x")
}

fn run(bench: &mut Bench, settings: &Value, mail: &Mail) -> Run {
    let run = bench.run_keeping::<Notify>(settings.clone(), mail);
    assert_eq!(run.result, Ok(()));
    run
}

/// Recipients, header block, and decoded text of the only notice.
#[track_caller]
fn notice(run: &Run) -> (Vec<String>, String, String) {
    let [Effect::Send { to, message, .. }] = &run.effects[..] else { panic!("{:?}", run.lines()) };
    let message = String::from_utf8(message.clone()).unwrap();
    let (head, body) = message.split_once("\r\n\r\n").unwrap();
    let text: Vec<u8> = body.lines().flat_map(|line| STANDARD.decode(line).unwrap()).collect();
    (to.clone(), head.to_owned(), String::from_utf8(text).unwrap())
}

#[track_caller]
fn document(run: &Run) -> (String, Value) {
    let [Effect::Store { key, content, .. }] = &run.effects[..] else { panic!("{:?}", run.lines()) };
    (key.clone(), serde_json::from_slice(content).unwrap())
}

#[test]
fn readme_examples_come_out_as_they_say() {
    postroom_bench::examples::<Notify>("README.md");
}

#[test]
fn a_message_is_told_of_in_a_mail_that_nobody_answers_by_machine() {
    let (to, head, text) = notice(&run(&mut bench(), &by_mail(), &mail("1")));
    assert_eq!(to, ["ada@my.example"]);
    for line in [
        "From: postroom@my.example",
        "To: ada@my.example",
        "Subject: New mail from Bob: Your bill",
        "Date: Tue, 24 Nov 2026 10:00:00 +0000",
        "Auto-Submitted: auto-generated",
    ] {
        assert!(head.lines().any(|own| own == line), "{line}: {head}");
    }
    assert!(head.contains("\r\nX-Postroom-Notice: ") && head.contains("@my.example>"), "{head}");
    assert!(text.starts_with("From: bob@shop.example\r\nSubject: Your bill\r\n"), "{text}");
}

#[test]
fn the_operators_texts_are_used_and_the_senders_words_stay_in_their_line() {
    let settings =
        with(by_mail(), json!({ "subject": "{{{account}}} {labels}: {subject}", "text": "{name}\n" }));
    let long = format!("Gruß \u{202e}\u{7f} {}", "é".repeat(500));
    let odd = Mail::new().label("bill").from("\"A\tB\" <a@b.example>").subject(&long);
    let (_, head, text) = notice(&run(&mut bench(), &settings, &odd));
    let subject = head.split_once("Subject: ").unwrap().1.split_once("\r\nDate").unwrap().0;
    assert!(
        subject.lines().all(|line| line.len() <= 78 && line.trim().starts_with("=?utf-8?B?")),
        "{subject}"
    );
    let words = subject.split_whitespace().map(|word| &word[10..word.len() - 2]);
    let decoded: Vec<u8> = words.flat_map(|word| STANDARD.decode(word).unwrap()).collect();
    let decoded = String::from_utf8(decoded).unwrap();
    assert!(decoded.starts_with("{home} bill: Gruß") && !decoded.contains('\u{202e}'), "{decoded}");
    assert!(decoded.chars().count() <= 220);
    assert!(text.ends_with("\r\n") && text.lines().count() == 1, "{text:?}");
}

#[test]
fn nobody_is_told_of_what_they_sent() {
    let settings = with(by_mail(), json!({ "to": ["ada@my.example", "BOB@shop.example"] }));
    assert_eq!(notice(&run(&mut bench(), &settings, &mail("1"))).0, ["ada@my.example"]);
    let only = with(by_mail(), json!({ "to": ["bob@shop.example"] }));
    assert!(run(&mut bench(), &only, &mail("1")).effects.is_empty());
    let reply = mail("1").header("Reply-To", "ada@my.example");
    assert!(run(&mut bench(), &by_mail(), &reply).effects.is_empty());
}

#[test]
fn notices_bounces_and_automatic_replies_are_told_of_to_nobody() {
    for mail in [
        mail("1").header("X-Postroom-Notice", "1"),
        mail("1").header("Return-Path", "<>"),
        mail("1").header("Auto-Submitted", "Auto-Replied; owner=x"),
    ] {
        assert!(run(&mut bench(), &by_mail(), &mail).effects.is_empty());
    }
    let cron = mail("1").header("Auto-Submitted", "auto-generated");
    assert_eq!(run(&mut bench(), &by_mail(), &cron).effects.len(), 1, "a machine may have something to say");
}

#[test]
fn more_than_at_most_are_counted_in_the_next_notice() {
    let settings = with(by_mail(), json!({ "at_most": 2, "per": "1h" }));
    let mut bench = bench();
    let sent: Vec<usize> = (0..5)
        .map(|n| run(&mut bench, &settings, &mail(&n.to_string()).received_ms(NOW + n)).effects.len())
        .collect();
    assert_eq!(sent, [1, 1, 0, 0, 0]);
    let (_, _, text) = notice(&run(&mut bench, &settings, &mail("9").received_ms(NOW + HOUR)));
    assert!(text.contains("3 more came that no notice was sent for"), "{text}");
    let (_, _, text) = notice(&run(&mut bench, &settings, &mail("10").received_ms(NOW + HOUR)));
    assert!(!text.contains("more came"), "{text}");
}

#[test]
fn a_digest_is_sent_with_the_first_message_after_its_period() {
    let settings = with(by_mail(), json!({ "digest": "12h", "line": "{from} {subject}" }));
    let mut bench = bench();
    for n in [0, 1, 11] {
        assert!(
            run(&mut bench, &settings, &mail(&n.to_string()).received_ms(NOW + n * HOUR)).effects.is_empty()
        );
    }
    let due = run(&mut bench, &settings, &mail("12").received_ms(NOW + 12 * HOUR));
    let (_, head, text) = notice(&due);
    assert!(head.contains("Subject: 4 new messages for home"), "{head}");
    assert_eq!(text.matches("bob@shop.example Your bill").count(), 4);
    assert!(text.starts_with("Since 2026-11-24T10:00:00Z:"), "{text}");
    assert!(due.kv.is_empty(), "it begins anew");
}

#[test]
fn a_message_that_is_tried_again_is_in_a_digest_once() {
    let settings = with(by_mail(), json!({ "digest": "12h" }));
    let mut bench = bench();
    run(&mut bench, &settings, &mail("1"));
    run(&mut bench, &settings, &mail("1"));
    let (_, head, _) = notice(&run(&mut bench, &settings, &mail("2").received_ms(NOW + 13 * HOUR)));
    assert!(head.contains("Subject: 2 new messages"), "{head}");
}

#[test]
fn a_digest_stays_bounded_and_counts_what_it_does_not_list() {
    let settings = json!({ "sink": "hook", "as": "json", "digest": "1h", "max_lines": 500 });
    let mut bench = bench();
    let long = "x".repeat(180);
    let mut last = None;
    for n in 0..400_u64 {
        let mail = Mail::new().uidl(Some(&n.to_string())).subject(&long).received_ms(if n == 399 {
            NOW + HOUR
        } else {
            NOW
        });
        let one = run(&mut bench, &settings, &mail);
        assert!(one.kv.values().all(|value| value.len() < 64 << 10));
        last = Some(one);
    }
    let (_, digest) = document(&last.unwrap());
    let listed = digest["lines"].as_array().unwrap().len() as u64;
    assert_eq!((digest["count"].as_u64(), digest["unlisted"].as_u64()), (Some(400), Some(400 - listed)));
    assert!(listed < 400);
}

#[test]
fn what_one_of_them_sent_is_in_no_digest() {
    let settings = with(by_mail(), json!({ "digest": "1h", "to": ["ada@my.example", "bob@shop.example"] }));
    assert!(run(&mut bench(), &settings, &mail("1")).kv.is_empty());
}

#[test]
fn a_message_is_told_of_as_json() {
    let settings = json!({ "sink": "hook", "as": "json", "key": "n/{id:8}.json" });
    let (key, document) = document(&run(&mut bench(), &settings, &mail("1").label("bill")));
    assert!(key.starts_with("n/") && key.len() == 15, "{key}");
    assert_eq!((&document["event"], &document["name"]), (&json!("message"), &json!("Bob")));
    assert_eq!((&document["labels"], &document["untold"]), (&json!(["bill"]), &json!(0)));
    assert_eq!(document["date"], Value::Null);
}

#[test]
fn settings_that_do_not_fit_together_are_refused() {
    for (more, path) in [
        (json!({ "to": [] }), "settings.to"),
        (json!({ "to": ["Ada <ada@my.example>"] }), "settings.to[0]"),
        (json!({ "from": "a@b@c.example" }), "settings.from"),
        (json!({ "key": "x" }), "settings.key"),
        (json!({ "as": "json" }), "settings.from"),
        (json!({ "subject": "{nope}" }), "settings.subject"),
        (json!({ "text": "a } b" }), "settings.text"),
        (json!({ "max_lines": 501 }), "settings.max_lines"),
        (json!({ "at_most": 0 }), "settings.at_most"),
        (json!({ "digest": "daily" }), "settings.digest"),
    ] {
        let problems = Bench::new().configure::<Notify>(&with(by_mail(), more.clone())).unwrap_err();
        assert_eq!(problems[0].path, path, "{more}");
    }
    assert!(Bench::new().configure::<Notify>(&json!({ "sink": "relay", "to": ["a@b.example"] })).is_err());
}
