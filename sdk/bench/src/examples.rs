//! The README of a plugin, held to what it says: its worked examples are fixtures, and its table names every setting.

use std::path::Path;

use postroom_fixture::Fixtures;
use postroom_sdk::{Plugin, native};
use serde_json::Value;

use crate::fixtures::fixtures;

/// Runs the worked examples of a README: each block of TOML that begins with `# fixtures/NAME` is the settings of that
/// directory of [`fixtures`], word for word in meaning, and its mails come out as its files say. The README has a row
/// that begins with `` | `NAME` `` for every setting of the plugin's schema. In `cargo test` the path is relative to the
/// package: `examples::<Documents>("README.md")`.
///
/// ```
/// use postroom_sdk::prelude::*;
/// # struct Quiet;
/// # impl Plugin for Quiet {
/// #     type Settings = NoSettings;
/// #     const NAME: &'static str = "quiet";
/// #     const VERSION: &'static str = "0";
/// #     const DESCRIPTION: &'static str = "";
/// #     fn handle(_: &Message, _: &NoSettings) -> Result<(), Failure> { Ok(()) }
/// # }
///
/// let project = tempfile::tempdir()?;
/// let fixtures = project.path().join("fixtures/nothing");
/// std::fs::create_dir_all(&fixtures)?;
/// std::fs::write(fixtures.join("letter.eml"), "Subject: x\r\n\r\nHello")?;
/// std::fs::write(fixtures.join("letter.expected"), "nothing\n")?;
/// let readme = project.path().join("README.md");
/// std::fs::write(&readme, "# quiet\n\n```toml\n# fixtures/nothing\n\n```\n")?;
/// postroom_bench::examples::<Quiet>(&readme);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
/// When something is not so, and as [`fixtures`] does.
#[track_caller]
#[allow(clippy::panic, reason = "a test fails by panicking")]
pub fn examples<P: Plugin>(readme: impl AsRef<Path>) {
    let directories = match read::<P>(readme.as_ref()) {
        Ok(directories) => directories,
        Err(problem) => panic!("{}: {problem}", readme.as_ref().display()),
    };
    for directory in directories {
        fixtures::<P>(directory);
    }
}

/// The directories of the examples.
fn read<P: Plugin>(path: &Path) -> Result<Vec<std::path::PathBuf>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    if let Some(missing) = settings::<P>().into_iter().find(|name| !text.contains(&format!("\n| `{name}`"))) {
        return Err(format!("the table has no row for the setting `{missing}`"));
    }
    let beside = path.parent().unwrap_or(Path::new("."));
    let mut directories = Vec::new();
    for block in text.split("\n```toml\n# fixtures/").skip(1) {
        let (name, rest) = block.split_once('\n').ok_or("a block of TOML does not end")?;
        let (shown, _) = rest.split_once("\n```").ok_or("a block of TOML does not end")?;
        let directory = beside.join("fixtures").join(name.trim());
        let shown: Value = toml::from_str(shown).map_err(|error| format!("the example {name}: {error}"))?;
        let run = Fixtures::read(&directory).map_err(|error| error.to_string())?.conditions.settings;
        let run = serde_json::to_value(run).map_err(|error| error.to_string())?;
        if shown != run {
            return Err(format!("the example {name} shows {shown}, and {} runs {run}", directory.display()));
        }
        directories.push(directory);
    }
    if directories.is_empty() {
        return Err("there is no example: no block of TOML begins with \"# fixtures/NAME\"".to_owned());
    }
    Ok(directories)
}

/// The names of the settings.
fn settings<P: Plugin>() -> Vec<String> {
    let described: Value = serde_json::from_str(&native::describe::<P>()).unwrap_or_default();
    let properties = described["settings"]["properties"].as_object();
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}
