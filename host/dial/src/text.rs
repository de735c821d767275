//! Text that others wrote, made fit for terminals and logs. Must not decide what is shown.

/// At most so many characters of one foreign text are shown.
const CAP: usize = 200;

/// `text` with what a terminal would act on or a reader would not see escaped (`\n`, `\u{1b}`, `\u{202e}`), cut after
/// 200 characters with `…`.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::new();
    let mut count = 0;
    for ch in text.chars() {
        let escaped: String =
            if ch.is_control() || is_hidden(ch) { ch.escape_default().collect() } else { ch.to_string() };
        count += escaped.chars().count();
        if count > CAP {
            shown.push('…');
            break;
        }
        shown.push_str(&escaped);
    }
    shown
}

/// Bidirectional controls, zero-width and filler characters, separators, interlinear and tag characters.
fn is_hidden(ch: char) -> bool {
    matches!(ch,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_overrides_become_visible_and_long_texts_are_cut() {
        assert_eq!(shown("a\x1b[31m\r\n\u{202e}ü"), "a\\u{1b}[31m\\r\\n\\u{202e}ü");
        assert_eq!(shown(&"x".repeat(CAP)), "x".repeat(CAP));
        assert_eq!(shown(&"x".repeat(CAP + 1)), format!("{}…", "x".repeat(CAP)));
        assert!(!shown(&format!("{}\u{202e}", "x".repeat(CAP - 1))).contains('\u{202e}'));
    }
}
