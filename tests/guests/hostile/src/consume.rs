//! Takes more than is there: time, stack, memory, handles, log, octets.

use std::hint::black_box;

use crate::postroom::plugin::content::Writer;
use crate::postroom::plugin::log::{Level, emit};
use crate::postroom::plugin::mail::Message;
use crate::{say, told};

pub fn spin() {
    loop {
        black_box(());
    }
}

pub fn recursion() {
    say("depth", deep(1));
}

#[allow(unconditional_recursion)]
fn deep(at: u64) -> u64 {
    black_box(at) + deep(at + 1) * 3
}

pub fn large_frames() {
    say("depth", wide(1));
}

#[allow(unconditional_recursion)]
fn wide(at: u8) -> u8 {
    let frame = black_box([at; 64 << 10]);
    frame[usize::from(at)].wrapping_add(wide(frame[100]))
}

pub fn memory() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(vec![1; 1 << 20]);
        black_box(&hoard);
    }
}

/// Address space alone, nothing of it touched.
pub fn grow() {
    loop {
        black_box(Vec::<u8>::with_capacity(8 << 20).leak());
    }
}

pub fn calls(message: &Message) {
    loop {
        black_box(message.size());
    }
}

pub fn print_flood() {
    for _ in 0..3000 {
        println!("{}", "out ".repeat(40));
        eprintln!("{}", "err ".repeat(40));
        print!("never ends");
    }
}

pub fn log_flood() {
    for round in 0..20_000 {
        emit(Level::Error, &format!("line {round}"), &[]);
    }
}

pub fn huge_lines() {
    let line = "\u{1f4a3}\u{1b}".repeat(100_000);
    for _ in 0..20 {
        emit(Level::Info, &line, &[]);
    }
}

pub fn fields_flood() {
    let field = ("name\n".repeat(100), "value\u{7}".repeat(1000));
    emit(Level::Info, "fields", &vec![field; 400]);
}

pub fn random_flood() {
    // A map asks for randomness only once a thread, so the system is asked directly.
    loop {
        black_box(random(4096));
    }
}

pub fn random_large() {
    say("random", random(u32::MAX as usize).len());
}

#[link(wasm_import_module = "wasi:random/random@0.2.6")]
unsafe extern "C" {
    #[link_name = "get-random-bytes"]
    fn get_random_bytes(len: u64, answer: *mut [usize; 2]);
}

fn random(len: usize) -> Vec<u8> {
    let mut answer = [0_usize; 2];
    // SAFETY: the canonical ABI writes a pointer and a length of memory that `cabi_realloc` handed out.
    unsafe {
        get_random_bytes(len as u64, &mut answer);
        Vec::from_raw_parts(answer[0] as *mut u8, answer[1], answer[1])
    }
}

pub fn sleep_for_ever() {
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1 << 20));
    }
}

pub fn blob_handles(message: &Message) {
    let held: Vec<_> = (0..100_000).map(|_| message.raw()).collect();
    say("held", held.len());
}

pub fn writer_handles() {
    let held: Vec<_> = (0..100_000).map(|_| Writer::new()).collect();
    say("held", held.len());
}

pub fn slice_handles(message: &Message) {
    let raw = message.raw();
    let held: Vec<_> = (0..100_000).map(|at| raw.slice(at % 10, 1)).collect();
    say("held", held.len());
}

pub fn part_handles(message: &Message) {
    let held: Vec<_> = (0..100_000).map(|_| message.parts()).collect();
    say("held", held.len());
}

/// Makes the host work: a new slice has no digest yet.
pub fn digests(message: &Message) {
    let raw = message.raw();
    loop {
        let slice = raw.slice(0, raw.size()).expect("inside");
        black_box(slice.sha256());
    }
}

pub fn written() {
    let octets = vec![b'x'; 1 << 20];
    let mut kept = Vec::new();
    for round in 0..1000 {
        let writer = Writer::new();
        let answer = writer.write(&octets).and_then(|()| writer.finish());
        match answer {
            Ok(blob) => kept.push(blob),
            Err(fault) => {
                say("rounds", round);
                return told::<()>("written", Err(fault));
            }
        }
    }
}

/// Each turn is the last one twice over.
pub fn doubling(message: &Message) {
    let mut blob = message.raw();
    for turn in 0..64 {
        let writer = Writer::new();
        let grown = writer.append(&blob).and_then(|()| writer.append(&blob)).and_then(|()| writer.finish());
        match grown {
            Ok(grown) => blob = grown,
            Err(fault) => {
                say("turns", turn);
                return told::<()>("doubled", Err(fault));
            }
        }
    }
}

pub fn wide_call(message: &Message) {
    say("header", message.header(&"x".repeat(6 << 20)));
}

/// Takes a little of everything, and traps with all of it in its hands when the size of the message is odd.
pub fn half(message: &Message) {
    crate::ask::everything(message);
    let held: Vec<_> = (0..50).map(|_| (message.raw(), Writer::new(), message.parts())).collect();
    let octets = vec![b'x'; 10_000];
    let written = held.iter().filter(|(_, writer, _)| writer.write(&octets).is_ok()).count();
    println!("held {written}");
    assert!(message.size() % 2 == 0, "odd");
}
