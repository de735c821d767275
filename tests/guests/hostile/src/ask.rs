//! Asks for what it may not have, or for too much of what it may.

use crate::postroom::plugin::content::Writer;
use crate::postroom::plugin::mail::Message;
use crate::postroom::plugin::{effects, kv};
use crate::{say, text, told};

fn option(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

/// One of everything, to see that nothing of it happens.
pub fn everything(message: &Message) {
    let raw = message.raw();
    told("store", effects::store("vault", "late/one.eml", &raw, &[]));
    told("file", effects::file_into("home", "Late", &raw, &[]));
    told("forward", effects::forward("relay", &["a@shop.example".to_owned()], &[]));
    told("label", effects::label("late"));
    told("discard", effects::discard("late"));
    told("kv", kv::set("late", b"late"));
    effects::stop();
}

/// `configure` has no message: nothing can be asked for.
pub fn outside() {
    let writer = Writer::new();
    told("write", writer.write(b"x"));
    let blob = writer.finish().expect("small");
    told("store", effects::store("vault", "a", &blob, &[]));
    told("file", effects::file_into("home", "a", &blob, &[]));
    told("forward", effects::forward("relay", &["a@shop.example".to_owned()], &[]));
    told("send", effects::send("relay", &["a@shop.example".to_owned()], &blob, &[]));
    told("label", effects::label("a"));
    told("discard", effects::discard("a"));
    told("quarantine", effects::quarantine("a"));
    told("get", kv::get("a"));
    told("set", kv::set("a", b"a"));
    effects::stop();
    effects::retry_after(1);
    panic!("asked outside");
}

/// Counts what was granted and tells the first refusal.
fn flood<T>(what: &str, rounds: u32, mut ask: impl FnMut(u32) -> Result<T, crate::Fault>) {
    let mut granted = 0_u32;
    let mut first = None;
    for round in 0..rounds {
        match ask(round) {
            Ok(_) => granted += 1,
            Err(fault) => {
                first.get_or_insert(fault);
            }
        }
    }
    say("granted", granted);
    told::<()>(what, first.map_or(Ok(()), Err));
}

pub fn effects_flood(message: &Message) {
    let raw = message.raw();
    flood("flood", 5000, |round| effects::store("vault", &format!("flood/{round}"), &raw, &[]));
}

pub fn labels_flood() {
    flood("flood", 5000, |round| effects::label(&format!("label-{round}")));
}

pub fn label_names() {
    for (what, name) in [("empty", ""), ("control", "a\nb"), ("path", "../a"), ("spaces", " a b "), ("bidi", "a\u{202e}b")] {
        told(what, effects::label(name));
    }
    told("long", effects::label(&"x".repeat(1 << 20)));
}

pub fn kv_flood() {
    flood("flood", 5000, |round| kv::set(&format!("key-{round}"), b"x"));
}

pub fn kv_keys() {
    told("empty", kv::set("", b"x"));
    told("long", kv::set(&"k".repeat(1 << 20), b"x"));
    told("value", kv::set("value", &vec![0; 2 << 20]));
    told("path", kv::set("../../other/step", b"x"));
    told("zero", kv::set("a\0b", b"x"));
}

pub fn keys(message: &Message) {
    let raw = message.raw();
    let long = "k".repeat(10_000);
    let deep = "a/".repeat(5000);
    let hostile = [
        ("parent", "../etc/passwd"),
        ("inside", "a/../../b"),
        ("dot", "a/./b"),
        ("absolute", "/etc/passwd"),
        ("zero", "a\0b"),
        ("newline", "a\r\nb"),
        ("empty", ""),
        ("double", "a//b"),
        ("trailing", "a/"),
        ("backslash", "..\\..\\a"),
        ("device", "CON"),
        ("device-ext", "a/NUL.txt"),
        ("stream", "a:b"),
        ("long", long.as_str()),
        ("deep", deep.as_str()),
        ("bidi", "a\u{202e}fdp.exe"),
        ("dot-end", "a."),
        ("home", "~/.ssh/authorized_keys"),
        ("escape", "a\u{1b}[2J"),
    ];
    for (what, key) in hostile {
        told(what, effects::store("vault", key, &raw, &[]));
    }
}

pub fn mailboxes(message: &Message) {
    let raw = message.raw();
    let hostile = [
        ("parent", "../other"),
        ("absolute", "/var/mail/root"),
        ("zero", "a\0b"),
        ("newline", "a\nb"),
        ("new", "a/new/../../x"),
        ("dots", ".."),
        ("escape", "a\u{1b}b"),
    ];
    for (what, mailbox) in hostile {
        told(what, effects::file_into("home", mailbox, &raw, &[]));
    }
    told("long", effects::file_into("home", &"m".repeat(1 << 20), &raw, &[]));
}

pub fn recipients(message: &Message) {
    let many: Vec<String> = (0..10_000).map(|n| format!("a{n}@shop.example")).collect();
    told("many", effects::forward("relay", &many, &[]));
    told("many-send", effects::send("relay", &many, &message.raw(), &[]));
    let hostile = [
        ("empty", ""),
        ("command", "a@shop.example>\r\nRCPT TO:<b@shop.example"),
        ("parameter", "a@shop.example> SIZE=1"),
        ("no-domain", "root"),
        ("pipe", "|/bin/sh"),
        ("file", "/etc/passwd"),
        ("list", "a@shop.example,b@shop.example"),
        ("zero", "a\0@shop.example"),
        ("dash", "-oQ/tmp@shop.example"),
    ];
    for (what, to) in hostile {
        told(what, effects::forward("relay", &[to.to_owned()], &[]));
    }
    told("long", effects::forward("relay", &[format!("{}@shop.example", "a".repeat(5000))], &[]));
}

pub fn headers() {
    let to = ["a@shop.example".to_owned()];
    let ask = |name: &str, value: &str| effects::forward("relay", &to, &option(name, value));
    told("value-crlf", ask("X-A", "b\r\nBcc: c@shop.example"));
    told("value-lf", ask("X-A", "b\nBcc: c@shop.example"));
    told("value-cr", ask("X-A", "b\rc"));
    told("value-end", ask("X-A", "b\r\n\r\nbody"));
    told("name-crlf", ask("X-A\r\nBcc", "b"));
    told("name-colon", ask("X-A: b\nBcc", "c"));
    told("name-empty", ask("", "b"));
    told("name-space", ask("X A", "b"));
    told("zero", ask("X-A", "a\0b"));
    told("long", ask("X-A", &"b".repeat(1 << 20)));
    told("many", effects::forward("relay", &to, &vec![option("X-A", "b").remove(0); 1000]));
}

pub fn options(message: &Message) {
    let raw = message.raw();
    told("many", effects::store("vault", "a", &raw, &vec![option("meta-a", "b").remove(0); 1000]));
    told("path", effects::store("vault", "a", &raw, &option("path", "/etc/passwd")));
    told("unknown", effects::store("vault", "a", &raw, &option("acl\u{1b}", "public-read")));
    told("overwrite", effects::store("vault", "a", &raw, &option("on-conflict", "overwrite")));
    told("type", effects::store("vault", "a", &raw, &option("content-type", "text/html\r\nSet-Cookie: a")));
    told("meta", effects::store("vault", "a", &raw, &option("meta-a\r\nb", "c")));
    told("large", effects::store("vault", "a", &raw, &option("meta-a", &"b".repeat(1 << 20))));
    told("flags", effects::file_into("home", "", &raw, &option("flags", "S:2,../../x")));
    told("send", effects::send("relay", &["a@shop.example".to_owned()], &raw, &option("from", "root@shop.example")));
}

pub fn options_huge(message: &Message) {
    let many = vec![option("meta-a", "b").remove(0); 500_000];
    told("many", effects::store("vault", "a", &message.raw(), &many));
}

/// The reasons end up in front of people.
pub fn verdicts() {
    let reason = "\u{1b}[2J\u{202e}\r\nall is well".repeat(10_000);
    told("discard", effects::discard(&reason));
    told("quarantine", effects::quarantine(&reason));
    let again = effects::quarantine("again").err().map(|fault| text(&fault));
    say("again", again);
}
