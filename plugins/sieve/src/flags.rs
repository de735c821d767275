//! Flags, RFC 5232: lists in one text, with blanks between them, each flag once whatever its case.

/// Most flags of a list; more are left out.
const MOST: usize = 64;
/// Most octets of a flag.
const FLAG_OCTETS: usize = 64;

/// The flags of texts, each once, in order.
pub(crate) fn listed<T: AsRef<str>>(texts: &[T]) -> Vec<String> {
    let mut flags: Vec<String> = Vec::new();
    for flag in texts.iter().flat_map(|text| text.as_ref().split_ascii_whitespace()) {
        let fits = flag.len() <= FLAG_OCTETS && flags.len() < MOST;
        if fits && !flags.iter().any(|known| known.eq_ignore_ascii_case(flag)) {
            flags.push(flag.to_owned());
        }
    }
    flags
}

/// A list without some.
pub(crate) fn without(flags: Vec<String>, gone: &[String]) -> Vec<String> {
    let stays = |flag: &String| !gone.iter().any(|other| other.eq_ignore_ascii_case(flag));
    flags.into_iter().filter(stays).collect()
}

/// The letters Maildir has for flags.
pub(crate) fn letters(flags: &[String]) -> String {
    flags.iter().filter_map(|flag| letter(flag)).collect()
}

/// The labels that stand for the flags Maildir has no letter for: their letters and digits, in lower case.
pub(crate) fn labels(flags: &[String]) -> Vec<String> {
    let own = flags.iter().filter(|flag| letter(flag).is_none());
    let labels = own.map(|flag| {
        let name = flag.trim_start_matches(['\\', '$']);
        let fits = |ch: char| ch.is_ascii_alphanumeric() || "-_./:".contains(ch);
        name.chars().map(|ch| if fits(ch) { ch.to_ascii_lowercase() } else { '_' }).take(64).collect()
    });
    labels.filter(|label: &String| !label.is_empty()).collect()
}

fn letter(flag: &str) -> Option<char> {
    match flag.to_ascii_lowercase().as_str() {
        "\\seen" => Some('S'),
        "\\answered" => Some('R'),
        "\\flagged" => Some('F'),
        "\\deleted" => Some('T'),
        "\\draft" => Some('D'),
        "$forwarded" => Some('P'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_letters_and_labels() {
        let flags = listed(&["\\Seen  \\flagged $Forwarded", "$Junk", "\\seen", "Zu lesen", "$", "größe"]);
        assert_eq!(letters(&flags), "SFP");
        assert_eq!(labels(&flags), ["junk", "zu", "lesen", "gr__e"]);
        assert_eq!(without(flags, &["ZU".to_owned(), "\\SEEN".to_owned()])[0], "\\flagged");
    }
}
