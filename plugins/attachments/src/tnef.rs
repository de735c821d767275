//! Microsoft's TNEF ([MS-OXTNEF]), the `winmail.dat` that Outlook sends: files, bodies, and what a calendar entry needs. A pure
//! function over octets: files are places in them, so that nothing is copied.

use std::ops::Range;

use postroom_mime::words;

use crate::mapi::{self, Property, Value};

/// The first four octets.
pub const MAGIC: [u8; 4] = 0x223e_9f78_u32.to_le_bytes();
/// Files that are listed.
const FILES: usize = 1000;

const RENDDATA: u32 = 0x0006_9002;
const TITLE: u32 = 0x0001_8010;
const DATA: u32 = 0x0006_800f;
const ATTACHMENT: u32 = 0x0006_9005;
const BODY: u32 = 0x0002_800c;
const PROPERTIES: u32 = 0x0006_9003;
const CODEPAGE: u32 = 0x0006_9007;
const CLASS: u32 = 0x0007_8008;
const SUBJECT: u32 = 0x0001_8004;

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// What it is called, the long name before the short one.
    pub name: Option<String>,
    /// Its type, where the sender says one.
    pub content_type: Option<String>,
    /// Without angle brackets.
    pub content_id: Option<String>,
    /// Where its octets lie.
    pub data: Range<usize>,
    /// An Outlook message, itself as TNEF.
    pub is_message: bool,
}

/// All that is of use in a TNEF stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tnef {
    /// In order.
    pub files: Vec<File>,
    /// The plain text, in UTF-8.
    pub text: Option<String>,
    /// Where the HTML text lies.
    pub html: Option<Range<usize>>,
    /// Where the compressed RTF text lies ([MS-OXRTFCP]).
    pub rtf: Option<Range<usize>>,
    /// "IPM.Microsoft Schedule.MtgReq".
    pub class: String,
    /// Subject.
    pub subject: Option<String>,
    /// Place of an appointment.
    pub location: Option<String>,
    /// Start and end of an appointment, milliseconds since 1970 UTC.
    pub when: Option<(i64, i64)>,
    /// It ends too early, or something in it makes no sense.
    pub damaged: bool,
}

/// Reads a stream, as far as it makes sense. `None`: it is none.
pub fn read(octets: &[u8]) -> Option<Tnef> {
    if !octets.starts_with(&MAGIC) {
        return None;
    }
    let mut reading = Reading { octets, codepage: 1252, found: Tnef::default(), file: None };
    let mut at = 6;
    while at < octets.len() {
        let Some((id, data, after)) = attribute(octets, at) else {
            reading.found.damaged = true;
            break;
        };
        if octets.get(data.clone()).map(checksum) != u16_at(octets, after - 2) {
            reading.found.damaged = true;
        }
        reading.take(id, data);
        at = after;
    }
    reading.end_file();
    Some(reading.found)
}

/// An attribute's name with its type, its data, and where the next one starts.
fn attribute(octets: &[u8], at: usize) -> Option<(u32, Range<usize>, usize)> {
    let id = u32_at(octets, at + 1)?;
    let len = u32_at(octets, at + 5)? as usize;
    let end = (at + 9).checked_add(len)?;
    (end + 2 <= octets.len()).then_some((id, at + 9..end, end + 2))
}

fn checksum(data: &[u8]) -> u16 {
    data.iter().fold(0, |sum: u16, octet| sum.wrapping_add(u16::from(*octet)))
}

struct Reading<'a> {
    octets: &'a [u8],
    codepage: u32,
    found: Tnef,
    file: Option<File>,
}

