//! The same plugins over the same mails, compiled natively on the bench and as components in the sandbox: what comes of
//! it is the same, to the id of an effect and the text of a fault.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod mails;
mod sides;

use std::time::Duration;

use postroom_bench::json;
use postroom_plugin_archive::Archive;
use postroom_plugin_attachments::Attachments;
use postroom_plugin_filter::Filter;
use postroom_plugin_forward::Forward;
use postroom_plugin_sieve::Sieve;
use postroom_sandbox::Limits;
use receipts::Receipts;
use serde_json::Value;

use crate::sides::{Compared, bundled, example};

/// Time is not compared: this machine may be slow.
fn usual() -> Limits {
    Limits { cpu: Duration::from_secs(30), wall: Duration::from_secs(300), ..Limits::default() }
}

#[test]
fn archive_does_the_same_on_both_sides() {
    let mut compared = Compared::<Archive>::new(bundled("archive"));
    for settings in [
        json!({ "sink": "vault" }),
        json!({ "sink": "vault", "key": "{from_domain}/{from}/{subject}-{uidl}.eml", "compress": "zstd" }),
        json!({ "sink": "home", "mailbox": "Archive/2026", "flags": "S" }),
        json!({ "sink": "home" }),
        json!({ "sink": "elsewhere" }),
    ] {
        compared.over_all(&settings, &usual());
    }
    compared.over_all(&json!({ "sink": "vault" }), &Limits { effects: 0, ..usual() });
    compared.saw(&["a Store", "a FileInto", "fails", "fails: needs", "elsewhere", "asked for 1, allowed 0"]);
}

#[test]
fn attachments_does_the_same_on_both_sides() {
    let mut compared = Compared::<Attachments>::new(bundled("attachments"));
    for settings in [
        json!({ "sink": "vault" }),
        json!({ "sink": "vault", "inline": true, "key": "{content_sha256}/{path}/{filename}" }),
        json!({ "sink": "vault", "manifest": true, "expand": ["zip"], "keep_opened": true, "sniffed": ["*/*"] }),
        json!({ "sink": "vault", "include": ["*.pdf", "*.xml"], "max_size": "10 KiB", "types": ["*/*"] }),
        json!({ "sink": "relay" }),
    ] {
        compared.over_all(&settings, &usual());
    }
    let few = Limits { effects: 1, log_lines: 2, ..usual() };
    compared.over_all(&json!({ "sink": "vault" }), &few);
    compared.saw(&["a Store", "fails", "the message is flawed", "allowed 1", "log lines were dropped"]);
}

#[test]
fn filter_does_the_same_on_both_sides() {
    let mut compared = Compared::<Filter>::new(bundled("filter"));
    let rules = |rules: Value| json!({ "rules": rules });
    for settings in [
        rules(json!([
            { "name": "spam", "when": { "subject": { "regex": "win|gewinn" } }, "then": ["discard: spam"] },
            { "name": "files", "when": { "attachment": ["*.pdf", "*.exe"] }, "then": ["label:file", "continue"] },
            { "name": "any", "when": { "has_attachment": true }, "then": ["label:attached", "quarantine: files"] },
            { "name": "rest", "when": {}, "then": ["label:plain", "stop"] },
        ])),
        rules(json!([{ "when": { "from": "*@*", "larger": "300 B" }, "then": ["label:large"] }])),
        rules(json!([{ "when": { "any": [{ "to": "*" }, { "recipient": "*" }] }, "then": ["stop"] }])),
    ] {
        compared.over_all(&settings, &usual());
    }
    let no_labels = Limits { labels: 0, ..usual() };
    compared.over_all(&rules(json!([{ "when": {}, "then": ["label:x"] }])), &no_labels);
    compared.saw(&["Discard", "Quarantine", "stop: true", "Label(\"file\")", "allowed 0"]);
}

#[test]
fn forward_does_the_same_on_both_sides() {
    let mut compared = Compared::<Forward>::new(bundled("forward"));
    let wrapping = json!({ "sink": "relay", "to": ["a@x.example", "b@x.example"], "mode": "wrap", "from": "p@x.example" });
    for settings in [
        json!({ "sink": "relay", "to": ["a@x.example"] }),
        wrapping.clone(),
        json!({ "sink": "vault", "to": ["a@x.example"] }),
    ] {
        compared.over_all(&settings, &usual());
    }
    compared.over_all(&wrapping, &Limits { recipients: 1, ..usual() });
    compared.over_all(&wrapping, &Limits { made_octets: 100, ..usual() });
    compared.saw(&["a Send", "Label(\"loop\")", "Label(\"bounce\")", "allowed 1", "allowed 100", "fails"]);
}

#[test]
fn sieve_does_the_same_on_both_sides() {
    let mut compared = Compared::<Sieve>::new(bundled("sieve"));
    let script = |text: &str| {
        json!({
            "script": text, "keep": { "sink": "home" }, "mailboxes": { "sink": "home" },
            "redirect": { "sink": "relay" }, "reject": "quarantine",
        })
    };
    for text in [
        "require [\"fileinto\", \"body\", \"variables\", \"imap4flags\"];
         if header :matches \"subject\" \"*\" { setflag \"\\\\Seen seen\"; }
         if body :contains \"a\" { fileinto \"body\"; } else { keep; }",
        "require [\"regex\", \"reject\"]; if header :regex \"subject\" \"win|gewinn\" { reject \"no\"; stop; }
         if exists \"from\" { redirect \"a@x.example\"; } else { discard; }",
        "require [\"duplicate\", \"date\"]; if currentdate \"year\" \"2026\" { discard; } if duplicate { keep; }",
        "require [\"ihave\", \"fileinto\"]; if true { error \"never\"; }",
    ] {
        compared.over_all(&script(text), &usual());
    }
    compared.over_all(&script("keep;"), &Limits { effects: 0, ..usual() });
    compared.saw(&["a FileInto", "Label(\"seen\")", "Quarantine", "the script says: never", "allowed 0"]);
}

#[test]
fn the_example_does_the_same_on_both_sides() {
    let mut compared = Compared::<Receipts>::new(example("receipts"));
    for words in [json!(["invoice", "rechnung"]), json!([""]), json!([])] {
        compared.over_all(&json!({ "sink": "vault", "words": words }), &usual());
    }
    compared.over_all(&json!({ "sink": "home", "words": [""] }), &usual());
    compared.saw(&["a Store", "Label(\"receipt\")", "kept", "fails"]);
}
