//! Containers built by hand, as programs write them, and as no honest program does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Base64 in lines.
pub(crate) fn base64(octets: &[u8]) -> String {
    let lines: Vec<String> = octets.chunks(57).map(|line| STANDARD.encode(line)).collect();
    lines.join("\r\n")
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        len @ 0..=127 => out.push(len as u8),
        len => out.extend([0x84, (len >> 24) as u8, (len >> 16) as u8, (len >> 8) as u8, len as u8]),
    }
    out.extend_from_slice(content);
    out
}

fn endless(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, 0x80][..], content, &[0, 0]].concat()
}

const SIGNED: [u8; 11] = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
const DATA: [u8; 11] = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];

/// Signed data without signers, in DER.
pub(crate) fn der_signed(content: &[u8]) -> Vec<u8> {
    let inside = tlv(0x30, &[&DATA[..], &tlv(0xa0, &tlv(0x04, content))].concat());
    let data = tlv(0x30, &[&tlv(0x02, &[1])[..], &tlv(0x31, &[]), &inside, &tlv(0x31, &[])].concat());
    tlv(0x30, &[&SIGNED[..], &tlv(0xa0, &data)].concat())
}

/// The same as mailers stream it: without lengths, and the content in pieces.
pub(crate) fn ber_signed(content: &[u8], piece: usize) -> Vec<u8> {
    let pieces: Vec<u8> = content.chunks(piece).flat_map(|piece| tlv(0x04, piece)).collect();
    let inside = endless(0x30, &[&DATA[..], &endless(0xa0, &endless(0x24, &pieces))].concat());
    let data = endless(0x30, &[&tlv(0x02, &[1])[..], &tlv(0x31, &[]), &inside, &tlv(0x31, &[])].concat());
    endless(0x30, &[&SIGNED[..], &endless(0xa0, &data)].concat())
}

/// Enveloped data with nothing in it.
pub(crate) fn der_enveloped() -> Vec<u8> {
    let mut id = SIGNED;
    id[10] = 3;
    tlv(0x30, &[&id[..], &tlv(0xa0, &tlv(0x30, &[]))].concat())
}

/// As a raw DEFLATE stream.
pub(crate) fn deflated(octets: &[u8]) -> Vec<u8> {
    miniz_oxide::deflate::compress_to_vec(octets, 9)
}

/// A ZIP archive.
#[derive(Default)]
pub(crate) struct Zip {
    octets: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
    flags: u16,
    mode: u32,
    claim: Option<u32>,
    last: (u32, Vec<u8>),
}

impl Zip {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The next file is said to need a password.
    pub(crate) fn encrypted(mut self) -> Self {
        self.flags = 1;
        self
    }

    /// The next file has a mode of Unix.
    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// The next file is said to have so many octets.
    pub(crate) fn claims(mut self, size: u32) -> Self {
        self.claim = Some(size);
        self
    }

    pub(crate) fn stored(self, name: &str, octets: &[u8]) -> Self {
        self.add(name, 0, octets, octets)
    }

    pub(crate) fn deflated(self, name: &str, octets: &[u8]) -> Self {
        let packed = deflated(octets);
        self.add(name, 8, octets, &packed)
    }

    /// The same octets under another name.
    pub(crate) fn again(mut self, name: &str) -> Self {
        let (offset, mut record) = self.last.clone();
        let _ = offset;
        record[28..30].copy_from_slice(&(name.len() as u16).to_le_bytes());
        record.truncate(46);
        record.extend(name.as_bytes());
        self.directory.extend(record);
        self.count += 1;
        self
    }

