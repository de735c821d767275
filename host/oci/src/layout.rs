//! An OCI image layout on disk (OCI image specification 1.1, "image layout"): what a registry pushes to and pulls from, and
//! where what was pulled is kept. Files are named by the digests of their contents, so that a file is right or is found out.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use postroom_mail::Digest;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::artifact::{Descriptor, MANIFEST, Part, Parts};
use crate::{Error, MANIFEST_CAP, Plugin};

/// A layout.
#[derive(Clone, Debug)]
pub struct Layout {
    directory: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u8,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

impl Layout {
    /// At a directory, which need not be there yet.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The plugin whose manifest has that digest.
    ///
    /// # Errors
    /// When it is not there, or is not what its digests say.
    pub fn read(&self, digest: &Digest) -> Result<Plugin, Error> {
        let place = self.place();
        let manifest = self.blob(digest, MANIFEST_CAP)?;
        let parts = Parts::read(&manifest, digest, &place)?;
        let read = |part: &Part| {
            part.check(part.size, &place)?;
            let octets = self.blob(&part.digest, part.size)?;
            part.verify(&octets, &place).map(|()| octets)
        };
        let component = read(&parts.component)?;
        let signature = parts.signature.as_ref().map(read).transpose()?;
        Ok(Plugin {
            component,
            signature: signature.map(|octets| String::from_utf8_lossy(&octets).into_owned()),
        })
    }

    /// Writes a plugin and names it in the index; answers with the digest of its manifest. Writing it again changes nothing.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, plugin: &Plugin) -> Result<Digest, Error> {
        let manifest = Parts::write(&plugin.component, plugin.signature.as_deref());
        let octets = serde_json::to_vec(&manifest).map_err(|error| self.failed("manifest", error.into()))?;
        self.keep(&octets, &plugin.component, plugin.signature.as_deref())?;
        self.put(Parts::config())?;
        self.name(&octets)?;
        Ok(Digest::of(&octets))
    }

    /// Keeps a manifest as it was received, with its parts.
    pub(crate) fn keep(
        &self,
        manifest: &[u8],
        component: &[u8],
        signature: Option<&str>,
    ) -> Result<(), Error> {
        self.put(component)?;
        signature.map(|text| self.put(text.as_bytes())).transpose()?;
        // Last: what has a manifest is whole.
        self.put(manifest)
    }

    fn blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, Error> {
        let path = self.blobs().join(digest.to_string());
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => Error::Missing { place: self.place(), digest: Box::new(*digest) },
            _ => Error::File { path: path.clone(), source },
        };
        let mut octets = Vec::new();
        // One more shows that it is too long, which is then another file than its digest says.
        File::open(&path).and_then(|file| file.take(limit + 1).read_to_end(&mut octets)).map_err(failed)?;
        Ok(octets)
    }

    fn put(&self, octets: &[u8]) -> Result<(), Error> {
        let blobs = self.blobs();
        let path = blobs.join(Digest::of(octets).to_string());
        let written = fs::create_dir_all(&blobs)
            .and_then(|()| if same(&path, octets) { Ok(()) } else { replace(&path, octets) });
        written.map_err(|source| Error::File { path, source })
    }

    fn name(&self, manifest: &[u8]) -> Result<(), Error> {
        let marker = self.directory.join("oci-layout");
        if !marker.exists() {
            replace(&marker, br#"{"imageLayoutVersion":"1.0.0"}"#)
                .map_err(|source| Error::File { path: marker, source })?;
        }
        let path = self.directory.join("index.json");
        let read = fs::read(&path).ok().and_then(|octets| serde_json::from_slice(&octets).ok());
        let mut index: Index = read.unwrap_or(Index { schema_version: 2, manifests: Vec::new() });
        let named = Descriptor::of(MANIFEST, manifest);
        if index.manifests.iter().any(|one| one.digest == named.digest) {
            return Ok(());
        }
        index.manifests.push(named);
        let octets =
            serde_json::to_vec_pretty(&index).map_err(|error| self.failed("index.json", error.into()))?;
        replace(&path, &octets).map_err(|source| Error::File { path, source })
    }

    fn blobs(&self) -> PathBuf {
        self.directory.join("blobs/sha256")
    }

    fn place(&self) -> String {
        format!("the layout {}", self.directory.display())
    }

    fn failed(&self, name: &str, source: io::Error) -> Error {
        Error::File { path: self.directory.join(name), source }
    }
}

