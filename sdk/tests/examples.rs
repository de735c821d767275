//! Every public item that a plugin's author meets has an example in its documentation, which `cargo test --doc` runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// What begins an item; methods are the same, indented.
const ITEMS: [&str; 7] =
    ["pub fn ", "pub const fn ", "pub struct ", "pub enum ", "pub trait ", "pub const ", "pub type "];

/// Of the contract, not of authors: these modules are hidden from the documentation.
const HIDDEN: [&str; 3] = ["bindings.rs", "native.rs", "seam.rs"];

/// An item with the lines of documentation and attributes above it.
struct Found {
    place: String,
    name: String,
    is_method: bool,
    has_example: bool,
}

fn sources() -> Vec<PathBuf> {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for directory in ["src", "bench/src", "fixture/src"] {
        for entry in fs::read_dir(sdk.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name.ends_with(".rs") && !HIDDEN.contains(&name.as_str()) {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 20, "{files:?}");
    files
}

/// The public items of a file, and the code of all examples in it.
fn read(path: &Path, examples: &mut String) -> Vec<Found> {
    let text = fs::read_to_string(path).unwrap();
    let mut found = Vec::new();
    let (mut above, mut in_example) = (String::new(), false);
    for line in text.lines() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("mod tests") {
            break;
        }
        if let Some(comment) = trimmed.strip_prefix("///").or_else(|| trimmed.strip_prefix("//!")) {
            if comment.trim_start().starts_with("```") {
                in_example = !in_example;
            } else if in_example {
                examples.push_str(comment);
                examples.push('\n');
            }
        }
        if trimmed.starts_with("///") || trimmed.starts_with("#[") {
            above.push_str(trimmed);
            above.push('\n');
            continue;
        }
        let indent = line.len() - trimmed.len();
        let rest = ITEMS.iter().find_map(|item| trimmed.strip_prefix(item));
        let rest = rest.or_else(|| trimmed.strip_prefix("macro_rules! "));
        if let Some(rest) = rest.filter(|_| indent <= 4 && !above.contains("#[doc(hidden)]")) {
            let name = rest.split(|ch: char| !ch.is_alphanumeric() && ch != '_').next().unwrap().to_owned();
            let place = format!("{}: {name}", path.display());
            found.push(Found { place, name, is_method: indent > 0, has_example: above.contains("/// ```") });
        }
        above.clear();
    }
    found
}

#[test]
fn every_public_item_has_an_example_that_names_it() {
    let mut examples = String::new();
    let found: Vec<Found> = sources().iter().flat_map(|path| read(path, &mut examples)).collect();
    let (methods, items): (Vec<_>, Vec<_>) = found.iter().partition(|found| found.is_method);
    assert!(items.len() > 70 && methods.len() > 80, "{} items, {} methods", items.len(), methods.len());
    let named =
        |name: &str| examples.split(|ch: char| !ch.is_alphanumeric() && ch != '_').any(|word| word == name);
    let without: Vec<_> = items.iter().filter(|item| !item.has_example).map(|item| &item.place).collect();
    assert!(without.is_empty(), "no example in the documentation of {without:#?}");
    let unnamed: Vec<_> =
        methods.iter().filter(|method| !named(&method.name)).map(|method| &method.place).collect();
    assert!(unnamed.is_empty(), "in no example: {unnamed:#?}");
}
