//! What is looked at to see whether something changed: the files of the configuration that runs and of the one that is
//! written, and the directories whose changes ring. Blocks, and reads only so much; must not decide what a change means.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use notify::{RecursiveMode, Watcher};
use postroom_mail::Digest;
use postroom_mail::ids::Digester;
use postroom_sandbox::SIZE_CAP;

use crate::config::Config;
use crate::fetch::FetchConfig;
use crate::origin::{self, RegistryConfig};
use crate::pipeline::plugin_files;
use crate::regular;
use crate::sinks::SinkConfig;

/// How everything was at one moment.
#[derive(Debug)]
pub(super) struct Look {
    /// Of all names and contents.
    pub(super) print: Digest,
    /// Those that are there.
    directories: BTreeSet<PathBuf>,
}

/// Looks at the files of `live` and, as far as it can be read, of what is written at `path`: a change that was refused is
/// about files that only the refused configuration names.
pub(super) fn look(path: &Path, live: &Config) -> Look {
    let written = Config::load(path).ok();
    let mut found = Found::default();
    found.file(path);
    for config in [Some(live), written.as_ref()].into_iter().flatten() {
        found.config(config);
    }
    found.directories.retain(|directory| directory.is_dir());
    Look { print: fingerprint(&found.files), directories: found.directories }
}

#[derive(Default)]
struct Found {
    files: BTreeSet<PathBuf>,
    directories: BTreeSet<PathBuf>,
}

impl Found {
    fn config(&mut self, config: &Config) {
        config.sources.iter().for_each(|file| self.file(file));
        self.fragments(&config.base.join("conf.d"));
        plugin_files(config).into_iter().for_each(|path| self.plugin(path));
        let steps = config.pipelines.values().flat_map(|pipeline| &pipeline.steps);
        steps.flat_map(|step| &step.files).for_each(|file| self.file(file));
        let sinks = config.sinks.values().flat_map(SinkConfig::files);
        let targets = config.fetch.values().flat_map(FetchConfig::files);
        let registries = config.registries.values().flat_map(RegistryConfig::files);
        sinks.chain(targets).chain(registries).for_each(|file| self.file(&config.base.join(file)));
    }

    fn file(&mut self, path: &Path) {
        self.files.insert(path.to_owned());
        // Directories, not files: editors and installers replace files by renaming over them.
        match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => self.directories.insert(PathBuf::from(".")),
            Some(parent) => self.directories.insert(parent.to_owned()),
            None => false,
        };
    }

    fn fragments(&mut self, directory: &Path) {
        self.directories.insert(directory.to_owned());
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let fragments = entries.map(|entry| entry.path());
        self.files
            .extend(fragments.filter(|path| path.extension().is_some_and(|extension| extension == "toml")));
    }

    /// A file, or a directory with one component in it; with its signature.
    fn plugin(&mut self, path: &Path) {
        self.file(path);
        self.file(&origin::signature_of(path));
        if path.is_dir() {
            self.directories.insert(path.to_owned());
            if let Ok(component) = origin::component_in(path) {
                self.file(&component);
                self.file(&origin::signature_of(&component));
            }
        }
    }
}

/// Of names and contents, so that a rename over, a touch, and a real change are told apart.
fn fingerprint(files: &BTreeSet<PathBuf>) -> Digest {
    let mut whole = Digester::default();
    for file in files {
        let name = file.as_os_str().as_encoded_bytes();
        whole.update(&(name.len() as u64).to_be_bytes());
        whole.update(name);
        match regular::digest(file, SIZE_CAP) {
            Ok(content) => whole.update(&content.0),
            // What stands against reading it is what may change.
            Err(error) => whole.update(format!("{:?}", error.kind()).as_bytes()),
        }
    }
    whole.finish()
}

/// The directories that cannot be watched: that is said once.
#[derive(Debug, Default)]
pub(super) struct Watched {
    told: BTreeSet<PathBuf>,
}

impl Watched {
    /// Watches every directory of a look, also those that were watched before, which costs next to nothing: one that was removed
    /// and made again is another one, may even have the inode of the old one, and nobody watches it.
    pub(super) fn follow(&mut self, watcher: &mut impl Watcher, look: &Look) {
        for directory in &look.directories {
            match watcher.watch(directory, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.told.remove(directory)),
                Err(error) => {
                    if self.told.insert(directory.clone()) {
                        let directory = directory.display();
                        tracing::error!(%directory, %error, "cannot watch for changes: they are seen late");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
