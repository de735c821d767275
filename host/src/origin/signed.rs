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