impl Reading<'_> {
    fn take(&mut self, id: u32, range: Range<usize>) {
        let data = self.octets.get(range.clone()).unwrap_or_default();
        match id {
            RENDDATA => {
                self.end_file();
                self.file = Some(File::default());
            }
            TITLE => {
                let name = mapi::text8(data, self.codepage);
                self.file.get_or_insert_default().name.get_or_insert(name);
            }
            DATA => self.file.get_or_insert_default().data = range,
            ATTACHMENT => self.properties(range, Self::of_file),
            BODY => self.found.text = Some(mapi::text8(data, self.codepage)).filter(|text| !text.is_empty()),
            PROPERTIES => self.properties(range, Self::of_message),
            CODEPAGE => self.codepage = u32_at(data, 0).unwrap_or(self.codepage),
            CLASS => self.found.class = mapi::text8(data, self.codepage),
            SUBJECT => self.found.subject = Some(mapi::text8(data, self.codepage)),
            _ => {}
        }
    }

    fn properties(&mut self, range: Range<usize>, take: fn(&mut Self, Property)) {
        let (properties, damaged) = mapi::properties(self.octets, range, self.codepage);
        self.found.damaged |= damaged;
        for property in properties {
            take(self, property);
        }
    }

    fn of_file(&mut self, Property { id, value }: Property) {
        let file = self.file.get_or_insert_default();
        match (id, value) {
            // The long name replaces the short one, whichever came first.
            (0x3707, Value::Text(name)) if !name.is_empty() => file.name = Some(name),
            (0x3001 | 0x3704, Value::Text(name)) if !name.is_empty() => {
                file.name.get_or_insert(name);
            }
            (0x370e, Value::Text(content_type)) => {
                file.content_type = Some(content_type.to_ascii_lowercase())
            }
            (0x3712, Value::Text(id)) => {
                file.content_id =
                    Some(id.trim_matches(['<', '>', ' ']).to_owned()).filter(|id| !id.is_empty());
            }
            (0x3701, Value::Octets(data)) => file.data = data,
            // An object begins with the id of its interface.
            (0x3701, Value::Object(data)) if data.len() > 16 => {
                file.data = data.start + 16..data.end;
                file.is_message =
                    self.octets.get(file.data.clone()).is_some_and(|data| data.starts_with(&MAGIC));
            }
            (_, _) => {}
        }
    }

    fn of_message(&mut self, Property { id, value }: Property) {
        let found = &mut self.found;
        match (id, value) {
            (0x1000, Value::Text(text)) if !text.is_empty() => found.text = Some(text),
            (0x1013, Value::Octets(html)) => found.html = Some(html),
            (0x1009, Value::Octets(rtf)) => found.rtf = Some(rtf),
            (0x001a, Value::Text(class)) => found.class = class,
            (0x0037, Value::Text(subject)) => found.subject = Some(subject),
            (0x8208, Value::Text(location)) => found.location = Some(location),
            (0x0060, Value::Time(start)) => {
                found.when = Some((start, found.when.map_or(start, |(_, end)| end)))
            }
            (0x0061, Value::Time(end)) => {
                found.when = Some((found.when.map_or(end, |(start, _)| start), end))
            }
            (_, _) => {}
        }
    }

    fn end_file(&mut self) {
        let Some(file) = self.file.take() else { return };
        if self.found.files.len() < FILES {
            self.found.files.push(file);
        } else {
            self.found.damaged = true;
        }
    }
}

impl Tnef {
    /// An appointment or an invitation as an iCalendar object (RFC 5545); `uid` tells it from others.
    pub fn calendar(&self, uid: &str) -> Option<String> {
        let (start, end) = self.when?;
        let class = self.class.to_ascii_lowercase();
        let method = match class.as_str() {
            _ if class.contains("canceled") || class.contains("mtgcncl") => "CANCEL",
            _ if class.contains("schedule") && class.contains("resp") => "REPLY",
            _ if class.contains("schedule") => "REQUEST",
            _ if class.contains("appointment") => "PUBLISH",
            _ => return None,
        };
        let stamp = |ms| postroom_sdk::Date::from_millis(ms).format("%Y%m%dT%H%M%SZ");
        let escape = |text: &str| {
            let text: String =
                text.chars().filter(|ch| *ch != '\r' && (*ch == '\n' || !ch.is_control())).collect();
            words::nfc(text)
                .replace('\\', "\\\\")
                .replace(';', "\\;")
                .replace(',', "\\,")
                .replace('\n', "\\n")
        };
        let mut lines = vec![
            "BEGIN:VCALENDAR".to_owned(),
            "VERSION:2.0".to_owned(),
            "PRODID:-//postroom//attachments//EN".to_owned(),
            format!("METHOD:{method}"),
            "BEGIN:VEVENT".to_owned(),
            format!("UID:{uid}"),
            format!("DTSTAMP:{}", stamp(start)),
            format!("DTSTART:{}", stamp(start)),
            format!("DTEND:{}", stamp(end)),
        ];
        lines.extend(self.subject.iter().map(|subject| format!("SUMMARY:{}", escape(subject))));
        lines.extend(self.location.iter().map(|location| format!("LOCATION:{}", escape(location))));
        lines.extend(["END:VEVENT".to_owned(), "END:VCALENDAR".to_owned(), String::new()]);
        Some(lines.join("\r\n"))
    }
}

const RTF_START: &[u8; 207] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";

