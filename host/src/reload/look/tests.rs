//! What counts as a change, and that a directory rings again after it was made again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::*;
use crate::config::Environment;

const HEAD: &str = "[accounts.home]\nhost = \"pop.example.net\"\nuser = \"me\"\npassword = { file = \"p\" }\n\
    [sinks.vault]\ntype = \"directory\"\npath = \"v\"\n";

struct Place {
    directory: tempfile::TempDir,
    live: Config,
}

impl Place {
    /// A configuration whose one step has this plugin; it is the one that runs.
    fn of(plugin: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), plugin);
        let live = Config::load_in(&directory.path().join("postroom.toml"), &Environment::default()).unwrap();
        Self { directory, live }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn print(&self) -> Digest {
        look(&self.path("postroom.toml"), &self.live).print
    }

    /// Whether what was done in between is seen.
    #[track_caller]
    fn sees(&self, done: impl FnOnce(&Self)) -> bool {
        let before = self.print();
        assert_eq!(before, self.print(), "nothing happened");
        done(self);
        before != self.print()
    }
}

fn write(directory: &Path, plugin: &str) {
    let text = format!("{HEAD}[[pipelines.main.steps]]\nname = \"one\"\nplugin = \"{plugin}\"\n");
    fs::write(directory.join("postroom.toml"), text).unwrap();
}

#[test]
fn a_signature_that_comes_later_is_a_change() {
    let place = Place::of("./a.wasm");
    assert!(place.sees(|place| fs::write(place.path("a.wasm"), "a").unwrap()));
    assert!(place.sees(|place| fs::write(place.path("a.wasm.minisig"), "signed").unwrap()));
    assert!(!place.sees(|place| fs::write(place.path("other"), "").unwrap()), "nobody names it");
}

#[test]
fn the_component_and_the_signature_in_a_directory_are_looked_at() {
    let place = Place::of("./plug/");
    fs::create_dir(place.path("plug")).unwrap();
    assert!(place.sees(|place| fs::write(place.path("plug/a.wasm"), "a").unwrap()));
    assert!(place.sees(|place| fs::write(place.path("plug/a.wasm"), "b").unwrap()));
    assert!(place.sees(|place| fs::write(place.path("plug/a.wasm.minisig"), "signed").unwrap()));
    assert!(place.sees(|place| fs::rename(place.path("plug/a.wasm"), place.path("plug/c.wasm")).unwrap()));
    let directories = look(&place.path("postroom.toml"), &place.live).directories;
    assert!(directories.contains(&place.path("plug")), "{directories:?}");
}

#[test]
fn files_that_only_the_written_configuration_names_are_looked_at() {
    let place = Place::of("archive");
    write(place.directory.path(), "./later/new.wasm");
    fs::create_dir(place.path("later")).unwrap();
    assert!(place.sees(|place| fs::write(place.path("later/new.wasm"), "n").unwrap()));
}

#[test]
fn only_toml_files_of_conf_d_count_and_a_pipe_holds_nothing_up() {
    let place = Place::of("./pipe.wasm");
    fs::create_dir(place.path("conf.d")).unwrap();
    for pipe in ["conf.d/10-x.toml", "conf.d/pipe", "pipe.wasm"] {
        assert!(Command::new("mkfifo").arg(place.path(pipe)).status().unwrap().success());
    }
    assert!(!place.sees(|place| fs::write(place.path("conf.d/10-x.toml~"), "").unwrap()));
    assert!(place.sees(|place| fs::remove_file(place.path("conf.d/10-x.toml")).unwrap()));
    assert!(place.sees(|place| fs::write(place.path("conf.d/20-y.toml"), "").unwrap()));
}

#[test]
fn a_file_without_an_end_is_not_read() {
    let place = Place::of("./zero.wasm");
    std::os::unix::fs::symlink("/dev/zero", place.path("zero.wasm")).unwrap();
    let sparse = fs::File::create(place.path("sparse.wasm")).unwrap();
    sparse.set_len(8 << 30).unwrap();
    assert!(place.sees(|place| fs::rename(place.path("sparse.wasm"), place.path("zero.wasm")).unwrap()));
}

/// Waits for a ring; a ring may be late, so only one that never comes fails.
#[track_caller]
fn rings(rung: &Receiver<()>) {
    rung.recv_timeout(Duration::from_secs(60)).unwrap();
    while rung.recv_timeout(Duration::from_millis(100)).is_ok() {}
}

#[test]
fn a_directory_that_was_removed_and_made_again_rings_again() {
    let place = Place::of("./plug/a.wasm");
    let (ring, rung) = channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _ = ring.send(());
        }
    })
    .unwrap();
    let mut watched = Watched::default();
    let mut follow = || watched.follow(&mut watcher, &look(&place.path("postroom.toml"), &place.live));
    fs::create_dir(place.path("plug")).unwrap();
    follow();
    fs::write(place.path("plug/a.wasm"), "a").unwrap();
    rings(&rung);
    fs::remove_dir_all(place.path("plug")).unwrap();
    fs::create_dir(place.path("plug")).unwrap();
    rings(&rung);
    // That the old one is gone may be told late, and then takes a later look to mend.
    let rung_again = (0..60).any(|round: u32| {
        follow();
        fs::write(place.path("plug/a.wasm"), round.to_string()).unwrap();
        rung.recv_timeout(Duration::from_secs(1)).is_ok()
    });
    assert!(rung_again);
}
