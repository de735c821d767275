//! From HTML to the words a reader sees, roughly: enough to look for words in it. One pass, no tree.

/// Elements whose content nobody reads.
const HIDDEN: [&str; 4] = ["script", "style", "head", "title"];
/// Elements that do not end a word.
const INLINE: [&str; 14] =
    ["a", "abbr", "b", "em", "font", "i", "mark", "small", "span", "strong", "sub", "sup", "u", "wbr"];
const ENTITIES: [(&str, char); 8] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("euro", '€'),
    ("pound", '£'),
];
/// Longest entity that is looked for, octets.
const ENTITY: usize = 10;

/// The text without tags, comments, scripts and styles.
pub(crate) fn text(html: &str) -> String {
    let mut out = String::with_capacity(html.len() / 2);
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = if rest.starts_with('&') { entity(rest, &mut out) } else { tag(rest, &mut out) };
    }
    out.push_str(rest);
    out
}

/// What follows an entity at the beginning.
fn entity<'h>(html: &'h str, out: &mut String) -> &'h str {
    let end = html.bytes().take(ENTITY).position(|octet| octet == b';');
    let found = end.and_then(|end| Some((decoded(&html[1..end])?, &html[end + 1..])));
    match found {
        Some((ch, rest)) => {
            out.push(ch);
            rest
        }
        None => {
            out.push('&');
            &html[1..]
        }
    }
}

fn decoded(entity: &str) -> Option<char> {
    let number = entity.strip_prefix('#').map(|digits| match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => digits.parse(),
    });
    match number {
        Some(number) => number.ok().and_then(char::from_u32),
        None => ENTITIES.iter().find(|(name, _)| *name == entity).map(|(_, ch)| *ch),
    }
}

/// What follows a tag or comment at the beginning, and, if its content is hidden, that.
fn tag<'h>(html: &'h str, out: &mut String) -> &'h str {
    if let Some(comment) = html.strip_prefix("<!--") {
        return comment.find("-->").map_or("", |end| &comment[end + 3..]);
    }
    let inside = &html[1..];
    let name = inside.strip_prefix('/').unwrap_or(inside);
    if !name.starts_with(|ch: char| ch.is_ascii_alphabetic() || matches!(ch, '!' | '?')) {
        out.push('<');
        return inside;
    }
    let name =
        name[..name.find(|ch: char| !ch.is_ascii_alphanumeric()).unwrap_or(name.len())].to_ascii_lowercase();
    let after = inside.find('>').map_or("", |end| &inside[end + 1..]);
    if !INLINE.contains(&name.as_str()) {
        out.push(' ');
    }
    if inside.starts_with('/') || !HIDDEN.contains(&name.as_str()) {
        return after;
    }
    past_end(after, &name)
}

/// What follows the end tag; nothing when there is none.
fn past_end<'h>(html: &'h str, name: &str) -> &'h str {
    let mut rest = html;
    while let Some(at) = rest.find("</") {
        rest = &rest[at + 2..];
        if rest.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return rest.find('>').map_or("", |end| &rest[end + 1..]);
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(html: &str, expected: &str) {
        let words: Vec<String> = text(html).split_whitespace().map(str::to_owned).collect();
        assert_eq!(words.join(" "), expected);
    }

    #[test]
    fn what_a_reader_sees_stays() {
        check("<p>Free<br>money</p><td>now</td>", "Free money now");
        check("ca<b>si</b>no &amp; b&#97;r &#x20AC;5&nbsp;x", "casino & bar €5 x");
        check("<STYLE>p { free }</style ><script>if (a</b) free</script>seen", "seen");
        check("<!-- free <p> -->seen<!-- never ends", "seen");
        check("1 < 2 & 3 &unknown; &toolongtobeone;", "1 < 2 & 3 &unknown; &toolongtobeone;");
        check("<head><title>x</title></head>body", "body");
        check("é&é<é", "é&é<é");
    }

    #[test]
    fn damaged_html_takes_linear_time_and_does_not_panic() {
        for piece in ["<", "&", "</", "<!--", "<script>", "<style", "&#", "<é>", "<script></"] {
            text(&piece.repeat(20_000));
        }
    }
}
