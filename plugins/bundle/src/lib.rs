//! The bundled plugins as bytes: ordinary components, loaded by the same call as a user's file. No other logic.

include!(concat!(env!("OUT_DIR"), "/components.rs"));

/// The component of a bundled plugin, by its name: "filter".
pub fn bundled(name: &str) -> Option<&'static [u8]> {
    BUNDLED.iter().find(|(bundled, _)| *bundled == name).map(|(_, component)| *component)
}
