//! Owns the octets that go out: line ends made CRLF, trace fields on top, `Return-Path` and `Bcc` left out, nothing else
//! touched. Must not let content end the transmission early, whatever line ends it has (the "smuggling" of
//! CVE-2023-51764 and its like), and must not re-encode or re-wrap: signatures cover those octets.

use postroom_mail::{EffectId, HeaderField};

use super::super::error::Fault;

/// More hops than this are a loop (RFC 5321 section 6.3 leaves the number open; Postfix takes 50).
const MOST_HOPS: usize = 50;

/// A message as it goes out, before dot-stuffing. Every CR is followed by LF, every LF preceded by CR, and it ends so.
#[derive(Debug)]
pub(super) struct Outgoing {
    octets: Vec<u8>,
    eight_bit: bool,
}

impl Outgoing {
    /// Makes the message. `domain` is for a Message-ID, which is made from the effect when there is none, so that each
    /// attempt sends the same.
    pub(super) fn prepare(
        content: &[u8],
        add_headers: &[HeaderField],
        effect: &EffectId,
        domain: &str,
    ) -> Result<Self, Fault> {
        if content.contains(&0) {
            return Err(Fault::permanent(
                "the message holds NUL octets, which SMTP cannot carry (RFC 5322 section 2.3); nothing was sent: \
                 forward it as an attachment instead",
            ));
        }
        let content = canonical(content);
        let header = Header::of(&content);
        if header.count("Received") > MOST_HOPS {
            return Err(Fault::permanent(format!(
                "the message went through more than {MOST_HOPS} servers, which is a mail loop; nothing was sent: \
                 look at its Received fields for who forwards to whom"
            )));
        }

        let mut octets = Vec::with_capacity(content.len() + 1024);
        for field in add_headers {
            let line = field.to_string();
            if line.contains(['\r', '\n', '\0']) {
                return Err(Fault::permanent("a header field to add holds CR, LF or NUL; nothing was sent"));
            }
            octets.extend_from_slice(line.as_bytes());
            octets.extend_from_slice(b"\r\n");
        }
        let given = add_headers.iter().any(|field| field.name().eq_ignore_ascii_case("Message-ID"));
        if !given && header.count("Message-ID") == 0 {
            let line = format!("Message-ID: <E{}@{domain}>\r\n", effect.0.short(32));
            octets.extend_from_slice(line.as_bytes());
        }
        for field in &header.fields {
            if !field.named("Return-Path") && !field.named("Bcc") {
                octets.extend_from_slice(field.octets);
            }
        }
        if header.fields.is_empty() && !header.rest.starts_with(b"\r\n") && !octets.is_empty() {
            octets.extend_from_slice(b"\r\n");
        }
        octets.extend_from_slice(header.rest);
        if !octets.ends_with(b"\r\n") {
            octets.extend_from_slice(b"\r\n");
        }
        let eight_bit = !octets.is_ascii();
        Ok(Self { octets, eight_bit })
    }

    /// Octets as RFC 1870 counts them.
    pub(super) fn size(&self) -> u64 {
        self.octets.len() as u64
    }

    /// Whether it needs 8BITMIME (RFC 6152).
    pub(super) fn eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// The message dot-stuffed (RFC 5321 section 4.5.2), in blocks, without the line with the final dot.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let mut lines = self.octets.split_inclusive(|&octet| octet == b'\n').peekable();
        std::iter::from_fn(move || {
            lines.peek()?;
            let mut block = Vec::with_capacity(BLOCK + 1024);
            while block.len() < BLOCK
                && let Some(line) = lines.next()
            {
                if line.starts_with(b".") {
                    block.push(b'.');
                }
                block.extend_from_slice(line);
            }
            Some(block)
        })
    }

    #[cfg(test)]
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }
}

/// How much goes out before the clock starts anew.
const BLOCK: usize = 64 * 1024;

/// Every CRLF, lone CR and lone LF is one CRLF. This comes before dot-stuffing: a receiver that takes a lone CR or LF for
/// a line end then sees the same lines as we do.
pub(in crate::sinks) fn canonical(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + content.len() / 32 + 2);
    let mut rest = content;
    while let Some(at) = rest.iter().position(|octet| matches!(octet, b'\r' | b'\n')) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(b"\r\n");
        let end = if rest[at..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[at + end..];
    }
    out.extend_from_slice(rest);
    out
}

/// The header of a canonical message as fields, and the rest from the empty line on.
struct Header<'a> {
    fields: Vec<Field<'a>>,
    rest: &'a [u8],
}

/// One field with its continuation lines and line ends. A line that is no field counts as one without a name.
struct Field<'a> {
    octets: &'a [u8],
}

impl<'a> Header<'a> {
    fn of(content: &'a [u8]) -> Self {
        let mut fields: Vec<Field<'a>> = Vec::new();
        let (mut start, mut at) = (0, 0);
        for line in content.split_inclusive(|&octet| octet == b'\n') {
            if line == b"\r\n" {
                break;
            }
            if at > start && !line.starts_with(b" ") && !line.starts_with(b"\t") {
                fields.push(Field { octets: &content[start..at] });
                start = at;
            }
            at += line.len();
        }
        if at > start {
            fields.push(Field { octets: &content[start..at] });
        }
        Self { fields, rest: &content[at..] }
    }

