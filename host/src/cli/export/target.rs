//! Where exported objects go: a tree of files, a maildir or an mbox. A file appears whole, under a name that is free.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, Write};
use std::path::{Path, PathBuf};

use postroom_mail::ids::Digester;
use postroom_mail::{Digest, Key};
use tempfile::NamedTempFile;

use super::Format;
use crate::manifest::Line;

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    New,
    Already,
    LeftOut,
}

/// One of the forms, open.
pub(super) enum Target {
    Tree(PathBuf),
    Maildir(PathBuf),
    Mbox { file: BufWriter<File>, beside: PathBuf },
}

impl Target {
    pub(super) fn open(format: Format, to: &Path) -> io::Result<Self> {
        match format {
            Format::Eml => {
                fs::create_dir_all(to)?;
                Ok(Self::Tree(to.to_owned()))
            }
            Format::Maildir => {
                for part in ["tmp", "new", "cur"] {
                    fs::create_dir_all(to.join(part))?;
                }
                Ok(Self::Maildir(to.to_owned()))
            }
            Format::Mbox => {
                let file = OpenOptions::new().write(true).create_new(true).open(to)?;
                let beside = to.parent().filter(|parent| !parent.as_os_str().is_empty());
                let beside = beside.unwrap_or(Path::new(".")).to_owned();
                Ok(Self::Mbox { file: BufWriter::new(file), beside })
            }
        }
    }

    /// Whether the form has a place for it.
    pub(super) fn takes(&self, line: &Line) -> bool {
        match self {
            Self::Tree(_) => true,
            Self::Maildir(_) | Self::Mbox { .. } => line.whole,
        }
    }

    /// A file for its octets, which goes away unless it is put.
    pub(super) fn draft(&self) -> io::Result<NamedTempFile> {
        let directory = match self {
            Self::Tree(root) => root.clone(),
            Self::Maildir(root) => root.join("tmp"),
            Self::Mbox { beside, .. } => beside.clone(),
        };
        tempfile::Builder::new().prefix(".postroom-export-").suffix(".tmp").tempfile_in(directory)
    }

    pub(super) fn put(&mut self, line: &Line, draft: NamedTempFile) -> Result<Put, String> {
        let failed = |error: io::Error| format!("cannot be written: {error}");
        match self {
            Self::Tree(root) => {
                // A manifest that somebody changed leads nowhere else.
                let key = Key::new(line.key.clone()).map_err(|error| error.to_string())?;
                let name = key.as_str().strip_suffix(".zst").unwrap_or(key.as_str());
                let path = root.join(name);
                path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
                named(draft, &path, &line.sha256)
            }
            Self::Maildir(root) => {
                let name = format!("{}.{}.postroom", line.message.0.short(16), line.sha256.short(32));
                // Somebody may have read it since.
                if already_in(&root.join("cur"), &name).map_err(failed)? {
                    return Ok(Put::Already);
                }
                named(draft, &root.join("new").join(name), &line.sha256)
            }
            Self::Mbox { file, .. } => {
                quoted(draft.into_file(), line, file).map_err(failed)?;
                Ok(Put::New)
            }
        }
    }

    /// Everything is durable.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Tree(_) | Self::Maildir(_) => Ok(()),
            Self::Mbox { file, .. } => file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all(),
        }
    }
}

/// Gives a draft its name if that is free; else looks whether what has the name is the same.
fn named(draft: NamedTempFile, path: &Path, digest: &Digest) -> Result<Put, String> {
    let failed = |error: io::Error| format!("cannot be written: {error}");
    draft.as_file().sync_all().map_err(failed)?;
    match draft.persist_noclobber(path) {
        Ok(_) => {
            let synced = path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all());
            synced.map_err(failed)?;
            Ok(Put::New)
        }
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            match digest_of(path).map_err(failed)? == *digest {
                true => Ok(Put::Already),
                false => Err(format!("{} is another file, and was left as it is", path.display())),
            }
        }
        Err(error) => Err(failed(error.error)),
    }
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let (mut digest, mut block) = (Digester::default(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(digest.finish()),
            read => digest.update(&block[..read]),
        }
    }
}

fn already_in(directory: &Path, name: &str) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        if entry?.file_name().to_string_lossy().starts_with(name) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// One message of an mbox, as mboxrd: every line of `>`s and `From ` gets one `>` more, so that it can be undone.
fn quoted(mut draft: File, line: &Line, into: &mut impl Write) -> io::Result<()> {
    draft.rewind()?;
    let date: Option<jiff::Timestamp> = line.time.parse().ok();
    let date = date.unwrap_or_default().strftime("%a %b %e %H:%M:%S %Y").to_string();
    writeln!(into, "From MAILER-DAEMON {date}")?;
    let (mut reader, mut text) = (BufReader::new(draft), Vec::new());
    let mut begins = true;
    loop {
        text.clear();
        if (&mut reader).take(64 * 1024).read_until(b'\n', &mut text)? == 0 {
            break;
        }
        let unquoted = text.iter().position(|octet| *octet != b'>').unwrap_or(text.len());
        if begins && text[unquoted..].starts_with(b"From ") {
            into.write_all(b">")?;
        }
        into.write_all(&text)?;
        begins = text.ends_with(b"\n");
    }
    into.write_all(if begins { b"\n" } else { b"\n\n" })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::manifest::Tail;
    use crate::manifest::testing::receipted;

    #[test]
    fn an_mbox_quotes_lines_that_would_begin_a_message_so_that_it_can_be_undone() {
        let mut draft = tempfile::tempfile().unwrap();
        draft.write_all(b"From me\r\n>From you\r\n> From x\r\nFromage\r\n.\r\nno end").unwrap();
        let line = Line::of(&receipted(1, "a.eml"), None, &Tail::default());
        let mut mbox = Vec::new();
        quoted(draft, &line, &mut mbox).unwrap();
        let text = String::from_utf8(mbox).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        assert!(first.starts_with("From MAILER-DAEMON ") && first.ends_with("2026"), "{first}");
        assert_eq!(rest, ">From me\r\n>>From you\r\n> From x\r\nFromage\r\n.\r\nno end\n\n");
    }
}
