//! Scripts over mails on the bench: what is shared. The tests are named after the sections of the RFCs they read.

mod actions;
mod base;
mod dates;
mod errors;
mod extensions;
mod flags;
mod limits;
mod readme;
mod values;
mod variables;

use postroom_bench::{Bench, Effect, Mail, Run, json};
use serde_json::Value;

use super::*;

/// Everything a script can need, each sink with a name of its own.
fn bench() -> Bench {
    Bench::new().mailbox("inbox").mailbox("home").relay("relay").discard().kv()
}

fn settings(script: &str) -> Value {
    json!({
        "script": script,
        "keep": { "sink": "inbox" },
        "mailboxes": { "sink": "home" },
        "redirect": { "sink": "relay" },
        "reject": "quarantine",
        "discard": "discard",
    })
}

fn run_on(mail: &Mail, script: &str) -> Run {
    bench().run::<Sieve>(settings(script), mail)
}

/// What happened, one word an effect: "keep", "keep FS", "file Work", "redirect a@b.example", "label x", "discard".
fn did(run: &Run) -> Vec<String> {
    assert_eq!(run.result, Ok(()));
    let flags = |options: &[(String, String)]| {
        options.first().map(|(_, letters)| format!(" {letters}")).unwrap_or_default()
    };
    let shown = |effect: &Effect| match effect {
        Effect::FileInto { sink, options, .. } if sink == "inbox" => format!("keep{}", flags(options)),
        Effect::FileInto { mailbox, options, .. } => format!("file {mailbox}{}", flags(options)),
        Effect::Forward { to, .. } => format!("redirect {}", to.join(" ")),
        Effect::Quarantine(reason) => format!("quarantine {reason}"),
        Effect::Discard(_) => "discard".to_owned(),
        Effect::Label(name) => format!("label {name}"),
        Effect::Stop => "stop".to_owned(),
        Effect::Store { .. } | Effect::Send { .. } => format!("{effect}"),
    };
    run.effects.iter().map(shown).collect()
}

#[track_caller]
fn does(mail: &Mail, script: &str, expected: &[&str]) {
    assert_eq!(did(&run_on(mail, script)), expected, "{script}");
}

/// Whether a test holds, with these extensions.
#[track_caller]
fn holds(mail: &Mail, extensions: &str, test: &str) -> bool {
    let required: String =
        extensions.split_whitespace().map(|extension| format!("require \"{extension}\";\n")).collect();
    let run = run_on(mail, &format!("{required}require \"fileinto\"; if {test} {{ fileinto \"yes\"; }}"));
    match did(&run).as_slice() {
        [one] if one == "file yes" => true,
        [one] if one == "keep" => false,
        other => panic!("{other:?}"),
    }
}

/// What is wrong with a script, from "line" on.
#[track_caller]
fn wrong(script: &str) -> String {
    let problems = bench().configure::<Sieve>(&settings(script)).expect_err(script);
    assert_eq!(problems[0].path, "settings.script", "{problems:?}");
    problems[0].text.clone()
}

/// Why a run failed.
#[track_caller]
fn failure(mail: &Mail, script: &str) -> String {
    let run = run_on(mail, script);
    assert_eq!(run.effects, [], "nothing happens when a run fails");
    match run.result {
        Err(Failure::Permanent(text)) => text,
        other => panic!("{other:?}"),
    }
}

/// A mail like those in the examples of RFC 5228.
fn coyote() -> Mail {
    Mail::new()
        .from("Wile E. Coyote <coyote@desert.example>")
        .to("roadrunner@acme.example, \"Tweety, Bird\" <tweety+cage@birds.example>")
        .subject("I have a present for you")
        .header("X-Priority", "3")
        .header("Cc", "sylvester@cats.example")
        .header("Date", "Tue, 1 Apr 1997 09:06:31 -0800")
        .header("Message-ID", "<one@desert.example>")
        .text("Look, I'm sorry about the whole anvil thing.\n")
}
