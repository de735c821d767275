//! What a plugin looks like as an artifact: one layer with the component, perhaps one with its signature, and a
//! configuration that says of which kind it is. Checks sizes and digests, asks nobody.

use postroom_mail::Digest;
use serde::{Deserialize, Serialize};

use crate::{COMPONENT_CAP, Error, MANIFEST_CAP, SIGNATURE_CAP};

/// The layer of the component (CNCF: Wasm OCI artifact).
pub const COMPONENT: &str = "application/wasm";
/// The layer of its signature.
pub const SIGNATURE: &str = "application/vnd.postroom.signature.v1+minisign";
/// The configuration (CNCF: Wasm OCI artifact).
pub(crate) const CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A manifest, as far as plugins need it (OCI image specification 1.1, "image manifest").
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    schema_version: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// What names a content (OCI image specification 1.1, "descriptor").
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: i64,
}

impl Descriptor {
    pub(crate) fn of(media_type: &str, octets: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: format!("sha256:{}", Digest::of(octets)),
            size: i64::try_from(octets.len()).unwrap_or(i64::MAX),
        }
    }
}

/// One content of an artifact, as its manifest names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    what: &'static str,
    limit: u64,
}

/// The parts of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) component: Part,
    pub(crate) signature: Option<Part>,
}

impl Parts {
    /// Reads a manifest that has that digest.
    pub(crate) fn read(octets: &[u8], digest: &Digest, place: &dyn std::fmt::Display) -> Result<Self, Error> {
        let place = place.to_string();
        let size = octets.len() as u64;
        if size > MANIFEST_CAP {
            return Err(Error::TooLarge { what: "the manifest", place, size, limit: MANIFEST_CAP });
        }
        if Digest::of(octets) != *digest {
            return Err(Error::Changed { place, digest: Box::new(*digest) });
        }
        let no_plugin = |problem: String| Error::NoPlugin { place: place.clone(), problem };
        let manifest: Manifest = serde_json::from_slice(octets).map_err(|error| {
            no_plugin(format!("its manifest cannot be read ({error}); an index of several platforms is none"))
        })?;
        let of =
            |kind: &str| manifest.layers.iter().filter(|layer| layer.media_type == kind).collect::<Vec<_>>();
        let component = match of(COMPONENT).as_slice() {
            [layer] => Part::of(layer, "the component", COMPONENT_CAP, &no_plugin)?,
            found => {
                let kinds: Vec<_> = manifest.layers.iter().map(|layer| layer.media_type.as_str()).collect();
                return Err(no_plugin(format!(
                    "it should have one layer of type {COMPONENT}, it has {} (layers: {})",
                    found.len(),
                    kinds.join(", ")
                )));
            }
        };
        let signature = match of(SIGNATURE).as_slice() {
            [] => None,
            [layer] => Some(Part::of(layer, "the signature", SIGNATURE_CAP, &no_plugin)?),
            found => return Err(no_plugin(format!("it has {} signatures", found.len()))),
        };
        let parts = Self { component, signature };
        parts.component.check(parts.component.size, &place)?;
        Ok(parts)
    }

    /// The manifest of a plugin.
    pub(crate) fn write(component: &[u8], signature: Option<&str>) -> Manifest {
        let signed = signature.map(|text| Descriptor::of(SIGNATURE, text.as_bytes()));
        Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            config: Descriptor::of(CONFIG, Self::config()),
            layers: std::iter::once(Descriptor::of(COMPONENT, component)).chain(signed).collect(),
        }
    }

    /// The least configuration the artifact's specification allows.
    pub(crate) fn config() -> &'static [u8] {
        br#"{"architecture":"wasm","os":"wasip2"}"#
    }
}

impl Part {
    fn of(
        layer: &Descriptor,
        what: &'static str,
        limit: u64,
        no_plugin: &dyn Fn(String) -> Error,
    ) -> Result<Self, Error> {
        let digest = layer.digest.strip_prefix("sha256:").and_then(|text| text.parse().ok());
        let digest = digest.ok_or_else(|| no_plugin(format!("{what} has no sha256 digest")))?;
        let size = u64::try_from(layer.size).map_err(|_| no_plugin(format!("{what} has a size below 0")))?;
        Ok(Self { digest, size, what, limit })
    }

    /// Whether that many octets are allowed.
    pub(crate) fn check(&self, size: u64, place: &str) -> Result<(), Error> {
        if size > self.limit {
            return Err(Error::TooLarge {
                what: self.what,
                place: place.to_owned(),
                size,
                limit: self.limit,
            });
        }
        Ok(())
    }

    /// Whether these octets are it.
    pub(crate) fn verify(&self, octets: &[u8], place: &str) -> Result<(), Error> {
        self.check(octets.len() as u64, place)?;
        if Digest::of(octets) != self.digest {
            return Err(Error::Changed { place: place.to_owned(), digest: Box::new(self.digest) });
        }
        Ok(())
    }
}
