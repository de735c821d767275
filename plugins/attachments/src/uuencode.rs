//! Files inside of plain text, as mail had them before MIME: uuencode (POSIX), `begin-base64`, and yEnc. Pure functions over
//! octets; whatever can be decoded is, and damage is told.

use postroom_mime::transfer;

/// A file out of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// As it was written.
    pub name: Vec<u8>,
    /// Decoded.
    pub octets: Vec<u8>,
    /// A line made no sense, or the end is missing.
    pub damaged: bool,
    /// There was more than was allowed.
    pub truncated: bool,
}

/// Which encoding a first line begins, and what it calls the file.
enum Begin<'a> {
    Uu(&'a [u8]),
    Base64(&'a [u8]),
    Yenc(&'a [u8]),
}

/// The files in a text, at most `files` of them and `most` octets together. A first line without a line of data after it is
/// text.
pub fn files(text: &[u8], files: usize, most: usize) -> Vec<File> {
    let mut found: Vec<File> = Vec::new();
    let mut left = most;
    let mut rest = text;
    while let Some((line, after)) = next_line(rest) {
        rest = after;
        let Some(begin) = begin(line) else { continue };
        if found.len() == files {
            break;
        }
        let (file, behind) = match begin {
            Begin::Uu(name) => uu(name, after, left),
            Begin::Base64(name) => base64(name, after, left),
            Begin::Yenc(name) => yenc(name, after, left),
        };
        if let Some(file) = file {
            left -= file.octets.len().min(left);
            found.push(file);
            rest = behind;
        }
    }
    found
}

/// The next line without its end, and what follows.
fn next_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.is_empty() {
        return None;
    }
    let end = text.iter().position(|octet| *octet == b'\n').unwrap_or(text.len());
    let line = text[..end].strip_suffix(b"\r").unwrap_or(&text[..end]);
    Some((line, text.get(end + 1..).unwrap_or_default()))
}

fn begin(line: &[u8]) -> Option<Begin<'_>> {
    if let Some(rest) = line.strip_prefix(b"=ybegin ") {
        let at = rest.windows(5).position(|window| window == b"name=")?;
        return Some(Begin::Yenc(rest[at + 5..].trim_ascii()));
    }
    let rest = line.strip_prefix(b"begin")?;
    let (is_base64, rest) = match rest.strip_prefix(b"-base64") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.strip_prefix(b" ")?.trim_ascii_start();
    let digits = rest.iter().take_while(|octet| matches!(octet, b'0'..=b'7')).count();
    let name = rest.get(digits..)?.strip_prefix(b" ")?.trim_ascii();
    let is_mode = (3..=4).contains(&digits);
    match (is_mode && !name.is_empty(), is_base64) {
        (false, _) => None,
        (true, true) => Some(Begin::Base64(name)),
        (true, false) => Some(Begin::Uu(name)),
    }
}

/// Decoded so far, as far as there is room.
struct Decoded {
    octets: Vec<u8>,
    most: usize,
    truncated: bool,
}

impl Decoded {
    fn new(most: usize) -> Self {
        Self { octets: Vec::new(), most, truncated: false }
    }

    fn push(&mut self, octets: &[u8]) {
        let room = self.most - self.octets.len();
        self.truncated |= octets.len() > room;
        self.octets.extend_from_slice(&octets[..octets.len().min(room)]);
    }

    fn file(self, name: &[u8], damaged: bool) -> File {
        File { name: name.to_vec(), octets: self.octets, damaged, truncated: self.truncated }
    }
}

fn uu<'a>(name: &[u8], text: &'a [u8], most: usize) -> (Option<File>, &'a [u8]) {
    let mut decoded = Decoded::new(most);
    let (mut lines, mut damaged) = (0, false);
    let mut rest = text;
    while let Some((line, after)) = next_line(rest) {
        if line == b"end" {
            return (Some(decoded.file(name, damaged)), after);
        }
        match uu_line(line) {
            Some((octets, is_short)) => {
                damaged |= is_short;
                decoded.push(&octets);
                lines += 1;
            }
            // Lines lose blanks at their end on the way, and an empty one may have been "`".
            None if line.trim_ascii().is_empty() => {}
            None => break,
        }
        rest = after;
    }
    (if lines > 0 { Some(decoded.file(name, true)) } else { None }, rest)
}

