//! Mail goes on once, and loops end.

mod auto;
mod readme;

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

#[test]
fn settings_that_only_another_mode_looks_at_are_refused() {
    let refused = |more: Value| {
        let mut settings = redirecting();
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Bench::new().configure::<Forward>(&settings).unwrap_err()[0].path.clone()
    };
    assert_eq!(refused(json!({ "trusted": "mx.example" })), "settings.trusted");
    assert_eq!(refused(json!({ "relay_insists": true })), "settings.relay_insists");
    assert_eq!(refused(json!({ "mode": "auto" })), "settings.from");
    assert_eq!(
        refused(json!({ "mode": "auto", "from": "f@x.example", "trusted": "a; b" })),
        "settings.trusted"
    );
    assert_eq!(refused(json!({ "resent": true })), "settings.from");
    assert_eq!(refused(json!({ "resent": true, "mode": "wrap", "from": "f@x.example" })), "settings.resent");
    assert_eq!(refused(json!({ "oversize": "skip" })), "settings.oversize");
    assert_eq!(refused(json!({ "max_size": 1, "oversize": "notice" })), "settings.from");
    assert_eq!(refused(json!({ "own": ["x"] })), "settings.own[0]");
    assert_eq!(refused(json!({ "own": ["Archive@Example.com"] })), "settings.to[0]");
    let many: Vec<_> = (0..60).map(|n| format!("recipient{n}@x.example")).collect();
    assert_eq!(refused(json!({ "resent": true, "from": "f@x.example", "to": many })), "settings.resent");
}

#[test]
fn recipients_that_had_the_message_are_left_out_and_without_any_other_it_is_a_loop() {
    let mail = Mail::new().header("Delivered-To", "ARCHIVE@example.com").subject("x");
    refused_as_loop(&bench().run::<Forward>(redirecting(), &mail));
    let two = json!({ "sink": "relay", "to": ["archive@example.com", "b@example.com"] });
    let run = bench().run::<Forward>(two, &mail);
    assert_eq!(run.lines(), ["forward relay to b@example.com"]);
    assert!(run.logs.iter().any(|line| line.level == Level::Warn && line.field("recipients") == Some("1")));
}

#[test]
fn resent_fields_stand_in_one_block_below_the_mark() {
    let settings = json!({ "sink": "relay", "to": ["a@x.example", "b@x.example"], "from": "me@y.example", "resent": true });
    let run = bench().run::<Forward>(settings.clone(), &Mail::new().subject("x"));
    let [Effect::Forward { add_headers, .. }] = &run.effects[..] else { panic!("{run:?}") };
    let names: Vec<&str> = add_headers.iter().map(|(name, _)| name.as_str()).collect();
    let block = ["X-Postroom-Forwarded", "Resent-From", "Resent-To", "Resent-Date", "Resent-Message-ID"];
    assert_eq!(names, block);
    assert_eq!(add_headers[2].1, "a@x.example, b@x.example");
    assert_eq!(add_headers[3].1, "Tue, 24 Nov 2026 10:00:00 +0000");
    assert!(add_headers[4].1.ends_with("@y.example>"), "{add_headers:?}");
    let again = bench().run::<Forward>(settings, &Mail::new().subject("x"));
    assert_eq!(run.effects, again.effects, "the same at every try");
}

#[test]
fn what_is_too_large_is_set_aside_or_told_of_and_never_sent() {
    let run = |oversize: &str| {
        let settings = json!({
            "sink": "relay", "to": ["a@x.example"], "mode": "wrap", "from": "me@y.example", "max_size": "1 KiB",
            "oversize": oversize,
        });
        bench().run::<Forward>(settings, &Mail::new().subject("Plans").text(&"long ".repeat(1000)))
    };
    let [Effect::Quarantine(reason)] = &run("quarantine").effects[..] else { panic!() };
    assert!(reason.contains("more than max_size, 1 KiB"), "{reason}");
    assert_eq!(run("skip").lines(), ["label too-large"]);
    let told = run("notice");
    let [Effect::Label(label), Effect::Send { message, .. }] = &told.effects[..] else { panic!("{told:?}") };
    assert_eq!(label, "too-large");
    let text = String::from_utf8(message.clone()).unwrap();
    assert!(text.contains("\r\nSubject: Not forwarded: Plans\r\n"), "{text}");
    assert!(text.contains("\r\nAuto-Submitted: auto-generated\r\n"), "{text}");
    assert!(!text.contains("long long"), "{text}");
    let small = json!({ "sink": "relay", "to": ["a@x.example"], "max_size": "1 MiB" });
    assert_eq!(bench().run::<Forward>(small, &Mail::new()).lines(), ["forward relay to a@x.example"]);
}
