//! What the bundled components ask for: the contract, and of WASI only what Rust's std always imports.

#![allow(clippy::unwrap_used, reason = "tests")]

use wasmparser::{Encoding, Parser, Payload};

/// Inert in the host: no files, no sockets, no clock that moves.
const BASELINE: [&str; 4] = ["wasi:cli/", "wasi:io/", "wasi:random/insecure-seed@", "wasi:clocks/"];

fn outer_names(component: &[u8]) -> (Vec<String>, Vec<String>) {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0);
    for payload in Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            Payload::Version { encoding, .. } if depth == 0 => assert_eq!(encoding, Encoding::Component),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                exports.extend(section.into_iter().map(|export| export.unwrap().name.name.to_owned()));
            }
            _ => {}
        }
    }
    (imports, exports)
}

#[track_caller]
fn check(component: &[u8], export: &str, expected: &[&str]) {
    let (imports, exports) = outer_names(component);
    assert_eq!(exports, [format!("postroom:plugin/{export}@0.1.0")]);
    let (wasi, ours): (Vec<_>, Vec<_>) = imports.iter().partition(|name| name.starts_with("wasi:"));
    let mut ours: Vec<&str> = ours
        .iter()
        .map(|name| {
            name.strip_prefix("postroom:plugin/").and_then(|name| name.strip_suffix("@0.1.0")).unwrap()
        })
        .collect();
    ours.sort_unstable();
    assert_eq!(ours, expected);
    for name in wasi {
        assert!(BASELINE.iter().any(|allowed| name.starts_with(allowed)), "imports {name}");
    }
}

fn plugin(name: &str) -> &'static [u8] {
    postroom_bundle::bundled(name).unwrap()
}

#[test]
fn a_plugin_imports_only_what_it_uses() {
    let all = ["content", "effects", "log", "mail", "types"];
    check(plugin("archive"), "handler", &all);
    check(plugin("attachments"), "handler", &all);
    check(plugin("calendar"), "handler", &all);
    check(plugin("filter"), "handler", &all);
    check(plugin("forward"), "handler", &all);
    let keeping = ["content", "effects", "kv", "log", "mail", "types"];
    check(plugin("dedupe"), "handler", &keeping);
    check(plugin("notify"), "handler", &keeping);
    check(plugin("sieve"), "handler", &keeping);
}

#[test]
fn the_mime_parser_sees_octets_and_nothing_else() {
    check(postroom_bundle::MIME, "structure", &["content", "types"]);
}

#[test]
fn the_names_are_those_the_configuration_uses() {
    let names: Vec<&str> = postroom_bundle::BUNDLED.iter().map(|(name, _)| *name).collect();
    let all = ["archive", "attachments", "calendar", "dedupe", "filter", "forward", "notify", "sieve"];
    assert_eq!(names, all);
    assert!(postroom_bundle::bundled("mime").is_none(), "it is no plugin");
}
