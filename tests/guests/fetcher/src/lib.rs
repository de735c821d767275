//! Asks targets. The settings `{"mode":"get TARGET PATH & post TARGET PATH & …"}` say what, in order; `xN` before a call
//! makes it N times, `+NAME=VALUE` behind it adds a header field. Each answer or refusal is one line of the log, and one
//! label `answered` says that all were answered with 200.

wit_bindgen::generate!({ path: "../../../sdk/wit", world: "plugin" });

use std::sync::OnceLock;

use exports::postroom::plugin::handler::{Failure, Guest};
use postroom::plugin::fetch::{self, Response};
use postroom::plugin::log::{Level, emit};
use postroom::plugin::mail::Message;
use postroom::plugin::types::Fault;
use postroom::plugin::effects;

static MODE: OnceLock<String> = OnceLock::new();

struct Plugin;

impl Guest for Plugin {
    fn describe() -> String {
        r#"{"name":"fetcher","version":"0.0.0","description":"Asks targets.","settings":{"type":"object"}}"#.to_owned()
    }

    fn configure(settings: String) -> Result<(), Vec<(String, String)>> {
        let _ = MODE.set(settings.split('"').nth(3).unwrap_or_default().to_owned());
        Ok(())
    }

    fn handle(message: &Message) -> Result<(), Failure> {
        let mode = MODE.get().map_or("", String::as_str);
        let mut all = true;
        for call in mode.split(" & ") {
            let mut words: Vec<&str> = call.split(' ').collect();
            let times = words[0].strip_prefix('x').and_then(|times| times.parse().ok());
            if times.is_some() {
                words.remove(0);
            }
            for _ in 0..times.unwrap_or(1) {
                all &= ask(message, &words)?;
            }
        }
        if all {
            let _ = effects::label("answered");
        }
        Ok(())
    }
}

fn ask(message: &Message, words: &[&str]) -> Result<bool, Failure> {
    let [method, target, path, rest @ ..] = words else {
        return Err(Failure::Permanent(format!("no call: {words:?}")));
    };
    let fields = rest.iter().filter_map(|word| word.strip_prefix('+')?.split_once('='));
    let headers: Vec<_> = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let answer = match *method {
        "post" => fetch::post(target, path, &headers, &message.raw()),
        _ => fetch::get(target, path, &headers),
    };
    match answer {
        Ok(response) => Ok(told(&response)),
        Err(Fault::Transient(text)) if *method == "need" => Err(Failure::Transient(text)),
        Err(fault) => {
            say(&fault_text(&fault));
            Ok(false)
        }
    }
}

fn told(response: &Response) -> bool {
    let body = response.body();
    let start = body.read(0, 1000).unwrap_or_default();
    let fields = ["content-type", "set-cookie", "location", "x-hop"].map(|name| response.header(name));
    let status = response.status();
    say(&format!("{status} {} octets {:?} {fields:?}", body.size(), String::from_utf8_lossy(&start)));
    status == 200
}

fn fault_text(fault: &Fault) -> String {
    match fault {
        Fault::Denied(text) => format!("denied: {text}"),
        Fault::Quota(text) => format!("quota: {text}"),
        Fault::Invalid(text) => format!("invalid: {text}"),
        Fault::Missing => "missing".to_owned(),
        Fault::Transient(text) => format!("transient: {text}"),
        Fault::Other(text) => format!("other: {text}"),
    }
}

fn say(text: &str) {
    emit(Level::Info, text, &[]);
}

export!(Plugin);
