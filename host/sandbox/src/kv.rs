//! Reading the durable state of steps. Writing is not done here: writes are part of the outcome.

/// Durable state, as it was when the message was taken up.
pub trait KvRead: Send + Sync {
    /// The value of a key in a scope (`pipeline/step/account`).
    ///
    /// # Errors
    /// A text, when the state cannot be read now; the plugin is told that it may work later.
    fn get(&self, scope: &str, key: &str) -> Result<Option<Vec<u8>>, String>;
}

/// No state at all.
pub struct NoKv;

impl KvRead for NoKv {
    fn get(&self, _scope: &str, _key: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }
}
