//! Owns where configuration comes from: the file, `conf.d/*.toml` beside it, then `POSTROOM_` variables, merged by figment;
//! and for every value, where it was written. Must not know what any key means.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use postroom_mail::rules::neutral;
use toml_edit::{ImDocument, Item, TableLike};

use super::diagnose::{ConfigError, ConfigErrors, Origin, Place, nearest};

/// Far more than anybody writes; a larger file is the wrong one.
const LARGEST: u64 = 1 << 20;
const PREFIX: &str = "POSTROOM_";
/// Variables of the command line, which are no part of the configuration.
const OTHER_VARIABLES: [&str; 3] = ["POSTROOM_CONFIG", "POSTROOM_LOG", "POSTROOM_LOG_FORMAT"];

/// The environment variables that matter here. Not shown: somebody may have put a secret into one.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Of this process.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os();
        Self::new(variables.map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())))
    }

    /// Of these; others than `POSTROOM_…` and `STATE_DIRECTORY` are left out.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = |name: &str| name.starts_with(PREFIX) || name == "STATE_DIRECTORY";
        Self(variables.into_iter().filter(|(name, _)| ours(name)).collect())
    }

    /// The value of one.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Everything that was read, merged; later sources win, lists are replaced whole.
pub(super) struct Sources {
    list: Vec<Source>,
    figment: Figment,
    merged: Value,
    /// Texts for the operator.
    pub(super) warnings: Vec<String>,
}

/// A key path; elements of lists by their index from 0.
pub(super) type KeyPath = [String];

/// What of a value is wrong, and with that what may be shown of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Its key; the value is not shown, it might be a secret with a misspelt name.
    Key,
    /// The value itself.
    Value,
}

struct Source {
    origin: Origin,
    text: String,
    root: Spot,
    data: Dict,
}

/// Where one value stands in its file.
#[derive(Default)]
struct Spot {
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    scalar: bool,
    children: BTreeMap<String, Spot>,
}

impl Sources {
    /// Reads all sources of the configuration at `path`.
    ///
    /// # Errors
    /// The first mistake of each file that cannot be read.
    pub(super) fn gather(path: &Path, environment: &Environment) -> Result<Self, ConfigErrors> {
        let mut list = Vec::new();
        let mut errors = Vec::new();
        match fragments(path) {
            Ok(fragments) => {
                for file in std::iter::once(path.to_owned()).chain(fragments) {
                    match read_file(&file) {
                        Ok(source) => list.push(source),
                        Err(error) => errors.push(error),
                    }
                }
            }
            Err(error) => errors.push(error),
        }
        let mut warnings = Vec::new();
        for (name, value) in &environment.0 {
            match variable(name, value) {
                Variable::Setting(source) => list.push(source),
                Variable::Misspelt(warning) => warnings.push(warning),
                Variable::Other => {}
            }
        }
        if let Some(errors) = ConfigErrors::from_all(errors) {
            return Err(errors);
        }
        let layers = list.iter().enumerate().map(|(index, source)| Layer { index, data: &source.data });
        let figment = layers.fold(Figment::new(), Figment::merge);
        let merged = figment.find_value("").map_err(|error| ConfigError::new(error.kind.to_string()))?;
        Ok(Self { list, figment, merged, warnings })
    }

    /// The files that were read.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let file = |source: &Source| match &source.origin {
            Origin::File(path) => Some(path.clone()),
            Origin::Variable(_) => None,
        };
        self.list.iter().filter_map(file).collect()
    }

    /// The merged value at `path`.
    pub(super) fn find(&self, path: &KeyPath) -> Option<&Value> {
        path.iter().try_fold(&self.merged, |value, key| child(value, key))
    }

    /// Where the value at `path` was written, or the nearest table above it that was written anywhere.
    pub(super) fn locate(&self, path: &KeyPath, part: Part) -> (Option<Origin>, Option<Place>) {
        for length in (1..=path.len()).rev() {
            let Some(source) = path.get(..length).and_then(|path| self.written_in(path)) else { continue };
            return (Some(source.origin.clone()), source.place(path, length, part));
        }
        let first = self.list.first();
        (first.map(|source| source.origin.clone()), None)
    }

    /// The source whose value at `path` won.
    fn written_in(&self, path: &KeyPath) -> Option<&Source> {
        let tag = self.find(path)?.tag();
        let index: Option<usize> = self.figment.get_metadata(tag).and_then(|metadata| metadata.name.parse().ok());
        let winner = index.and_then(|index| self.list.get(index)).filter(|source| source.holds(path));
        winner.or_else(|| self.list.iter().rev().find(|source| source.holds(path)))
    }
}

