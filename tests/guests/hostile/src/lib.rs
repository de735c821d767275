//! Hostile in many ways; the settings `{"mode":"…"}` say in which. What the host answers is told in the log, `what: answer`.
//! A mode that starts with `configure-` acts while it is configured.

wit_bindgen::generate!({ path: "../../../sdk/wit", world: "plugin" });

mod ask;
mod consume;
mod probe;

use std::sync::OnceLock;

use exports::postroom::plugin::handler::{Failure, Guest};
use postroom::plugin::effects;
use postroom::plugin::log::{Level, emit};
use postroom::plugin::mail::Message;
use postroom::plugin::types::Fault;

static MODE: OnceLock<String> = OnceLock::new();

struct Plugin;

impl Guest for Plugin {
    fn describe() -> String {
        r#"{"name":"hostile","version":"0.0.0","description":"Hostile in many ways.","settings":{"type":"object"}}"#.to_owned()
    }

    fn configure(settings: String) -> Result<(), Vec<(String, String)>> {
        let mode = settings.split('"').nth(3).unwrap_or_default();
        let _ = MODE.set(mode.to_owned());
        match mode {
            "configure-loop" => consume::spin(),
            "configure-trap" => panic!("no settings please me"),
            "configure-exit" => std::process::exit(7),
            "configure-recursion" => consume::recursion(),
            "configure-memory" => consume::memory(),
            "configure-problems" => {
                let problem = ("p".repeat(5), "\u{1b}[31mwrong\u{1b}[0m ".repeat(2));
                return Err(vec![problem; 20_000]);
            }
            "configure-effects" => ask::outside(),
            "configure-log" => consume::log_flood(),
            _ => {}
        }
        Ok(())
    }

    fn handle(message: &Message) -> Result<(), Failure> {
        match MODE.get().map_or("", String::as_str) {
            "recursion" => consume::recursion(),
            "configure-log" => {}
            "large-frames" => consume::large_frames(),
            "grow" => consume::grow(),
            "calls" => consume::calls(message),
            "print" => consume::print_flood(),
            "log" => consume::log_flood(),
            "log-lines" => consume::huge_lines(),
            "log-fields" => consume::fields_flood(),
            "random" => consume::random_flood(),
            "random-large" => consume::random_large(),
            "sleep" => consume::sleep_for_ever(),
            "blobs" => consume::blob_handles(message),
            "writers" => consume::writer_handles(),
            "slices" => consume::slice_handles(message),
            "parts" => consume::part_handles(message),
            "messages-digest" => consume::digests(message),
            "written" => consume::written(),
            "doubling" => consume::doubling(message),
            "wide-call" => consume::wide_call(message),
            "abort" => std::process::abort(),
            "exit-0" => std::process::exit(0),
            "exit-2" => std::process::exit(2),
            "trap-late" => {
                ask::everything(message);
                panic!("too late: \u{1b}]0;title\u{7} all was asked for");
            }
            "exit-late" => {
                ask::everything(message);
                std::process::exit(0);
            }
            "fail-late" => {
                ask::everything(message);
                return Err(Failure::Permanent("\u{1b}[2J\0\u{202e}x".repeat(200_000)));
            }
            "fail-huge" => return Err(Failure::Permanent("x".repeat(10 << 20))),
            "retry" => {
                effects::retry_after(u32::MAX);
                return Err(Failure::Transient("\r\n\r\nFrom: root".to_owned()));
            }
            "half" => consume::half(message),
            "effects" => ask::effects_flood(message),
            "labels" => ask::labels_flood(),
            "label-names" => ask::label_names(),
            "kv" => ask::kv_flood(),
            "kv-keys" => ask::kv_keys(),
            "keys" => ask::keys(message),
            "mailboxes" => ask::mailboxes(message),
            "recipients" => ask::recipients(message),
            "headers" => ask::headers(),
            "options" => ask::options(message),
            "options-huge" => ask::options_huge(message),
            "verdicts" => ask::verdicts(),
            "sinks" => probe::sinks(message),
            "state" => probe::state(),
            "ambience" => probe::ambience(),
            "edges" => probe::edges(message),
            "names" => probe::header_names(message),
            "control" => probe::control(),
            other => return Err(Failure::Permanent(format!("no mode {other:?}"))),
        }
        Ok(())
    }
}

/// One log line `what: answer`.
fn say(what: &str, answer: impl std::fmt::Debug) {
    emit(Level::Info, &format!("{what}: {answer:?}"), &[]);
}

/// One log line `what: kind of fault: text`.
fn told<T>(what: &str, answer: Result<T, Fault>) {
    let answer = match answer {
        Ok(_) => "granted".to_owned(),
        Err(fault) => text(&fault),
    };
    emit(Level::Info, &format!("{what}: {answer}"), &[]);
}

fn text(fault: &Fault) -> String {
    match fault {
        Fault::Denied(text) => format!("denied: {text}"),
        Fault::Quota(text) => format!("quota: {text}"),
        Fault::Invalid(text) => format!("invalid: {text}"),
        Fault::Missing => "missing".to_owned(),
        Fault::Transient(text) => format!("transient: {text}"),
        Fault::Other(text) => format!("other: {text}"),
    }
}

export!(Plugin);
