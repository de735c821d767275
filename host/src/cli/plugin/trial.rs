//! One plugin run over one mail after the other, under the conditions of its fixtures, with the limits of a real step.

use std::sync::Arc;

use postroom_fixture::{Conditions, Decision, SinkKind as FixtureSink, failure_lines};
use postroom_mail::{AccountId, Digest, Name, Octets, Provenance, Timestamp, Uid};
use postroom_sandbox::{
    FetchAnswer, Grants, KvRead, Limits, Message, NoKv, Parser, Plugin, RecordedFetch, Sandbox, SinkKind,
    StepConfig, Usage,
};
use serde_json::Value;

use super::super::{Exit, Failure};

/// The account of mails that name none.
const ACCOUNT: &str = "fixture";
/// The pipeline a trial is said to be.
const PIPELINE: &str = "fixtures";

/// A plugin that was admitted.
pub(super) struct Trial {
    plugin: Plugin,
    mime: Arc<dyn Parser>,
    conditions: Conditions,
}

/// What became of one mail.
pub(super) struct Tried {
    /// As `postroom_fixture` writes it.
    pub(super) lines: Vec<String>,
    pub(super) usage: Usage,
    pub(super) failed: bool,
}

impl Trial {
    /// Loads and admits.
    pub(super) fn new(sandbox: &Sandbox, octets: &[u8], conditions: &Conditions) -> Result<Self, Failure> {
        let refused = |error| {
            Failure::new(
                Exit::Data,
                anyhow::Error::new(error).context("the plugin cannot be loaded as its fixtures say"),
            )
            .hint("settings, grants and limits are those of fixtures/fixture.toml")
        };
        let component = sandbox.load(octets).map_err(refused)?;
        let step = name(component.description().get("name").and_then(Value::as_str).unwrap_or("plugin"))?;
        let config = StepConfig {
            pipeline: name(PIPELINE)?,
            step,
            grants: grants(conditions),
            limits: conditions.limits_as::<Limits>()?,
            required: true,
            settings: serde_json::to_string(&conditions.settings)
                .map_err(|error| Failure::new(Exit::Data, error))?,
        };
        let plugin = component.admit(config).map_err(refused)?.with_fetch(Arc::new(answers(conditions)));
        let mime =
            sandbox.load_mime(postroom_bundle::MIME).map_err(|error| Failure::new(Exit::Software, error))?;
        Ok(Self { plugin, mime: Arc::new(mime), conditions: conditions.clone() })
    }

    /// The account of mails whose fixtures name none.
    pub(super) fn account() -> Result<AccountId, Failure> {
        name(ACCOUNT)
    }

    /// Where a mail of a folder is said to come from: always the same, so that every run decides the same.
    pub(super) fn provenance(&self, octets: &[u8]) -> Result<Provenance, Failure> {
        const RECEIVED: Timestamp = Timestamp(1_795_514_400_000);
        let Conditions { account, uidl, received, .. } = &self.conditions;
        Ok(Provenance {
            account: account.clone().map_or_else(Self::account, Ok)?,
            uid: Uid(uidl.as_deref().unwrap_or(ACCOUNT).as_bytes().to_vec()),
            ordinal: 0,
            digest: Digest::of(octets),
            size: octets.len() as u64,
            retrieved: received.unwrap_or(RECEIVED),
        })
    }

    /// Instructions that a mail takes, where the sandbox counts them.
    pub(super) fn fuel(&self, provenance: &Provenance, octets: &[u8]) -> Option<u64> {
        let kv: Arc<dyn KvRead> = Arc::new(NoKv);
        self.plugin.fuel(&self.message(provenance, octets), &[], &kv)
    }

    fn message(&self, provenance: &Provenance, octets: &[u8]) -> Arc<Message> {
        let octets: Arc<dyn Octets> = Arc::new(octets.to_vec());
        Arc::new(Message::new(provenance.clone(), octets, Some(Arc::clone(&self.mime))))
    }

    /// Handles a mail in a fresh instance, with empty state.
    pub(super) fn run(&self, provenance: &Provenance, octets: &[u8]) -> Tried {
        let message = self.message(provenance, octets);
        let kv: Arc<dyn KvRead> = Arc::new(NoKv);
        match self.plugin.handle(&message, &[], &kv) {
            Ok(outcome) => {
                let decision = Decision {
                    size: provenance.size,
                    labels: &outcome.labels,
                    effects: &outcome.effects,
                    verdict: outcome.verdict.as_ref(),
                    stop: outcome.stop,
                    kv: &outcome.kv,
                };
                Tried { lines: decision.lines(), usage: outcome.usage, failed: false }
            }
            Err(error) => {
                Tried { lines: failure_lines(&error.to_string()), usage: error.usage, failed: true }
            }
        }
    }
}

fn name(text: &str) -> Result<Name, Failure> {
    Name::new(text).map_err(|error| Failure::new(Exit::Data, error))
}

fn grants(conditions: &Conditions) -> Grants {
    let kind = |kind: &FixtureSink| match kind {
        FixtureSink::Object => SinkKind::Object,
        FixtureSink::Mailbox => SinkKind::Mailbox,
        FixtureSink::Transport => SinkKind::Transport,
    };
    let wanted = &conditions.grants;
    let sinks = wanted.sinks.iter().map(|(name, of)| (name.clone(), kind(of))).collect();
    // Every run is to decide the same.
    let entropy = false;
    Grants {
        sinks,
        discard: wanted.discard,
        kv: wanted.kv,
        fetch: wanted.fetch.keys().cloned().collect(),
        entropy,
    }
}

/// Calls are answered from the fixtures, and by nobody else.
fn answers(conditions: &Conditions) -> RecordedFetch {
    let paths = conditions
        .grants
        .fetch
        .iter()
        .flat_map(|(target, paths)| paths.iter().map(move |(path, answer)| (target, path, answer)));
    paths.fold(RecordedFetch::default(), |recorded, (target, path, answer)| {
        let (status, body) = (answer.status, answer.body.clone().into_bytes());
        recorded.answers(target, path, FetchAnswer { status, headers: Vec::new(), body })
    })
}
