//! Content lines of RFC 5545 section 3.1: unfolding, names, parameters, values. Bounded whatever the octets are.

/// Lines that are read, and longest value that is kept, in octets.
const LINES: usize = 50_000;
const VALUE: usize = 8 << 10;
/// Parameters of one line.
const PARAMETERS: usize = 32;

/// A content line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// In upper case.
    pub(crate) name: String,
    /// Names in upper case; the first value of each, without quotes.
    parameters: Vec<(String, String)>,
    /// As it is written.
    pub(crate) value: String,
}

impl Line {
    /// The value of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// Octets as text: UTF-8 as the RFC demands, else each octet as a character, as old programs mean it.
pub(crate) fn text(octets: &[u8]) -> String {
    let octets = octets.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(octets);
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => octets.iter().map(|octet| char::from(*octet)).collect(),
    }
}

/// The lines of a text. What is no line is passed over; whether all was read is the second value.
pub(crate) fn lines(text: &str) -> (Vec<Line>, bool) {
    let mut lines = Vec::new();
    let mut folded = String::new();
    let mut is_whole = true;
    for raw in text.split('\n').map(|line| line.trim_end_matches('\r')) {
        if let Some(more) = raw.strip_prefix([' ', '\t']) {
            is_whole &= append(&mut folded, more);
            continue;
        }
        lines.extend(line(&folded));
        if lines.len() >= LINES {
            return (lines, false);
        }
        folded.clear();
        is_whole &= append(&mut folded, raw);
    }
    lines.extend(line(&folded));
    (lines, is_whole)
}

/// Whether there was room.
fn append(folded: &mut String, more: &str) -> bool {
    let room = more.floor_char_boundary(VALUE.saturating_sub(folded.len()));
    folded.push_str(&more[..room]);
    room == more.len()
}

/// `name *(";" parameter "=" value) ":" value`; a colon or semicolon within quotes ends nothing.
fn line(text: &str) -> Option<Line> {
    let end = text.find([';', ':'])?;
    let name = &text[..end];
    if name.is_empty() || !name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
        return None;
    }
    let mut parameters = Vec::new();
    let mut rest = &text[end..];
    while let Some(parameter) = rest.strip_prefix(';') {
        let end = unquoted(parameter, &[';', ':'])?;
        let (name, value) = parameter[..end].split_once('=').unwrap_or((&parameter[..end], ""));
        let first = unquoted(value, &[',']).map_or(value, |end| &value[..end]);
        if parameters.len() < PARAMETERS {
            parameters.push((name.trim().to_ascii_uppercase(), first.trim().trim_matches('"').to_owned()));
        }
        rest = &parameter[end..];
    }
    let value = rest.strip_prefix(':')?.to_owned();
    Some(Line { name: name.to_ascii_uppercase(), parameters, value })
}

/// Where the first of these characters is outside of quotes.
fn unquoted(text: &str, wanted: &[char]) -> Option<usize> {
    let mut quoted = false;
    text.char_indices()
        .find(|(_, ch)| {
            quoted ^= *ch == '"';
            !quoted && wanted.contains(ch)
        })
        .map(|(at, _)| at)
}

/// A TEXT value, section 3.3.11: without its backslashes.
pub(crate) fn unescaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(ch) = chars.next() {
        match ch {
            '\\' => match chars.next() {
                Some('n' | 'N') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            _ => out.push(ch),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_unfolded_whatever_ends_them() {
        for end in ["\r\n", "\n"] {
            let text = ["SUMMARY:A lo", " ng su", "\tmmary", "no line", "uid;x=1:7", ""].join(end);
            let (lines, is_whole) = lines(&text);
            let shown: Vec<_> = lines.iter().map(|line| (line.name.as_str(), line.value.as_str())).collect();
            assert_eq!(shown, [("SUMMARY", "A long summary"), ("UID", "7")]);
            assert!(is_whole);
        }
    }

    #[test]
    fn parameters_may_be_quoted() {
        let text = "ATTENDEE;CN=\"Doe; Jane: the 2nd\";ROLE=A,B;cutype=x:mailto:jane@x.example";
        let line = line(text).unwrap();
        assert_eq!(line.parameter("CN"), Some("Doe; Jane: the 2nd"));
        assert_eq!((line.parameter("ROLE"), line.parameter("CUTYPE")), (Some("A"), Some("x")));
        assert_eq!(line.value, "mailto:jane@x.example");
        for bad in ["", ":", "A B:x", "A;b=\"c:d", "A;b", "é:x"] {
            assert_eq!(super::line(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_line_without_end_is_cut_and_told() {
        let text = format!("SUMMARY:{}\n{}X:1\n", "é".repeat(VALUE), " more\n".repeat(1000));
        let (lines, is_whole) = lines(&text);
        assert!(!is_whole);
        assert!(lines[0].value.len() <= VALUE);
        assert_eq!(lines[1].name, "X");
    }

    #[test]
    fn octets_that_are_no_utf_8_are_latin_1() {
        assert_eq!(text(b"Caf\xe9"), "Café");
        assert_eq!(text("\u{feff}Café".as_bytes()), "Café");
        assert_eq!(unescaped("a\\, b\\;\\nc\\\\d\\"), "a, b;\nc\\d");
    }
}
