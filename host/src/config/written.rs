//! Owns one file as written: its values, and the place of each, so that a mistake can be shown where it is.
//! Must not know what any key means.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use figment::value::{Dict, Value};
use postroom_mail::rules::neutral;
use toml_edit::{ImDocument, Item, TableLike};

use super::diagnose::{ConfigError, Origin, Place};
use super::mask::{is_showable, up_to_secret};
use super::sources::KeyPath;
use crate::regular;

/// Far more than anybody writes; a larger file is the wrong one.
const LARGEST: u64 = 1 << 20;

/// What of a value is wrong, and with that what may be shown of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Its key; the value is not shown, it might be a secret with a misspelt name.
    Key,
    /// The value itself.
    Value,
}

/// One source as written, with where everything in it stands.
pub(super) struct Source {
    pub(super) origin: Origin,
    pub(super) text: String,
    pub(super) root: Spot,
    pub(super) data: Dict,
}

/// Where one value stands in its file.
#[derive(Default)]
pub(super) struct Spot {
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    scalar: bool,
    pub(super) children: BTreeMap<String, Spot>,
}

impl Source {
    fn spot(&self, path: &KeyPath) -> Option<&Spot> {
        path.iter().try_fold(&self.root, |spot, key| spot.children.get(key))
    }

    /// Whether there is a value at `path`.
    pub(super) fn holds(&self, path: &KeyPath) -> bool {
        self.spot(path).is_some()
    }

    /// The place of the first `length` keys of `path`.
    pub(super) fn place(&self, path: &KeyPath, length: usize, part: Part) -> Option<Place> {
        let spot = self.spot(path.get(..length)?)?;
        let exact = length == path.len();
        // A table that is spread over lines is shown by its header.
        let whole =
            spot.value.clone().filter(|value| !self.text.get(value.clone()).unwrap_or("").contains('\n'));
        let key = spot.key.clone().or_else(|| self.header(spot)).or_else(|| first_key(spot));
        let span = match part {
            Part::Value if exact => whole.or(key),
            Part::Value | Part::Key => key.or(whole),
        };
        let span = span.or_else(|| spot.value.clone())?;
        let shown = part == Part::Value && exact && is_showable(path);
        Some(self.masked(span, shown))
    }

    /// The first line of a table in a list of tables, which has no key of its own.
    fn header(&self, spot: &Spot) -> Option<Range<usize>> {
        let start = spot.value.as_ref().map(|value| value.start)?;
        let line = line_at(&self.text, start).1;
        self.text.get(start..line.end)?.starts_with("[[").then_some(start..line.end)
    }

    /// The line at `span`; of the texts in it only those within `span` are shown, and these only when `shown`.
    fn masked(&self, span: Range<usize>, shown: bool) -> Place {
        let mut scalars = Vec::new();
        self.root.scalars(&mut scalars);
        let inside = |scalar: &Range<usize>| scalar.start >= span.start && scalar.end <= span.end;
        let hidden = scalars.iter().filter(|scalar| !(shown && inside(scalar))).cloned().collect::<Vec<_>>();
        let (number, line) = line_at(&self.text, span.start);
        let comment = self.text[line.clone()]
            .char_indices()
            .map(|(at, ch)| (line.start + at, ch))
            .find(|(at, ch)| *ch == '#' && !scalars.iter().any(|scalar| scalar.contains(at)))
            .map_or(line.end, |(at, _)| at);
        let mut text = String::new();
        let (mut before, mut length) = (0, 0);
        let mut masking = false;
        for (at, ch) in self.text[line.start..comment].char_indices().map(|(at, ch)| (line.start + at, ch)) {
            let mask = hidden.iter().any(|scalar| scalar.contains(&at));
            if mask && masking {
                continue;
            }
            masking = mask;
            text.push(if mask { '…' } else { ch });
            before += usize::from(at < span.start);
            length += usize::from(span.contains(&at));
        }
        let column = self.text[line.start..span.start.min(line.end)].chars().count() + 1;
        Place::new(number, column, &text, before, length)
    }
}

impl Spot {
    fn scalars(&self, found: &mut Vec<Range<usize>>) {
        found.extend(self.value.clone().filter(|_| self.scalar));
        self.children.values().for_each(|child| child.scalars(found));
    }
}

fn first_key(spot: &Spot) -> Option<Range<usize>> {
    let keys = spot.children.values().filter_map(|child| child.key.clone().or_else(|| first_key(child)));
    keys.min_by_key(|key| key.start)
}

/// The number from 1 of the line that holds octet `at`, and its octets without the line break.
fn line_at(text: &str, at: usize) -> (usize, Range<usize>) {
    let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    let end = if text[start..end].ends_with('\r') { end - 1 } else { end };
    (text[..start].matches('\n').count() + 1, start..end.max(start))
}

/// Reads one TOML file.
///
/// # Errors
/// When it cannot be read, or is not TOML: its first mistake.
pub(super) fn read_file(path: &Path) -> Result<Source, ConfigError> {
    let origin = Origin::File(path.to_owned());
    let here = |error: ConfigError| error.at(Some(origin.clone()), None);
    let octets = read_octets(path).map_err(here)?;
    let text = String::from_utf8(octets).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|octet| **octet == b'\n')
            .count()
            + 1;
        here(
            ConfigError::new(format!("line {line} is no UTF-8 text"))
                .hint("is this the configuration? save it as UTF-8"),
        )
    })?;
    parse(path, &text)
}

