//! Each place a plugin may come from, and each way a signature may be wrong.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Cursor;

use minisign::KeyPair;

use super::*;

fn signed(octets: &[u8]) -> (String, String) {
    let pair = KeyPair::generate_unencrypted_keypair().unwrap();
    let signature = minisign::sign(None, &pair.sk, Cursor::new(octets), None, None).unwrap();
    (pair.pk.to_base64(), signature.to_string())
}

fn alice() -> Name {
    Name::new("alice").unwrap()
}

fn reading(
    plugin: &PluginRef,
    signed_by: Option<&Name>,
    key: &str,
    kept: &Path,
) -> Result<Vec<u8>, OriginError> {
    let keys = BTreeMap::from([(alice(), key.to_owned())]);
    let registries =
        Registries { configured: &BTreeMap::new(), base: Path::new("."), kept: kept.join("pulled") };
    read_with(plugin, signed_by, &keys, &registries)
}

#[test]
fn a_file_must_be_signed_by_the_key_that_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.wasm");
    fs::write(&path, b"octets").unwrap();
    let plugin = PluginRef::File(path.clone());
    let (key, signature) = signed(b"octets");
    let read = |key: &str| reading(&plugin, Some(&alice()), key, directory.path());
    assert_eq!(reading(&plugin, None, &key, directory.path()).unwrap(), b"octets");

    let unsigned = read(&key).unwrap_err().to_string();
    assert!(
        unsigned.contains("must be signed by `alice` and is not") && unsigned.contains("mine.wasm.minisig"),
        "{unsigned}"
    );

    let beside = directory.path().join("mine.wasm.minisig");
    fs::write(&beside, &signature).unwrap();
    assert_eq!(read(&key).unwrap(), b"octets");

    let (stranger, _) = signed(b"octets");
    assert!(matches!(read(&stranger), Err(OriginError::Forged { .. })));
    fs::write(&path, b"octetz").unwrap();
    let forged = read(&key).unwrap_err().to_string();
    assert!(forged.contains("is not that of `alice` over these octets"), "{forged}");
    for text in ["", "garbage", &signature[..signature.len() / 2]] {
        fs::write(&beside, text).unwrap();
        assert!(matches!(read(&key), Err(OriginError::Forged { .. })), "{text:?}");
    }
}

#[test]
fn a_directory_holds_one_component() {
    let directory = tempfile::tempdir().unwrap();
    let plugin = PluginRef::File(directory.path().to_owned());
    let read = || reading(&plugin, None, "", directory.path());
    assert!(read().unwrap_err().to_string().contains("holds no component"));
    fs::write(directory.path().join("a.wasm"), b"a").unwrap();
    fs::write(directory.path().join("a.wasm.minisig"), b"").unwrap();
    assert_eq!(read().unwrap(), b"a");
    fs::write(directory.path().join("b.wasm"), b"b").unwrap();
    let several = read().unwrap_err().to_string();
    assert!(several.contains("2 components (a.wasm, b.wasm); name the file itself"), "{several}");
}

#[test]
fn a_layout_gives_what_its_digest_says_with_its_signature() {
    let directory = tempfile::tempdir().unwrap();
    let (key, signature) = signed(b"octets");
    let layout = Layout::at(directory.path().join("layout"));
    let packed = |signature: Option<String>| {
        let digest =
            layout.write(&postroom_oci::Plugin { component: b"octets".to_vec(), signature }).unwrap();
        let text = format!("oci-layout:layout@sha256:{digest}");
        PluginRef::parse(&text, directory.path()).unwrap()
    };
    let read = |plugin: &PluginRef| reading(plugin, Some(&alice()), &key, directory.path());
    assert_eq!(read(&packed(Some(signature))).unwrap(), b"octets");
    let unsigned = read(&packed(None)).unwrap_err().to_string();
    assert!(
        unsigned.contains("the artifact has no layer of type application/vnd.postroom.signature"),
        "{unsigned}"
    );
    assert!(PluginRef::parse("oci-layout:layout", directory.path()).is_err());
}

#[test]
fn what_is_bundled_needs_no_file_and_has_no_signature() {
    let directory = tempfile::tempdir().unwrap();
    let filter = PluginRef::Bundled("filter".to_owned());
    assert!(!reading(&filter, None, "", directory.path()).unwrap().is_empty());
    assert!(matches!(
        reading(&filter, Some(&alice()), "", directory.path()),
        Err(OriginError::Unsigned { .. })
    ));
    let unknown = PluginRef::Bundled("filtre".to_owned());
    let text = reading(&unknown, None, "", directory.path()).unwrap_err().to_string();
    assert!(text.contains("there is no bundled plugin \"filtre\""), "{text}");
}
