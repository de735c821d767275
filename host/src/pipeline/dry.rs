//! A run over a message that is not in the spool: the same chain, with nothing before it and nothing after.

use std::sync::Arc;

use postroom_mail::{Octets, Plan, Provenance};
use postroom_sandbox::{KvRead, Message, NoKv};

use super::{PluginSet, RunFailure};

/// What the chain of the message's account would decide, as at the last attempt; `None` when the account has none. What
/// earlier messages left in the state of steps is not known here.
pub fn dry_run(
    plugins: &PluginSet,
    provenance: &Provenance,
    octets: Vec<u8>,
) -> Option<Result<Plan, RunFailure>> {
    let chain = plugins.chain(&provenance.account)?;
    let octets: Arc<dyn Octets> = Arc::new(octets);
    let message = Arc::new(Message::new(provenance.clone(), octets, Some(Arc::clone(plugins.mime()))));
    let kv: Arc<dyn KvRead> = Arc::new(NoKv);
    Some(chain.run(&message, &kv, true))
}
