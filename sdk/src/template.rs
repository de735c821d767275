//! Keys from templates: `{account}/{date:%Y/%m/%d}/{sha256:16}.eml`.
//!
//! | variable | stands for |
//! |---|---|
//! | `{account}` | name of the account |
//! | `{date:FORMAT}` | when the message was retrieved, UTC, with `%Y %m %d %H %M %S` |
//! | `{sha256}`, `{sha256:N}` | SHA-256 of the raw message, or its first N digits |
//! | `{id}`, `{id:N}` | id of the message, or its first N digits |
//! | `{uidl}` | the server's unique id, unsafe octets as `=HH`; `none` when there is none |
//! | `{subject}`, `{subject:N}` | subject as a slug of at most 60, or N, characters |
//! | `{from}`, `{from_domain}` | first address of From, or its domain, as a slug |
//! | `{list_id}` | identifier of the mailing list (RFC 2919) as a slug; `none` when there is none |
//! | `{sent:FORMAT}` | the Date field, but never later than the retrieval; that when there is none. Formats as of `date` |
//! | `{filename}` | parts only: safe file name |
//! | `{path}` | parts only: dotted path in the tree: "1.2" |
//! | `{content_sha256}`, `{content_sha256:N}` | parts only: SHA-256 of the decoded content, or its first N digits |
//!
//! `{{` and `}}` stand for braces. A value never holds a `/` and is never empty, so only the template makes directories
//! (a date format may hold one: it is the operator's). The sender decides `{subject}`, `{from}` and `{filename}`: two
//! messages can have the same, so put `{sha256:16}` or `{id:16}` beside them where that matters. A segment that values make
//! longer than a key may have loses its middle, and gets the message's digest there.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::content::Blob;
use crate::date::Date;
use crate::fault::{Fault, Problem};
use crate::message::{Message, Part};

/// Longest value of `{subject}` without a number, and of `{from}` and `{from_domain}`, in characters.
const SLUG_CHARS: usize = 60;
/// Longest segment of a key, in octets; the host refuses a longer one.
const SEGMENT_OCTETS: usize = 200;
/// Longest value of `{uidl}` and `{account}`, in octets.
const NAME_OCTETS: usize = 120;

/// A template for what is known of a message. Deserializes from a string; what it cannot know is an error.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let key = MessageTemplate::parse("{account}/{date:%Y-%m}/{subject:20}.eml")?;
/// let run = Bench::new().run_fn(&Mail::new().subject("Your order"), |message| {
///     assert_eq!(key.render(message), "home/2026-11/your-order.eml");
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
/// # Ok::<(), Problem>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", inline, extend("minLength" = 1), description = described(false))]
pub struct MessageTemplate(Vec<Piece>);

impl MessageTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// When a variable is unknown, a number or date format is wrong, or the fixed text cannot be in a key.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        parse(text, false).map(Self)
    }

    /// The key for a message.
    pub fn render(&self, message: &Message) -> String {
        // No piece of this template needs a part, so none can fail.
        let key: String = self.0.iter().map(|piece| piece.of_message(message)).collect();
        plain(&fitted(&key, message))
    }
}

/// A template for what is known of a message and one of its parts. Deserializes from a string.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let key = PartTemplate::parse("{date:%Y}/{path}-{filename}")?;
/// let run = Bench::new().run_fn(&Mail::new().attach("bill.pdf", "application/pdf", b"%PDF"), |message| {
///     assert_eq!(key.render(message, &message.attachments()[0])?, "2026/1-bill.pdf");
///     assert_eq!(key.render_named(message, "a.txt", "1.2", &message.raw()), "2026/1.2-a.txt");
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
/// # Ok::<(), Problem>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", inline, extend("minLength" = 1), description = described(true))]
pub struct PartTemplate(Vec<Piece>);

