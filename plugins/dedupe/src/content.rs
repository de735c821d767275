//! What of a message stays the same on two ways to one account: not what servers put on top of it.

use postroom_sdk::{Blob, Fault, Message, Writer};

/// Octets within which the header ends; the host reads no more of it either.
const HEADER: u32 = 256 << 10;
/// Octets at the end in which blank lines are looked for.
const END: u32 = 1 << 10;

/// SHA-256 of the fields and the body; of all octets when the fields say nothing. The body does not cross into the plugin.
pub(crate) fn digest(message: &Message, fields: &[String]) -> Result<String, Fault> {
    let values: Vec<(String, Vec<Vec<u8>>)> =
        fields.iter().map(|name| (name.to_ascii_lowercase(), message.header_raw(name))).collect();
    if values.iter().all(|(_, values)| values.is_empty()) {
        return Ok(message.sha256());
    }
    let mut writer = Writer::new();
    for (name, values) in &values {
        for value in values {
            writer.write(format!("{name}:{}\n", unfolded(value)).as_bytes())?;
        }
    }
    writer.write(b"\n")?;
    writer.append(&body(&message.raw())?)?;
    Ok(writer.finish()?.sha256())
}

/// In one line, with single blanks: servers fold anew.
fn unfolded(value: &[u8]) -> String {
    String::from_utf8_lossy(value).split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// What follows the first empty line, without empty lines at its end.
fn body(raw: &Blob) -> Result<Blob, Fault> {
    let start = start(&raw.read(0, HEADER)?).map_or(raw.size(), |start| start as u64);
    let tail_start = raw.size().saturating_sub(END.into()).max(start);
    let tail = raw.read(tail_start, END)?;
    let kept = tail.iter().rposition(|octet| !matches!(octet, b'\r' | b'\n')).map_or(0, |last| last + 1);
    raw.slice(start, (tail_start + kept as u64).saturating_sub(start))
}

fn start(head: &[u8]) -> Option<usize> {
    let mut at = 0;
    for line in head.split_inclusive(|octet| *octet == b'\n') {
        at += line.len();
        if matches!(line, b"\n" | b"\r\n") {
            return Some(at);
        }
    }
    None
}
