//! Transfer decoding (RFC 2045 section 6) and charset decoding, as streams: bounded memory whatever the size, and lenient,
//! because what a sender got wrong is no reason to lose an attachment. [`damage`] tells whether something was wrong.

mod base64;
mod quoted_printable;

use std::io::{self, Read};

use encoding_rs::{Encoding as Charset, UTF_8, WINDOWS_1252};

use crate::structure::Encoding;

/// Octets read from the inner reader at a time.
const CHUNK: usize = 8 * 1024;

/// Decodes `inner` while it is read.
///
/// Base64: octets outside the alphabet are passed over; padding ends a chunk, and another one may follow; a missing end is
/// made up for. Quoted-printable: soft line breaks and white space at line ends go, wrong escapes are passed through.
pub fn decode<'a, R: Read + 'a>(inner: R, encoding: Encoding) -> Box<dyn Read + 'a> {
    match Decoder::new(encoding) {
        None => Box::new(inner),
        Some(decoder) => Box::new(Decoding::new(inner, decoder)),
    }
}

/// How many octets `inner` decodes to.
///
/// # Errors
/// Those of `inner`.
pub fn decoded_len<R: Read>(inner: R, encoding: Encoding) -> io::Result<u64> {
    io::copy(&mut decode(inner, encoding), &mut io::sink())
}

/// Whether `inner` breaks the rules of its encoding, so that what it decodes to may not be what was sent. Base64: octets
/// that are neither of the alphabet nor white space, wrong or missing padding. Quoted-printable: a `=` before other than two
/// hexadecimal digits or a line end. Reads `inner` to its end.
///
/// # Errors
/// Those of `inner`.
pub fn damage<R: Read>(inner: R, encoding: Encoding) -> io::Result<bool> {
    let Some(decoder) = Decoder::new(encoding) else { return Ok(false) };
    let mut decoding = Decoding::new(inner, decoder);
    io::copy(&mut decoding, &mut io::sink())?;
    Ok(decoding.decoder.is_damaged())
}

/// `octets` as text. An unknown or missing charset, and US-ASCII with other octets in it, is UTF-8 when it can be, and
/// windows-1252 otherwise (WHATWG Encoding Standard labels). A byte order mark wins and goes. Line ends stay.
pub fn text(octets: &[u8], charset: Option<&str>) -> String {
    charset_for(octets, charset).decode(octets).0.into_owned()
}

fn charset_for(octets: &[u8], label: Option<&str>) -> &'static Charset {
    let label =
        label.map(|label| label.trim_matches(|ch: char| ch.is_ascii_whitespace() || ch == '"' || ch == '\''));
    // Mail that says US-ASCII says nothing: it is the default (RFC 2045 section 5.2), and often wrong.
    let said =
        label.filter(|label| !label.eq_ignore_ascii_case("us-ascii") && !label.eq_ignore_ascii_case("ascii"));
    let known = said.and_then(|label| Charset::for_label_no_replacement(label.as_bytes()));
    known.unwrap_or_else(|| if is_utf8(octets) { UTF_8 } else { WINDOWS_1252 })
}

/// Also when it was cut inside its last character.
fn is_utf8(octets: &[u8]) -> bool {
    std::str::from_utf8(octets).map_or_else(|error| error.error_len().is_none(), |_| true)
}

/// Takes octets in pieces of any size.
enum Decoder {
    Base64(base64::Decoder),
    QuotedPrintable(quoted_printable::Decoder),
}

impl Decoder {
    fn new(encoding: Encoding) -> Option<Self> {
        match encoding {
            Encoding::Identity => None,
            Encoding::Base64 => Some(Self::Base64(base64::Decoder::default())),
            Encoding::QuotedPrintable => Some(Self::QuotedPrintable(quoted_printable::Decoder::default())),
        }
    }

    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Base64(decoder) => decoder.push(octets, out),
            Self::QuotedPrintable(decoder) => decoder.push(octets, out),
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Base64(decoder) => decoder.finish(out),
            Self::QuotedPrintable(decoder) => decoder.finish(out),
        }
    }

    fn is_damaged(&self) -> bool {
        match self {
            Self::Base64(decoder) => decoder.is_damaged(),
            Self::QuotedPrintable(decoder) => decoder.is_damaged(),
        }
    }
}