impl PartTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// As [`MessageTemplate::parse`].
    pub fn parse(text: &str) -> Result<Self, Problem> {
        parse(text, true).map(Self)
    }

    /// The key for content that is no part of the message itself, such as a file out of an archive. `filename` must be
    /// one safe path component.
    pub fn render_named(&self, message: &Message, filename: &str, path: &str, content: &Blob) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::OfPart(PartPiece::Filename) => filename.to_owned(),
            Piece::OfPart(PartPiece::Path) => safe(path),
            Piece::OfPart(PartPiece::ContentSha256(digits)) => head(content.sha256(), *digits),
            piece => piece.of_message(message),
        });
        plain(&pieces.collect::<String>())
    }

    /// The key for a part.
    ///
    /// # Errors
    /// When the template needs the content and it cannot be decoded.
    pub fn render(&self, message: &Message, part: &Part) -> Result<String, Fault> {
        let key: String =
            self.0.iter().map(|piece| piece.of_part(message, part)).collect::<Result<_, _>>()?;
        Ok(plain(&fitted(&key, message)))
    }
}

impl TryFrom<String> for MessageTemplate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|problem| problem.text)
    }
}

impl TryFrom<String> for PartTemplate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|problem| problem.text)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Account,
    Date(String),
    Sha256(usize),
    Id(usize),
    Uidl,
    Subject(usize),
    From,
    FromDomain,
    ListId,
    Sent(String),
    OfPart(PartPiece),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PartPiece {
    Filename,
    Path,
    ContentSha256(usize),
}

impl Piece {
    fn of_message(&self, message: &Message) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Account => safe(&message.account()),
            Self::Date(format) => message.received().format(format),
            Self::Sha256(digits) => head(message.sha256(), *digits),
            Self::Id(digits) => head(message.id(), *digits),
            Self::Uidl => message.uidl().map_or_else(|| "none".to_owned(), |uidl| safe(&uidl)),
            Self::Subject(chars) => slug(&message.subject(), *chars),
            Self::From => slug(&message.from().map(|from| from.email).unwrap_or_default(), SLUG_CHARS),
            Self::FromDomain => {
                slug(message.from().as_ref().and_then(|from| from.domain()).unwrap_or_default(), SLUG_CHARS)
            }
            Self::ListId => slug(&list_id(&message.header("List-Id").unwrap_or_default()), SLUG_CHARS),
            Self::Sent(format) => sent(message).format(format),
            Self::OfPart(_) => String::new(),
        }
    }

    fn of_part(&self, message: &Message, part: &Part) -> Result<String, Fault> {
        match self {
            Self::OfPart(PartPiece::Filename) => Ok(part.safe_filename()),
            Self::OfPart(PartPiece::Path) => Ok(safe(&part.path())),
            Self::OfPart(PartPiece::ContentSha256(digits)) => Ok(head(part.content()?.sha256(), *digits)),
            piece => Ok(piece.of_message(message)),
        }
    }
}

fn parse(text: &str, with_part: bool) -> Result<Vec<Piece>, Problem> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(ch) = rest.chars().next() {
        rest = &rest[ch.len_utf8()..];
        match ch {
            '{' | '}' if rest.starts_with(ch) => {
                plain.push(ch);
                rest = &rest[1..];
            }
            '{' => {
                let Some((variable, after)) = rest.split_once('}') else {
                    return Err(problem(text, "has a \"{\" without \"}\""));
                };
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(piece(text, variable, with_part)?);
                rest = after;
            }
            '}' => return Err(problem(text, "has a \"}\" without \"{\"")),
            ch => plain.push(ch),
        }
    }
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    check_fixed(text, &pieces)?;
    Ok(pieces)
}

