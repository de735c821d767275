//! How a plugin in a registry or a layout is named: `oci://registry.example/team/name@sha256:…`, or
//! `oci-layout:directory@sha256:…`. The digest is that of the manifest, as registries print it.

use std::fmt;
use std::path::{Path, PathBuf};

use postroom_mail::Digest;

const REGISTRY: &str = "oci://";
const LAYOUT: &str = "oci-layout:";
/// Octets of a repository (OCI distribution specification 1.1, "pulling manifests").
const REPOSITORY_CAP: usize = 255;

/// Where, and which.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// Where it is kept.
    pub place: Place,
    /// SHA-256 of the manifest.
    pub digest: Digest,
}

/// Where artifacts are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// A registry.
    Registry {
        /// Host and perhaps port.
        registry: String,
        /// The name there.
        repository: String,
    },
    /// An OCI image layout on disk.
    Layout(PathBuf),
}

/// A text that names no plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} {problem}; a plugin in a registry is named like \"oci://registry.example/team/name@sha256:…\""
)]
pub struct ReferenceError {
    text: String,
    problem: &'static str,
}

impl Reference {
    /// Whether a text means to be one.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("oci:") || text.starts_with(LAYOUT)
    }

    /// Reads one; a layout's directory is relative to `base`.
    ///
    /// # Errors
    /// When it is none, or has a tag and no digest.
    pub fn parse(text: &str, base: &Path) -> Result<Self, ReferenceError> {
        let wrong = |problem| ReferenceError { text: text.to_owned(), problem };
        let (place, digest) = text.rsplit_once('@').ok_or_else(|| {
            wrong("has no digest: a tag can be moved to another plugin, a digest cannot; the registry prints it at a push")
        })?;
        let digest = digest.strip_prefix("sha256:").ok_or_else(|| wrong("has no sha256 digest"))?;
        let digest = digest.parse().map_err(|_| wrong("has a digest that is not 64 hexadecimal digits"))?;
        let place = match (place.strip_prefix(REGISTRY), place.strip_prefix(LAYOUT)) {
            (Some(rest), _) => registry(rest).ok_or_else(|| wrong("has no registry, or no name in it"))?,
            (None, Some("")) => return Err(wrong("names no directory")),
            (None, Some(directory)) => Place::Layout(base.join(directory)),
            (None, None) => return Err(wrong("starts neither with oci:// nor with oci-layout:")),
        };
        Ok(Self { place, digest })
    }
}

fn registry(rest: &str) -> Option<Place> {
    let (registry, repository) = rest.split_once('/')?;
    let (host, port) = registry.rsplit_once(':').unwrap_or((registry, "443"));
    let host_ok = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    let named = !repository.is_empty() && repository.len() <= REPOSITORY_CAP;
    let ok = host_ok && port.parse::<u16>().is_ok() && named && repository.split('/').all(is_component);
    ok.then(|| Place::Registry { registry: registry.to_owned(), repository: repository.to_owned() })
}

/// A tag behind it is none: it would have to be part of the name.
fn is_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.bytes().next().is_some_and(word)
        && text.bytes().last().is_some_and(word)
        && text.bytes().all(|b| word(b) || b"._-".contains(&b))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry { registry, repository } => write!(f, "{REGISTRY}{registry}/{repository}"),
            Self::Layout(directory) => write!(f, "{LAYOUT}{}", directory.display()),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@sha256:{}", self.place, self.digest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(text: &str) -> Result<Reference, ReferenceError> {
        Reference::parse(text, Path::new("/etc/postroom"))
    }

    #[test]
    fn a_reference_reads_as_it_is_written() {
        for text in [
            "oci://registry.example/team/receipts",
            "oci://registry.example:5000/receipts",
            "oci://127.0.0.1:5000/a/b/c-d.e_f",
        ] {
            let text = format!("{text}@{DIGEST}");
            assert!(Reference::is_meant(&text));
            assert_eq!(parse(&text).unwrap().to_string(), text);
        }
        let layout = parse(&format!("oci-layout:plugins/receipts@{DIGEST}")).unwrap();
        assert_eq!(layout.place, Place::Layout("/etc/postroom/plugins/receipts".into()));
    }

    #[test]
    fn a_tag_is_no_digest() {
        let refused = parse("oci://registry.example/receipts:latest").unwrap_err().to_string();
        assert!(refused.contains("a tag can be moved"), "{refused}");
        assert!(parse(&format!("oci://registry.example/receipts:1@{DIGEST}")).is_err());
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "oci://",
            "oci://@",
            "oci:///name@",
            "oci://registry.example/@",
            "oci://registry.example@",
            "oci://user@registry.example/x@",
            "oci://registry.example/../x@",
            "oci://registry.example/Upper@",
            "oci://registry.example/a//b@",
            "oci://registry.example:x/a@",
            "oci-layout:@",
            "oci:registry.example/x@",
            "oci://registry.example/a?x=1@",
            "oci://registry.example/a#b@",
        ] {
            assert!(parse(&format!("{text}{DIGEST}")).is_err(), "{text}");
        }
        for digest in ["sha256:00", "sha512:00", "e3b0", ""] {
            assert!(parse(&format!("oci://registry.example/x@{digest}")).is_err(), "{digest}");
        }
    }
}
