//! What of a `Cargo.toml` the carried workspace needs: a package without its tests, and the workspace reduced to some packages.

use std::error::Error;
use std::fs;
use std::path::Path;

use toml_edit::{Array, DocumentMut, Item, Table, TableLike};

/// A package's tables that are of no use without its tests.
const TESTS: [&str; 4] = ["dev-dependencies", "test", "bench", "example"];

/// Where a package says what it is built from.
const DEPENDENCIES: [&str; 2] = ["dependencies", "build-dependencies"];

/// The workspace's own `Cargo.toml`.
pub(crate) struct Workspace(DocumentMut);

/// A package's `Cargo.toml`, without what its tests need.
pub(crate) struct Package(DocumentMut);

impl Workspace {
    pub(crate) fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        Ok(Self(fs::read_to_string(path)?.parse()?))
    }

    /// The directory of a dependency that lies in the workspace.
    pub(crate) fn path_of(&self, dependency: &str) -> Option<String> {
        Some(self.dependencies()?.get(dependency)?.get("path")?.as_str()?.to_owned())
    }

    /// With only these packages as members, and only these dependencies.
    pub(crate) fn reduced(&self, members: &[String], used: &[String]) -> String {
        let mut workspace = Table::new();
        for key in ["resolver", "package", "lints"] {
            if let Some(item) = self.0.get("workspace").and_then(|workspace| workspace.get(key)) {
                workspace.insert(key, item.clone());
            }
        }
        workspace.insert("members", Item::Value(members.iter().collect::<Array>().into()));
        let mut dependencies = Table::new();
        for (name, item) in self.dependencies().into_iter().flat_map(TableLike::iter) {
            if used.iter().any(|used| used == name) {
                dependencies.insert(name, item.clone());
            }
        }
        workspace.insert("dependencies", Item::Table(dependencies));
        let mut document = DocumentMut::new();
        document.insert("workspace", Item::Table(workspace));
        format!(
            "# The SDK of Postroom, as the program that wrote it carries it. Not to be edited.\n\n{document}"
        )
    }

    fn dependencies(&self) -> Option<&dyn TableLike> {
        self.0.get("workspace")?.get("dependencies")?.as_table_like()
    }
}

impl Package {
    pub(crate) fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        println!("cargo::rerun-if-changed={}", path.display());
        let mut document: DocumentMut = fs::read_to_string(path)?.parse()?;
        for key in TESTS {
            document.remove(key);
        }
        let targets = document.get_mut("target").and_then(Item::as_table_like_mut);
        for (_, target) in targets.into_iter().flat_map(TableLike::iter_mut) {
            if let Some(target) = target.as_table_like_mut() {
                target.remove("dev-dependencies");
            }
        }
        Ok(Self(document))
    }

    pub(crate) fn text(&self) -> String {
        self.0.to_string()
    }

    /// The dependencies it takes from the workspace.
    pub(crate) fn inherited(&self) -> Vec<String> {
        let targets = self.0.get("target").and_then(Item::as_table_like);
        let targets = targets.into_iter().flat_map(TableLike::iter).map(|(_, target)| target);
        std::iter::once(self.0.as_item()).chain(targets).flat_map(inherited).collect()
    }
}

fn inherited(of: &Item) -> Vec<String> {
    let tables = DEPENDENCIES.iter().filter_map(|key| of.get(key)?.as_table_like());
    let inherits = |item: &Item| item.get("workspace").and_then(Item::as_bool) == Some(true);
    tables
        .flat_map(TableLike::iter)
        .filter(|(_, item)| inherits(item))
        .map(|(name, _)| name.to_owned())
        .collect()
}