fn piece(template: &str, variable: &str, with_part: bool) -> Result<Piece, Problem> {
    let (name, argument) = match variable.split_once(':') {
        Some((name, argument)) => (name.trim(), Some(argument)),
        None => (variable.trim(), None),
    };
    let bare = |piece: Piece| match argument {
        None => Ok(piece),
        Some(_) => Err(problem(template, &format!("{{{name}}} takes nothing after a colon"))),
    };
    let number = |all: usize| match argument {
        None => Ok(all),
        Some(text) => match text.parse() {
            Ok(number) if (1..=all).contains(&number) => Ok(number),
            _ => Err(problem(
                template,
                &format!("{{{name}:N}} needs a number from 1 to {all}, not \"{text}\""),
            )),
        },
    };
    match name {
        "account" => bare(Piece::Account),
        "date" => date(template, argument),
        "sha256" => number(64).map(Piece::Sha256),
        "id" => number(64).map(Piece::Id),
        "uidl" => bare(Piece::Uidl),
        "subject" if argument.is_none() => Ok(Piece::Subject(SLUG_CHARS)),
        "subject" => number(120).map(Piece::Subject),
        "from" => bare(Piece::From),
        "from_domain" => bare(Piece::FromDomain),
        "list_id" => bare(Piece::ListId),
        "sent" => date(template, argument).map(|piece| match piece {
            Piece::Date(format) => Piece::Sent(format),
            other => other,
        }),
        "filename" if with_part => bare(Piece::OfPart(PartPiece::Filename)),
        "path" if with_part => bare(Piece::OfPart(PartPiece::Path)),
        "content_sha256" if with_part => number(64).map(|n| Piece::OfPart(PartPiece::ContentSha256(n))),
        _ => Err(problem(template, &format!("has the unknown variable {{{name}}}; {}", known(with_part)))),
    }
}

/// The variables, for the operator.
fn known(with_part: bool) -> String {
    let of_part = if with_part { ", filename, path, content_sha256" } else { "" };
    format!("known are account, date, sha256, id, uidl, subject, from, from_domain, list_id, sent{of_part}")
}

fn described(with_part: bool) -> String {
    format!("A key with variables in braces; {}", known(with_part))
}

fn date(template: &str, argument: Option<&str>) -> Result<Piece, Problem> {
    match argument {
        None | Some("") => Err(problem(template, "{date} needs a format, as in {date:%Y-%m-%d}")),
        Some(format) => match Date::unknown_directive(format) {
            None => Ok(Piece::Date(format.to_owned())),
            Some(directive) => Err(problem(
                template,
                &format!("{{date}} does not know {directive}; it knows %Y %m %d %H %M %S"),
            )),
        },
    }
}

/// What would make every key wrong is told at once, not with the first message.
fn check_fixed(template: &str, pieces: &[Piece]) -> Result<(), Problem> {
    let sample: String = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Date(format) | Piece::Sent(format) => Date::from_millis(0).format(format),
            _ => "x".to_owned(),
        })
        .collect();
    if sample.contains('\\') || sample.chars().any(char::is_control) {
        return Err(problem(template, "must not have backslashes or control characters"));
    }
    if sample.split('/').any(|segment| matches!(segment, "" | "." | "..") || segment.ends_with(['.', ' '])) {
        return Err(problem(
            template,
            "must be a relative path: no \"/\" at an end, no empty, \".\" or \"..\" segment, none that ends in a dot \
             or space",
        ));
    }
    Ok(())
}

fn problem(template: &str, text: &str) -> Problem {
    Problem::new("key", format!("the template \"{template}\" {text}"))
}

/// The identifier in a List-Id field: what the angle brackets hold, else all of it.
fn list_id(field: &str) -> String {
    let inner = field.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or(field, |(inner, _)| inner).trim().to_owned()
}

/// When the sender says it was sent, as far as that can be.
fn sent(message: &Message) -> Date {
    let received = message.received();
    match message.date() {
        Some(date) if date.millis() <= received.millis() && date.millis() >= 0 => date,
        _ => received,
    }
}

/// No segment is longer than a key may have.
fn fitted(key: &str, message: &Message) -> String {
    if key.split('/').all(|segment| segment.len() <= SEGMENT_OCTETS) {
        return key.to_owned();
    }
    let digest = head(message.sha256(), 16);
    let fit = |segment: &str| {
        if segment.len() <= SEGMENT_OCTETS {
            return segment.to_owned();
        }
        let front = (0..=SEGMENT_OCTETS / 2).rev().find(|at| segment.is_char_boundary(*at)).unwrap_or(0);
        let back = segment.len() - SEGMENT_OCTETS / 4;
        let back = (back..=segment.len()).find(|at| segment.is_char_boundary(*at)).unwrap_or(segment.len());
        format!("{}-{digest}-{}", &segment[..front], &segment[back..])
    };
    key.split('/').map(fit).collect::<Vec<_>>().join("/")
}

