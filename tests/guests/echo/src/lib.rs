//! Well-behaved: uses every host function and reports what it saw in its log. The settings `{"mode":"…"}` say what to do.

wit_bindgen::generate!({ path: "../../../sdk/wit", world: "plugin" });

use std::sync::OnceLock;

use exports::postroom::plugin::handler::{Failure, Guest};
use postroom::plugin::content::{Blob, Writer};
use postroom::plugin::log::{Level, emit};
use postroom::plugin::mail::{BodyKind, Message, Part};
use postroom::plugin::types::Fault;
use postroom::plugin::{effects, kv};

static MODE: OnceLock<String> = OnceLock::new();

static CALLS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

struct Plugin;

impl Guest for Plugin {
    fn describe() -> String {
        r#"{"name":"echo","version":"0.0.0","description":"Reports what it sees.","settings":{"type":"object"}}"#.to_owned()
    }

    fn configure(settings: String) -> Result<(), Vec<(String, String)>> {
        match settings.split('"').nth(3) {
            Some("wrong") => Err(vec![
                ("mode".to_owned(), "must not be \"wrong\"".to_owned()),
                ("".to_owned(), "and in general".to_owned()),
            ]),
            mode => {
                let _ = MODE.set(mode.unwrap_or_default().to_owned());
                Ok(())
            }
        }
    }

