//! Mail goes on once, and loops end.

use postroom_bench::{Bench, Effect, Mail, Run, json};
use postroom_sdk::log::Level;
use serde_json::Value;

use super::*;

fn bench() -> Bench {
    Bench::new().relay("relay")
}

fn redirecting() -> Value {
    json!({ "sink": "relay", "to": ["archive@example.com"] })
}

fn mark_of(run: &Run) -> String {
    let [Effect::Forward { add_headers, .. }] = &run.effects[..] else { panic!("{run:?}") };
    let [(name, value)] = &add_headers[..] else { panic!("{add_headers:?}") };
    assert_eq!(name, "X-Postroom-Forwarded");
    value.clone()
}

#[test]
fn redirects_with_one_trace_field() {
    let run = bench().run::<Forward>(redirecting(), &Mail::new().subject("x"));
    assert_eq!(run.lines(), ["forward relay to archive@example.com"]);
    let mark = mark_of(&run);
    let (id, route) = mark.split_once("; route=").unwrap();
    assert_eq!((id.len(), route.len()), (64, 16));
    assert!(!run.parsed);
}

#[track_caller]
fn refused_as_loop(run: &Run) {
    assert_eq!(run.result, Ok(()));
    assert_eq!(run.effects, [Effect::Label("loop".to_owned())]);
    assert!(run.logs.iter().any(|line| line.level == Level::Warn && line.text.contains("loop")));
}

#[test]
fn what_went_the_same_way_before_is_not_forwarded_again() {
    let mark = mark_of(&bench().run::<Forward>(redirecting(), &Mail::new().subject("x")));
    let back = Mail::new().header("X-Postroom-Forwarded", &mark).subject("x").uidl(Some("other"));
    refused_as_loop(&bench().run::<Forward>(redirecting(), &back));

    let shouting = json!({ "sink": "relay", "to": ["ARCHIVE@example.com"] });
    refused_as_loop(&bench().run::<Forward>(shouting, &back));

    let elsewhere = json!({ "sink": "relay", "to": ["other@example.com"] });
    assert_eq!(bench().run::<Forward>(elsewhere, &back).lines(), ["forward relay to other@example.com"]);
    let other_account = back.account("shop");
    assert_eq!(bench().run::<Forward>(redirecting(), &other_account).lines().len(), 1);
}

#[test]
fn too_many_hops_are_a_loop() {
    let with =
        |name: &str, count: usize| (0..count).fold(Mail::new(), |mail, n| mail.header(name, &n.to_string()));
    assert_eq!(bench().run::<Forward>(redirecting(), &with("Received", 50)).effects.len(), 1);
    refused_as_loop(&bench().run::<Forward>(redirecting(), &with("Received", 51)));
    refused_as_loop(&bench().run::<Forward>(redirecting(), &with("x-postroom-forwarded", 10)));
}

#[test]
fn a_bounce_is_labelled_not_forwarded() {
    for path in ["<>", " < > "] {
        let run =
            bench().run::<Forward>(redirecting(), &Mail::new().header("Return-Path", path).subject("x"));
        assert_eq!(run.result, Ok(()));
        assert_eq!(run.effects, [Effect::Label("bounce".to_owned())]);
        assert!(run.logs.iter().any(|line| line.level == Level::Warn && line.text.contains("bounce")));
    }
    let other = Mail::new().header("Return-Path", "<eve@shop.example>").header("Return-Path", "<>");
    assert_eq!(
        bench().run::<Forward>(redirecting(), &other).lines(),
        ["forward relay to archive@example.com"]
    );
}

#[test]
fn a_wrapped_message_that_is_wrapped_on_and_comes_back_is_a_loop() {
    let wrapping =
        |to: &str| json!({ "sink": "relay", "to": [to], "mode": "wrap", "from": "postroom@my.example" });
    let marked = |run: &Run| {
        let [Effect::Send { message, .. }] = &run.effects[..] else { panic!("{run:?}") };
        let text = String::from_utf8(message.clone()).unwrap();
        let fields = text.split_once("\r\n\r\n").unwrap().0;
        let marks = fields.lines().filter_map(|line| line.strip_prefix("X-Postroom-Forwarded: "));
        marks.fold(Mail::new(), |mail, mark| mail.header("X-Postroom-Forwarded", mark))
    };
    let first = bench().run::<Forward>(wrapping("b@x.example"), &Mail::new().subject("x"));
    let second = bench().run::<Forward>(wrapping("a@y.example"), &marked(&first).account("other"));
    refused_as_loop(&bench().run::<Forward>(wrapping("b@x.example"), &marked(&second)));
}

