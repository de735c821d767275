//! Durable state of this step, committed with its effects. Needs the grant `kv`.

use crate::fault::Fault;
use crate::seam;

/// What is under the key.
///
/// # Errors
/// When the grant is missing or the key is too long.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Fault> {
    seam::kv_get(key)
}

/// Puts a value under the key.
///
/// # Errors
/// When the grant is missing, or the key, the value or all values together are too large.
pub fn set(key: &str, value: &[u8]) -> Result<(), Fault> {
    seam::kv_set(key, value)
}

/// Removes the key, if it is there.
///
/// # Errors
/// When the grant is missing or the key is too long.
pub fn delete(key: &str) -> Result<(), Fault> {
    seam::kv_delete(key)
}
