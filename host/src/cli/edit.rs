//! An edit of the configuration by a verb: one file of it is changed, comments and all else stay, and the changed text is put
//! in its place only if the whole configuration is right with it to the end, plugins and all, and nobody changed it meanwhile.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use postroom_mail::Name;
use postroom_sandbox::Sandbox;
use toml_edit::{DocumentMut, Item, TableLike};

use super::{Exit, Failure};
use crate::config::{Config, StepConfig};
use crate::live::Live;

/// One file of the configuration, being changed.
pub(super) struct Edit {
    /// As the configuration names it.
    pub(super) file: PathBuf,
    pub(super) before: String,
    pub(super) document: DocumentMut,
}

impl Edit {
    /// The file that decides what the steps of a pipeline are: lists are replaced whole, so the last one that has them.
    ///
    /// # Errors
    /// When none has them, or one is no TOML any more.
    pub(super) fn of(config: &Config, pipeline: &Name) -> Result<Self, Failure> {
        for file in config.sources.iter().rev() {
            let before = fs::read_to_string(file)?;
            let document: DocumentMut = before.parse().map_err(|error| {
                let text = format!("{} is no TOML any more: {error}", file.display());
                Failure::new(Exit::Config, anyhow::anyhow!(text))
            })?;
            let mut edit = Self { file: file.clone(), before, document };
            if edit.steps(pipeline).is_some() {
                return Ok(edit);
            }
        }
        let text = format!("no file of the configuration holds the steps of the pipeline {pipeline}");
        Err(Failure::new(Exit::Config, anyhow::anyhow!(text)).hint("are they in an environment variable?"))
    }

    fn steps(&mut self, pipeline: &Name) -> Option<&mut Item> {
        let pipelines = self.document.get_mut("pipelines")?.as_table_like_mut()?;
        pipelines.get_mut(pipeline.as_str())?.as_table_like_mut()?.get_mut("steps")
    }

    /// A step by its name in this file; one that names itself nowhere by its place, as `config` has it.
    ///
    /// # Errors
    /// When this file has no such step.
    pub(super) fn step(
        &mut self,
        config: &Config,
        pipeline: &Name,
        step: &Name,
    ) -> Result<&mut dyn TableLike, Failure> {
        let shown = self.file.display().to_string();
        let missing = || {
            let text = format!("{shown} decides over the pipeline {pipeline}, and has no step {step}");
            Failure::new(Exit::Config, anyhow::anyhow!(text))
                .hint("change the step by hand where it is; `postroom plugin inspect` prints its pin")
        };
        let steps = config.pipelines.get(pipeline).map(|pipeline| pipeline.steps.as_slice());
        let place = steps.unwrap_or_default().iter().position(|there: &StepConfig| there.name == *step);
        let mut tables: Vec<&mut dyn TableLike> = match self.steps(pipeline) {
            Some(Item::ArrayOfTables(tables)) => {
                tables.iter_mut().map(|table| table as &mut dyn TableLike).collect()
            }
            Some(Item::Value(toml_edit::Value::Array(list))) => {
                let tables = list.iter_mut().filter_map(toml_edit::Value::as_inline_table_mut);
                tables.map(|table| table as &mut dyn TableLike).collect()
            }
            Some(Item::None | Item::Value(_) | Item::Table(_)) | None => return Err(missing()),
        };
        let named = |table: &dyn TableLike| table.get("name").and_then(Item::as_str).map(str::to_owned);
        let found = tables.iter().position(|table| named(&**table).as_deref() == Some(step.as_str()));
        let unnamed = place.filter(|place| tables.get(*place).is_some_and(|table| named(&**table).is_none()));
        let index = found.or(unnamed).ok_or_else(missing)?;
        Ok(tables.swap_remove(index))
    }

    /// The changed text.
    pub(super) fn text(&self) -> String {
        self.document.to_string()
    }

    /// What the whole configuration becomes, as `postroom check` would find it. `main` is the file that was loaded.
    ///
    /// # Errors
    /// When it would be wrong.
    pub(super) fn check(&self, main: &Path, sandbox: &Sandbox) -> Result<Config, Failure> {
        let changed = || -> Result<Config, Failure> {
            let config = Config::load_edited(main, &self.file, &self.text())?;
            Ok(Live::build(config, sandbox)?.config)
        };
        changed().map_err(|failure| {
            let text = format!("{:#}", failure.error);
            let text = format!("nothing was written, since the configuration would be wrong:\n{text}");
            Failure { exit: failure.exit, error: anyhow::anyhow!(text), hint: failure.hint }
        })
    }