/// One line of data, and whether it is shorter than it says. None for a line that cannot be one.
fn uu_line(line: &[u8]) -> Option<(Vec<u8>, bool)> {
    let (first, data) = line.split_first()?;
    if !line.iter().all(|octet| (b' '..=b'`').contains(octet)) {
        return None;
    }
    let len = usize::from((first - b' ') & 63);
    let needed = len.div_ceil(3) * 4;
    // A check character may follow.
    if data.len() > needed + 1 {
        return None;
    }
    let value = |at: usize| u32::from(data.get(at).map_or(0, |octet| (octet - b' ') & 63));
    let mut octets = Vec::with_capacity(len + 2);
    for at in (0..needed).step_by(4) {
        let bits = value(at) << 18 | value(at + 1) << 12 | value(at + 2) << 6 | value(at + 3);
        octets.extend([(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]);
    }
    octets.truncate(len);
    // Blanks at the end stand for nothing but zeros; more is missing than they can explain when the line is half as long.
    Some((octets, data.len() < (len * 4).div_ceil(3) && data.len() * 2 < needed))
}

fn base64<'a>(name: &[u8], text: &'a [u8], most: usize) -> (Option<File>, &'a [u8]) {
    let mut decoded = Decoded::new(most);
    let (mut lines, mut damaged) = (0, false);
    let mut rest = text;
    while let Some((line, after)) = next_line(rest) {
        if line.trim_ascii() == b"====" {
            return (Some(decoded.file(name, damaged)), after);
        }
        let is_data = !line.is_empty()
            && line.iter().all(|octet| octet.is_ascii_alphanumeric() || b"+/= \t".contains(octet));
        if !is_data {
            break;
        }
        let (octets, is_damaged) = transfer::base64(line);
        damaged |= is_damaged;
        decoded.push(&octets);
        lines += 1;
        rest = after;
    }
    (if lines > 0 { Some(decoded.file(name, true)) } else { None }, rest)
}

/// yEnc 1.3, one part.
fn yenc<'a>(name: &[u8], text: &'a [u8], most: usize) -> (Option<File>, &'a [u8]) {
    let mut decoded = Decoded::new(most);
    let mut rest = text;
    while let Some((line, after)) = next_line(rest) {
        rest = after;
        if line.starts_with(b"=yend") {
            let size = number(line, b"size=");
            let damaged = size.is_some_and(|size| size != decoded.octets.len() && !decoded.truncated);
            return (Some(decoded.file(name, damaged)), rest);
        }
        if line.starts_with(b"=ypart") {
            continue;
        }
        let mut octets = Vec::with_capacity(line.len());
        let mut line = line.iter();
        while let Some(octet) = line.next() {
            match octet {
                b'=' => octets.extend(line.next().map(|next| next.wrapping_sub(64 + 42))),
                octet => octets.push(octet.wrapping_sub(42)),
            }
        }
        decoded.push(&octets);
    }
    let file = if decoded.octets.is_empty() { None } else { Some(decoded.file(name, true)) };
    (file, rest)
}

fn number(line: &[u8], name: &[u8]) -> Option<usize> {
    let at = line.windows(name.len()).position(|window| window == name)? + name.len();
    let digits = line[at..].iter().take_while(|octet| octet.is_ascii_digit()).count();
    std::str::from_utf8(&line[at..at + digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> File {
        let mut found = files(text.as_bytes(), 10, 1 << 20);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn a_file_in_a_text_is_decoded() {
        let file = one("Hi,\r\n\r\nbegin 644 cat.txt\r\n#0V%T\r\n`\r\nend\r\nBye\r\n");
        assert_eq!((&file.name[..], &file.octets[..], file.damaged), (&b"cat.txt"[..], &b"Cat"[..], false));
    }

    #[test]
    fn two_files_in_one_text_are_two() {
        let text = "begin 644 a b.txt\n#0V%T\n`\nend\nbegin 600 two\n#0V%T\n`\nend\n";
        let names: Vec<_> = files(text.as_bytes(), 10, 100).into_iter().map(|file| file.name).collect();
        assert_eq!(names, [&b"a b.txt"[..], b"two"]);
        assert_eq!(files(text.as_bytes(), 1, 100).len(), 1);
    }

    #[test]
    fn a_missing_end_and_a_line_of_text_are_damage() {
        assert!(one("begin 644 a\n#0V%T\n").damaged);
        let file = one("begin 644 a\n#0V%T\nthis is text, and not short enough to be data\n");
        assert_eq!((file.octets, file.damaged), (b"Cat".to_vec(), true));
    }

    #[test]
    fn the_word_begin_is_no_file() {
        for text in
            ["begin 644 days ago, we\n", "begin the day\n", "let us begin 644 x\n", "begin 9 x\n#0V%T\n"]
        {
            assert_eq!(files(text.as_bytes(), 10, 100), [], "{text:?}");
        }
    }

    #[test]
    fn no_more_is_decoded_than_is_allowed() {
        let file = files(b"begin 644 a\n#0V%T\n`\nend\n", 9, 2).remove(0);
        assert_eq!((file.octets, file.truncated), (b"Ca".to_vec(), true));
    }

    #[test]
    fn the_newer_forms_are_decoded_too() {
        assert_eq!(one("begin-base64 644 c.txt\nQ2F0\n====\n").octets, b"Cat");
        let mut text = b"=ybegin line=128 size=3 name=c d.bin\r\n".to_vec();
        text.extend(b"Cat".iter().map(|octet| octet.wrapping_add(42)));
        text.extend(b"\r\n=yend size=3\r\n");
        let file = files(&text, 1, 100).remove(0);
        assert_eq!((&file.name[..], &file.octets[..], file.damaged), (&b"c d.bin"[..], &b"Cat"[..], false));
    }
}
