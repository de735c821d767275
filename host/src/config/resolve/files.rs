//! Contents of files in a step's settings: `files = { script = "home.sieve" }` puts the text of the file at the setting
//! `script`, before the plugin sees any. Must not follow the settings: what a plugin means by them is its own.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use postroom_mail::rules::neutral;
use serde_json::{Map, Value};

use super::Findings;
use crate::config::plain_join;
use crate::config::read::called;
use crate::config::sources::KeyPath;
use crate::config::written::Part;

/// Most octets of one file.
const FILE_OCTETS: u64 = 1 << 20;

/// The files of a step that were read, by the dotted path of the setting each is for.
pub(super) struct Texts(Vec<(String, String)>);

/// Reads the files that a step names in its `files` at `at`; also where they are, to be watched.
pub(super) fn read(
    files: &BTreeMap<String, String>,
    at: &KeyPath,
    base: &Path,
    findings: &mut Findings<'_>,
) -> (Texts, Vec<PathBuf>) {
    let (mut texts, mut paths) = (Vec::new(), Vec::new());
    for (setting, written) in files {
        let path = plain_join(base, Path::new(written));
        match text(&path) {
            Ok(text) => texts.push((setting.clone(), text)),
            Err((problem, hint)) => {
                let at = [at, std::slice::from_ref(setting)].concat();
                let text = format!("the file {} {problem}", neutral(&path.display().to_string(), 300));
                findings.error(&at, Part::Value, text, hint.map(str::to_owned));
            }
        }
        paths.push(path);
    }
    (Texts(texts), paths)
}

impl Texts {
    /// Puts each text where it belongs. `key` is the key of the settings, for mistakes.
    pub(super) fn put_into(
        &self,
        settings: &mut Map<String, Value>,
        key: &str,
        at: &KeyPath,
        findings: &mut Findings<'_>,
    ) {
        for (setting, text) in &self.0 {
            if let Err(problem) = put(settings, setting, text) {
                let at = [at, std::slice::from_ref(setting)].concat();
                let text = format!("{}: {}", called(&at), problem.replace("settings", key));
                findings.error(&at, Part::Key, text, None);
            }
        }
    }
}

fn put(settings: &mut Map<String, Value>, setting: &str, text: &str) -> Result<(), String> {
    let shown = neutral(setting, 60);
    let (above, last) = setting.rsplit_once('.').unwrap_or(("", setting));
    let mut table = settings;
    for step in above.split('.').filter(|_| !above.is_empty()) {
        let next = table.entry(step).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(next) = next else {
            return Err(format!("settings.{shown} would be inside of a value that is no table"));
        };
        table = next;
    }
    if setting.split('.').any(str::is_empty) {
        return Err("this is no path of a setting; \"lists.bad\" is one".to_owned());
    }
    match table.insert(last.to_owned(), Value::String(text.to_owned())) {
        None => Ok(()),
        Some(_) => Err(format!("settings.{shown} is written there already; take one of them away")),
    }
}

/// The text of a file, or what is wrong with it and what helps.
fn text(path: &Path) -> Result<String, (String, Option<&'static str>)> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            ("does not exist".to_owned(), Some("it is named relative to the configuration"))
        }
        io::ErrorKind::PermissionDenied => {
            ("may not be read".to_owned(), Some("let the user that Postroom runs as read it"))
        }
        _ => (format!("cannot be read: {error}"), None),
    };
    // Opening a pipe would wait for its other end.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(("is no regular file".to_owned(), None));
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut octets = Vec::new();
    file.take(FILE_OCTETS + 1).read_to_end(&mut octets).map_err(unreadable)?;
    if octets.len() as u64 > FILE_OCTETS {
        return Err(("is larger than 1 MiB".to_owned(), None));
    }
    String::from_utf8(octets).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|octet| **octet == b'\n').count() + 1;
        (format!("is no UTF-8 text in line {line}"), Some("save it as UTF-8"))
    })
}
