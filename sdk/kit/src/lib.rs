//! What `postroom plugin new` writes: the SDK as a workspace of its own, and a template for each language.
//!
//! The SDK is on no registry, so the program carries its sources and its author needs nothing else. The build script
//! collects them; this crate must not know what is in them.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// One file that is written for an author.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Relative, with `/`.
    pub path: &'static str,
    /// What is in it.
    pub octets: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// Where `write_sdk` is told to write, relative to the project.
pub const SDK_DIRECTORY: &str = "postroom-sdk";

/// Stands in a template for the directory of the SDK.
const SDK_MARK: &str = "{{sdk}}";

/// The languages there are templates for, in the order of their names.
pub fn languages() -> Vec<&'static str> {
    TEMPLATES.iter().map(|(language, _)| *language).collect()
}

/// Whether the projects of a language name the SDK.
pub fn needs_sdk(language: &str) -> bool {
    let found = TEMPLATES.iter().find(|(known, _)| *known == language);
    let names_it = |file: &File| std::str::from_utf8(file.octets).is_ok_and(|text| text.contains(SDK_MARK));
    found.is_some_and(|(_, files)| files.iter().any(names_it))
}

/// What stands for the placeholders of a template.
#[derive(Clone, Debug)]
pub struct Answers<'a> {
    /// `{{name}}`: the project's name, lower-case letters, digits and `-`. `{{crate}}` is the same with `_`.
    pub name: &'a str,
    /// `{{sdk}}`: the directory of the SDK's workspace, seen from the project.
    pub sdk: &'a str,
}

/// Writes the SDK's workspace into `directory`, which is made.
///
/// # Errors
/// When a file cannot be written, or is there already.
pub fn write_sdk(directory: &Path) -> io::Result<()> {
    SDK.iter().try_for_each(|file| create(&directory.join(file.path), file.octets))
}

/// Writes the project of a template into `directory`, which is made. Returns the paths that were written, relative to it.
///
/// # Errors
/// When there is no template for the language (kind `NotFound`), or a file cannot be written, or is there already.
pub fn write_project(
    language: &str,
    directory: &Path,
    answers: &Answers<'_>,
) -> io::Result<Vec<&'static str>> {
    let found = TEMPLATES.iter().find(|(known, _)| *known == language);
    let files = found.map(|(_, files)| *files).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("there is no template for {language:?}"))
    })?;
    for file in files {
        create(&directory.join(file.path), &filled(file.octets, answers))?;
    }
    let mut written: Vec<_> = files.iter().map(|file| file.path).collect();
    if written.contains(&"Cargo.toml") && !written.contains(&"Cargo.lock") {
        // The versions this program was tested with; cargo takes out what the project does not use.
        create(&directory.join("Cargo.lock"), LOCK)?;
        written.push("Cargo.lock");
    }
    Ok(written)
}

/// With the placeholders replaced; what is no text is left as it is.
fn filled(octets: &[u8], answers: &Answers<'_>) -> Vec<u8> {
    match std::str::from_utf8(octets) {
        Ok(text) => text
            .replace("{{name}}", answers.name)
            .replace("{{crate}}", &answers.name.replace('-', "_"))
            .replace(SDK_MARK, answers.sdk)
            .into_bytes(),
        Err(_) => octets.to_vec(),
    }
}

fn create(path: &Path, octets: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::File::create_new(path)
        .and_then(|mut file| file.write_all(octets))
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use toml_edit::DocumentMut;

    use super::*;

    #[test]
    fn the_carried_workspace_names_every_crate_it_needs_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        write_sdk(directory.path()).unwrap();
        let manifest: DocumentMut =
            fs::read_to_string(directory.path().join("Cargo.toml")).unwrap().parse().unwrap();
        let workspace = &manifest["workspace"];
        let members: Vec<_> =
            workspace["members"].as_array().unwrap().iter().map(|member| member.as_str().unwrap()).collect();
        assert!(members.contains(&"sdk"), "{manifest}");
        for (name, dependency) in workspace["dependencies"].as_table().unwrap() {
            if let Some(path) = dependency.get("path") {
                assert!(members.contains(&path.as_str().unwrap()), "{name} is not carried");
            }
        }
        for member in members {
            let text = fs::read_to_string(directory.path().join(member).join("Cargo.toml")).unwrap();
            assert!(!text.contains("dev-dependencies"), "{text}");
            assert!(directory.path().join(member).join("src/lib.rs").exists());
        }
        assert!(directory.path().join("sdk/wit/plugin.wit").exists());
        assert!(
            !directory.path().join("sdk/templates").exists() && !directory.path().join("sdk/kit").exists()
        );
    }

    #[test]
    fn only_rust_has_an_sdk() {
        let with: Vec<_> = languages().into_iter().filter(|language| needs_sdk(language)).collect();
        assert_eq!(with, ["rust"]);
        assert!(!needs_sdk("cobol"));
    }

    #[test]
    fn a_project_has_its_name_everywhere_and_overwrites_nothing() {
        for language in languages() {
            let directory = tempfile::tempdir().unwrap();
            let answers = Answers { name: "pay-slips", sdk: "../elsewhere" };
            let written = write_project(language, directory.path(), &answers).unwrap();
            assert!(written.contains(&"plugin.toml"), "{language}: {written:?}");
            for path in &written {
                let octets = fs::read(directory.path().join(path)).unwrap();
                let text = String::from_utf8_lossy(&octets);
                assert!(
                    !["{{name}}", "{{crate}}", "{{sdk}}"].iter().any(|mark| text.contains(mark)),
                    "{path}"
                );
            }
            let again = write_project(language, directory.path(), &answers).unwrap_err();
            assert_eq!(again.kind(), io::ErrorKind::AlreadyExists, "{language}");
        }
        let nowhere = Path::new("never-made");
        let none = write_project("cobol", nowhere, &Answers { name: "a", sdk: "b" }).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
        assert!(!nowhere.exists());
    }
}