#[test]
fn a_wrapping_message_carries_on_only_so_many_sane_marks() {
    let mail = Mail::new()
        .header("X-Postroom-Forwarded", "x\r\nBcc: victim@x.example")
        .header("X-Postroom-Forwarded", &"y".repeat(200))
        .header("X-Postroom-Forwarded", "\u{fc}")
        .header("X-Postroom-Forwarded", "kept; route=1");
    let message = wrapped(&mail, None);
    let fields = message.split_once("\r\n\r\n").unwrap().0;
    let marks: Vec<_> = fields.lines().filter(|line| line.starts_with("X-Postroom-Forwarded: ")).collect();
    assert_eq!((marks.len(), marks[2]), (3, "X-Postroom-Forwarded: kept; route=1"));
    assert!(!fields.to_lowercase().contains("\nbcc:"), "{fields}");
}

fn wrapped(mail: &Mail, subject: Option<&str>) -> String {
    let mut settings = json!({ "sink": "relay", "to": ["a@example.com", "b@example.com"], "mode": "wrap", "from": "postroom@my.example" });
    if let Some(subject) = subject {
        settings["subject"] = json!(subject);
    }
    let run = bench().run::<Forward>(settings, mail);
    let [Effect::Send { sink, to, message }] = &run.effects[..] else { panic!("{run:?}") };
    assert_eq!((sink.as_str(), to.len()), ("relay", 2));
    String::from_utf8(message.clone()).unwrap()
}

#[test]
fn wraps_the_original_untouched() {
    // A subject of "Grüße", a line end, and "Bcc: victim@x.example".
    let raw = b"From: Eve <eve@shop.example>\r\n\
        Subject: =?utf-8?B?R3LDvMOfZQ0KQmNjOiB2aWN0aW1AeC5leGFtcGxl?=\r\n\r\nbody \xc3\xbc\r\n.\r\n";
    let message = wrapped(&Mail::new().raw(raw), None);
    let (fields, body) = message.split_once("\r\n\r\n").unwrap();
    let field = |name: &str| fields.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
    assert_eq!(field("From: "), "postroom@my.example");
    assert_eq!(field("Reply-To: "), "eve@shop.example");
    assert_eq!(field("Date: "), "Tue, 24 Nov 2026 10:00:00 +0000");
    assert!(field("Subject: ").starts_with("=?UTF-8?B?RndkOiBHcsO8w59l"), "{fields}");
    assert!(!fields.to_lowercase().contains("\nbcc:"), "{fields}");
    assert!(field("Message-ID: ").ends_with("@my.example>"));
    assert!(field("X-Postroom-Forwarded: ").contains("; route="));
    assert!(fields.contains("To: a@example.com,\r\n b@example.com"));

    let boundary = field("Content-Type: ").split('"').nth(1).unwrap();
    assert!(boundary.len() <= 70, "RFC 2046 section 5.1.1");
    let parts: Vec<&str> = body.split(&format!("--{boundary}")).collect();
    assert_eq!((parts.len(), parts[0], parts[3]), (4, "", "--\r\n"));
    let (part_fields, original) = parts[2].split_once("\r\n\r\n").unwrap();
    assert!(part_fields.contains("Content-Type: message/rfc822"));
    assert_eq!(original.strip_suffix("\r\n").unwrap().as_bytes(), raw);
}

#[test]
fn wrapping_twice_gives_the_same_octets() {
    let mail = Mail::new().subject("x");
    assert_eq!(wrapped(&mail, None), wrapped(&mail, None));
    assert!(wrapped(&mail, Some("[home] {subject}")).contains("\r\nSubject: [home] x\r\n"));
}

#[test]
fn senseless_settings_are_refused_before_any_mail() {
    let refused = |settings: Value| Bench::new().configure::<Forward>(&settings).unwrap_err()[0].path.clone();
    assert_eq!(refused(json!({ "sink": "r", "to": [] })), "settings.to");
    assert_eq!(refused(json!({ "sink": "r", "to": ["a@b.example", "A <a@b.example>"] })), "settings.to[1]");
    assert_eq!(refused(json!({ "sink": "r", "to": ["a@b.example"], "mode": "wrap" })), "settings.from");
    assert_eq!(
        refused(json!({ "sink": "r", "to": ["a@b.example"], "mode": "wrap", "from": "x" })),
        "settings.from"
    );
    assert_eq!(
        refused(json!({ "sink": "r", "to": ["a@b.example"], "from": "x@y.example" })),
        "settings.from"
    );
    assert_eq!(refused(json!({ "sink": "r", "to": ["a@b.example"], "subject": "x" })), "settings.subject");
    assert_eq!(refused(json!({ "sink": "r", "to": ["a@b.example"], "mode": "bounce" })), "settings.mode");
}
