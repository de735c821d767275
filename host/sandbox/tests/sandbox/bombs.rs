//! Components that hurt whoever loads them: what is valid and large, what is nested, and what is nothing of the kind.

use std::fmt::Write as _;

use crate::busy::{component as component_of, leb, section};
use crate::guests::octets;
use crate::wat::{component, plugin, with_nested};

/// A component with the handler's name, and nothing behind it.
const SHELL: &str = "(instance $none) (export \"postroom:plugin/handler@0.1.0\" (instance $none))";

/// The same, octet by octet, with sections in front: the text of what is large takes long to read.
fn shell_with(sections: &[u8]) -> Vec<u8> {
    let shell = shell();
    [&shell[..8], sections, &shell[8..]].concat()
}

fn repeated(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, at| {
        let _ = writeln!(text, "{}", line(at));
        text
    })
}

pub(crate) fn empty() -> Vec<u8> {
    Vec::new()
}

pub(crate) fn garbage() -> Vec<u8> {
    (0..100_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

pub(crate) fn elf() -> Vec<u8> {
    std::fs::read("/proc/self/exe").expect("this test").into_iter().take(1 << 20).collect()
}

pub(crate) fn truncated() -> Vec<u8> {
    let echo = octets("echo");
    echo[..echo.len() * 2 / 3].to_vec()
}

pub(crate) fn core_module() -> Vec<u8> {
    component("(module (func (export \"handle\")))")
}

pub(crate) fn precompiled() -> Vec<u8> {
    wasmtime::Engine::default().precompile_component(&octets("exit")).expect("compiled")
}

pub(crate) fn shell() -> Vec<u8> {
    component(&format!("(component {SHELL})"))
}

pub(crate) fn too_large() -> Vec<u8> {
    vec![0; (64 << 20) + 1]
}

/// Wants an interface, and has everything a plugin has.
fn wanting(import: &str) -> Vec<u8> {
    component(&format!("(component (import \"{import}\" (instance)) {SHELL})"))
}

pub(crate) fn wants_files() -> Vec<u8> {
    wanting("wasi:filesystem/types@0.2.6")
}

pub(crate) fn wants_sockets() -> Vec<u8> {
    wanting("wasi:sockets/tcp@0.2.6")
}

pub(crate) fn wants_http() -> Vec<u8> {
    wanting("wasi:http/outgoing-handler@0.2.6")
}

pub(crate) fn wants_another_version() -> Vec<u8> {
    wanting("postroom:plugin/effects@0.2.0")
}

pub(crate) fn wants_another_package() -> Vec<u8> {
    wanting("postroom:plugins/effects@0.1.0")
}

/// The name is right, the function has another type.
pub(crate) fn wants_another_type() -> Vec<u8> {
    let import =
        "(import \"postroom:plugin/effects@0.1.0\" (instance (export \"stop\" (func (param \"now\" u32)))))";
    component(&format!("(component {import} {SHELL})"))
}

/// The interface is right, the function is not there.
pub(crate) fn wants_more_functions() -> Vec<u8> {
    let import = "(import \"postroom:plugin/effects@0.1.0\" (instance (export \"run\" (func (param \"command\" string)))))";
    component(&format!("(component {import} {SHELL})"))
}

pub(crate) fn imports() -> Vec<u8> {
    component(&format!(
        "(component {} {SHELL})",
        repeated(1500, |at| format!("(import \"a{at}\" (instance))"))
    ))
}

pub(crate) fn exports() -> Vec<u8> {
    let more = repeated(1500, |at| format!("(export \"a{at}\" (instance $none))"));
    component(&format!("(component {SHELL} {more})"))
}

/// Each type is the pair of the one before: the last has 2^60 members.
pub(crate) fn types_exponential() -> Vec<u8> {
    let types = repeated(60, |at| match at {
        0 => "(type $t0 (tuple u8 u8))".to_owned(),
        at => format!("(type $t{at} (tuple $t{0} $t{0}))", at - 1),
    });
    component(&format!("(component {types} {SHELL})"))
}

/// Two million pairs of octets.
pub(crate) fn types_many() -> Vec<u8> {
    let count = 2_000_000;
    let types = [leb(count), [0x6f, 2, 0x7d, 0x7d].repeat(count as usize)].concat();
    shell_with(&section(7, &types))
}

pub(crate) fn nested_deep() -> Vec<u8> {
    // Octets, since the text would need a deep stack to be read: each is the preamble and one section that holds the next.
    let mut octets = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..3000 {
        let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
        let mut len = octets.len();
        while len >= 0x80 {
            outer.push((len & 0x7f) as u8 | 0x80);
            len >>= 7;
        }
        outer.push(len as u8);
        outer.extend(octets);
        octets = outer;
    }
    octets
}

/// Components that are empty.
pub(crate) fn nested_many() -> Vec<u8> {
    shell_with(&section(4, b"\0asm\x0d\0\x01\0").repeat(100_000))
}

/// Core modules that are empty.
pub(crate) fn modules_many() -> Vec<u8> {
    shell_with(&section(1, b"\0asm\x01\0\0\0").repeat(100_000))
}

pub(crate) fn instances_many() -> Vec<u8> {
    with_nested(&plugin(""), "(component (core module $m) (core instance (instantiate $m)))", 900)
}

pub(crate) fn memories_many() -> Vec<u8> {
    with_nested(&plugin(""), "(component (core module $m (memory 1)) (core instance (instantiate $m)))", 20)
}

pub(crate) fn tables_many() -> Vec<u8> {
    with_nested(
        &plugin(""),
        "(component (core module $m (table 1 funcref)) (core instance (instantiate $m)))",
        60,
    )
}

/// Instances of instances: 2^20 in all.
pub(crate) fn instances_exponential() -> Vec<u8> {
    let mut nested = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for at in 1..=20 {
        nested = format!(
            "(component $c{at} {nested} (instance (instantiate $c{0})) (instance (instantiate $c{0})))",
            at - 1
        );
    }
    with_nested(&plugin(""), &nested, 1)
}

pub(crate) fn functions_many() -> Vec<u8> {
    component_of(1_000_001, 0)
}

/// Many functions, each of some size.
pub(crate) fn busy() -> Vec<u8> {
    component_of(4000, 1000)
}

/// A single function of four million instructions.
pub(crate) fn giant_function() -> Vec<u8> {
    component_of(1, 1_000_000)
}

pub(crate) fn data_huge() -> Vec<u8> {
    plugin(
        "(memory (export \"memory\") 2000) (data (i32.const 131000000) \"x\") (data (i32.const 200000000) \"y\")",
    )
}

/// A plugin with another module inside.
fn nested_module(fields: &str) -> Vec<u8> {
    let module = format!("(component (core module $m {fields}) (core instance (instantiate $m)))");
    with_nested(&plugin(""), &module, 1)
}

/// In one function.
pub(crate) fn locals_many() -> Vec<u8> {
    nested_module(&format!("(func (local {}))", "i64 ".repeat(60_000)))
}

pub(crate) fn parameters_many() -> Vec<u8> {
    nested_module(&format!("(func (param {}))", "i64 ".repeat(2000)))
}

pub(crate) fn branches_giant() -> Vec<u8> {
    nested_module(&format!("(func (param i32) (block (br_table {} (local.get 0))))", "0 ".repeat(200_000)))
}

pub(crate) fn names_giant() -> Vec<u8> {
    nested_module(&format!("(func (export \"{}\"))", "n".repeat(200_000)))
}

pub(crate) fn memory_64() -> Vec<u8> {
    nested_module("(memory i64 1)")
}

pub(crate) fn memory_shared() -> Vec<u8> {
    nested_module("(memory 1 2 shared)")
}

pub(crate) fn two_memories() -> Vec<u8> {
    nested_module("(memory 1) (memory 1)")
}
