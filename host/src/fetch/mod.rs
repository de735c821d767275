//! Owns look-ups of plugins: targets that the operator names, the addresses they may be at, the credentials that are sent
//! along. Must not show an address, a URL or a credential to a plugin, follow a redirect, or read a proxy from the
//! environment.
//!
//! A call waits on the plugin's blocking thread while the runtime does the work. What is checked of a call here is what
//! depends on the target; its path, its header fields and its quotas were checked in the sandbox.

mod config;
mod guard;
mod names;
mod rate;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use postroom_mail::Name;
use postroom_sandbox::{Fetch, FetchAnswer, FetchError, FetchRequest};
use reqwest::dns::Resolve;
use tokio::runtime::Handle;

pub use config::{FetchConfig, Method, Problem};
pub use guard::{Kind, Network};

use self::names::System;
use self::target::Target;

/// A target that cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("fetch target {target}: {problem}")]
pub struct TargetError {
    /// Which.
    pub target: Name,
    /// Why.
    pub problem: String,
}

/// All targets of a configuration, with their clients.
pub struct Targets {
    targets: BTreeMap<Name, Target>,
}

impl Targets {
    /// Makes a client for each, and reads their secrets; connects to nothing. `base` is the directory of the
    /// configuration file.
    ///
    /// # Errors
    /// Each target that cannot be made.
    pub fn build(config: &BTreeMap<Name, FetchConfig>, base: &Path) -> Result<Self, Vec<TargetError>> {
        Self::build_with(config, base, Arc::new(System))
    }

    fn build_with(
        config: &BTreeMap<Name, FetchConfig>,
        base: &Path,
        names: Arc<dyn Resolve>,
    ) -> Result<Self, Vec<TargetError>> {
        let mut targets = BTreeMap::new();
        let mut wrong = Vec::new();
        for (name, config) in config {
            match Target::build(name, config, base, Arc::clone(&names)) {
                Ok(target) => {
                    targets.insert(name.clone(), target);
                }
                Err(problem) => wrong.push(TargetError { target: name.clone(), problem }),
            }
        }
        if wrong.is_empty() { Ok(Self { targets }) } else { Err(wrong) }
    }
}

impl Fetch for Targets {
    fn fetch(&self, request: &FetchRequest) -> Result<FetchAnswer, FetchError> {
        let Some(target) = self.targets.get(&request.target) else {
            return Err(FetchError::Refused(format!("there is no target {}", request.target)));
        };
        let Ok(runtime) = Handle::try_current() else {
            return Err(FetchError::Refused("no call can be made outside of a running host".to_owned()));
        };
        runtime.block_on(target.call(request))
    }
}
