//! Which characters can deceive a terminal, a log or a file name; and the neutral form of a text.

/// Characters that are not seen but change what is seen: bidirectional controls and overrides (UAX #9), zero-width
/// and filler characters, line and paragraph separators, interlinear and tag characters.
pub(super) fn is_hidden(ch: char) -> bool {
    matches!(ch,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// Control characters (C0, DEL, C1, so also NUL, CR, LF and ESC) and hidden ones.
pub(super) fn is_unsafe(ch: char) -> bool {
    ch.is_control() || is_hidden(ch)
}

/// The longest start of `text` of at most `octets` octets that ends between characters.
pub(super) fn cut(text: &str, octets: usize) -> &str {
    let mut end = octets.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// `text` for logs, reasons and error texts: what a terminal would act on or a reader would not see is escaped
/// (`\n`, `\u{1b}`, `\u{202e}`), and the whole is at most `cap` characters, the last one `…` when something was
/// left out. Reads no more of `text` than it shows.
pub fn neutral(text: &str, cap: usize) -> String {
    let mut shown = String::new();
    let mut count = 0;
    let mut room_for_mark = 0;
    for ch in text.chars() {
        let before = shown.len();
        if is_unsafe(ch) {
            shown.extend(escape(ch));
        } else {
            shown.push(ch);
        }
        count += shown[before..].chars().count();
        if count > cap {
            shown.truncate(room_for_mark);
            shown.extend((cap > 0).then_some('…'));
            return shown;
        }
        if count < cap {
            room_for_mark = shown.len();
        }
    }
    shown
}

fn escape(ch: char) -> impl Iterator<Item = char> {
    // `escape_default` writes \n, \r and \t short and everything else as \u{..}.
    ch.escape_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_newlines_and_overrides_become_visible() {
        assert_eq!(
            neutral("a\x1b[31mb\r\nc\u{202e}d\u{200b}\0\u{9b}", 100),
            "a\\u{1b}[31mb\\r\\nc\\u{202e}d\\u{200b}\\u{0}\\u{9b}"
        );
        assert_eq!(neutral("Grüße, 世界 \\ ok", 100), "Grüße, 世界 \\ ok");
    }

    #[test]
    fn the_cap_counts_characters_shown_and_never_splits_an_escape() {
        assert_eq!(neutral("abcdef", 6), "abcdef");
        assert_eq!(neutral("abcdefg", 6), "abcde…");
        assert_eq!(neutral("ab\x1bcd", 6), "ab…");
        assert_eq!(neutral("世界世界", 3), "世界…");
        assert_eq!(neutral("abc", 0), "");
        assert_eq!(neutral("", 0), "");
        for cap in 0..40 {
            assert!(neutral("a\u{202e}世\nb\x07ccccc\u{e0001}dddddd", cap).chars().count() <= cap);
        }
    }

    #[test]
    fn a_cut_ends_between_characters() {
        assert_eq!(cut("aä", 2), "a");
        assert_eq!(cut("aä", 3), "aä");
        assert_eq!(cut("世", 2), "");
        assert_eq!(cut("a", 9), "a");
    }
}
