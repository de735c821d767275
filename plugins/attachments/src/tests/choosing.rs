//! What the operator's rules choose.

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
        [("logo.png".to_owned(), "shown inside the text; inline = \"yes\" would store it".to_owned())]
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
    // Nothing shows the logo either: there is no HTML.
    let run = Bench::new().sink("files").run::<Attachments>(json!({ "sink": "files" }), &mail);
    assert_eq!(
        run.lines(),
        [
            "store files:home/2026-11/logo.png 4 octets",
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
            "store files:home/2026-11/a (2).pdf 3 octets",
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

#[test]
fn a_picture_that_the_text_shows_is_kept_when_it_is_large_or_nothing_shows_it() {
    let picture = vec![7; 100_000];
    let mail = |html: &str| Mail::new().html(html).inline("photo.jpg", "image/jpeg", "p@x", &picture);
    let shown = mail("<img src=\"cid:p%40x\">");
    assert_eq!(keys(&run_over(json!({}), &shown)), ["photo.jpg"]);
    assert_eq!(keys(&run_over(json!({ "decoration_size": "1 MB" }), &shown)), [""; 0]);
    assert_eq!(keys(&run_over(json!({ "inline": "no" }), &shown)), [""; 0]);
    assert_eq!(keys(&run_over(json!({ "inline": "no" }), &mail("<p>"))), ["photo.jpg"]);
    assert_eq!(keys(&run_over(json!({ "inline": "yes" }), &shown)), ["photo.jpg"]);
    assert!(matches!(run_over(json!({ "inline": "maybe" }), &shown).result, Err(Failure::Permanent(_))));
}

#[test]
fn globs_see_the_extension_of_the_content_too() {
    let mail = Mail::new().attach("invoice.dat", "application/octet-stream", b"%PDF-1.7").attach(
        "b.txt",
        "text/plain",
        b"b",
    );
    assert_eq!(keys(&run_over(json!({ "include": ["*.pdf"] }), &mail)), ["invoice.dat"]);
    assert_eq!(keys(&run_over(json!({ "exclude": ["*.pdf"] }), &mail)), ["b.txt"]);
}

#[test]
fn declared_and_sniffed_types_both_choose() {
    let mail = Mail::new().attach("real.pdf", "application/pdf", b"%PDF-1.7").attach(
        "fake.pdf",
        "application/pdf",
        b"MZ\x90\0\x03\0\0\0",
    );
    assert_eq!(keys(&run_over(json!({ "types": ["application/pdf"] }), &mail)), ["real.pdf", "fake.pdf"]);
    assert_eq!(keys(&run_over(json!({ "sniffed": ["application/pdf"] }), &mail)), ["real.pdf"]);
}

#[test]
fn excluding_messages_excludes_those_without_a_name() {
    let text = "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhi\n--b\nContent-Type: message/rfc822\n\n\
                Subject: Re: a/b\n\ninside\n--b--\n";
    assert_eq!(keys(&run_raw(json!({}), text)), ["Re a-b.eml"], "it is called after its subject");
    assert_eq!(keys(&run_raw(json!({ "exclude": ["*.eml"] }), text)), [""; 0]);
}