    /// Writes it whole or not at all. What a link points at is written; the link stays.
    ///
    /// # Errors
    /// When it cannot be written, or somebody else changed the file meanwhile.
    pub(super) fn put_in_place(&self) -> Result<(), Failure> {
        let place = fs::canonicalize(&self.file)?;
        let directory = place.parent().unwrap_or(Path::new("/"));
        let wrong = |error: std::io::Error| {
            let text = format!("cannot write beside {}: {error}", place.display());
            Failure::new(Exit::CannotCreate, anyhow::anyhow!(text))
        };
        let present = fs::metadata(&place)?;
        let mut new = tempfile::Builder::new().prefix(".postroom-").tempfile_in(directory).map_err(wrong)?;
        // Whoever could read the file, a service under a user of its own perhaps, can read it afterwards too.
        fchown(new.as_file(), Some(present.uid()), Some(present.gid())).map_err(wrong)?;
        let mode = fs::Permissions::from_mode(present.mode() & 0o7777);
        new.as_file().set_permissions(mode).map_err(wrong)?;
        new.write_all(self.text().as_bytes()).map_err(wrong)?;
        new.as_file().sync_all().map_err(wrong)?;
        if fs::read_to_string(&place)? != self.before {
            let text =
                format!("nothing was written: {} was changed by somebody else meanwhile", place.display());
            return Err(Failure::new(Exit::TemporaryFailure, anyhow::anyhow!(text))
                .hint("look at it, and run this again"));
        }
        new.persist(&place).map_err(|error| wrong(error.error))?;
        File::open(directory)?.sync_all()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::config::Environment;

    const HEAD: &str = "[accounts.home]\nhost = \"pop.example.net\"\nuser = \"me\"\npassword = { file = \"p\" }\n\
        [sinks.vault]\ntype = \"directory\"\npath = \"v\"\n";

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn steps(names: &[&str]) -> String {
        let step =
            |name: &&str| format!("[[pipelines.main.steps]]\nname = \"{name}\"\nplugin = \"archive\"\n");
        names.iter().map(step).collect()
    }

    fn edit(main: &str, fragment: Option<&str>) -> (tempfile::TempDir, Config, Edit) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("postroom.toml");
        fs::write(&file, format!("{HEAD}{main}")).unwrap();
        if let Some(fragment) = fragment {
            fs::create_dir(directory.path().join("conf.d")).unwrap();
            fs::write(directory.path().join("conf.d/10-steps.toml"), fragment).unwrap();
        }
        let config = Config::load_in(&file, &Environment::default()).unwrap();
        let edit = Edit::of(&config, &name("main")).unwrap();
        (directory, config, edit)
    }

    #[test]
    fn the_last_file_with_the_steps_is_changed_and_its_steps_are_found_by_name() {
        let (_directory, config, mut edit) = edit(&steps(&["a", "b"]), Some(&steps(&["b", "c"])));
        assert!(edit.file.ends_with("conf.d/10-steps.toml"));
        let step = edit.step(&config, &name("main"), &name("b")).unwrap();
        step.insert("required", toml_edit::value(false));
        let expected = steps(&["b", "c"]).replacen("archive\"\n", "archive\"\nrequired = false\n", 1);
        assert_eq!(edit.text(), expected);
        assert!(edit.step(&config, &name("main"), &name("a")).is_err(), "that one is replaced");
    }

    #[test]
    fn a_step_without_a_name_is_found_by_its_place() {
        let unnamed = "[[pipelines.main.steps]]\nplugin = \"filter\"\nsettings = { rules = [] }\n";
        let (_directory, config, mut edit) = edit(&format!("{}{unnamed}", steps(&["a"])), None);
        let step = edit.step(&config, &name("main"), &name("filter")).unwrap();
        assert_eq!(step.get("plugin").and_then(Item::as_str), Some("filter"));
    }

    #[test]
    fn a_file_keeps_its_mode_and_the_link_to_it() {
        let (directory, _, mut edit) = edit(&steps(&["a"]), None);
        let (real, link) = (directory.path().join("real.toml"), directory.path().join("postroom.toml"));
        fs::rename(&link, &real).unwrap();
        std::os::unix::fs::symlink("real.toml", &link).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        edit.document["never_delete"] = toml_edit::value(true);
        edit.put_in_place().unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), edit.text());
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_file_that_somebody_changed_meanwhile_is_left_alone() {
        let (directory, _, mut edit) = edit(&steps(&["a"]), None);
        let file = directory.path().join("postroom.toml");
        fs::write(&file, "# theirs\n").unwrap();
        edit.document["never_delete"] = toml_edit::value(true);
        let refused = edit.put_in_place().unwrap_err();
        assert!(refused.error.to_string().contains("changed by somebody else"), "{}", refused.error);
        assert_eq!(fs::read_to_string(&file).unwrap(), "# theirs\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left");
    }
}
