//! Scripts: whatever the octets, reading one ends, what is wrong has a place inside, and running it over a small mail gives
//! the same every time.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use postroom_bench::{Bench, Mail, json};
use postroom_plugin_sieve::{Script, Sieve};

static MAIL: LazyLock<Mail> = LazyLock::new(|| {
    Mail::new()
        .from("Coyote <coyote+acme@desert.example>")
        .to("a@b.example, \"c, d\" <e+f@g.example>")
        .subject("Grüße [list] 10")
        .header("Return-Path", "<bounce@desert.example>")
        .header("Delivered-To", "me+x@my.example")
        .header("Message-ID", "<1@desert.example>")
        .header("Received", "from a by b; Tue, 24 Nov 2026 10:00:00 +0100")
        .header("Date", "Tue, 24 Nov 2026 10:00:00 +0100")
        .text("hello\n")
        .html("<p>hello &amp; bye</p>")
});
static BENCH: LazyLock<Bench> =
    LazyLock::new(|| Bench::new().mailbox("home").relay("relay").discard().kv());

fuzz_target!(|octets: &[u8]| {
    let script = String::from_utf8_lossy(octets).into_owned();
    if let Err(text) = Script::try_from(script.clone()) {
        assert!(text.starts_with("line ") || text.starts_with("the script has "), "{text}");
        return;
    }
    let settings = json!({
        "script": script,
        "keep": { "sink": "home" },
        "mailboxes": { "sink": "home" },
        "redirect": { "sink": "relay" },
        "reject": "quarantine",
        "discard": "discard",
    });
    let run = BENCH.run::<Sieve>(settings.clone(), &MAIL);
    assert!(run.result.is_ok() || run.effects.is_empty());
    let again = BENCH.run::<Sieve>(settings, &MAIL);
    assert_eq!((run.result, run.effects, run.kv), (again.result, again.effects, again.kv));
});