/// No segment is a Windows device name, with or without an extension: the host refuses such a key everywhere, and the
/// sender decides some values.
fn plain(key: &str) -> String {
    let segments =
        key.split('/').map(|segment| if is_device(segment) { format!("_{segment}") } else { segment.into() });
    segments.collect::<Vec<String>>().join("/")
}

fn is_device(segment: &str) -> bool {
    let stem = segment.split('.').next().unwrap_or(segment).trim_end().to_ascii_uppercase();
    let numbered = |name: &str| {
        stem.strip_prefix(name).is_some_and(|n| {
            matches!(
                n,
                "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "\u{b9}" | "\u{b2}" | "\u{b3}"
            )
        })
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$")
        || numbered("COM")
        || numbered("LPT")
}

fn head(mut digits: String, n: usize) -> String {
    digits.truncate(n);
    digits
}

/// One path component that tells different names apart: letters, digits, `.`, `_`, `-`, `+` and `@` stay, other octets
/// and a dot at either end become `=HH`.
fn safe(name: &str) -> String {
    let mut out = String::new();
    for (at, octet) in name.bytes().enumerate() {
        let keep = match octet {
            b'.' => at != 0 && at + 1 != name.len(),
            _ => octet.is_ascii_alphanumeric() || b"_-+@".contains(&octet),
        };
        if out.len() + 3 > NAME_OCTETS {
            break;
        }
        if keep {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("={octet:02X}"));
        }
    }
    if out.is_empty() { "none".to_owned() } else { out.trim_end_matches('.').to_owned() }
}

/// Lower-case letters, digits and inner dots, everything else as single dashes; accents of Latin letters fall off.
fn slug(text: &str, chars: usize) -> String {
    let mut out = String::new();
    for ch in text.chars() {
        if out.len() >= chars {
            break;
        }
        match ch {
            _ if ch.is_ascii_alphanumeric() => out.push(ch.to_ascii_lowercase()),
            '.' if out.ends_with(|last: char| last.is_ascii_alphanumeric()) => out.push('.'),
            _ => match unaccented(ch) {
                "" if out.is_empty() || out.ends_with(['-', '.']) => {}
                "" => out.push('-'),
                letters => out.push_str(letters),
            },
        }
    }
    out.truncate(chars);
    match out.trim_matches(['-', '.']) {
        "" => "none".to_owned(),
        slug => slug.to_owned(),
    }
}

fn unaccented(ch: char) -> &'static str {
    match ch.to_lowercase().next().unwrap_or(ch) {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ă' | 'ą' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ę' | 'ě' => "e",
        'ğ' => "g",
        'ì' | 'í' | 'î' | 'ï' | 'ī' | 'ı' => "i",
        'ł' | 'ľ' => "l",
        'ñ' | 'ń' | 'ň' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ō' | 'ő' => "o",
        'œ' => "oe",
        'ř' => "r",
        'ś' | 'š' | 'ş' | 'ș' => "s",
        'ß' => "ss",
        'ť' | 'ţ' | 'ț' => "t",
        'þ' => "th",
        'ù' | 'ú' | 'û' | 'ü' | 'ū' | 'ů' | 'ű' => "u",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(template: &str, because: &str) {
        let problem = MessageTemplate::parse(template).unwrap_err();
        assert!(problem.text.contains(because), "{problem}");
    }

    #[test]
    fn what_cannot_work_is_refused() {
        refused("{nope}", "unknown variable {nope}; known are account");
        refused("{filename}", "unknown variable {filename}");
        refused("{date}", "needs a format");
        refused("{date:%j}", "does not know %j");
        refused("{sha256:0}", "from 1 to 64");
        refused("{account:3}", "takes nothing");
        refused("{account", "without \"}\"");
        refused("account}", "without \"{\"");
        refused("/{account}", "relative path");
        refused("{account}/../x", "relative path");
        refused("{date:%Y/}", "relative path");
        refused("", "relative path");
        refused("a\\b", "backslashes");
    }
}
