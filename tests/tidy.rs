//! Layout rules as tests: who may depend on whom, and what every source file must have.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

/// Package name to the names of its normal dependencies, for the packages of this workspace.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let normal = package["dependencies"].as_array().expect("dependencies").iter();
            let names = normal
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| dependency["name"].as_str().expect("name").to_owned());
            (package["name"].as_str().expect("name").to_owned(), names.collect())
        })
        .collect()
}

fn ours(dependencies: &BTreeSet<String>) -> BTreeSet<&str> {
    dependencies.iter().map(String::as_str).filter(|name| name.starts_with("postroom")).collect()
}

#[test]
fn the_dependency_rules_hold() {
    let all = dependencies();
    let of = |name: &str| ours(all.get(name).unwrap_or_else(|| panic!("no package {name}")));
    let none = BTreeSet::new();
    let mail = BTreeSet::from(["postroom-mail"]);
    let sdk = BTreeSet::from(["postroom-sdk"]);
    assert_eq!(of("postroom-mail"), none, "the nouns depend on nothing of ours");
    assert_eq!(of("postroom-pop3"), none, "the protocol knows no nouns");
    assert_eq!(of("postroom-dial"), none, "connections know no protocol");
    assert_eq!(of("postroom-oauth"), mail, "only the rule that makes texts safe to show");
    assert_eq!(of("postroom-seen"), none, "foreign formats are their own");
    assert_eq!(of("postroom-oci"), mail, "registries know no configuration");
    assert_eq!(of("postroom-practice"), none, "practice servers know nothing of the host");
    assert_eq!(of("postroom-failpoint"), none);
    assert_eq!(of("postroom-spool"), BTreeSet::from(["postroom-failpoint", "postroom-mail"]));
    assert_eq!(of("postroom-contract"), mail, "what a plugin may ask for knows no WebAssembly");
    assert_eq!(of("postroom-sandbox"), BTreeSet::from(["postroom-contract", "postroom-mail"]));
    assert_eq!(of("postroom-sdk"), none, "host and guest meet only in sdk/wit");
    assert_eq!(
        of("postroom-bench"),
        BTreeSet::from([
            "postroom-contract",
            "postroom-fixture",
            "postroom-mail",
            "postroom-plugin-mime",
            "postroom-sdk"
        ]),
        "the rules of the host, and no WebAssembly"
    );
    assert_eq!(
        of("postroom-fixture"),
        mail,
        "fixtures run on the bench and in the sandbox, and know neither"
    );
    assert_eq!(of("postroom-kit"), none, "it carries sources, and knows none of them");
    assert_eq!(of("postroom-mime"), sdk, "parsing for guests");
    for plugin in ["archive", "calendar", "dedupe", "filter", "forward", "notify", "sieve"] {
        assert_eq!(of(&format!("postroom-plugin-{plugin}")), sdk, "{plugin} has no private door");
    }
    let with_mime = BTreeSet::from(["postroom-mime", "postroom-sdk"]);
    for plugin in ["attachments", "mime"] {
        assert_eq!(of(&format!("postroom-plugin-{plugin}")), with_mime, "{plugin} has no private door");
    }
}

#[test]
fn one_crate_names_each_heavy_dependency() {
    let all = dependencies();
    let users = |name: &str| -> BTreeSet<&str> {
        all.iter()
            .filter(|(_, dependencies)| dependencies.contains(name))
            .map(|(user, _)| user.as_str())
            .collect()
    };
    assert_eq!(users("wasmtime"), BTreeSet::from(["postroom-sandbox"]));
    // The second is for the tests alone: it stands between SQLite and the disk.
    assert_eq!(users("rusqlite"), BTreeSet::from(["postroom-spool", "postroom-vfs"]));
    assert_eq!(users("postroom-vfs"), BTreeSet::from(["postroom-simulation"]));
    assert_eq!(users("object_store"), BTreeSet::from(["postroom"]));
    for pure in ["postroom-mail", "postroom-pop3"] {
        let dependencies = &all[pure];
        for io in ["tokio", "rustix", "tempfile", "async-trait"] {
            assert!(!dependencies.contains(io), "{pure} must not do IO, but depends on {io}");
        }
    }
}

#[test]
fn every_module_says_what_it_owns() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|file| file.components().any(|part| part.as_os_str() == "src"))
        .filter(|file| !read(file).starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "modules that do not open with //!: {silent:#?}");
}

#[test]
fn nothing_is_left_unfinished_or_too_long() {
    let marks =
        [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("dbg", "!(")];
    for file in sources() {
        let text = read(&file);
        for mark in marks {
            assert!(!text.contains(mark), "{} holds {mark}", file.display());
        }
        let lines = text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines: is it still one idea?", file.display());
    }
}

#[test]
fn the_readme_shows_the_example_plugin_as_it_is() {
    let readme = read(&root().join("README.md"));
    let source = read(&root().join("examples/plugins/receipts/src/lib.rs"));
    let from = source.find("use postroom_sdk::prelude").expect("the plugin");
    let to = source.find("#[cfg(test)]").expect("its tests");
    assert!(
        readme.contains(source[from..to].trim_end()),
        "copy {} into the README",
        "examples/plugins/receipts"
    );
}

/// Every fault the design names has a test of that name, or the reason why it has none.
#[test]
fn every_fault_has_its_test_or_its_reason() {
    let table = read(&root().join("docs/faults.md"));
    let named: BTreeSet<String> = sources().iter().flat_map(|file| functions(&read(file))).collect();
    let mut numbers = BTreeSet::new();
    for line in table.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, number, _, tests, reason, _] = cells.as_slice() else { continue };
        let Ok(number) = number.parse::<u32>() else { continue };
        numbers.insert(number);
        let tests: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty() || !reason.is_empty(), "fault {number} has neither a test nor a reason");
        for test in tests {
            assert!(named.contains(test), "fault {number}: there is no test {test}");
        }
    }
    assert_eq!(numbers, (1..=63).chain(107..=120).collect(), "the faults of docs/faults.md");
}

/// Names of functions, and of the scenarios of `tests/quirks`.
fn functions(source: &str) -> Vec<String> {
    let function = |line: &str| Some(line.split_once("fn ")?.1.split(['(', '<']).next()?.to_owned());
    let scenarios = source.split('"').skip(1).step_by(2).map(str::to_owned);
    source.lines().filter_map(function).chain(scenarios).collect()
}

fn sources() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.rs"])
        .current_dir(root())
        .output();
    let output = output.expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("file names are UTF-8");
    let files: Vec<_> = names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(|name| root().join(name))
        .filter(|file| file.is_file())
        .collect();
    assert!(files.len() > 50, "only {} sources found", files.len());
    files
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
