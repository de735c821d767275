//! What makes `plugin dev` look again: a change of the project's files, or a line on standard input.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use postroom_mail::Digest;
use postroom_mail::ids::Digester;

use super::super::{Exit, Failure};

/// Editors write in several steps: a change counts once nothing has happened for so long.
const SETTLE: Duration = Duration::from_millis(200);

/// What building writes, or what is too large to be a source.
const NOT_SOURCES: [&str; 8] =
    ["target", "node_modules", "dist", "build", "__pycache__", ".venv", ".git", "postroom-sdk"];

/// Where changes come from.
pub(super) enum Watch {
    /// The files themselves.
    Files(Box<Files>),
    /// A person who presses Enter, where files cannot be watched; or a program.
    Lines,
}

/// The files of some directories.
pub(super) struct Files {
    roots: Vec<PathBuf>,
    built: PathBuf,
    rings: Receiver<()>,
    seen: Digest,
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Watches directories, or single files; `built` is what the build writes.
    pub(super) fn files(roots: Vec<PathBuf>, built: PathBuf) -> Result<Self, Failure> {
        let (ring, rings) = channel();
        let wrong = |error: notify::Error| {
            Failure::new(Exit::Io, anyhow::anyhow!("this machine cannot watch for changes: {error}"))
                .hint("use --on-enter, and press Enter after each change")
        };
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too: without this, looking at the files would ring for ever.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = ring.send(());
            }
        })
        .map_err(wrong)?;
        for root in &roots {
            let (directory, mode) = watched(root);
            watcher.watch(directory, mode).map_err(wrong)?;
        }
        let seen = fingerprint(&roots, &built);
        Ok(Self::Files(Box::new(Files { roots, built, rings, seen, _watcher: watcher })))
    }

    /// Blocks until something changed; `false` when nothing ever will.
    pub(super) fn changed(&mut self) -> bool {
        match self {
            Self::Files(files) => files.changed(),
            Self::Lines => {
                let mut line = String::new();
                std::io::stdin().lock().read_line(&mut line).is_ok_and(|octets| octets > 0)
            }
        }
    }
}

impl Files {
    fn changed(&mut self) -> bool {
        loop {
            if self.rings.recv().is_err() {
                return false;
            }
            while self.rings.recv_timeout(SETTLE).is_ok() {}
            let now = fingerprint(&self.roots, &self.built);
            if now != self.seen {
                self.seen = now;
                return true;
            }
        }
    }
}

/// Of a file its directory: an editor that writes another file and renames it leaves the old one, which never changes again.
fn watched(root: &Path) -> (&Path, RecursiveMode) {
    match root.parent() {
        _ if root.is_dir() => (root, RecursiveMode::Recursive),
        Some(parent) if !parent.as_os_str().is_empty() => (parent, RecursiveMode::NonRecursive),
        Some(_) | None => (Path::new("."), RecursiveMode::NonRecursive),
    }
}

/// Of names and contents, so that a touch and a real change are told apart, and a build does not ring for itself.
fn fingerprint(roots: &[PathBuf], built: &Path) -> Digest {
    let mut files = BTreeSet::new();
    roots.iter().for_each(|root| gather(root, built, &mut files));
    let mut whole = Digester::default();
    for file in files {
        whole.update(file.as_os_str().as_encoded_bytes());
        match std::fs::read(&file) {
            Ok(content) => whole.update(&Digest::of(&content).0),
            Err(_) => whole.update(b"unreadable"),
        }
    }
    whole.finish()
}

fn gather(directory: &Path, built: &Path, files: &mut BTreeSet<PathBuf>) {
    if directory.is_file() {
        files.insert(directory.to_owned());
    }
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_source = entry.file_name().to_str().is_none_or(|name| !NOT_SOURCES.contains(&name));
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && is_source => gather(&path, built, files),
            Ok(kind) if kind.is_file() && path != built => {
                files.insert(path);
            }
            Ok(_) | Err(_) => {}
        }
    }
}
