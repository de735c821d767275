//! Addresses and fields that may stand in a message this plugin makes.

/// Longest encoded-word, RFC 2047 section 2.
const ENCODED_WORD: usize = 75;
/// Longest subject taken over, characters.
const SUBJECT_CHARS: usize = 400;

/// Whether an address of the operator's can be an SMTP recipient: the host has the last word, this is for a good text.
pub(crate) fn check_address(address: &str) -> Result<(), String> {
    let bare =
        address.is_ascii() && !address.chars().any(|ch| ch.is_ascii_control() || " <>,;\"".contains(ch));
    match address.split_once('@') {
        Some((local, domain)) if bare && !local.is_empty() && !domain.is_empty() && !domain.contains('@') => {
            Ok(())
        }
        _ => Err(format!("\"{address}\" is no bare address like archive@example.com")),
    }
}

/// A value for an unstructured field: as it is when it is short printable ASCII, in encoded-words of UTF-8 otherwise
/// (RFC 2047 section 4.1), folded. Control characters become spaces: nothing of the sender's starts a field.
pub(crate) fn unstructured(text: &str) -> String {
    let text: String =
        text.chars().take(SUBJECT_CHARS).map(|ch| if ch.is_control() { ' ' } else { ch }).collect();
    let text = text.trim();
    if text.is_ascii()
        && text.len() <= 900
        && !text.contains("=?")
        && text.split(' ').all(|word| word.len() < 100)
    {
        return fold(text);
    }
    let mut words: Vec<String> = Vec::new();
    let mut chunk = String::new();
    // 45 octets are 60 digits of base64: with `=?UTF-8?B?` and `?=` 72, below 75.
    for ch in text.chars() {
        if chunk.len() + ch.len_utf8() > 45 {
            words.push(encoded_word(&chunk));
            chunk.clear();
        }
        chunk.push(ch);
    }
    words.push(encoded_word(&chunk));
    words.join("\r\n ")
}

/// Breaks before words, so that lines stay below 78 octets where words allow it (RFC 5322 section 2.1.1).
fn fold(text: &str) -> String {
    let mut folded = String::new();
    let mut line = 12;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match folded.is_empty() {
            true => {}
            false if line + 1 + word.len() > 76 => {
                folded.push_str("\r\n ");
                line = 1;
            }
            false => {
                folded.push(' ');
                line += 1;
            }
        }
        folded.push_str(word);
        line += word.len();
    }
    folded
}

fn encoded_word(text: &str) -> String {
    let word = format!("=?UTF-8?B?{}?=", base64(text.as_bytes()));
    debug_assert!(word.len() <= ENCODED_WORD);
    word
}

/// RFC 4648 section 4.
fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in octets.chunks(3) {
        let octet = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for digit in 0..4 {
            let index = bits >> (18 - 6 * digit) & 63;
            out.push(if digit <= group.len() { char::from(DIGITS[index as usize]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_vectors_of_rfc_4648() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (text, encoded) in vectors {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn short_ascii_stays_and_everything_else_is_encoded_in_short_lines() {
        assert_eq!(unstructured("Fwd: hello"), "Fwd: hello");
        assert_eq!(unstructured("a\r\nBcc: x@y.example"), "a Bcc: x@y.example");
        assert_eq!(unstructured("ü"), "=?UTF-8?B?w7w=?=");
        assert!(
            unstructured("=?UTF-8?B?w7w=?=").starts_with("=?UTF-8?B?PT9V"),
            "what looks encoded is encoded"
        );
        for text in
            ["ü".repeat(1000), "x".repeat(1000), "word ".repeat(200), format!("{}\u{1f600}", "a".repeat(44))]
        {
            let value = unstructured(&text);
            assert!(value.is_ascii());
            assert!(value.split("\r\n").all(|line| line.len() <= 78), "{value}");
            assert!(
                value.split("\r\n").skip(1).all(|line| line.starts_with(' ') && line.len() > 1),
                "{value}"
            );
        }
    }

    #[test]
    fn only_bare_addresses() {
        assert!(check_address("a+b@example.com").is_ok());
        for bad in
            ["", "a", "@b", "a@", "a@b@c", "A <a@b.example>", "a@b.example\r\nx", "ü@b.example", "a@b, c@d"]
        {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }
}
