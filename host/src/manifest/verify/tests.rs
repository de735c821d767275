//! A manifest of three days over a directory, damaged in every way, and the names that damage gets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use postroom_mail::Timestamp;
use tempfile::TempDir;

use super::super::testing::{day, name, octets, place, write};
use super::super::{Book, PublicKeys, SigningKey, Standing, Tail, head};
use super::*;
use crate::sinks::SinkConfig;

const DAYS: [&str; 3] = ["2026-11-22", "2026-11-23", "2026-11-24"];

struct World {
    root: TempDir,
    state: TempDir,
    standing: Standing,
}

impl World {
    /// Nine objects, three lines a day, all signed, the last day open.
    fn new() -> Self {
        let (root, state) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        for number in 1..=9 {
            let key = format!("{number}.eml");
            fs::write(root.path().join(&key), octets(&key)).unwrap();
        }
        let book = Book::open(&place(root.path()), true).unwrap().unwrap();
        let key = SigningKey::of_state(state.path()).unwrap();
        let mut tail = Tail::default();
        for (on, first) in DAYS.into_iter().zip([1, 4, 7]) {
            write(&book, &mut tail, on, first..=first + 2);
            let closed = on != DAYS[2];
            head::sign(&book, &name("vault"), &tail, closed, &key, Timestamp(0)).unwrap();
        }
        let standing =
            Standing { seq: tail.seq, hash: Some(tail.hash), day: tail.day, ..Standing::default() };
        Self { root, state, standing }
    }

    fn path(&self, file: &str) -> PathBuf {
        place(self.root.path()).path().join(file)
    }

    /// Changes the lines of a day.
    fn lines(&self, on: &str, change: impl FnOnce(&mut Vec<String>)) {
        let path = self.path(&format!("{on}.jsonl"));
        let text = fs::read_to_string(&path).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        change(&mut lines);
        fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }

    async fn report(&self, range: Range) -> Report {
        let mut keys = PublicKeys::default();
        keys.add(&SigningKey::read(self.state.path()).unwrap().public()).unwrap();
        self.report_by(&keys, range).await
    }

    async fn report_by(&self, keys: &PublicKeys, range: Range) -> Report {
        let written = format!("type = \"directory\"\npath = {:?}\nmanifest = true", self.root.path());
        let config: SinkConfig = toml::from_str(&written).unwrap();
        let sink = Sink::build(&name("vault"), &config, self.root.path()).unwrap();
        let place = sink.manifest(self.state.path()).unwrap();
        let standing = Some(&self.standing);
        Verification { sink: &sink, place: &place, keys, standing, range }.make(&|_| {}).await.unwrap()
    }

    /// Every damage: its name, its day, its line.
    async fn damage(&self) -> Vec<(DamageKind, Option<String>, Option<u64>)> {
        let report = self.report(Range::default()).await;
        report
            .damage
            .iter()
            .map(|damage| (damage.kind, damage.day.map(|day| day.to_string()), damage.line))
            .collect()
    }
}

fn at(kind: DamageKind, day: &str, line: Option<u64>) -> (DamageKind, Option<String>, Option<u64>) {
    (kind, Some(day.to_owned()), line)
}

#[tokio::test]
async fn a_manifest_as_it_was_written_is_sound() {
    let world = World::new();
    let report = world.report(Range::default()).await;
    assert_eq!((&report.damage, &report.warnings), (&Vec::new(), &Vec::new()));
    assert_eq!((report.days, report.lines, report.objects, report.unsigned), (3, 9, 9, 0));
    assert_eq!((report.last, report.signed), (world.standing.hash, Some(day(DAYS[2]))));
}

#[tokio::test]
async fn a_flipped_bit_of_an_object_is_named_with_both_digests() {
    let world = World::new();
    let path = world.root.path().join("5.eml");
    let mut octets = fs::read(&path).unwrap();
    octets[12] ^= 1;
    fs::write(&path, &octets).unwrap();
    let report = world.report(Range::default()).await;
    let [damage] = &report.damage[..] else { panic!("{report:#?}") };
    assert_eq!((damage.kind, damage.key.as_deref()), (DamageKind::ObjectChanged, Some("5.eml")));
    assert_eq!((damage.day, damage.line, damage.seq), (Some(day(DAYS[1])), Some(2), Some(5)));
    assert_eq!(damage.actual, Some(Digest::of(&octets).to_string()));
    assert_ne!(damage.expected, damage.actual);
}

#[tokio::test]
async fn a_deleted_object_and_one_that_no_line_names_are_told() {
    let world = World::new();
    fs::rename(world.root.path().join("5.eml"), world.root.path().join("other.eml")).unwrap();
    let report = world.report(Range::default()).await;
    assert_eq!(report.damage[0].kind, DamageKind::ObjectMissing);
    assert_eq!(report.damage[0].key.as_deref(), Some("5.eml"));
    assert_eq!(report.warnings[0].kind, DamageKind::ObjectUnlisted);
    assert_eq!(report.warnings[0].key.as_deref(), Some("other.eml"));
    assert_eq!((report.damage.len(), report.warnings.len()), (1, 1));
}

#[tokio::test]
async fn a_removed_line_is_named_wherever_it_stood() {
    for (on, index, line) in
        [(DAYS[0], 0, 1), (DAYS[0], 1, 2), (DAYS[0], 2, 3), (DAYS[1], 0, 1), (DAYS[2], 1, 2), (DAYS[2], 2, 3)]
    {
        let world = World::new();
        world.lines(on, |lines| drop(lines.remove(index)));
        let found = world.damage().await;
        assert_eq!(found, [at(DamageKind::LineRemoved, on, Some(line))], "{on}, {index}");
    }
}

