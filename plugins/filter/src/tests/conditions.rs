//! The conditions that look closer.

use super::*;

const DAY: i64 = 86_400_000;
const NOW: i64 = 1_795_514_400_000;

#[track_caller]
fn on(mail: &Mail, when: Value, expected: bool) {
    let run = run_on(mail, json!([{ "when": when, "then": ["label:hit"] }]));
    assert_eq!(run.result, Ok(()));
    assert_eq!(run.lines() == ["label hit"], expected, "{when}");
}

#[track_caller]
fn listed(mail: &Mail, lists: Value, when: Value, expected: bool) {
    let settings = json!({ "rules": [{ "when": when, "then": ["label:hit"] }], "lists": lists });
    let run = Bench::new().run::<Filter>(settings, mail);
    assert_eq!(run.result, Ok(()));
    assert_eq!(run.lines() == ["label hit"], expected, "{when}");
}

#[test]
fn parts_of_an_address_match_on_the_same_address() {
    check(json!({ "from": { "domain": "shop.example" } }), true);
    check(json!({ "from": { "local": "alice", "domain": ["x", "*.example"] } }), true);
    check(json!({ "from": { "name": "ali*" } }), true);
    check(json!({ "from": { "name": { "regex": "^bob" } } }), false);
    check(json!({ "to": { "name": "Bob", "local": "me" } }), false);
    check(json!({ "to": { "name": "Bob", "local": "bob" } }), true);
    check(json!({ "to": [{ "local": "nobody" }, "me@*"] }), true);
    check(json!({ "address": { "Delivered-To": { "local": "catch-*" } } }), true);
    check(json!({ "address": { "Reply-To": "*" } }), false);
}

#[test]
fn a_decoded_header_is_not_the_raw_one() {
    check(json!({ "header": { "Subject": "*№7" } }), true);
    check(json!({ "header_raw": { "Subject": "*№7" } }), false);
    check(json!({ "header_raw": { "Subject": "=?utf-8?*" } }), true);
    check(json!({ "exists": "X-Spam-Flag" }), true);
    check(json!({ "exists": ["X-Spam-Flag", "X-Other"] }), false);
    check(json!({ "exists": [] }), true);
}

#[test]
fn the_list_id_is_what_stands_in_the_angle_brackets() {
    let list = |value: &str| Mail::new().header("List-Id", value).text("x");
    on(&list("Friends of <Tea> <tea.lists.example>"), json!({ "list_id": "tea.lists.example" }), true);
    on(&list("tea.lists.example"), json!({ "list_id": "*.lists.example" }), true);
    on(&list("<tea.lists.example>"), json!({ "list_id": "lists.example" }), false);
    check(json!({ "list_id": "*" }), false);
}

#[test]
fn dates_are_of_the_field_or_of_the_retrieval() {
    let dated = |days: i64| Mail::new().date_ms(NOW - days * DAY).text("x");
    on(&dated(10), json!({ "date": { "older": "9d" } }), true);
    on(&dated(10), json!({ "date": { "older": "10d" } }), false);
    on(&dated(10), json!({ "date": { "newer": "2w" } }), true);
    on(&dated(-1), json!({ "date": { "newer": "1h" } }), true);
    on(&dated(10), json!({ "date": { "before": "2026-11-15" } }), true);
    on(
        &dated(10),
        json!({ "date": { "after": "2026-11-14T10:00:00Z", "before": "2026-11-14T10:00:01Z" } }),
        true,
    );
    on(&dated(10), json!({ "retrieved": { "after": "2026-11-24" } }), true);
    on(&dated(10), json!({ "retrieved": { "before": "2026-11-24T11:00:00+01:00" } }), false);
    for test in [json!({ "older": "1d" }), json!({ "newer": "1d" }), json!({ "after": "1970-01-01" })] {
        on(&Mail::new().text("x"), json!({ "date": test }), false);
    }
}

#[test]
fn the_text_is_looked_at_and_html_only_when_there_is_none() {
    let plain = Mail::new().text("Dear friend,\nfree money").html("<p>other <b>words</b></p>");
    on(&plain, json!({ "body": "*free money*" }), true);
    on(&plain, json!({ "body": { "regex": "^dear" } }), true);
    on(&plain, json!({ "body": "*words*" }), false);
    let html = Mail::new().html("<style>p { color: red }</style><p>Free<br>mo<b>ne</b>y &amp; more</p>");
    on(&html, json!({ "body": { "regex": "free money & more" } }), true);
    on(&html, json!({ "body": "*color*" }), false);
    on(&Mail::new().text(" \n").html("<p>words</p>"), json!({ "body": "*words*" }), true);
    on(&Mail::new(), json!({ "body": "*x*" }), false);
}

