//! What `check` refuses and what it warns of.

use super::*;

/// The places that are warned of.
#[track_caller]
fn places(settings: Value) -> Vec<String> {
    let warnings = Bench::new().warnings::<Filter>(&settings).unwrap();
    warnings.into_iter().map(|warning| warning.path.trim_start_matches("settings.").to_owned()).collect()
}

fn rules(rules: &[(Value, &[&str])]) -> Value {
    let rules = rules.iter().map(|(when, then)| json!({ "when": when, "then": then }));
    json!({ "rules": rules.collect::<Vec<_>>() })
}

#[track_caller]
fn is_dead(earlier: (Value, &[&str]), later: Value, expected: bool) {
    let settings = rules(&[earlier, (later, &["label:later"])]);
    let found = places(settings.clone());
    assert_eq!(found == ["rules[1]"], expected, "{settings} {found:?}");
}

#[test]
fn a_rule_after_one_that_takes_everything_is_never_reached() {
    is_dead((json!({}), &["stop"]), json!({ "subject": "x" }), true);
    is_dead((json!({ "all": [] }), &["stop"]), json!({}), true);
    is_dead((json!({}), &["label:x", "continue"]), json!({ "subject": "x" }), false);
    is_dead((json!({ "any": [] }), &["stop"]), json!({ "subject": "x" }), false);
}

#[test]
fn a_rule_that_asks_for_more_than_an_earlier_one_is_never_reached() {
    let shop = || json!({ "from": "*@shop.example" });
    is_dead((shop(), &["stop"]), shop(), true);
    is_dead((shop(), &["stop"]), json!({ "from": "*@shop.example", "larger": "1 MiB" }), true);
    is_dead((shop(), &["stop"]), json!({ "all": [{ "larger": 5 }, { "any": [shop()] }] }), true);
    is_dead((shop(), &["stop"]), json!({ "any": [shop(), { "larger": 5 }] }), false);
    is_dead((shop(), &["stop"]), json!({ "to": "*@shop.example" }), false);
    is_dead((shop(), &["continue", "stop"]), shop(), false);
    is_dead((json!({ "from": "*@shop.example", "larger": 5 }), &["stop"]), shop(), false);
    let flag = |name: &str| json!({ "header": { name: "yes" } });
    is_dead((flag("X-Flag"), &["stop"]), json!({ "header": { "x-flag": "yes", "x-other": "*" } }), true);
    is_dead((json!({ "not": shop() }), &["stop"]), json!({ "not": shop(), "account": "a" }), true);
}

#[test]
fn a_label_that_is_set_between_two_rules_keeps_the_later_one_alive() {
    let spam = json!({ "label": "spam" });
    let settings = |between: &[&str]| {
        rules(&[
            (spam.clone(), &["stop"]),
            (json!({ "larger": 5 }), between),
            (spam.clone(), &["quarantine"]),
        ])
    };
    assert_eq!(places(settings(&["label:spam", "continue"])), Vec::<String>::new());
    assert_eq!(places(settings(&["quarantine", "continue"])), ["rules[2]"]);
}