#[tokio::test]
async fn lines_that_were_exchanged_are_named() {
    let world = World::new();
    world.lines(DAYS[1], |lines| lines.swap(0, 1));
    assert_eq!(world.damage().await, [at(DamageKind::LineReordered, DAYS[1], Some(2))]);
    let world = World::new();
    world.lines(DAYS[1], |lines| lines.swap(1, 2));
    assert_eq!(world.damage().await, [at(DamageKind::LineReordered, DAYS[1], Some(3))]);
}

#[tokio::test]
async fn an_edited_line_is_named_in_the_middle_and_at_the_end() {
    for (on, index) in [(DAYS[0], 0), (DAYS[0], 2), (DAYS[1], 1), (DAYS[2], 2)] {
        let world = World::new();
        world.lines(on, |lines| lines[index] = lines[index].replace("\"home\"", "\"away\""));
        let found = world.damage().await;
        assert_eq!(found, [at(DamageKind::LineEdited, on, Some(index as u64 + 1))], "{on}, {index}");
    }
    let world = World::new();
    world.lines(DAYS[1], |lines| lines[1] = "no JSON".to_owned());
    assert_eq!(world.damage().await, [at(DamageKind::LineEdited, DAYS[1], Some(2))]);
}

#[tokio::test]
async fn a_line_that_is_there_twice_is_named() {
    let world = World::new();
    world.lines(DAYS[0], |lines| lines.insert(2, lines[1].clone()));
    assert_eq!(world.damage().await, [at(DamageKind::LineDoubled, DAYS[0], Some(3))]);
}

#[tokio::test]
async fn a_missing_day_is_named_with_and_without_its_head_the_first_and_the_last_too() {
    for on in DAYS {
        for heads in [false, true] {
            let world = World::new();
            fs::remove_file(world.path(&format!("{on}.jsonl"))).unwrap();
            if heads {
                fs::remove_file(world.path(&format!("{on}.head"))).unwrap();
            }
            let found = world.damage().await;
            assert_eq!(found[0], at(DamageKind::DayMissing, on, None), "{heads}: {found:?}");
            assert!(found.len() == 1, "{on}, {heads}: {found:?}");
        }
    }
}

#[tokio::test]
async fn a_chain_that_was_computed_anew_fails_by_its_signature() {
    let world = World::new();
    // Somebody who can write everything but has not the key: other lines, and a head that fits them.
    let book = Book::open(&place(world.root.path()), false).unwrap().unwrap();
    for on in DAYS {
        fs::remove_file(world.path(&format!("{on}.jsonl"))).unwrap();
        fs::remove_file(world.path(&format!("{on}.head"))).unwrap();
    }
    let other = TempDir::new().unwrap();
    let key = SigningKey::of_state(other.path()).unwrap();
    let mut tail = Tail::default();
    for (on, first) in DAYS.into_iter().zip([1, 4, 7]) {
        write(&book, &mut tail, on, first..=first + 2);
        head::sign(&book, &name("vault"), &tail, on != DAYS[2], &key, Timestamp(0)).unwrap();
    }
    let found = world.damage().await;
    let kinds: Vec<_> = found.iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(kinds, [DamageKind::BadSignature; 3], "{found:?}");
    let without = world.report_by(&PublicKeys::default(), Range::default()).await;
    assert_eq!(without.warnings[0].kind, DamageKind::KeyUnknown);
}

#[tokio::test]
async fn an_edited_head_and_a_missing_one_are_named() {
    let world = World::new();
    let path = world.path(&format!("{}.head", DAYS[0]));
    let text = fs::read_to_string(&path).unwrap().replacen("\"lines\":3", "\"lines\":4", 1);
    fs::write(&path, text).unwrap();
    assert_eq!(world.damage().await, [at(DamageKind::BadSignature, DAYS[0], None)]);
    fs::remove_file(&path).unwrap();
    let found = world.damage().await;
    assert!(found.contains(&at(DamageKind::HeadMissing, DAYS[0], None)), "{found:?}");
}

#[tokio::test]
async fn a_torn_line_at_the_end_is_no_damage_and_a_manifest_that_is_gone_is() {
    let world = World::new();
    let path = world.path(&format!("{}.jsonl", DAYS[2]));
    let mut text = fs::read(&path).unwrap();
    text.extend_from_slice(b"{\"v\":1,\"seq\":10,");
    fs::write(&path, text).unwrap();
    let report = world.report(Range::default()).await;
    assert_eq!((report.damage.len(), report.warnings[0].kind), (0, DamageKind::LineTorn));
    fs::remove_dir_all(world.root.path().join(".postroom")).unwrap();
    assert_eq!(world.report(Range::default()).await.damage[0].kind, DamageKind::ManifestMissing);
}

#[tokio::test]
async fn days_and_samples_limit_what_is_read() {
    let world = World::new();
    let only = |from: &str, to: &str| Range { from: Some(day(from)), to: Some(day(to)), ..Range::default() };
    let report = world.report(only(DAYS[1], DAYS[1])).await;
    assert_eq!((report.damage.len(), report.days, report.lines, report.objects), (0, 1, 3, 3), "{report:#?}");
    let none = world.report(Range { sample: Some(0.0), ..Range::default() }).await;
    assert_eq!((none.lines, none.objects, none.warnings.len()), (9, 0, 0));
    world.lines(DAYS[0], |lines| drop(lines.remove(2)));
    assert_eq!(world.report(only(DAYS[2], DAYS[2])).await.damage, [], "another day's damage");
}
