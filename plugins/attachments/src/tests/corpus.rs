//! What becomes of real and malformed messages, where they are at hand: as recorded.

use std::path::{Path, PathBuf};

use super::*;

/// Where the record is kept.
const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/corpus.expected");

/// Set POSTROOM_BLESS to write the record anew.
#[test]
fn the_corpus_is_extracted_as_recorded() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus");
    let corpus = PathBuf::from(std::env::var("POSTROOM_CORPUS").unwrap_or_else(|_| beside.to_owned()));
    let mut paths = Vec::new();
    messages(&corpus, &mut paths);
    if paths.is_empty() {
        println!("not tested: no corpus");
        return;
    }
    paths.sort();
    let mut found = String::new();
    for path in paths {
        let name = path.strip_prefix(&corpus).unwrap().display().to_string();
        let octets = std::fs::read(&path).unwrap();
        let settings = json!({ "expand": ["zip"], "manifest": "list", "key": "{path}/{filename}" });
        let run = run_over(settings, &Mail::new().raw(&octets));
        assert_eq!(run.result, Ok(()), "{name}");
        found.push_str(&format!("{name}\n"));
        for effect in &run.effects {
            match effect {
                Effect::Store { key, content, .. } if key == "list" => found.push_str(&skipped(content)),
                effect => found.push_str(&format!("  {effect}\n")),
            }
        }
    }
    if std::env::var_os("POSTROOM_BLESS").is_some() {
        std::fs::write(RECORD, &found).unwrap();
    }
    let expected = std::fs::read_to_string(RECORD).unwrap();
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

/// The parts that were not stored, and all flags.
fn skipped(manifest: &[u8]) -> String {
    let manifest: Value = serde_json::from_slice(manifest).unwrap();
    let mut lines = String::new();
    for part in manifest["parts"].as_array().unwrap() {
        let flags = part["flags"].as_array().unwrap();
        if !flags.is_empty() {
            lines.push_str(&format!("  {} flags {}\n", part["path"].as_str().unwrap(), part["flags"]));
        }
        match part["skipped"].as_str() {
            Some("text of the message") | None => {}
            Some(reason) => {
                lines.push_str(&format!("  {} skipped {reason}\n", part["path"].as_str().unwrap()))
            }
        }
    }
    lines
}

fn messages(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => messages(&path, found),
            false if path.extension().is_some_and(|extension| extension == "eml") => found.push(path),
            false => {}
        }
    }
}
