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

#[test]
fn a_plugin_or_a_signature_that_is_no_file_or_has_no_end_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.wasm");
    let plugin = PluginRef::File(path.clone());
    let read = || reading(&plugin, None, "", directory.path()).unwrap_err().to_string();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(read().contains("it is no regular file"), "{}", read());
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    assert!(read().contains("it is no regular file"), "{}", read());
    fs::remove_file(&path).unwrap();
    fs::File::create(&path).unwrap().set_len(8 << 30).unwrap();
    assert!(read().contains("it has more than 67108864 octets"), "{}", read());
    fs::write(&path, "octets").unwrap();
    fs::write(signature_of(&path), vec![b'x'; 5 << 10]).unwrap();
    assert!(read().contains("mine.wasm.minisig") && read().contains("more than 4096"), "{}", read());
}

#[test]
fn a_plugin_that_others_can_change_is_warned_of_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("postroom.toml");
    let step = |name: &str, plugin: &str| {
        format!("[[pipelines.main.steps]]\nname = \"{name}\"\nplugin = \"{plugin}\"\n")
    };
    let head = "[accounts.home]\nhost = \"pop.example.net\"\nuser = \"me\"\npassword = { file = \"p\" }\n";
    let steps = [step("one", "./a.wasm"), step("two", "./a.wasm"), step("three", "./plug/")].concat();
    fs::write(&file, format!("{head}{steps}")).unwrap();
    fs::create_dir(directory.path().join("plug")).unwrap();
    let set = |name: &str, mode: u32| {
        let path = directory.path().join(name);
        fs::write(&path, "octets").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let config = Config::load_in(&file, &crate::config::Environment::default()).unwrap();
    set("a.wasm", 0o644);
    set("plug/b.wasm", 0o600);
    assert_eq!(changeable(&config), Vec::<String>::new());
    set("a.wasm", 0o664);
    set("plug/b.wasm", 0o602);
    let warnings = changeable(&config);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("/a.wasm") && warnings[1].contains("/plug/b.wasm"), "{warnings:?}");
}
