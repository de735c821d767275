//! The file-name property: whatever names a sender gives, each file is one component inside the root, and none is another's.

use std::collections::HashSet;
use std::path::{Component, Path};

use postroom_sdk::{JsonSchema, Message, Plugin, Problem, schemars};
use serde::Deserialize;

use super::*;
use crate::name::Keys;

/// Places names, as the plugin does for the files of one message, inside of a call.
struct Naming;

#[derive(Deserialize, JsonSchema)]
struct Sample {
    count: u64,
    seed: u64,
}

impl Plugin for Naming {
    type Settings = Sample;
    const NAME: &'static str = "naming";
    const VERSION: &'static str = "0.0.0";
    const DESCRIPTION: &'static str = "Places generated names";

    fn check(_: &Sample) -> Result<(), Problem> {
        Ok(())
    }

    fn handle(_: &Message, sample: &Sample) -> Result<(), Failure> {
        let mut keys = Keys::default();
        let mut seen = HashSet::new();
        let mut random = Random(sample.seed);
        for _ in 0..sample.count {
            let name = random.name();
            let (written, key) = keys.place(&name, "part-1", |filename| format!("root/{filename}"));
            check(&name, &written, &key);
            assert!(seen.insert(key.to_uppercase().to_lowercase()), "{name:?} collides: {key:?}");
        }
        Ok(())
    }
}

#[track_caller]
fn check(name: &str, written: &str, key: &str) {
    let components: Vec<Component<'_>> = Path::new(written).components().collect();
    assert!(matches!(components[..], [Component::Normal(_)]), "{name:?} -> {written:?}");
    assert!((1..=180).contains(&written.len()), "{name:?} -> {written:?}");
    assert_eq!(key, format!("root/{written}"));
    assert!(postroom_mail::Key::new(key).is_ok(), "{name:?} -> {key:?}");
    assert!(
        !written.starts_with(['.', '-', '~', ' ']) && !written.ends_with(['.', ' ']),
        "{name:?} -> {written:?}"
    );
    let is_bad =
        |ch: char| ch.is_control() || "/\\:\0".contains(ch) || ('\u{202a}'..='\u{202e}').contains(&ch);
    assert!(!written.chars().any(is_bad), "{name:?} -> {written:?}");
}

/// SplitMix64: the same names on every machine.
struct Random(u64);

const PIECES: [&str; 40] = [
    "", ".", "..", "/", "\\", "../", "..\\", " ", ":", "C:", "CON", "nul", "com1", "LPT9", "COM¹", "aux.",
    "-", "~", "\0", "\n", "\r\n", "\u{202e}", "\u{2066}", "\u{200b}", "\u{feff}", "a", "A", "ä", "a\u{308}",
    "ß", "SS", "世", "😀", ".pdf", ".PDF", ".tar.gz", "%2f", " (2)", "I", "\u{131}",
];

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        for _ in 0..=self.below(6) {
            match self.below(10) {
                0 => name.extend(char::from_u32(self.below(0x11_0000) as u32)),
                1 => name.push_str(
                    &PIECES[self.below(PIECES.len() as u64) as usize].repeat(self.below(200) as usize),
                ),
                _ => name.push_str(PIECES[self.below(PIECES.len() as u64) as usize]),
            }
        }
        name
    }
}

/// A sample by default; all with POSTROOM_FULL=1.
#[test]
fn of_a_million_names_none_escapes_and_none_collides() {
    let messages = if std::env::var_os("POSTROOM_FULL").is_some() { 50 } else { 1 };
    // The most that a call may take, on a machine that may be slow.
    let limits = postroom_bench::Limits {
        cpu: std::time::Duration::from_secs(30),
        wall: std::time::Duration::from_secs(300),
        ..Default::default()
    };
    for seed in 0..messages {
        let sample = json!({ "count": 20_000, "seed": seed });
        let run = Bench::new().limits(limits.clone()).run::<Naming>(sample, &Mail::new());
        assert_eq!(run.result, Ok(()), "seed {seed}");
    }
}

#[test]
fn a_long_name_leaves_room_for_what_the_template_puts_beside_it() {
    let name = format!("{}.pdf", "n".repeat(300));
    let run =
        run_over(json!({ "key": "{id}-{filename}" }), &Mail::new().attach(&name, "application/pdf", b"%PDF"));
    let keys = keys(&run);
    assert!(keys[0].len() <= 200 && keys[0].ends_with("n.pdf"), "{keys:?}");
}

#[test]
fn names_that_differ_only_in_case_or_form_are_numbered() {
    let mail = ["a.PDF", "A.pdf", "a (2).pdf", "u\u{308}.txt", "\u{fc}.TXT", "../a.pdf"]
        .iter()
        .fold(Mail::new(), |mail, name| mail.attach(name, "application/pdf", name.as_bytes()));
    assert_eq!(
        keys(&run_over(json!({}), &mail)),
        ["a.PDF", "A (2).pdf", "a (2) (2).pdf", "\u{fc}.txt", "\u{fc} (2).TXT", "a (3).pdf"]
    );
}
