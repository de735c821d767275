//! Durable state of this step, committed with its effects. Needs the grant `kv`.

use crate::fault::Fault;
use crate::seam;

/// What is under the key.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().kv().run_fn(&Mail::new(), |_| {
///     assert_eq!(kv::get("seen")?, None);
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
/// ```
///
/// # Errors
/// When the grant is missing or the key is too long.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Fault> {
    seam::kv_get(key)
}

/// Puts a value under the key.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().kv().run_fn(&Mail::new(), |message| {
///     kv::set("last", message.account().as_bytes())?;
///     assert_eq!(kv::get("last")?.as_deref(), Some(&b"home"[..]));
///     Ok(())
/// });
/// assert_eq!(run.kv["last"], b"home");
/// ```
///
/// # Errors
/// When the grant is missing, or the key, the value or all values together are too large.
pub fn set(key: &str, value: &[u8]) -> Result<(), Fault> {
    seam::kv_set(key, value)
}

/// Removes the key, if it is there.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().kv().run_fn(&Mail::new(), |_| {
///     kv::set("last", b"x")?;
///     kv::delete("last")?;
///     Ok(())
/// });
/// assert!(run.kv.is_empty());
/// ```
///
/// # Errors
/// When the grant is missing or the key is too long.
pub fn delete(key: &str) -> Result<(), Fault> {
    seam::kv_delete(key)
}
