//! What is extracted, and what is left with its reason.

use postroom_bench::{Bench, Effect, Mail, Run, json};
use postroom_sdk::log::Level;
use serde_json::Value;

use super::*;

fn mail() -> Mail {
    Mail::new()
        .subject("Bill")
        .text("see the file")
        .html("<p>see the file <img src=cid:logo></p>")
        .inline("logo.png", "image/png", "logo", b"PNG")
        .attach("Bill №7.PDF", "application/pdf", b"%PDF-1.7 one")
        .attach("../../etc/passwd", "text/plain", b"root")
        .attach("scan.jpeg", "image/jpeg", b"JPEG")
}

fn run(settings: Value) -> Run {
    let mut settings = settings;
    settings["sink"] = json!("files");
    Bench::new().sink("files").run::<Attachments>(settings, &mail())
}

fn reasons(run: &Run) -> Vec<(String, String)> {
    let skipped = run.logs.iter().filter(|line| line.level == Level::Info && line.text == "skipped");
    let field = |line: &postroom_bench::LogLine, name| line.field(name).unwrap_or("").to_owned();
    skipped.map(|line| (field(line, "name"), field(line, "reason"))).collect()
}

#[test]
fn stores_every_attachment_but_texts_and_decoration_by_default() {
    let run = run(json!({}));
    assert_eq!(
        run.lines(),
        [
            "store files:home/2026-11/Bill №7.PDF 12 octets",
            "store files:home/2026-11/passwd 4 octets",
            "store files:home/2026-11/scan.jpeg 4 octets",
        ]
    );
    assert_eq!(
        reasons(&run),
        [("logo.png".to_owned(), "shown inside the text; inline = true would store it".to_owned())]
    );
}

#[test]
fn keeps_the_senders_name_the_part_and_the_message_beside_the_content() {
    let run = run(json!({ "include": ["*passwd"] }));
    let [Effect::Store { options, content, .. }] = &run.effects[..] else { panic!("{run:?}") };
    let get = |name: &str| options.iter().find(|(option, _)| option == name).map(|(_, value)| value.as_str());
    assert_eq!(get("meta-filename"), Some("../../etc/passwd"));
    assert_eq!(get("meta-part"), Some("3"));
    assert_eq!(get("meta-message").map(str::len), Some(64));
    assert_eq!(get("on-conflict"), Some("number"));
    assert_eq!(get("content-type"), Some("text/plain"));
    assert_eq!(content, b"root");
}

#[test]
fn globs_see_the_decoded_name_whatever_its_case() {
    assert_eq!(run(json!({ "include": ["*.pdf"] })).effects.len(), 1);
    assert_eq!(run(json!({ "include": ["bill №?.{pdf,xml}"] })).effects.len(), 1);
    assert_eq!(
        run(json!({ "exclude": ["*.PDF", "*.jp*g"] })).lines(),
        ["store files:home/2026-11/passwd 4 octets"]
    );
    assert_eq!(run(json!({ "include": [] })).effects.len(), 0);
}

#[test]
fn types_sizes_and_inline_choose() {
    assert_eq!(run(json!({ "types": ["image/*"] })).lines(), ["store files:home/2026-11/scan.jpeg 4 octets"]);
    assert_eq!(run(json!({ "types": ["image/*"], "inline": true })).effects.len(), 2);
    let big = run(json!({ "min_size": "5 B" }));
    assert_eq!(big.lines(), ["store files:home/2026-11/Bill №7.PDF 12 octets"]);
    assert!(reasons(&big).contains(&("scan.jpeg".into(), "4 octets are less than min_size, 5 B".into())));
    assert_eq!(run(json!({ "max_size": 4 })).effects.len(), 2);
}

#[test]
fn a_named_file_declared_inline_is_still_an_attachment() {
    let mail = Mail::new().inline("bill.pdf", "application/pdf", "x", b"%PDF");
    let run = Bench::new().sink("files").run::<Attachments>(json!({ "sink": "files" }), &mail);
    assert_eq!(run.lines(), ["store files:home/2026-11/bill.pdf 4 octets"]);
}

#[test]
fn a_content_id_or_an_inline_disposition_makes_no_decoration_of_a_file() {
    let mail = Mail::new()
        .text("see below")
        .attach("gmail.png", "image/png", b"PNG")
        .content_id("ii_1")
        .inline_file("apple.jpeg", "image/jpeg", b"JPEG")
        .inline_file("apple.txt", "text/plain", b"text")
        .inline("logo.png", "image/png", "logo", b"LOGO");
    let run = Bench::new().sink("files").run::<Attachments>(json!({ "sink": "files" }), &mail);
    assert_eq!(
        run.lines(),
        [
            "store files:home/2026-11/gmail.png 3 octets",
            "store files:home/2026-11/apple.jpeg 4 octets",
            "store files:home/2026-11/apple.txt 4 octets",
        ]
    );
}

#[test]
fn equal_names_are_numbered_and_never_overwrite() {
    let mail = Mail::new()
        .attach("a.pdf", "application/pdf", b"one")
        .attach("a.pdf", "application/pdf", b"two")
        .attach_unnamed("application/pdf", b"three");
    let run = Bench::new().sink("files").run::<Attachments>(json!({ "sink": "files" }), &mail);
    assert_eq!(
        run.lines(),
        [
            "store files:home/2026-11/a.pdf 3 octets",
            "store files:home/2026-11/a.pdf 3 octets",
            "store files:home/2026-11/part-3.pdf 5 octets",
        ]
    );
    let numbered = ("on-conflict".to_owned(), "number".to_owned());
    let is_numbered =
        |effect: &Effect| matches!(effect, Effect::Store { options, .. } if options.contains(&numbered));
    assert!(run.effects.iter().all(is_numbered), "the sink keeps both: {run:?}");
}

#[test]
fn the_key_may_name_the_content() {
    let run = run(json!({ "key": "{content_sha256:8}-{path}", "include": ["*.pdf"] }));
    let [Effect::Store { key, .. }] = &run.effects[..] else { panic!("{run:?}") };
    assert!(key.len() == 10 && key.ends_with("-2"), "{key}");
}

#[test]
fn one_refused_attachment_fails_the_whole_message() {
    let bench = Bench::new().refuse("files", Fault::Transient("disk full".into()));
    let run = bench.run::<Attachments>(json!({ "sink": "files" }), &mail());
    assert_eq!(run.result, Err(Failure::Transient("disk full".into())));
    assert!(run.effects.is_empty());
}

#[test]
fn senseless_settings_are_refused_before_any_mail() {
    let refused =
        |settings: Value| Bench::new().configure::<Attachments>(&settings).unwrap_err()[0].to_string();
    assert!(
        refused(json!({ "sink": "f", "include": ["{a"] }))
            .starts_with("settings.include[0]: \"{a\" is no glob")
    );
    assert!(refused(json!({ "sink": "f", "key": "{date}" })).starts_with("settings.key: "));
    assert!(
        refused(json!({ "sink": "f", "min_size": "1 MB", "max_size": "1 KB" }))
            .starts_with("settings.min_size: ")
    );
    assert!(
        refused(json!({ "sink": "f", "max_size": "huge" }))
            .starts_with("settings.max_size: \"huge\" is no size")
    );
}
