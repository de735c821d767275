//! Actions that write.

use super::*;

fn bench() -> Bench {
    Bench::new().mailbox("home").mailbox("other").relay("relay").sink("vault")
}

fn run_with(mail: &Mail, then: Value) -> Run {
    let settings = json!({
        "rules": [{ "name": "r", "when": {}, "then": then }],
        "mailboxes": "home", "relay": "relay", "store": "vault",
    });
    bench().run::<Filter>(settings, mail)
}

#[test]
fn messages_are_filed_forwarded_and_stored_as_they_are() {
    let size = mail().octets().len();
    let lines = |then: Value| {
        let run = run_with(&mail(), then);
        assert_eq!(run.result, Ok(()));
        run.lines()
    };
    assert_eq!(lines(json!(["file:Bills/2026"])), [format!("file-into home:Bills/2026 {size} octets")]);
    assert_eq!(lines(json!(["file:INBOX"])), [format!("file-into home: {size} octets")]);
    assert_eq!(lines(json!(["forward:ada@my.example"])), ["forward relay to ada@my.example"]);
    assert_eq!(
        lines(json!(["store:{account}/{subject}.eml"])),
        [format!("store vault:shop/your-invoice-7.eml {size} octets")]
    );
    let tables = json!([
        { "file": "Bills", "sink": "other", "flags": "S" },
        { "forward": ["ada@my.example", "bob@my.example"] },
        { "store": "x.eml.zst", "compress": "zstd" },
        "continue",
    ]);
    assert_eq!(
        lines(tables),
        [
            format!("file-into other:Bills {size} octets"),
            "forward relay to ada@my.example, bob@my.example".to_owned(),
            format!("store vault:x.eml.zst {size} octets"),
        ]
    );
}

#[test]
fn what_would_loop_or_bounce_a_bounce_is_labelled_and_not_forwarded() {
    let then = json!(["forward:ada@my.example"]);
    let first = run_with(&mail(), then.clone());
    let Effect::Forward { add_headers, .. } = &first.effects[0] else { panic!("{first:?}") };
    let (name, mark) = add_headers[0].clone();
    assert_eq!(name, "X-Postroom-Forwarded");
    assert_eq!(run_with(&mail().header(&name, &mark), then.clone()).lines(), ["label loop"]);
    let hops = (0..51).fold(mail(), |mail, _| mail.header("Received", "from a by b"));
    assert_eq!(run_with(&hops, then.clone()).lines(), ["label loop"]);
    assert_eq!(run_with(&mail().header("Return-Path", "<>"), then.clone()).lines(), ["label bounce"]);
    let other = run_with(&mail().header(&name, "x; route=0123456789abcdef"), then);
    assert_eq!(other.lines(), ["forward relay to ada@my.example"]);
}

#[test]
fn a_sink_that_is_not_granted_fails_the_message_and_nothing_happens() {
    let settings =
        json!({ "rules": [{ "when": {}, "then": ["label:x", { "file": "A", "sink": "nowhere" }] }] });
    let run = bench().run::<Filter>(settings, &mail());
    assert!(matches!(&run.result, Err(Failure::Permanent(text)) if text.contains("nowhere")), "{run:?}");
    assert!(run.effects.is_empty());
}

#[test]
fn actions_that_cannot_work_are_refused() {
    let then = |action: Value| json!([{ "when": {}, "then": [action] }]);
    let place = "settings.rules[0].then[0]";
    refused(then(json!("file:A")), place, "set mailboxes = \"SINK\"");
    refused(then(json!("forward:a@b.example")), place, "set relay = \"SINK\"");
    refused(then(json!("store:x")), place, "set store = \"SINK\"");
    refused(then(json!("forward:Ada <a@b.example>")), place, "no bare address");
    refused(
        then(json!({ "forward": [], "sink": "relay" })),
        &format!("{place}.forward"),
        "at least one address",
    );
    refused(then(json!("store:{nope}")), place, "unknown variable {nope}");
    refused(
        then(json!({ "file": "A", "sink": "home", "flags": "SX" })),
        &format!("{place}.file"),
        "'X' is not one of",
    );
    refused(
        then(json!({ "file": "A", "store": "x" })),
        &format!("{place}.file"),
        "an action as a table is one of",
    );
    refused(
        then(json!({ "store": "x", "compress": "gzip" })),
        &format!("{place}.compress"),
        "only be \"zstd\"",
    );
    refused(then(json!({ "fyle": "A" })), &format!("{place}.fyle"), "unknown field");
}
