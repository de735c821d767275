//! Rules match as they read.

mod actions;
mod conditions;
mod oddities;

use postroom_bench::{Bench, Effect, Mail, Run, json};
use serde_json::Value;

use super::*;

fn mail() -> Mail {
    Mail::new()
        .account("shop")
        .from("Alice <Alice@Shop.example>")
        .to("me@my.example, Bob <bob@my.example>")
        .header("Cc", "team@my.example")
        .header("Delivered-To", "catch-all@my.example")
        .header("X-Spam-Flag", "YES")
        .header("Received", "one")
        .header("Received", "from relay.example by mx")
        .subject("Your Invoice №7")
        .label("seen")
        .text("hello")
}

fn run_on(mail: &Mail, rules: Value) -> Run {
    Bench::new().discard().run::<Filter>(json!({ "rules": rules }), mail)
}

#[track_caller]
fn check(when: Value, expected: bool) -> Run {
    let run = run_on(&mail(), json!([{ "when": when, "then": ["label:hit"] }]));
    assert_eq!(run.result, Ok(()));
    assert_eq!(run.lines() == ["label hit"], expected, "{when}");
    run
}

#[test]
fn readme_examples_come_out_as_they_say() {
    postroom_bench::examples::<Filter>("README.md");
}

#[test]
fn fields_and_addresses_match_by_glob_or_regex_whatever_their_case() {
    check(json!({ "header": { "x-spam-flag": "yes" } }), true);
    check(json!({ "header": { "x-spam-flag": "ye" } }), false);
    check(json!({ "header": { "x-other": "*" } }), false);
    check(json!({ "header": { "received": "*relay.example*" } }), true);
    check(json!({ "header": { "x-spam-flag": "yes", "received": "two" } }), false);
    check(json!({ "header": { "x-spam-flag": { "regex": "^y.s$" } } }), true);
    check(json!({ "subject": "*invoice*" }), true);
    check(json!({ "subject": { "regex": "invoice|receipt" } }), true);
    check(json!({ "subject": ["*nothing*", { "regex": "№\\d$" }] }), true);
    check(json!({ "from": "*@shop.example" }), true);
    check(json!({ "from": ["*@other.example", "alice@*"] }), true);
    check(json!({ "from": "shop.example" }), false);
    check(json!({ "to": "bob@*" }), true);
    check(json!({ "to": "team@*" }), false);
    check(json!({ "cc": "team@*" }), true);
    check(json!({ "recipient": "catch-all@*" }), true);
    check(json!({ "recipient": "alice@*" }), false);
    check(json!({ "from": [] }), false);
}

#[test]
fn origin_labels_and_size_match() {
    check(json!({ "account": "sh*" }), true);
    check(json!({ "account": "home" }), false);
    check(json!({ "label": "seen" }), true);
    check(json!({ "not_label": "seen" }), false);
    check(json!({ "not_label": ["a", "b"] }), true);
    check(json!({ "larger": "10 B", "smaller": "1 MiB" }), true);
    check(json!({ "larger": "1 KiB" }), false);
    check(json!({ "smaller": 10 }), false);
}

#[test]
fn conditions_combine() {
    check(json!({}), true);
    check(json!({ "subject": "*invoice*", "account": "home" }), false);
    check(json!({ "any": [{ "account": "home" }, { "account": "shop" }] }), true);
    check(json!({ "any": [] }), false);
    check(json!({ "all": [{ "account": "shop" }, { "account": "home" }] }), false);
    check(json!({ "all": [] }), true);
    check(json!({ "not": { "account": "home" } }), true);
    check(json!({ "not": { "any": [{ "all": [{ "subject": "*" }] }] } }), false);
}

#[test]
fn mime_is_parsed_only_when_a_rule_depends_on_parts() {
    assert!(!check(json!({ "subject": "*", "from": "*" }), true).parsed);
    assert!(!check(json!({ "account": "home", "has_attachment": true }), false).parsed);
    assert!(check(json!({ "account": "shop", "has_attachment": false }), true).parsed);
}

