//! Looks for what is not its business.

use std::collections::HashMap;

use crate::postroom::plugin::content::Writer;
use crate::postroom::plugin::log::{Level, emit};
use crate::postroom::plugin::mail::{BodyKind, Message};
use crate::postroom::plugin::{effects, kv};
use crate::{say, told};

/// A sink that exists but is another step's, and one that nobody has.
pub fn sinks(message: &Message) {
    let raw = message.raw();
    for sink in ["theirs", "nobodys", "", "..", "vault\0", "a/b", "VAULT"] {
        told(&format!("store {sink:?}"), effects::store(sink, "a", &raw, &[]));
        told(&format!("file {sink:?}"), effects::file_into(sink, "", &raw, &[]));
        told(&format!("forward {sink:?}"), effects::forward(sink, &["a@shop.example".to_owned()], &[]));
        told(&format!("send {sink:?}"), effects::send(sink, &["a@shop.example".to_owned()], &raw, &[]));
    }
}

/// Keys that look like those of other steps and accounts.
pub fn state() {
    for key in ["shop/other/home/secret", "../other/secret", "secret", "other\0secret", "%2e%2e/secret"] {
        say(&format!("{key:?}"), kv::get(key).map_err(|fault| crate::text(&fault)));
    }
}

pub fn ambience() {
    say("variables", std::env::vars().count());
    say("path", std::env::var("PATH").is_ok());
    say("arguments", std::env::args().count());
    say("directory", std::env::current_dir().is_ok());
    say("executable", std::env::current_exe().is_ok());
    say("stdin", std::io::read_to_string(std::io::stdin()).map_err(|error| error.kind()));
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map(|since| since.as_nanos()).ok();
    let start = (now(), std::time::Instant::now());
    let turns = (0..200_000_u64).fold(0_u64, |sum, turn| std::hint::black_box(sum + turn));
    say("wall", now() == start.0);
    say("elapsed", (start.1.elapsed().as_nanos(), turns > 0));
    say("now", now());
    say("random", random());
    say("thread", std::thread::Builder::new().spawn(|| ()).is_ok());
    say("order", (0..20).map(|n| (n, n)).collect::<HashMap<u8, u8>>().into_keys().collect::<Vec<_>>());
    say("address", std::ptr::from_ref(&start).addr());
    let zero = std::hint::black_box(0.0_f64);
    say("nan", ((zero / zero).to_bits(), (zero * f64::NEG_INFINITY).to_bits(), (zero / zero).to_bits() as i64 > 0));
}

fn random() -> u64 {
    std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 1)
}

/// Ranges past the end, and those whose sums pass 2^64.
pub fn edges(message: &Message) {
    let raw = message.raw();
    let size = raw.size();
    let read = |offset, len| raw.read(offset, len).map(|octets| octets.len()).map_err(|fault| crate::text(&fault));
    say("read-past", read(size + 1, 10));
    say("read-end", read(size, 1));
    say("read-last", read(size - 1, u32::MAX));
    say("read-max", read(u64::MAX, u32::MAX));
    say("read-wrap", read(u64::MAX - 5, 10));
    told("slice-past", raw.slice(0, size + 1));
    told("slice-wrap", raw.slice(u64::MAX, 2));
    told("slice-max", raw.slice(u64::MAX, u64::MAX));
    told("slice-half", raw.slice(1 << 63, 1 << 63));
    let (one, two) = (raw.slice(0, 6).expect("inside"), raw.slice(3, 6).expect("inside"));
    let writer = Writer::new();
    told("overlap-one", writer.append(&one));
    told("overlap-two", writer.append(&two));
    let both = writer.finish().expect("small");
    say("overlap", (both.size(), both.read(0, 100).map(|octets| octets.len()).unwrap_or(0)));
    told("slice-made", both.slice(6, 7));
    let mut nested = raw.slice(0, size).expect("inside");
    for _ in 0..10_000 {
        nested = nested.slice(0, nested.size()).expect("the same");
    }
    say("nested", nested.size() == size);
    let empty = raw.slice(size, 0).expect("nothing");
    say("empty", (empty.size(), empty.read(0, 1).map(|octets| octets.len()).unwrap_or(9)));
    let writer = Writer::new();
    for piece in 0..1000 {
        if let Err(fault) = writer.append(&one) {
            say("pieces", piece);
            told::<()>("piece", Err(fault));
            break;
        }
    }
}

pub fn header_names(message: &Message) {
    for name in ["", "\0", "a\r\nb", "subject:", "*", "../subject", "\u{1f4a3}"] {
        say(&format!("{name:?}"), (message.header(name), message.header_all(name).len(), message.addresses(name).len()));
    }
    say("body", (message.body(BodyKind::Text, 0), message.body(BodyKind::Html, u32::MAX)));
    say("parts", message.parts().len());
}

/// What a terminal or a log viewer would obey.
pub fn control() {
    let hostile = "\u{1b}[2J\u{1b}]8;;http://shop.example\u{7}\u{9b}31m\r\n\u{0}\u{202e}\u{2066}\u{feff}\u{7f}level=error";
    emit(Level::Warn, hostile, &[(hostile.to_owned(), hostile.to_owned())]);
    println!("{hostile}");
    eprintln!("{hostile}");
}
