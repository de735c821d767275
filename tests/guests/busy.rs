// Included by the tests that need it: a valid component that is no plugin but a great deal of work for a compiler. Assembled
// octet by octet, since its text would be ten times as long.

/// Has the name of a handler, and `functions` functions of four times `rounds` instructions, none of them ever called.
pub(crate) fn component(functions: u32, rounds: u32) -> Vec<u8> {
    let handler = "postroom:plugin/handler@0.1.0";
    // An instance of no exports, exported under the handler's name (kind 5, index 0, no type).
    let export = [&[1, 0][..], &vector(handler.as_bytes()), &[5, 0, 0]].concat();
    [
        b"\0asm\x0d\0\x01\0".to_vec(),
        section(1, &module(functions, rounds)),
        section(5, &[1, 1, 0]),
        section(11, &export),
    ]
    .concat()
}

/// Each function: `(param i64) (result i64)`, a long sum of products.
fn module(functions: u32, rounds: u32) -> Vec<u8> {
    // local.get 0; i64.const n; i64.mul; i64.xor, upon the parameter itself.
    let round = |n: u32| [0x20, 0, 0x42, (n % 63) as u8 + 1, 0x7e, 0x85];
    let turns: Vec<u8> = (0..rounds).flat_map(round).collect();
    let body = vector(&[&[0, 0x20, 0][..], &turns, &[0x0b]].concat());
    let code: Vec<u8> = (0..functions).flat_map(|_| body.clone()).collect();
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 1, 0x7e, 1, 0x7e]),
        section(3, &[leb(functions), vec![0; functions as usize]].concat()),
        section(10, &[leb(functions), code].concat()),
    ]
    .concat()
}

pub(crate) fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [vec![id], vector(content)].concat()
}

fn vector(content: &[u8]) -> Vec<u8> {
    [leb(content.len() as u32), content.to_vec()].concat()
}

/// Unsigned LEB128.
pub(crate) fn leb(mut value: u32) -> Vec<u8> {
    let mut octets = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        octets.push(low | u8::from(value > 0) << 7);
        if value == 0 {
            return octets;
        }
    }
}