#[test]
fn attachments_match_by_name_and_decoration_is_none() {
    let decorated = mail().inline("logo.png", "image/png", "logo", b"PNG");
    let hit = |mail: &Mail, when: Value| {
        !run_on(mail, json!([{ "when": when, "then": ["stop"] }])).effects.is_empty()
    };
    assert!(!hit(&decorated, json!({ "has_attachment": true })));
    assert!(!hit(&decorated, json!({ "attachment": "*.png" })));
    let attached =
        decorated.attach("Bill.PDF", "application/pdf", b"%PDF").attach_unnamed("application/zip", b"PK");
    assert!(hit(&attached, json!({ "has_attachment": true })));
    assert!(!hit(&attached, json!({ "has_attachment": false })));
    assert!(hit(&attached, json!({ "attachment": ["*.exe", "*.pdf"] })));
    assert!(!hit(&attached, json!({ "attachment": "*.exe" })));
}

#[test]
fn a_content_id_or_an_inline_disposition_hides_no_attachment() {
    let seen = |mail: &Mail| {
        let rules = json!([{ "name": "r", "when": { "has_attachment": true }, "then": ["label:hit"] }]);
        run_on(mail, rules).lines() == ["label hit"]
    };
    assert!(seen(&Mail::new().attach("a.png", "image/png", b"x").content_id("ii_1")), "Gmail");
    assert!(seen(&Mail::new().inline_file("a.png", "image/png", b"x")), "Apple Mail");
    assert!(!seen(&Mail::new().inline("a.png", "image/png", "logo", b"x")));
}

#[test]
fn the_first_match_wins_unless_it_continues() {
    let rules = json!([
        { "name": "no", "when": { "account": "home" }, "then": ["label:no"] },
        { "name": "first", "when": {}, "then": ["label:one", "continue"] },
        { "when": { "label": "one" }, "then": ["label:two"] },
        { "name": "never", "when": {}, "then": ["discard"] },
    ]);
    let run = run_on(&mail(), rules);
    assert_eq!(run.lines(), ["label one", "label two"]);
    let matched: Vec<_> = run.logs.iter().filter_map(|line| line.field("rule")).collect();
    assert_eq!(matched, ["first", "#3"]);
}

#[test]
fn every_action_happens_with_its_reason() {
    for (action, line) in [
        ("label:Junk/spam", "label junk/spam"),
        ("quarantine", "quarantine filter rule all"),
        ("quarantine: looks odd: very", "quarantine looks odd: very"),
        ("discard", "discard filter rule all"),
        ("discard:old", "discard old"),
        ("stop", "stop"),
    ] {
        let run = run_on(&mail(), json!([{ "name": "all", "when": {}, "then": [action] }]));
        assert_eq!(run.lines(), [line]);
    }
}

#[test]
fn discarding_without_the_grant_fails_and_discards_nothing() {
    let rules = json!({ "rules": [{ "when": {}, "then": ["label:x", "discard"] }] });
    let run = Bench::new().run::<Filter>(rules, &mail());
    assert!(
        matches!(&run.result, Err(Failure::Permanent(text)) if text.contains("discard = true")),
        "{run:?}"
    );
    assert!(run.effects.is_empty());
}

#[track_caller]
fn refused(rules: Value, path: &str, because: &str) {
    let problems = Bench::new().configure::<Filter>(&json!({ "rules": rules })).unwrap_err();
    assert_eq!(problems[0].path, path);
    assert!(problems[0].text.contains(because), "{problems:?}");
}

#[test]
fn senseless_rules_are_refused_before_any_mail() {
    refused(json!([{ "when": {}, "then": [] }]), "settings.rules[0].then", "at least one action");
    refused(json!([{ "then": ["stop"] }]), "settings.rules[0]", "missing field `when`");
    refused(
        json!([{ "when": { "form": "x" }, "then": ["stop"] }]),
        "settings.rules[0].when.form",
        "unknown field `form`",
    );
    refused(
        json!([{ "when": {}, "then": ["stop", "destroy"] }]),
        "settings.rules[0].then[1]",
        "no action; there are",
    );
    refused(json!([{ "when": {}, "then": ["label:a b"] }]), "settings.rules[0].then[0]", "1 to 64 letters");
    refused(
        json!([{ "when": { "from": "[a" }, "then": ["stop"] }]),
        "settings.rules[0].when.from",
        "is no glob",
    );
    refused(
        json!([{ "when": { "any": [{}, { "subject": { "regex": "(" } }] }, "then": ["stop"] }]),
        "settings.rules[0].when.any[1].subject.regex",
        "is no regex",
    );
    refused(
        json!([{ "when": { "larger": "much" }, "then": ["stop"] }]),
        "settings.rules[0].when.larger",
        "is no size",
    );
}
