//! Owns where configuration comes from: the file, `conf.d/*.toml` beside it, then `POSTROOM_` variables, merged by figment;
//! and for every value, where it was written. Must not know what any key means.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::diagnose::{ConfigError, ConfigErrors, Origin, Place, nearest};
use super::written::{Part, Source, Spot, inner_spots, parse, read_file};

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
        Self::new(
            variables.map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            }),
        )
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

impl Sources {
    /// Reads all sources of the configuration at `path`; a file that is `edited` counts as if it had that text.
    ///
    /// # Errors
    /// The first mistake of each file that cannot be read.
    pub(super) fn gather(
        path: &Path,
        environment: &Environment,
        edited: Option<(&Path, &str)>,
    ) -> Result<Self, ConfigErrors> {
        let mut list = Vec::new();
        let mut errors = Vec::new();
        match fragments(path) {
            Ok(fragments) => {
                for file in std::iter::once(path.to_owned()).chain(fragments) {
                    let read = match edited.filter(|(edited, _)| *edited == file) {
                        Some((_, text)) => parse(&file, text),
                        None => read_file(&file),
                    };
                    match read {
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
        let index: Option<usize> =
            self.figment.get_metadata(tag).and_then(|metadata| metadata.name.parse().ok());
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

/// `conf.d/*.toml` beside the file, in the order of their names.
fn fragments(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let directory = path.parent().unwrap_or(Path::new("")).join("conf.d");
    let unreadable = |error: io::Error| {
        ConfigError::new(format!("{} cannot be read: {error}", directory.display()))
            .hint("correct its permissions, or remove it")
    };
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
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
            Some(_) => Variable::Misspelt(format!(
                "the environment variable {name} is not used: did you mean POSTROOM_STATE?"
            )),
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