/// A part of a value.
pub(super) fn child<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Dict(_, dict) => dict.get(key),
        Value::Array(_, list) => list.get(key.parse::<usize>().ok()?),
        _ => None,
    }
}

impl Source {
    fn spot(&self, path: &KeyPath) -> Option<&Spot> {
        path.iter().try_fold(&self.root, |spot, key| spot.children.get(key))
    }

    fn holds(&self, path: &KeyPath) -> bool {
        self.spot(path).is_some()
    }

    /// The place of the first `length` keys of `path`.
    fn place(&self, path: &KeyPath, length: usize, part: Part) -> Option<Place> {
        let spot = self.spot(path.get(..length)?)?;
        let exact = length == path.len();
        // A table that is spread over lines is shown by its header.
        let whole = spot.value.clone().filter(|value| !self.text.get(value.clone()).unwrap_or("").contains('\n'));
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

/// Whether a value may be shown: it stands where the configuration has a value of its own, and none for secrets or plugins.
fn is_showable(path: &KeyPath) -> bool {
    const NESTED: [&str; 5] = ["delete", "when", "on_error", "limits", "grants"];
    let above = match path.first().map(String::as_str) {
        Some("pipelines") if path.get(2).is_some_and(|key| key == "steps") => 4,
        Some("accounts" | "sinks" | "pipelines") => 2,
        Some("limits" | "log") => 1,
        _ => 0,
    };
    let Some([first, rest @ ..]) = path.get(above..) else { return false };
    let expected = rest.is_empty() || NESTED.contains(&first.as_str()) || above == 2 && first == "accounts";
    expected && first != "settings" && !sounds_secret(first)
}

/// Whether a word in a line says that what follows may be a secret.
fn sounds_secret(word: &str) -> bool {
    const SIGNS: [&str; 9] = ["pas", "secret", "token", "key", "login", "cred", "pw", "pin", "pa$$"];
    let word = word.to_ascii_lowercase();
    let known = word == "ca_file" || word.starts_with("pipeline");
    !known && (SIGNS.iter().any(|sign| word.contains(sign)) || nearest(&word, &["password", "secret_key", "access_key"]).is_some())
}

/// The number from 1 of the line that holds octet `at`, and its octets without the line break.
fn line_at(text: &str, at: usize) -> (usize, Range<usize>) {
    let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    let end = if text[start..end].ends_with('\r') { end - 1 } else { end };
    (text[..start].matches('\n').count() + 1, start..end.max(start))
}

/// `conf.d/*.toml` beside the file, in the order of their names.
fn fragments(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let directory = path.parent().unwrap_or(Path::new("")).join("conf.d");
    let unreadable = |error: io::Error| {
        ConfigError::new(format!("{} cannot be read: {error}", directory.display())).hint("correct its permissions, or remove it")
    };
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if !hidden && Path::new(&name).extension().is_some_and(|extension| extension == "toml") {
            files.push(directory.join(name));
        }
    }
    files.sort();
    Ok(files)
}

fn read_file(path: &Path) -> Result<Source, ConfigError> {
    let origin = Origin::File(path.to_owned());
    let here = |error: ConfigError| error.at(Some(origin.clone()), None);
    let octets = read_octets(path).map_err(here)?;
    let text = String::from_utf8(octets).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|octet| **octet == b'\n').count() + 1;
        here(ConfigError::new(format!("line {line} is no UTF-8 text")).hint("is this the configuration? save it as UTF-8"))
    })?;
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    let document = ImDocument::parse(text.clone()).map_err(|error| {
        syntax(&text, error.span().map_or(0, |span| span.start), error.message()).at_file(origin.clone())
    })?;
    let mut root = Spot::default();
    let data = table(document.as_table(), &mut root);
    Ok(Source { origin, text, root, data })
}