    fn add(mut self, name: &str, method: u16, octets: &[u8], packed: &[u8]) -> Self {
        let offset = self.octets.len() as u32;
        let size = self.claim.take().unwrap_or(octets.len() as u32);
        let mut common = Vec::new();
        common.extend(self.flags.to_le_bytes());
        common.extend(method.to_le_bytes());
        common.extend([0; 4]);
        common.extend(crate::zip::crc32(octets).to_le_bytes());
        common.extend((packed.len() as u32).to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0; 2]);
        self.octets.extend([&b"PK\x03\x04\x14\0"[..], &common, name.as_bytes(), packed].concat());
        let mut record = [&b"PK\x01\x02\x14\x03\x14\0"[..], &common, &[0; 6]].concat();
        record.extend((self.mode << 16).to_le_bytes());
        record.extend(offset.to_le_bytes());
        record.extend(name.as_bytes());
        self.last = (offset, record.clone());
        self.directory.extend(record);
        self.count += 1;
        (self.flags, self.mode) = (0, 0);
        self
    }

    pub(crate) fn build(self) -> Vec<u8> {
        let mut out = self.octets;
        let start = out.len() as u32;
        out.extend(&self.directory);
        out.extend(b"PK\x05\x06\0\0\0\0");
        out.extend(self.count.to_le_bytes());
        out.extend(self.count.to_le_bytes());
        out.extend((self.directory.len() as u32).to_le_bytes());
        out.extend(start.to_le_bytes());
        out.extend([0; 2]);
        out
    }
}

/// A TNEF stream.
pub(crate) struct Stream(Vec<u8>);

impl Stream {
    pub(crate) fn new() -> Self {
        Self([&crate::tnef::MAGIC[..], &[1, 0]].concat())
    }

    fn attribute(mut self, level: u8, id: u32, data: &[u8]) -> Self {
        self.0.push(level);
        self.0.extend(id.to_le_bytes());
        self.0.extend((data.len() as u32).to_le_bytes());
        self.0.extend(data);
        let sum = data.iter().fold(0_u16, |sum, octet| sum.wrapping_add(u16::from(*octet)));
        self.0.extend(sum.to_le_bytes());
        self
    }

    pub(crate) fn codepage(self, codepage: u32) -> Self {
        self.attribute(1, 0x0006_9007, &[&codepage.to_le_bytes()[..], &[0; 4]].concat())
    }

    /// A file with a name in the code page.
    pub(crate) fn title(self, name: &[u8], octets: &[u8]) -> Self {
        self.attribute(2, 0x0006_9002, &[0; 14]).attribute(2, 0x0001_8010, name).attribute(
            2,
            0x0006_800f,
            octets,
        )
    }

    pub(crate) fn file(self, short: &str, long: Option<&str>, octets: &[u8]) -> Self {
        let stream = self.title(short.as_bytes(), octets);
        match long {
            None => stream,
            Some(long) => {
                let text: Vec<u8> = long.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
                stream.attribute(2, 0x0006_9005, &properties(&[(0x3707_001f, &text)]))
            }
        }
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.attribute(1, 0x0002_800c, &[text.as_bytes(), &[0]].concat())
    }

    pub(crate) fn html(self, html: &[u8]) -> Self {
        self.attribute(1, 0x0006_9003, &properties(&[(0x1013_0102, html)]))
    }

    pub(crate) fn invitation(self, subject: &str, start: i64, end: i64) -> Self {
        let ticks = |ms: i64| ((ms + 11_644_473_600_000) * 10_000).to_le_bytes();
        self.attribute(1, 0x0007_8008, b"IPM.Microsoft Schedule.MtgReq\0")
            .attribute(1, 0x0001_8004, &[subject.as_bytes(), &[0]].concat())
            .attribute(
                1,
                0x0006_9003,
                &properties(&[(0x0060_0040, &ticks(start)), (0x0061_0040, &ticks(end))]),
            )
    }

    pub(crate) fn build(self) -> Vec<u8> {
        self.0
    }
}

fn properties(list: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = (list.len() as u32).to_le_bytes().to_vec();
    for (tag, value) in list {
        out.extend(tag.to_le_bytes());
        if tag & 0xffff != 0x40 {
            out.extend(1_u32.to_le_bytes());
            out.extend((value.len() as u32).to_le_bytes());
        }
        out.extend_from_slice(value);
        out.extend(vec![0; (4 - value.len() % 4) % 4]);
    }
    out
}
