//! Components from hand-written text: `tests/guests/wat` has what no compiler makes; see the README there.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::busy::leb;

const HANDLER: &str = "postroom:plugin/handler@0.1.0#";
const INTERFACES: [&str; 5] = ["content", "mail", "effects", "kv", "log"];

/// What a plugin must have, each with the word by which one sees that a guest has it already.
const DEFAULTS: [(&str, &str); 6] = [
    ("(export \"memory\")", "(memory (export \"memory\") 2)"),
    (
        "\"cabi_realloc\"",
        "(global $next (mut i32) (i32.const 65536))
         (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
           (local $at i32)
           (local.set $at (global.get $next))
           (global.set $next (i32.and (i32.add (i32.add (local.get $at) (local.get 3)) (i32.const 15)) (i32.const -16)))
           (local.get $at))",
    ),
    ("(data (i32.const 4096)", "(data (i32.const 4096) \"{\\\"name\\\":\\\"wat\\\"}\")"),
    (
        "(export \"describe\")",
        "(func (export \"describe\") (result i32) (local $len i32)
           (loop $next
             (local.set $len (i32.add (local.get $len) (i32.const 1)))
             (br_if $next (i32.load8_u offset=4096 (local.get $len))))
           (i32.store (i32.const 16) (i32.const 4096)) (i32.store (i32.const 20) (local.get $len)) (i32.const 16))",
    ),
    ("(export \"configure\")", "(func (export \"configure\") (param i32 i32) (result i32) (i32.const 32))"),
    (
        "(export \"handle\")",
        "(func (export \"handle\") (param i32) (result i32) (call $drop-message (local.get 0)) (i32.const 48))",
    ),
];

/// The component of `tests/guests/wat/NAME.wat`.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests/wat").join(name);
    let fields =
        std::fs::read_to_string(path.with_extension("wat")).unwrap_or_else(|error| panic!("{name}: {error}"));
    plugin(&fields)
}

/// A plugin of these fields.
pub(crate) fn plugin(fields: &str) -> Vec<u8> {
    let missing = DEFAULTS.iter().filter(|(sign, _)| !fields.contains(sign)).map(|(_, text)| *text);
    let missing: Vec<_> = missing.collect();
    let mut text = format!(
        "(module (import \"mail\" \"[resource-drop]message\" (func $drop-message (param i32)))\n{fields}\n{}\n)",
        missing.join("\n")
    );
    for interface in INTERFACES {
        text = text.replace(
            &format!("(import \"{interface}\""),
            &format!("(import \"postroom:plugin/{interface}@0.1.0\""),
        );
    }
    for function in ["describe", "configure", "handle"] {
        text = text.replace(&format!("(export \"{function}\""), &format!("(export \"{HANDLER}{function}\""));
        text = text.replace(
            &format!("(export \"post-{function}\""),
            &format!("(export \"cabi_post_{HANDLER}{function}\""),
        );
    }
    encode(&wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}")))
}

/// A core module as a component of the world `plugin`.
fn encode(core: &[u8]) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/wit");
    let (package, _) = resolve.push_dir(wit).expect("the contract");
    let world = resolve.select_world(&[package], Some("plugin")).expect("the world");
    let mut module = core.to_vec();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("embedded");
    ComponentEncoder::default()
        .module(&module)
        .unwrap_or_else(|error| panic!("{error:#}"))
        .encode()
        .unwrap_or_else(|error| panic!("{error:#}"))
}

/// A component of the text itself.
pub(crate) fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// `plugin` with another component inside, instantiated that often.
pub(crate) fn with_nested(plugin: &[u8], nested: &str, times: u32) -> Vec<u8> {
    let mut components = 0_u32;
    let mut depth = 0_u32;
    for payload in wasmparser::Parser::new(0).parse_all(plugin) {
        match payload.expect("well-formed") {
            wasmparser::Payload::Version { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= 1,
            wasmparser::Payload::ComponentSection { .. } if depth == 1 => components += 1,
            _ => {}
        }
    }
    let nested = component(nested);
    let mut octets = plugin.to_vec();
    octets.push(4);
    octets.extend(leb(nested.len() as u32));
    octets.extend(&nested);
    let instance = [&[0][..], &leb(components), &[0]].concat();
    let mut instances = leb(times);
    (0..times).for_each(|_| instances.extend(&instance));
    octets.push(5);
    octets.extend(leb(instances.len() as u32));
    octets.extend(instances);
    octets
}