struct Decoding<R> {
    inner: R,
    decoder: Decoder,
    chunk: Box<[u8]>,
    decoded: Vec<u8>,
    taken: usize,
    is_done: bool,
}

impl<R: Read> Decoding<R> {
    fn new(inner: R, decoder: Decoder) -> Self {
        Self { inner, decoder, chunk: vec![0; CHUNK].into(), decoded: Vec::new(), taken: 0, is_done: false }
    }

    /// Decodes on until there is something to give or nothing more to come.
    fn fill(&mut self) -> io::Result<()> {
        while self.taken == self.decoded.len() && !self.is_done {
            let count = self.inner.read(&mut self.chunk)?;
            self.decoded.clear();
            self.taken = 0;
            self.decoder.push(&self.chunk[..count], &mut self.decoded);
            if count == 0 {
                self.is_done = true;
                self.decoder.finish(&mut self.decoded);
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Decoding<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.fill()?;
        let rest = &self.decoded[self.taken..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one octet at a time, and an interruption before each.
    struct Drip<'a>(&'a [u8], bool);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let count = self.0.len().min(buffer.len()).min(1);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn check(encoding: Encoding, encoded: &[u8], expected: &[u8], is_damaged: bool) {
        let shown = encoded.escape_ascii().to_string();
        let mut whole = Vec::new();
        decode(encoded, encoding).read_to_end(&mut whole).unwrap();
        assert_eq!(whole.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{shown}");
        let mut dripped = Vec::new();
        decode(Drip(encoded, false), encoding).read_to_end(&mut dripped).unwrap();
        assert_eq!(dripped, expected, "{shown} one at a time");
        for at in 0..=encoded.len() {
            let mut split = Vec::new();
            decode(encoded[..at].chain(&encoded[at..]), encoding).read_to_end(&mut split).unwrap();
            assert_eq!(split, expected, "{shown} split at {at}");
        }
        let mut small = Vec::new();
        let mut reader = decode(encoded, encoding);
        let mut one = [0];
        while reader.read(&mut one).unwrap() == 1 {
            small.push(one[0]);
        }
        assert_eq!(small, expected, "{shown} into one octet");
        assert_eq!(decoded_len(encoded, encoding).unwrap(), expected.len() as u64);
        assert_eq!(damage(encoded, encoding).unwrap(), is_damaged, "{shown} damage");
        assert_eq!(damage(Drip(encoded, false), encoding).unwrap(), is_damaged, "{shown} damage");
    }

    #[test]
    fn base64_is_decoded_leniently_and_damage_is_seen() {
        for (encoded, expected, is_damaged) in [
            (&b""[..], &b""[..], false),
            (b"\r\n", b"", false),
            (b"aGVsbG8=", b"hello", false),
            (b"aGVs\r\nbG8=\r\n", b"hello", false),
            (b"aGVs bG\t8 = \n", b"hello", false),
            (b"aGVsbG8hIQ==", b"hello!!", false),
            (b"aGVsbG8hIQ=\r\n=", b"hello!!", false),
            (b"aGVsbG8=aGVsbG8=", b"hellohello", false),
            (b"+/+/", b"\xfb\xff\xbf", false),
            (b"aGVsbG8", b"hello", true),
            (b"aGVsbG8hIQ=", b"hello!!", true),
            (b"aGVsbG8==", b"hello", true),
            (b"aGVsbG8hI", b"hello!", true),
            (b"aGVs*bG8=", b"hello", true),
            (b"aGVs-bG8=", b"hello", true),
            (b"aGVs\0\xffbG8=", b"hello", true),
            (b"=", b"", true),
            (b"a===", b"", true),
            (b"aGVsbG8hIQ=aGVs", b"hello!!hel", true),
        ] {
            check(Encoding::Base64, encoded, expected, is_damaged);
        }
    }

    #[test]
    fn quoted_printable_is_decoded_leniently_and_damage_is_seen() {
        for (encoded, expected, is_damaged) in [
            (&b""[..], &b""[..], false),
            (b"a=3Db", b"a=b", false),
            (b"=c3=BC", b"\xc3\xbc", false),
            (b"a\r\nb\nc", b"a\r\nb\nc", false),
            (b"soft=\r\nbreak=\nhere", b"softbreakhere", false),
            (b"soft= \t\r\nbreak", b"softbreak", false),
            (b"trailing \t\r\nspace  \nend  ", b"trailing\r\nspace\nend", false),
            (b"kept =\r\n too", b"kept  too", false),
            (b"kept=20\r\n", b"kept \r\n", false),
            (b"end=", b"end", false),
            (b"end=\r\n", b"end", false),
            (b"a\rb", b"a\rb", false),
            (b"a \rb", b"a \rb", false),
            (b"a\r\r\nb", b"a\r\r\nb", false),
            (b"a=XYb", b"a=XYb", true),
            (b"a=4", b"a=4", true),
            (b"a=4Zb", b"a=4Zb", true),
            (b"a==3D", b"a==", true),
            (b"a=4=3D", b"a=4=", true),
            (b"a= b", b"a= b", true),
            (b"a=\rb", b"a=\rb", true),
            (b"a= =\r\nb", b"a= b", true),
            (b"a=4\r\nb", b"a=4\r\nb", true),
            (b"8bit \xfc", b"8bit \xfc", false),
        ] {
            check(Encoding::QuotedPrintable, encoded, expected, is_damaged);
        }
    }

    #[test]
    fn utf_8_cut_inside_a_character_is_still_utf_8() {
        let octets = "gr\u{fc}n \u{20ac}".as_bytes();
        for end in 0..=octets.len() {
            assert!(!text(&octets[..end], None).contains('\u{c3}'), "cut at {end}");
        }
        assert_eq!(text(&octets[..octets.len() - 1], None), "gr\u{fc}n \u{fffd}");
        assert_eq!(text(b"gr\xfcn", None), "gr\u{fc}n");
    }

    #[test]
    fn identity_is_untouched() {
        check(Encoding::Identity, b"a=3D \r\n\0\xff", b"a=3D \r\n\0\xff", false);
    }

    #[test]
    fn a_line_of_blanks_without_end_stays_bounded() {
        let mut decoder = quoted_printable::Decoder::default();
        let (mut out, mut given, mut most) = (Vec::new(), 0, 0);
        for _ in 0..1 << 20 {
            decoder.push(b" ", &mut out);
            most = most.max(out.len());
            given += out.len();
            out.clear();
        }
        decoder.push(b"x", &mut out);
        assert_eq!(given + out.len(), (1 << 20) + 1);
        assert!(most <= 1000, "{most}");
    }

    #[test]
    fn text_is_decoded_by_its_charset_or_by_what_it_can_be() {
        for (octets, charset, expected) in [
            (&b"Gr\xfc\xdfe\r\n"[..], Some("ISO-8859-1"), "Grüße\r\n"),
            ("Grüße".as_bytes(), Some("utf-8"), "Grüße"),
            ("Grüße".as_bytes(), Some("\"UTF-8\" "), "Grüße"),
            ("Grüße".as_bytes(), None, "Grüße"),
            (b"Gr\xfc\xdfe", None, "Grüße"),
            (b"Gr\xfc\xdfe", Some("x-nonsense"), "Grüße"),
            ("Grüße".as_bytes(), Some("x-nonsense"), "Grüße"),
            ("Grüße".as_bytes(), Some("US-ASCII"), "Grüße"),
            (b"a\xffb", Some("utf-8"), "a\u{fffd}b"),
            (b"\xef\xbb\xbfa", Some("utf-8"), "a"),
            (b"\x1b$B$\"\x1b(B", Some("iso-2022-jp"), "あ"),
            (b"ok", Some("iso-2022-kr"), "ok"),
            (b"", Some("utf-8"), ""),
            (b"\xa4", Some("koi8-r"), "╓"),
        ] {
            assert_eq!(text(octets, charset), expected, "{charset:?}");
        }
    }
}