#[test]
fn no_more_of_the_text_is_looked_at_than_the_limit() {
    let late = Mail::new().text(&format!("{} needle", "x ".repeat(3000)));
    let found = |limit: Value| {
        let rules = json!([{ "when": { "body": "*needle*" }, "then": ["stop"] }]);
        let settings = json!({ "rules": rules, "body_limit": limit });
        !Bench::new().run::<Filter>(settings, &late).effects.is_empty()
    };
    assert!(found(json!("64 KiB")) && !found(json!("4 KiB")));
}

#[test]
fn attachments_match_by_all_keys_of_one_file() {
    let files = mail().attach("Bill.PDF", "application/pdf", &[b'x'; 2000]).attach(
        "run.exe. ",
        "application/octet-stream",
        b"MZ",
    );
    on(&files, json!({ "attachment": { "extension": "pdf", "larger": "1 KiB" } }), true);
    on(&files, json!({ "attachment": { "extension": "pdf", "smaller": "1 KiB" } }), false);
    on(&files, json!({ "attachment": { "extension": ["exe", "js"] } }), true);
    on(&files, json!({ "attachment": { "type": "application/pdf", "name": "run*" } }), false);
    on(&files, json!({ "attachment": [{ "type": "image/*" }, { "regex": "^bill" }] }), true);
    on(&files, json!({ "attachments": { "at_least": 2 } }), true);
    on(&files, json!({ "attachments": { "at_most": 1 } }), false);
    on(&mail(), json!({ "attachments": { "at_most": 0 } }), true);
    on(&mail(), json!({ "attachment": {} }), false);
}

#[test]
fn only_the_named_server_says_who_a_message_is_from() {
    let signed = |results: &[&str]| {
        results.iter().fold(Mail::new(), |mail, value| mail.header("Authentication-Results", value)).text("x")
    };
    let by = |more: Value| {
        let mut test = json!({ "by": "mx.example" });
        test.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "auth": test })
    };
    let own = "mx.example; dkim=pass header.d=shop.example; spf=softfail; dmarc=pass";
    let forged = "mx.example; dkim=pass header.d=bank.example; spf=pass; dmarc=pass";
    on(&signed(&[own]), by(json!({ "dkim": "pass", "dmarc": "pass" })), true);
    on(&signed(&[own]), by(json!({ "spf": ["softfail", "fail"] })), true);
    on(&signed(&[own]), by(json!({ "dkim": "pass", "dkim_domain": "*.example" })), true);
    on(&signed(&[own]), by(json!({ "dkim_domain": "bank.example" })), false);
    on(&signed(&[own, forged]), by(json!({ "dkim_domain": "bank.example" })), false);
    on(&signed(&["evil.example; spf=pass"]), by(json!({ "spf": "pass" })), false);
    on(&signed(&["evil.example; spf=fail", own]), by(json!({ "spf": "softfail" })), true);
    on(&signed(&["mx.example; spf=fail", "mx.example; dkim=pass"]), by(json!({ "dkim": "pass" })), false);
    on(
        &signed(&["mx.example; spf=fail", "mx.example; dkim=pass"]),
        by(json!({ "dkim": "pass", "fields": 2 })),
        true,
    );
    on(&signed(&["mx.example; none"]), by(json!({})), true);
    on(&signed(&[]), by(json!({})), false);
    refused(
        json!([{ "when": { "auth": { "dkim": "pass" } }, "then": ["stop"] }]),
        "settings.rules[0].when.auth",
        "missing field `by`",
    );
}

#[test]
fn lists_hold_addresses_domains_and_words() {
    let lists = json!({ "bad": "mallory@x.example\n@Shop.example\n", "words": "invoice\nfree money\n" });
    listed(&mail(), lists.clone(), json!({ "from": { "list": "bad" } }), true);
    listed(&mail(), lists.clone(), json!({ "to": { "list": "bad" } }), false);
    listed(&mail(), lists.clone(), json!({ "from": { "domain": { "list": "bad" } } }), false);
    listed(&mail(), lists.clone(), json!({ "subject": { "words": "words" } }), true);
    listed(&mail(), lists.clone(), json!({ "body": { "words": "words" } }), false);
    listed(
        &mail().text("FREE\nmoney"),
        lists.clone(),
        json!({ "body": ["*x", { "words": "words" }] }),
        false,
    );
    listed(&Mail::new().text("FREE\nmoney"), lists, json!({ "body": ["*x", { "words": "words" }] }), true);
}

#[test]
fn a_condition_that_needs_the_text_is_looked_at_last() {
    assert!(!check(json!({ "account": "home", "body": "*" }), false).parsed);
    assert!(!check(json!({ "body": "*", "not": { "account": "shop" } }), false).parsed);
    assert!(
        !check(json!({ "auth": { "by": "mx.example" }, "attachments": { "at_least": 1 } }), false).parsed
    );
}
