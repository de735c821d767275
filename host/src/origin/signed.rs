//! Octets together with their signature, so that both can be kept and checked again when the key is another.

use postroom_mail::Name;

use super::{Found, OriginError, Registries, check, find};
use crate::config::{Config, PluginRef};

/// As [`super::read`], and the signature that was found with the octets.
///
/// # Errors
/// As [`super::read`].
pub(crate) fn read_signed(
    plugin: &PluginRef,
    signed_by: Option<&Name>,
    config: &Config,
) -> Result<(Vec<u8>, Option<String>), OriginError> {
    let found = find(plugin, &Registries::of(config))?;
    if let Some(name) = signed_by {
        check(plugin, name, key(name, config), &found)?;
    }
    Ok((found.octets, found.signature))
}

/// Checks octets that were kept with the key that the configuration names today.
///
/// # Errors
/// When they are not signed with it.
pub(crate) fn check_kept(
    plugin: &PluginRef,
    signed_by: &Name,
    config: &Config,
    octets: &[u8],
    signature: Option<String>,
) -> Result<(), OriginError> {
    let lacking = "no signature was kept with the earlier version".to_owned();
    check(plugin, signed_by, key(signed_by, config), &Found { octets: octets.to_vec(), signature, lacking })
}

/// The configuration was checked: the key is there.
fn key<'a>(name: &Name, config: &'a Config) -> &'a str {
    config.keys.get(name).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::Cursor;

    use minisign::KeyPair;

    use super::*;
    use crate::config::Environment;

    fn config(key: &str) -> Config {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("postroom.toml");
        let text = format!(
            "[keys]\nalice = \"{key}\"\n[accounts.home]\nhost = \"pop.example.net\"\nuser = \"me\"\n\
             password = {{ file = \"p\" }}\n[sinks.vault]\ntype = \"directory\"\npath = \"v\"\n\
             [[pipelines.main.steps]]\nplugin = \"archive\"\ngrants = {{ sinks = [\"vault\"] }}\nsettings = {{ sink = \"vault\" }}\n"
        );
        std::fs::write(&file, text).unwrap();
        Config::load_in(&file, &Environment::default()).unwrap()
    }

    #[test]
    fn what_was_kept_is_held_against_the_key_of_today() {
        let (ours, other) = (
            KeyPair::generate_unencrypted_keypair().unwrap(),
            KeyPair::generate_unencrypted_keypair().unwrap(),
        );
        let signature =
            minisign::sign(None, &ours.sk, Cursor::new(b"octets"), None, None).unwrap().to_string();
        let (plugin, alice) = (PluginRef::Bundled("mine".to_owned()), Name::new("alice").unwrap());
        let check = |config: &Config, octets: &[u8], signature: Option<String>| {
            check_kept(&plugin, &alice, config, octets, signature)
        };
        let (today, replaced) = (config(&ours.pk.to_base64()), config(&other.pk.to_base64()));
        check(&today, b"octets", Some(signature.clone())).unwrap();
        assert!(matches!(check(&today, b"octetz", Some(signature.clone())), Err(OriginError::Forged { .. })));
        assert!(matches!(check(&replaced, b"octets", Some(signature)), Err(OriginError::Forged { .. })));
        assert!(matches!(check(&today, b"octets", None), Err(OriginError::Unsigned { .. })));
    }
}
