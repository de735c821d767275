//! Owns reading messages from a directory of `.eml` files. Must not change octets unless told to.

use std::path::Path;

use crate::PracticeError;

/// What becomes of line ends while loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// Octets are served as they are in the file, bare LF included, as a careless server would.
    AsTheyAre,
    /// Each bare LF becomes CRLF, as a correct server serves a file with LF lines.
    Crlf,
}

/// Reads every `.eml` file of a directory (not of those below it), sorted by name.
///
/// # Errors
/// [`PracticeError::File`] naming the directory or file that cannot be read.
pub fn load_directory(directory: &Path, lines: Lines) -> Result<Vec<Vec<u8>>, PracticeError> {
    let failed = |path: &Path, source| PracticeError::File { path: path.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(|source| failed(directory, source))? {
        let path = entry.map_err(|source| failed(directory, source))?.path();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("eml")) {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let octets = std::fs::read(path).map_err(|source| failed(path, source))?;
        Ok(match lines {
            Lines::AsTheyAre => octets,
            Lines::Crlf => to_crlf(&octets),
        })
    };
    paths.iter().map(read).collect()
}

fn to_crlf(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 32);
    let mut before = 0;
    for &octet in octets {
        if octet == b'\n' && before != b'\r' {
            out.push(b'\r');
        }
        out.push(octet);
        before = octet;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_sorted_and_only_bare_line_feeds_change() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("b.eml"), b"b\n\nx\r\n\n").unwrap();
        std::fs::write(directory.path().join("a.EML"), b"a\r\n").unwrap();
        std::fs::write(directory.path().join("notes.txt"), b"no mail").unwrap();
        let raw = load_directory(directory.path(), Lines::AsTheyAre).unwrap();
        assert_eq!(raw, [b"a\r\n".to_vec(), b"b\n\nx\r\n\n".to_vec()]);
        let crlf = load_directory(directory.path(), Lines::Crlf).unwrap();
        assert_eq!(crlf, [b"a\r\n".to_vec(), b"b\r\n\r\nx\r\n\r\n".to_vec()]);
        let error = load_directory(&directory.path().join("none"), Lines::Crlf).unwrap_err();
        assert!(error.to_string().contains("none"));
    }
}