fn read_octets(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => ConfigError::new("there is no such file").hint("`postroom init` writes one to start from"),
        io::ErrorKind::PermissionDenied => {
            ConfigError::new("permission denied").hint("let the user that Postroom runs as read it")
        }
        _ => ConfigError::new(format!("cannot be read: {error}")),
    };
    let meta = std::fs::metadata(path).map_err(unreadable)?;
    if !meta.is_file() {
        return Err(ConfigError::new("this is no regular file").hint("name the TOML file itself"));
    }
    if meta.mode() & 0o002 != 0 {
        let shown = neutral(&path.display().to_string(), 300);
        return Err(ConfigError::new("every user can change this file, and with it run commands as this one")
            .hint(format!("close it: chmod o-w {shown}")));
    }
    let mut octets = Vec::new();
    File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut octets)).map_err(unreadable)?;
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
    let message = message.strip_prefix("invalid table header, duplicate").map_or(message.clone(), |rest| format!("duplicate{rest}"));
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

/// As much of a line as surely holds no secret, and whether something was cut off: up to the first key that is not known to
/// be harmless, or the first word that sounds like a secret.
fn up_to_secret(line: &str) -> (&str, bool) {
    const HARMLESS: [&str; 33] = [
        "host", "port", "tls", "user", "auth", "ca_file", "poll", "timeout", "pipeline", "enabled", "delete", "type", "path",
        "bucket", "prefix", "region", "from", "hello", "accounts", "name", "plugin", "sha256", "grants", "sinks", "discard", "kv",
        "required", "when", "on_error", "limits", "level", "format", "settings",
    ];
    let is_word = |ch: char| ch.is_alphanumeric() || "_-$".contains(ch);
    let before_sign = line.find('=').unwrap_or(line.len());
    if !line.trim_start().starts_with('[') && before_sign == line.len() {
        let end = line.trim_end().find(char::is_whitespace).unwrap_or(line.len());
        return if HARMLESS.contains(&&line[..end]) { (&line[..end], end < line.len()) } else { ("", true) };
    }
    let mut start = 0;
    while let Some(first) = line[start..].find(is_word).map(|first| start + first) {
        let end = line[first..].find(|ch| !is_word(ch)).map_or(line.len(), |length| first + length);
        let word = &line[first..end];
        let is_key = line[end..].trim_start().starts_with('=');
        if sounds_secret(word) || is_key && !HARMLESS.contains(&word) {
            return (&line[..end], end < line.len());
        }
        start = end;
    }
    // A sign without a word before it: nothing is known of what follows.
    let odd = line.match_indices('=').find(|(at, _)| !line[..*at].trim_end().ends_with(is_word));
    odd.map_or((line, false), |(at, _)| (&line[..at], true))
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

enum Variable {
    Setting(Source),
    Misspelt(String),
    Other,
}

/// `POSTROOM_ACCOUNTS__HOME__HOST` is `accounts.home.host`. Variables without `__` are mostly somebody else's: an orchestrator
/// makes `POSTROOM_PORT` and the like for a service of this name.
fn variable(name: &str, value: &str) -> Variable {
    let Some(key) = name.strip_prefix(PREFIX).filter(|_| !OTHER_VARIABLES.contains(&name)) else {
        return Variable::Other;
    };
    let path: Vec<String> = key.split("__").map(str::to_ascii_lowercase).collect();
    if path.len() == 1 && key != "STATE" {
        return match nearest(key, &["state"]) {
            Some(_) => Variable::Misspelt(format!("the environment variable {name} is not used: did you mean POSTROOM_STATE?")),
            None => Variable::Other,
        };
    }
    let Ok(value) = value.parse::<Value>();
    let mut root = Spot::default();
    let mut spot = &mut root;
    for key in &path {
        spot = spot.children.entry(key.clone()).or_default();
    }
    inner_spots(&value, spot);
    let mut value = value;
    for key in path.into_iter().rev() {
        value = Dict::from([(key, value)]).into();
    }
    let data = value.into_dict().unwrap_or_default();
    Variable::Setting(Source { origin: Origin::Variable(name.to_owned()), text: String::new(), root, data })
}

/// So that an error inside of a variable's value is found to be there; it has no lines.
fn inner_spots(value: &Value, spot: &mut Spot) {
    match value {
        Value::Dict(_, dict) => {
            dict.iter().for_each(|(key, value)| inner_spots(value, spot.children.entry(key.clone()).or_default()));
        }
        Value::Array(_, list) => {
            let children = list.iter().enumerate();
            children.for_each(|(index, value)| inner_spots(value, spot.children.entry(index.to_string()).or_default()));
        }
        _ => {}
    }
}

/// A source as figment merges it; the name of its metadata is its index.
struct Layer<'a> {
    index: usize,
    data: &'a Dict,
}

impl Provider for Layer<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.index.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.data.clone()))
    }
}