fn same(path: &Path, octets: &[u8]) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.len() == octets.len() as u64)
        && fs::read(path).is_ok_and(|found| found == octets)
}

/// Whole, or not at all.
fn replace(path: &Path, octets: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(octets)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use super::*;
    use crate::{COMPONENT_CAP, SIGNATURE_CAP};

    fn plugin(signature: Option<&str>) -> Plugin {
        Plugin { component: b"\0asm component".to_vec(), signature: signature.map(str::to_owned) }
    }

    fn layout() -> (tempfile::TempDir, Layout) {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::at(directory.path().join("layout"));
        (directory, layout)
    }

    #[test]
    fn what_is_written_is_read_by_its_digest() {
        let (_directory, layout) = layout();
        for signature in [None, Some("untrusted comment: x\nRWQ=\n")] {
            let digest = layout.write(&plugin(signature)).unwrap();
            assert_eq!(layout.write(&plugin(signature)).unwrap(), digest);
            assert_eq!(layout.read(&digest).unwrap(), plugin(signature));
        }
        let index: Index =
            serde_json::from_slice(&fs::read(layout.directory.join("index.json")).unwrap()).unwrap();
        assert_eq!(index.manifests.len(), 2);
    }

    #[test]
    fn a_file_that_was_changed_is_found_out() {
        let (_directory, layout) = layout();
        let digest = layout.write(&plugin(Some("sig"))).unwrap();
        let parts = [Digest::of(b"\0asm component"), Digest::of(b"sig"), digest];
        for part in parts {
            let path = layout.blobs().join(part.to_string());
            let before = fs::read(&path).unwrap();
            for after in [[&before[..], b" "].concat(), before[1..].to_vec(), Vec::new()] {
                fs::write(&path, after).unwrap();
                let read = layout.read(&digest).unwrap_err();
                assert!(matches!(read, Error::Changed { .. }), "{read}");
            }
            fs::remove_file(&path).unwrap();
            let read = layout.read(&digest).unwrap_err();
            assert!(matches!(&read, Error::Missing { digest, .. } if **digest == part), "{read}");
            fs::write(&path, before).unwrap();
        }
        assert!(layout.read(&digest).is_ok());
    }

    #[test]
    fn what_is_no_plugin_says_what_it_is() {
        let (_directory, layout) = layout();
        let read = |manifest: String| {
            layout.put(manifest.as_bytes()).unwrap();
            layout.read(&Digest::of(manifest.as_bytes())).unwrap_err().to_string()
        };
        let with = |layers: &str| {
            format!(
                r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"sha256:00","size":0}},"layers":[{layers}]}}"#
            )
        };
        let layer = |kind: &str, size: i64| {
            format!(r#"{{"mediaType":"{kind}","digest":"sha256:{}","size":{size}}}"#, Digest::of(b"x"))
        };
        assert!(read("{}".to_owned()).contains("its manifest cannot be read"));
        assert!(
            read(r#"{"schemaVersion":2,"manifests":[]}"#.to_owned())
                .contains("an index of several platforms is none")
        );
        let image = read(with(&layer("application/vnd.oci.image.layer.v1.tar+gzip", 1)));
        assert!(image.contains("it has 0 (layers: application/vnd.oci.image.layer.v1.tar+gzip)"), "{image}");
        assert!(
            read(with(&[layer("application/wasm", 1), layer("application/wasm", 1)].join(",")))
                .contains("it has 2")
        );
        assert!(read(with(&layer("application/wasm", -1))).contains("below 0"));
        let large = i64::try_from(COMPONENT_CAP).unwrap() + 1;
        assert!(
            read(with(&layer("application/wasm", large))).contains("67108865 octets, 67108864 are allowed")
        );
        layout.put(b"x").unwrap();
        let long = i64::try_from(SIGNATURE_CAP).unwrap() + 1;
        let signed = [layer("application/wasm", 1), layer(crate::SIGNATURE, long)].join(",");
        assert!(read(with(&signed)).contains("the signature at"));
    }
}