#[test]
fn conditions_that_contradict_themselves_are_told() {
    for when in [
        json!({ "larger": "1 MiB", "smaller": "1 MiB" }),
        json!({ "larger": 9, "smaller": 10 }),
        json!({ "larger": 9, "all": [{ "smaller": 5 }] }),
        json!({ "date": { "after": "2026-01-02", "before": "2026-01-02" } }),
        json!({ "date": { "older": "7d", "newer": "1w" } }),
        json!({ "retrieved": { "after": "2026-01-02", "before": "2026-01-01" } }),
        json!({ "attachments": { "at_least": 3, "at_most": 2 } }),
        json!({ "has_attachment": false, "attachment": "*.pdf" }),
        json!({ "label": "a", "not_label": "a" }),
        json!({ "any": [] }),
        json!({ "any": [{ "any": [] }, { "from": [] }] }),
        json!({ "subject": [] }),
        json!({ "not": {} }),
        json!({ "from": "a@*", "larger": 5, "not": { "from": "a@*" } }),
    ] {
        assert_eq!(places(rules(&[(when.clone(), &["stop"])])), ["rules[0].when"], "{when}");
    }
    for when in [
        json!({ "larger": 8, "smaller": 10 }),
        json!({ "date": { "older": "6d", "newer": "1w" } }),
        json!({ "has_attachment": true, "attachments": { "at_most": 1 } }),
        json!({ "label": "a", "not_label": "b" }),
        json!({ "any": [{ "any": [] }, {}] }),
        json!({ "from": "a@*", "not": { "from": "a@*", "larger": 5 } }),
        json!({ "not_label": [], "exists": [], "all": [] }),
    ] {
        assert_eq!(places(rules(&[(when.clone(), &["stop"])])), Vec::<String>::new(), "{when}");
    }
}

#[test]
fn the_text_of_a_warning_names_both_rules() {
    let settings = json!({ "rules": [
        { "name": "all", "when": {}, "then": ["stop"] },
        { "when": { "subject": "x" }, "then": ["stop"] },
    ] });
    let warnings = Bench::new().warnings::<Filter>(&settings).unwrap();
    assert_eq!(
        warnings[0].text,
        "rule #2 is never reached: rule \"all\" before it matches every message, and does not continue"
    );
}

#[test]
fn lists_that_nobody_asks_for_are_told_and_those_that_are_not_there_refused() {
    let with =
        |when: Value, lists: Value| json!({ "rules": [{ "when": when, "then": ["stop"] }], "lists": lists });
    let lists = json!({ "bad": "a@b.example", "old": "x", "empty": "# none\n" });
    let used = json!({ "any": [{ "from": { "list": "bad" } }, { "not": { "body": { "words": "empty" } } }] });
    assert_eq!(places(with(used, lists.clone())), ["lists.empty", "lists.old"]);
    let problems =
        Bench::new().configure::<Filter>(&with(json!({ "from": { "list": "bed" } }), lists)).unwrap_err();
    assert_eq!(problems[0].path, "settings.rules[0].when");
    assert!(
        problems[0].text.contains("no list \"bed\"") && problems[0].text.contains("bad, empty, old"),
        "{problems:?}"
    );
}

#[test]
fn a_rule_without_an_effect_and_a_name_given_twice_are_told() {
    let settings = json!({ "rules": [
        { "name": "a", "when": { "larger": 5 }, "then": ["continue"] },
        { "name": "a", "when": { "larger": 6 }, "then": ["stop"] },
    ] });
    assert_eq!(places(settings), ["rules[0].then", "rules[1].name"]);
}

#[test]
fn patterns_that_cannot_be_are_refused_where_they_stand() {
    let when = |when: Value| json!([{ "when": when, "then": ["stop"] }]);
    let place = "settings.rules[0].when";
    refused(when(json!({ "subject": {} })), &format!("{place}.subject"), "a pattern is a glob, or one of");
    refused(when(json!({ "subject": 5 })), &format!("{place}.subject"), "a text like");
    refused(when(json!({ "from": { "domain": "[" } })), &format!("{place}.from.domain"), "is no glob");
    refused(
        when(json!({ "from": { "domain": "x", "list": "y" } })),
        &format!("{place}.from.domain"),
        "put them into a part",
    );
    refused(
        when(json!({ "attachment": { "nme": "x" } })),
        &format!("{place}.attachment.nme"),
        "unknown field",
    );
    refused(when(json!({ "date": { "older": "soon" } })), &format!("{place}.date.older"), "no span of time");
    refused(when(json!({ "date": { "before": "soon" } })), &format!("{place}.date.before"), "is no date");
    refused(
        when(json!({ "retrieved": { "older": "1d" } })),
        &format!("{place}.retrieved.older"),
        "unknown field",
    );
}