    fn count(&self, name: &str) -> usize {
        self.fields.iter().filter(|field| field.named(name)).count()
    }
}

impl Field<'_> {
    /// Also with white space before the colon (RFC 5322 section 4.5).
    fn named(&self, name: &str) -> bool {
        let colon = self.octets.iter().position(|&octet| octet == b':');
        colon.is_some_and(|colon| self.octets[..colon].trim_ascii_end().eq_ignore_ascii_case(name.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use postroom_mail::Digest;

    use super::*;

    fn prepare(content: &[u8]) -> Outgoing {
        Outgoing::prepare(content, &[], &EffectId(Digest::of(b"effect")), "own.example").unwrap()
    }

    fn stuffed(content: &[u8]) -> Vec<u8> {
        prepare(content).blocks().flatten().collect()
    }

    /// What each kind of receiver takes for the end of the message, the lenient ones included.
    const ENDS: [&[u8]; 7] = [b"\r\n.\r\n", b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\n.\r"];

    #[test]
    fn no_mix_of_line_ends_and_dots_ends_the_message_early() {
        let alphabet: [&[u8]; 5] = [b"\r", b"\n", b".", b"a", b"\r\n"];
        for number in 0..alphabet.len().pow(6) {
            let mut content = b"Message-ID: <a@b>\r\n\r\n".to_vec();
            let mut number = number;
            for _ in 0..6 {
                content.extend_from_slice(alphabet[number % alphabet.len()]);
                number /= alphabet.len();
            }
            let sent = stuffed(&content);
            let lone = sent.iter().enumerate().any(|(at, octet)| match octet {
                b'\r' => sent.get(at + 1) != Some(&b'\n'),
                b'\n' => at == 0 || sent[at - 1] != b'\r',
                _ => false,
            });
            assert!(!lone, "lone CR or LF: {}", sent.escape_ascii());
            for end in ENDS {
                let early = sent.windows(end.len()).any(|window| window == end);
                assert!(!early, "{} ends {} early", end.escape_ascii(), sent.escape_ascii());
            }
            assert!(sent.ends_with(b"\r\n"));
        }
    }

    #[test]
    fn only_return_path_and_bcc_are_left_out_of_the_header_and_nothing_out_of_the_body() {
        let sent = prepare(
            b"Return-Path: <a@b.example>\r\nbcc : one@b.example,\r\n two@b.example\r\nTo: c@b.example\r\n\
              Message-ID: <m@b.example>\r\nBcc-Note: kept\r\n\r\nBcc: in the body\r\n",
        );
        let expected: &[u8] = b"To: c@b.example\r\nMessage-ID: <m@b.example>\r\nBcc-Note: kept\r\n\r\n\
              Bcc: in the body\r\n";
        assert_eq!(sent.octets().escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    #[test]
    fn a_message_id_is_made_from_the_effect_only_when_there_is_none() {
        let made = prepare(b"Subject: a\n\nbody");
        let id = EffectId(Digest::of(b"effect")).0.short(32);
        let expected = format!("Message-ID: <E{id}@own.example>\r\nSubject: a\r\n\r\nbody\r\n");
        assert_eq!(made.octets(), expected.as_bytes());
        assert_eq!(prepare(b"message-id: <m@b>\n\n").octets(), b"message-id: <m@b>\r\n\r\n");
    }

    #[test]
    fn fields_to_add_come_first_and_cannot_hold_line_ends() {
        let id = EffectId(Digest::of(b"effect"));
        let field = HeaderField::new("X-Loop", "own.example").unwrap();
        let sent = Outgoing::prepare(b"Message-ID: <m@b>\r\n\r\n", &[field], &id, "d").unwrap();
        assert_eq!(sent.octets(), b"X-Loop: own.example\r\nMessage-ID: <m@b>\r\n\r\n");
    }

    #[test]
    fn nul_and_loops_are_refused() {
        let id = EffectId(Digest::of(b"effect"));
        assert!(Outgoing::prepare(b"Subject: a\r\n\r\n\0", &[], &id, "d").is_err());
        let hops =
            |count: usize| [b"Received: by a.example\r\n".repeat(count), b"\r\nbody\r\n".to_vec()].concat();
        assert!(Outgoing::prepare(&hops(MOST_HOPS), &[], &id, "d").is_ok());
        assert!(Outgoing::prepare(&hops(MOST_HOPS + 1), &[], &id, "d").is_err());
    }

    #[test]
    fn eight_bit_content_is_known_and_kept() {
        let sent = prepare(b"Message-ID: <m@b>\r\n\r\n\xE4\xFF\r\n");
        assert!(sent.eight_bit());
        assert!(sent.octets().ends_with(b"\xE4\xFF\r\n"));
        assert!(!prepare(b"Subject: a\r\n\r\n").eight_bit());
    }

    #[test]
    fn large_messages_go_out_in_blocks_that_join_without_a_seam() {
        let content = [b"Message-ID: <m@b>\r\n\r\n".to_vec(), b"..line\r\n".repeat(50_000)].concat();
        let mail = prepare(&content);
        assert!(mail.blocks().count() > 1);
        let joined: Vec<u8> = mail.blocks().flatten().collect();
        assert_eq!(joined.len(), content.len() + 50_000);
    }
}
