//! Where the octets of a plugin come from: this program, a file, a directory, a registry, a layout; and whether they are
//! signed by whom the operator trusts. Octets are read once; what was checked is what is loaded.
//!
//! Must not compile or run anything.

mod config;
mod signed;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use minisign_verify::{PublicKey, Signature};
use postroom_mail::Name;
use postroom_mail::rules::neutral;
use postroom_oci::{Layout, Login, Place, Reference, Registry, Trust};
use postroom_sandbox::SIZE_CAP;

pub use config::RegistryConfig;
pub(crate) use signed::{check_kept, read_signed};

use crate::config::{Config, PluginRef};
use crate::pipeline::{bundled_names, plugin_files};
use crate::regular;

/// The signature of a file lies beside it, under its name and this.
const SIGNED: &str = ".minisig";
/// Octets of a signature: one has some hundred, and comments.
pub const SIGNATURE_CAP: u64 = 4 << 10;
// What a registry gives and what the sandbox takes is limited alike; the two crates never see each other.
const _: () = assert!(SIZE_CAP == postroom_oci::COMPONENT_CAP, "one limit for a component");
/// Modes of a file that not only its owner can change.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Why there are no octets, or none that may be used.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// No bundled plugin has that name.
    #[error(
        "there is no bundled plugin {plugin:?} (there are {known}); a file of yours is named by its path, for example \"./{plugin}.wasm\""
    )]
    Unknown {
        /// As it was named.
        plugin: String,
        /// The bundled ones.
        known: String,
    },
    /// The file cannot be read.
    #[error("cannot read the plugin {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A directory that does not hold one plugin.
    #[error("the directory {} holds {}; name the file itself", path.display(), described(found))]
    NotOne {
        /// The directory.
        path: PathBuf,
        /// The components in it.
        found: Vec<String>,
    },
    /// Not to be had from where it is kept.
    #[error(transparent)]
    Oci(#[from] postroom_oci::Error),
    /// What is configured for the registry cannot be used.
    #[error("[registries.{name}]: {problem}")]
    Registry {
        /// Its table.
        name: Name,
        /// Why.
        problem: String,
    },
    /// Nobody signed it.
    #[error("{plugin} must be signed by `{key}` and is not: {lacking}")]
    Unsigned {
        /// As it was named.
        plugin: String,
        /// The key's name.
        key: Name,
        /// What there should be.
        lacking: String,
    },
    /// Somebody else signed it, or it was changed since.
    #[error(
        "the signature of {plugin} is not that of `{key}` over these octets ({problem}): they were changed, or signed by somebody else"
    )]
    Forged {
        /// As it was named.
        plugin: String,
        /// The key's name.
        key: Name,
        /// In the words of the check.
        problem: String,
    },
}

fn described(found: &[String]) -> String {
    match found {
        [] => "no component (*.wasm)".to_owned(),
        found => format!("{} components ({})", found.len(), neutral(&found.join(", "), 300)),
    }
}

/// Octets of a plugin and their signature, if any.
struct Found {
    octets: Vec<u8>,
    signature: Option<String>,
    /// Where a signature should be.
    lacking: String,
}

/// The octets of a plugin, signed by `signed_by` when that is given.
///
/// # Errors
/// When they are not to be had, or not signed as they must be.
pub fn read(plugin: &PluginRef, signed_by: Option<&Name>, config: &Config) -> Result<Vec<u8>, OriginError> {
    read_with(plugin, signed_by, &config.keys, &Registries::of(config))
}

/// As [`read`], for a plugin that no configuration names.
///
/// # Errors
/// As [`read`].
pub fn read_alone(plugin: &PluginRef) -> Result<Vec<u8>, OriginError> {
    let directory = tempfile::tempdir()
        .map_err(|source| OriginError::Unreadable { path: std::env::temp_dir(), source })?;
    let kept = directory.path().join("pulled");
    let registries = Registries { configured: &BTreeMap::new(), base: Path::new("."), kept };
    read_with(plugin, None, &BTreeMap::new(), &registries)
}

fn read_with(
    plugin: &PluginRef,
    signed_by: Option<&Name>,
    keys: &BTreeMap<Name, String>,
    registries: &Registries<'_>,
) -> Result<Vec<u8>, OriginError> {
    let found = find(plugin, registries)?;
    if let Some(name) = signed_by {
        // The configuration was checked: the key is there.
        check(plugin, name, keys.get(name).map_or("", String::as_str), &found)?;
    }
    Ok(found.octets)
}

fn find(plugin: &PluginRef, registries: &Registries<'_>) -> Result<Found, OriginError> {
    match plugin {
        PluginRef::Bundled(name) => match postroom_bundle::bundled(name) {
            Some(octets) => Ok(Found {
                octets: octets.to_vec(),
                signature: None,
                lacking: "it is part of this program, which is as trusted as it is".to_owned(),
            }),
            None => Err(OriginError::Unknown { plugin: name.clone(), known: bundled_names() }),
        },
        PluginRef::File(path) if path.is_dir() => file(&component_in(path)?),
        PluginRef::File(path) => file(path),
        PluginRef::Oci(reference) => {
            let plugin = match &reference.place {
                Place::Layout(directory) => Layout::at(directory).read(&reference.digest)?,
                Place::Registry { registry, repository } => {
                    registries.pull(registry, repository, reference)?
                }
            };
            let lacking = format!("the artifact has no layer of type {}", postroom_oci::SIGNATURE);
            Ok(Found { octets: plugin.component, signature: plugin.signature, lacking })
        }
    }
}