/// As [`read_file`], of a text that is to stand in that file.
///
/// # Errors
/// When it is not TOML: its first mistake.
pub(super) fn parse(path: &Path, text: &str) -> Result<Source, ConfigError> {
    let origin = Origin::File(path.to_owned());
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
    let document = ImDocument::parse(text.clone()).map_err(|error| {
        syntax(&text, error.span().map_or(0, |span| span.start), error.message()).at_file(origin.clone())
    })?;
    let mut root = Spot::default();
    let data = table(document.as_table(), &mut root);
    Ok(Source { origin, text, root, data })
}

fn read_octets(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            ConfigError::new("there is no such file").hint("`postroom init` writes one to start from")
        }
        io::ErrorKind::PermissionDenied => {
            ConfigError::new("permission denied").hint("let the user that Postroom runs as read it")
        }
        io::ErrorKind::InvalidInput => {
            ConfigError::new("this is no regular file").hint("name the TOML file itself")
        }
        _ => ConfigError::new(format!("cannot be read: {error}")),
    };
    let file = regular::open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if meta.mode() & 0o002 != 0 {
        let shown = neutral(&path.display().to_string(), 300);
        return Err(ConfigError::new(
            "every user can change this file, and with it run commands as this one",
        )
        .hint(format!("close it: chmod o-w {shown}")));
    }
    let mut octets = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut octets).map_err(unreadable)?;
    if octets.len() as u64 > LARGEST {
        return Err(ConfigError::new("this file is larger than 1 MiB").hint("is this the configuration?"));
    }
    Ok(octets)
}

/// A file that is not TOML. Nothing is known of its structure, so anything that may be a secret is cut off.
fn syntax(text: &str, at: usize, message: &str) -> Unplaced {
    let (number, line) = line_at(text, at);
    let at = at.clamp(line.start, line.end);
    let column = text.get(line.start..at).map_or(0, |before| before.chars().count()) + 1;
    let before_line = &text[..line.start];
    let in_long_text = ["\"\"\"", "'''"].iter().any(|quote| before_line.matches(quote).count() % 2 == 1);
    let whole = &text[line];
    let (shown, cut) = if in_long_text { ("", true) } else { up_to_secret(whole) };
    let shown = if cut { format!("{shown} …") } else { shown.to_owned() };
    let before = (column - 1).min(shown.chars().count().saturating_sub(1));
    let message = message.split('\n').collect::<Vec<_>>().join(", ");
    let message = message
        .strip_prefix("invalid table header, duplicate")
        .map_or(message.clone(), |rest| format!("duplicate{rest}"));
    let hint = (message.contains("invalid string") || message.contains("expected newline"))
        .then(|| "texts stand in quotes: host = \"pop.example.net\"".to_owned());
    let error = ConfigError::new(format!("this is not TOML: {message}")).maybe_hint(hint);
    Unplaced { error, place: Place::new(number, column, &shown, before, 1) }
}

struct Unplaced {
    error: ConfigError,
    place: Place,
}

impl Unplaced {
    fn at_file(self, origin: Origin) -> ConfigError {
        self.error.at(Some(origin), Some(self.place))
    }
}

fn table(table: &dyn TableLike, spot: &mut Spot) -> Dict {
    let mut dict = Dict::new();
    for (name, item) in table.iter() {
        let mut below = Spot { key: table.key(name).and_then(toml_edit::Key::span), ..Spot::default() };
        if let Some(value) = item_value(item, &mut below) {
            dict.insert(name.to_owned(), value);
            spot.children.insert(name.to_owned(), below);
        }
    }
    dict
}

fn item_value(item: &Item, spot: &mut Spot) -> Option<Value> {
    spot.value = item.span();
    match item {
        Item::None => None,
        Item::Value(value) => Some(plain_value(value, spot)),
        Item::Table(inner) => Some(table(inner, spot).into()),
        Item::ArrayOfTables(tables) => {
            let mut list = Vec::new();
            for (index, inner) in tables.iter().enumerate() {
                let mut below = Spot { value: inner.span(), ..Spot::default() };
                list.push(Value::from(table(inner, &mut below)));
                spot.children.insert(index.to_string(), below);
            }
            Some(list.into())
        }
    }
}

fn plain_value(value: &toml_edit::Value, spot: &mut Spot) -> Value {
    spot.value = value.span();
    spot.scalar = !(value.is_array() || value.is_inline_table());
    match value {
        toml_edit::Value::String(text) => text.value().clone().into(),
        toml_edit::Value::Integer(number) => (*number.value()).into(),
        toml_edit::Value::Float(number) => (*number.value()).into(),
        toml_edit::Value::Boolean(truth) => (*truth.value()).into(),
        toml_edit::Value::Datetime(at) => at.value().to_string().into(),
        toml_edit::Value::InlineTable(inner) => table(inner, spot).into(),
        toml_edit::Value::Array(inner) => {
            let mut list = Vec::new();
            for (index, value) in inner.iter().enumerate() {
                let mut below = Spot::default();
                list.push(plain_value(value, &mut below));
                spot.children.insert(index.to_string(), below);
            }
            list.into()
        }
    }
}

/// So that an error inside of a variable's value is found to be there; it has no lines.
pub(super) fn inner_spots(value: &Value, spot: &mut Spot) {
    match value {
        Value::Dict(_, dict) => {
            dict.iter()
                .for_each(|(key, value)| inner_spots(value, spot.children.entry(key.clone()).or_default()));
        }
        Value::Array(_, list) => {
            let children = list.iter().enumerate();
            children.for_each(|(index, value)| {
                inner_spots(value, spot.children.entry(index.to_string()).or_default())
            });
        }
        _ => {}
    }
}