/// RTF out of its compressed form ([MS-OXRTFCP]), at most `most` octets of it. `None`: it is none.
pub fn rtf(octets: &[u8], most: usize) -> Option<Vec<u8>> {
    let size = (u32_at(octets, 4)? as usize).min(most);
    let kind = octets.get(8..12)?;
    let data = octets.get(16..)?;
    if kind == b"MELA" {
        return Some(data[..data.len().min(size)].to_vec());
    }
    if kind != b"LZFu" {
        return None;
    }
    let mut window = [b' '; 4096];
    window[..RTF_START.len()].copy_from_slice(RTF_START);
    let mut at = RTF_START.len();
    let mut out = Vec::new();
    let mut data = data.iter();
    'all: while let Some(control) = data.next() {
        for bit in 0..8 {
            if out.len() >= size {
                break 'all;
            }
            if control >> bit & 1 == 0 {
                let Some(octet) = data.next() else { break 'all };
                (window[at % 4096], at) = (*octet, at + 1);
                out.push(*octet);
                continue;
            }
            let (Some(high), Some(low)) = (data.next(), data.next()) else { break 'all };
            let reference = usize::from(*high) << 8 | usize::from(*low);
            let (offset, len) = (reference >> 4, (reference & 15) + 2);
            if offset == at % 4096 {
                break 'all;
            }
            for step in 0..len {
                let octet = window[(offset + step) % 4096];
                (window[at % 4096], at) = (octet, at + 1);
                out.push(octet);
            }
        }
    }
    out.truncate(size);
    Some(out)
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::build::Stream;

    #[test]
    fn files_have_their_long_names_and_octets() {
        let octets = Stream::new()
            .file("LONGNA~1.PDF", Some("a long näme.pdf"), b"%PDF-1.7")
            .file("b.txt", None, b"two")
            .build();
        let found = read(&octets).unwrap();
        let files: Vec<_> = found
            .files
            .iter()
            .map(|file| (file.name.as_deref().unwrap(), &octets[file.data.clone()]))
            .collect();
        assert_eq!(files, [("a long näme.pdf", &b"%PDF-1.7"[..]), ("b.txt", b"two")]);
        assert!(!found.damaged);
    }

    #[test]
    fn names_are_in_the_code_page_of_the_sender() {
        let octets = Stream::new().codepage(1251).title(b"\xf2\xe5\xf1\xf2.txt", b"x").build();
        assert_eq!(read(&octets).unwrap().files[0].name.as_deref(), Some("тест.txt"));
    }

    #[test]
    fn bodies_are_found() {
        let octets = Stream::new().text("hello").html(b"<p>hi</p>").build();
        let found = read(&octets).unwrap();
        assert_eq!(found.text.as_deref(), Some("hello"));
        assert_eq!(&octets[found.html.unwrap()], b"<p>hi</p>");
    }

    #[test]
    fn an_invitation_becomes_a_calendar_object() {
        let octets = Stream::new().invitation("Lunch, at noon", 1_795_514_400_000, 1_795_518_000_000).build();
        let calendar = read(&octets).unwrap().calendar("abc").unwrap();
        for line in [
            "METHOD:REQUEST",
            "DTSTART:20261124T100000Z",
            "DTEND:20261124T110000Z",
            "SUMMARY:Lunch\\, at noon",
        ] {
            assert!(calendar.lines().any(|found| found == line), "{line}: {calendar}");
        }
        assert_eq!(read(&Stream::new().text("x").build()).unwrap().calendar("abc"), None);
    }

    #[test]
    fn rtf_is_decompressed() {
        // The example of [MS-OXRTFCP] 4.1.1.
        let octets = [
            0x2d, 0, 0, 0, 0x2b, 0, 0, 0, 0x4c, 0x5a, 0x46, 0x75, 0xf1, 0xc5, 0xc7, 0xa7, 0x03, 0, 0x0a, 0,
            0x72, 0x63, 0x70, 0x67, 0x31, 0x32, 0x35, 0x42, 0x32, 0x0a, 0xf3, 0x20, 0x68, 0x65, 0x6c, 0x09,
            0, 0x20, 0x62, 0x77, 0x05, 0xb0, 0x6c, 0x64, 0x7d, 0x0a, 0x80, 0x0f, 0xa0,
        ];
        let expected = "{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n";
        assert_eq!(String::from_utf8(rtf(&octets, 1000).unwrap()).unwrap(), expected);
        assert_eq!(rtf(&octets, 5).unwrap(), b"{\\rtf");
    }

    #[test]
    fn every_prefix_is_damaged_and_ends() {
        let octets = Stream::new().text("hi").file("a.txt", Some("b.txt"), b"hello").build();
        for end in 7..octets.len() {
            let found = read(&octets[..end]).unwrap();
            assert!(found.damaged || octets[..end].len() < octets.len(), "{end}");
        }
        assert_eq!(read(b"PK\x03\x04"), None);
    }
}
