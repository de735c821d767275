//! Mails to run a plugin over: a file, or every `.eml` file of a directory.

use std::fs;
use std::path::Path;

use super::super::{Exit, Failure};

/// A mail and the name of its file.
pub(super) struct Mail {
    pub(super) name: String,
    pub(super) octets: Vec<u8>,
}

/// In the order of their names; at least one.
pub(super) fn read(path: &Path) -> Result<Vec<Mail>, Failure> {
    let unreadable = |error: std::io::Error| {
        let text = format!("cannot read the mail {}: {error}", path.display());
        Failure::new(Exit::NoInput, anyhow::anyhow!(text))
    };
    let mut files = Vec::new();
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            if file.extension().is_some_and(|extension| extension == "eml") {
                files.push(file);
            }
        }
    } else {
        files.push(path.to_owned());
    }
    files.sort();
    if files.is_empty() {
        let text = format!("there is no mail in {}", path.display());
        return Err(Failure::new(Exit::NoInput, anyhow::anyhow!(text)).hint("put messages there as NAME.eml"));
    }
    let read = |file: &std::path::PathBuf| {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        fs::read(file).map(|octets| Mail { name, octets }).map_err(unreadable)
    };
    files.iter().map(read).collect()
}