    fn handle(message: &Message) -> Result<(), Failure> {
        match MODE.get().map_or("", String::as_str) {
            "survey" => survey(message),
            "effects" => ask(message).map_err(|fault| Failure::Permanent(fault_text(&fault))),
            "denied" => denied(message),
            "invalid" => invalid(message),
            "state" => state().map_err(|fault| Failure::Permanent(fault_text(&fault))),
            "ambience" => ambience(),
            "blobs" => blobs(message).map_err(|fault| Failure::Permanent(fault_text(&fault))),
            "handles" => handles(message),
            "deep" => {
                say("deep", deep(message.size()));
                Ok(())
            }
            "transfer" => {
                let _ = Writer::new().write(&vec![0; 5 << 20]);
                Err(Failure::Permanent("it was taken".to_owned()))
            }
            "memory" => {
                say("before", CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
                Ok(())
            }
            "sleep" => {
                std::thread::sleep(std::time::Duration::from_secs(3600));
                say("slept", "an hour");
                Ok(())
            }
            "transient" => {
                effects::retry_after(90);
                let _ = effects::label("never-committed");
                Err(Failure::Transient("come back\nlater".to_owned()))
            }
            "permanent" => {
                let _ = effects::label("never-committed");
                let _ = effects::store("vault", "never.eml", &message.raw(), &[]);
                Err(Failure::Permanent("no use".to_owned()))
            }
            other => Err(Failure::Permanent(format!("no mode {other:?}"))),
        }
    }
}

/// One log line `what: value`.
fn say(what: &str, value: impl std::fmt::Debug) {
    emit(Level::Info, &format!("{what}: {value:?}"), &[]);
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

/// One log line about what should have been refused.
fn refused<T>(what: &str, answer: Result<T, Fault>) {
    match answer {
        Ok(_) => emit(Level::Error, &format!("{what}: allowed"), &[]),
        Err(fault) => emit(Level::Info, &format!("{what}: {}", fault_text(&fault)), &[]),
    }
}

fn survey(message: &Message) -> Result<(), Failure> {
    say("id", message.id());
    say("account", message.account());
    say("uidl", message.uidl());
    say("sha256", message.sha256());
    say("size", message.size());
    say("received", message.received_ms());
    say("subject", message.header("subject"));
    say("received fields", message.header_all("received").len());
    say("raw subject", message.header_raw("Subject").iter().map(Vec::len).collect::<Vec<_>>());
    say("to", message.addresses("to").iter().map(|to| to.email.clone()).collect::<Vec<_>>());
    say("date", message.date_ms());
    say("labels", message.labels());
    say("text", message.body(BodyKind::Text, 1000));
    say("text cut", message.body(BodyKind::Text, 3));
    say("html", message.body(BodyKind::Html, 1000));
    for part in message.parts() {
        say("part", describe(&part));
    }
    say("attachments", message.attachments().iter().map(Part::path).collect::<Vec<_>>());
    emit(Level::Warn, "with fields", &[("key".to_owned(), "va\u{1b}[31mlue".to_owned())]);
    Ok(())
}

fn describe(part: &Part) -> String {
    let content = part.content().map(|blob| blob.read(0, 100).map(|octets| String::from_utf8_lossy(&octets).into_owned()));
    format!(
        "{} {} {:?} {} {:?} inline={} attachment={} size={} {content:?}",
        part.path(),
        part.content_type(),
        part.filename(),
        part.safe_filename(),
        part.content_id(),
        part.is_inline(),
        part.is_attachment(),
        part.size(),
    )
}

fn ask(message: &Message) -> Result<(), Fault> {
    let raw = message.raw();
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let options = [option("compress", "zstd"), option("on-conflict", "number"), option("content-type", "message/rfc822"), option("meta-from", "echo")];
    let key = effects::store("vault", "mail/one.eml", &raw, &options)?;
    say("key", key);
    effects::store("vault", "mail/one.eml", &raw, &options)?;
    let writer = Writer::new();
    writer.write(b"X-Made: yes\r\n")?;
    writer.append(&raw)?;
    let made = writer.finish()?;
    effects::file_into("home", "Archive", &made, &[option("flags", "SFS")])?;
    effects::forward("relay", &["b@shop.example".to_owned(), "b@shop.example".to_owned()], &[option("X-Forwarded", "echo")])?;
    effects::send("relay", &["c@shop.example".to_owned()], &made, &[])?;
    effects::label("seen-by-echo")?;
    effects::label("seen-by-echo")?;
    effects::discard("first")?;
    effects::quarantine("second")?;
    effects::discard("third")?;
    effects::stop();
    say("labels", message.labels());
    Ok(())
}

fn denied(message: &Message) -> Result<(), Failure> {
    let raw = message.raw();
    refused("store", effects::store("elsewhere", "a", &raw, &[]));
    refused("kind", effects::file_into("vault", "", &raw, &[]));
    refused("discard", effects::discard("because"));
    refused("kv", kv::get("a"));
    effects::store("vault", "allowed.eml", &raw, &[]).map(drop).map_err(|fault| Failure::Permanent(fault_text(&fault)))
}

fn invalid(message: &Message) -> Result<(), Failure> {
    let raw = message.raw();
    let option = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let many = vec!["a@shop.example".to_owned(); 11];
    refused("option", effects::store("vault", "a", &raw, &option("colour", "red")));
    refused("conflict", effects::store("vault", "a", &raw, &option("on-conflict", "overwrite")));
    refused("twice", effects::store("vault", "a", &raw, &[option("compress", "zstd"), option("compress", "zstd")].concat()));
    refused("options", effects::store("vault", "a", &raw, &vec![option("meta-a", "b").remove(0); 1000]));
    refused("meta", effects::store("vault", "a", &raw, &option("meta-A B", "x")));
    refused("type", effects::store("vault", "a", &raw, &option("content-type", "a\r\nb")));
    refused("flags", effects::file_into("home", "", &raw, &option("flags", "X")));
    refused("send option", effects::send("relay", &many[..1], &raw, &option("a", "b")));
    refused("nobody", effects::forward("relay", &[], &[]));
    refused("everybody", effects::forward("relay", &many, &[]));
    refused("sink name", effects::store("../vault", "a", &raw, &[]));
    refused("slice", raw.slice(raw.size(), 1));
    Ok(())
}

fn state() -> Result<(), Fault> {
    say("before", kv::get("seen")?);
    kv::set("seen", b"once")?;
    kv::set("seen", b"twice")?;
    kv::set("other", b"x")?;
    kv::delete("other")?;
    say("after", (kv::get("seen")?, kv::get("other")?));
    refused("empty key", kv::get(""));
    refused("long key", kv::get(&"k".repeat(257)));
    refused("large value", kv::set("large", &vec![0; 70_000]));
    refused("broken", kv::get("broken"));
    for _ in 0..64 {
        if let Err(fault) = kv::get("seen") {
            refused::<()>("often", Err(fault));
            break;
        }
    }
    Ok(())
}

fn ambience() -> Result<(), Failure> {
    say("environment", std::env::vars().count());
    say("arguments", std::env::args().count());
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    say("now", since.map(|since| since.as_millis()).ok());
    say("hash", std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 1));
    let start = std::time::Instant::now();
    say("elapsed", start.elapsed().as_nanos());
    println!("to stdout");
    eprint!("to ");
    eprintln!("stderr\u{1b}[2J");
    say("stdin", std::io::read_to_string(std::io::stdin()).map_err(|error| error.kind()));
    Ok(())
}

fn blobs(message: &Message) -> Result<(), Fault> {
    let raw = message.raw();
    let whole = raw.read(0, u32::MAX)?;
    say("whole", whole.len());
    let middle = raw.slice(2, 6)?;
    say("slice", (String::from_utf8_lossy(&middle.read(0, 100)?), middle.size()));
    say("past the end", raw.read(raw.size() + 10, 10)?.len());
    let writer = Writer::new();
    writer.write(b"<")?;
    writer.append(&middle)?;
    writer.write(b">")?;
    let made: Blob = writer.finish()?;
    say("made", (String::from_utf8_lossy(&made.read(0, 100)?), made.size(), made.sha256()));
    say("raw", raw.sha256() == message.sha256());
    Ok(())
}

#[allow(unconditional_recursion)]
fn deep(at: u64) -> u64 {
    std::hint::black_box([at; 16]).iter().sum::<u64>() + deep(at + 1)
}

fn handles(message: &Message) -> Result<(), Failure> {
    let held: Vec<Blob> = (0..100_000).map(|_| message.raw()).collect();
    Err(Failure::Permanent(format!("held {}", held.len())))
}

export!(Plugin);