fn file(path: &Path) -> Result<Found, OriginError> {
    let unreadable = |path: &Path, source| OriginError::Unreadable { path: path.to_owned(), source };
    let octets = regular::read(path, SIZE_CAP).map_err(|source| unreadable(path, source))?;
    let beside = signature_of(path);
    let signature = match regular::read_text(&beside, SIGNATURE_CAP) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(unreadable(&beside, source)),
    };
    Ok(Found { octets, signature, lacking: format!("there is no {}", beside.display()) })
}

/// Where the signature of a file is, if it has one.
pub fn signature_of(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(SIGNED);
    PathBuf::from(beside)
}

/// A text for each file of a plugin that others than its owner can change.
pub fn changeable(config: &Config) -> Vec<String> {
    let mut files: Vec<PathBuf> = plugin_files(config)
        .into_iter()
        .filter_map(|path| if path.is_dir() { component_in(path).ok() } else { Some(path.to_owned()) })
        .collect();
    files.sort();
    files.dedup();
    let is_changeable =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|found| found.mode() & WRITABLE_BY_OTHERS != 0);
    let warning = |path: PathBuf| {
        let shown = neutral(&path.display().to_string(), 300);
        format!("other users can change the plugin {shown}, and with it what happens to mail: chmod go-w it")
    };
    files.into_iter().filter(is_changeable).map(warning).collect()
}

/// The one component of a directory.
///
/// # Errors
/// When it holds none, or several, or cannot be read.
pub fn component_in(path: &Path) -> Result<PathBuf, OriginError> {
    let unreadable = |source| OriginError::Unreadable { path: path.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?.path();
        if entry.extension().is_some_and(|extension| extension == "wasm") && entry.is_file() {
            found.push(entry);
        }
    }
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        several => {
            let names = several.iter().filter_map(|path| path.file_name());
            let found = names.map(|name| name.to_string_lossy().into_owned()).collect();
            Err(OriginError::NotOne { path: path.to_owned(), found })
        }
    }
}

/// Checks a minisign signature (Ed25519) over the octets.
fn check(plugin: &PluginRef, name: &Name, key: &str, found: &Found) -> Result<(), OriginError> {
    let Some(text) = &found.signature else {
        return Err(OriginError::Unsigned {
            plugin: plugin.to_string(),
            key: name.clone(),
            lacking: found.lacking.clone(),
        });
    };
    let checked = PublicKey::from_base64(key)
        .and_then(|key| key.verify(&found.octets, &Signature::decode(text)?, false));
    checked.map_err(|error| OriginError::Forged {
        plugin: plugin.to_string(),
        key: name.clone(),
        problem: error.to_string(),
    })
}

/// Whether a text is a public key of minisign.
pub fn is_key(text: &str) -> bool {
    PublicKey::from_base64(text).is_ok()
}

/// What is known of registries, and where what came from them is kept.
struct Registries<'a> {
    configured: &'a BTreeMap<Name, RegistryConfig>,
    base: &'a Path,
    kept: PathBuf,
}

impl<'a> Registries<'a> {
    fn of(config: &'a Config) -> Self {
        Self { configured: &config.registries, base: &config.base, kept: config.state.join("pulled") }
    }

    fn pull(
        &self,
        registry: &str,
        repository: &str,
        reference: &Reference,
    ) -> Result<postroom_oci::Plugin, OriginError> {
        let kept = Layout::at(&self.kept);
        // Whatever is wrong with what is kept, the registry has it whole.
        if let Ok(plugin) = kept.read(&reference.digest) {
            return Ok(plugin);
        }
        let (login, trust) = self.access(registry)?;
        let pulling = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let unreachable =
                |problem: String| postroom_oci::Error::Unreachable { registry: registry.to_owned(), problem };
            let runtime = runtime.map_err(|error| unreachable(error.to_string()))?;
            let client = Registry::new(registry, login, &trust)?;
            runtime.block_on(client.pull(repository, &reference.digest, &kept))
        };
        tracing::info!(plugin = %reference, "pulling a plugin");
        // Plugins are read on threads that may block, some of which belong to a runtime already.
        let pulled = std::thread::scope(|scope| scope.spawn(pulling).join());
        Ok(pulled.map_err(|_| postroom_oci::Error::Unreachable {
            registry: registry.to_owned(),
            problem: "the client failed".to_owned(),
        })??)
    }

    fn access(&self, registry: &str) -> Result<(Option<Login>, Trust), OriginError> {
        let configured = self.configured.iter().find(|(_, config)| config.host == registry);
        let Some((name, config)) = configured else {
            let trusted = postroom_dial::client(None).map_err(|error| postroom_oci::Error::Untrusted {
                registry: registry.to_owned(),
                problem: error.to_string(),
            })?;
            return Ok((None, Trust::Tls(trusted)));
        };
        let wrong = |problem: String| OriginError::Registry { name: name.clone(), problem };
        let trust = if config.allow_http {
            Trust::Plaintext
        } else {
            let ca_file = config.ca_file.as_ref().map(|file| self.base.join(file));
            Trust::Tls(postroom_dial::client(ca_file.as_deref()).map_err(|error| wrong(error.to_string()))?)
        };
        let login = match (&config.user, &config.password) {
            (Some(user), Some(password)) => {
                let password = password.read(self.base).map_err(|error| wrong(error.to_string()))?;
                Some(Login { user: user.clone(), password: password.expose().to_owned() })
            }
            (None, _) | (_, None) => None,
        };
        Ok((login, trust))
    }
}

#[cfg(test)]
mod tests;
