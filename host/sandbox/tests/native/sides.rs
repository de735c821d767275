//! One plugin, run on both sides over every mail.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use postroom_artifact::Guests;
use postroom_bench::Bench;
use postroom_mail::{Digest, Label, LogLine, Name, Octets, Provenance, Timestamp, Uid};
use postroom_sandbox::{
    Cause, Component, Grants, KvRead, Limits, Message, Mime, NoKv, Outcome, Parser, Sandbox, SandboxConfig,
    SinkKind, StepConfig, Usage,
};
use postroom_sdk::Plugin;
use serde_json::Value;

use crate::mails::mails;

static SANDBOX: LazyLock<Sandbox> =
    LazyLock::new(|| Sandbox::new(&SandboxConfig::default()).expect("a sandbox"));
static MIME: LazyLock<Arc<Mime>> =
    LazyLock::new(|| Arc::new(SANDBOX.load_mime(postroom_bundle::MIME).expect("loads")));

const RECEIVED_MS: i64 = 1_795_514_400_000;

/// A bundled plugin.
pub(crate) fn bundled(name: &str) -> Component {
    SANDBOX.load(postroom_bundle::bundled(name).expect("bundled")).expect("loads")
}

/// A plugin of `examples/plugins`, built for this.
pub(crate) fn example(package: &str) -> Component {
    let out = tempfile::tempdir().expect("a directory");
    let built = Guests::of_workspace(Path::new("../..")).build(&[package], out.path()).expect("builds");
    SANDBOX.load(&std::fs::read(&built[0].path).expect("the component")).expect("loads")
}

/// What comes of a message, and what was logged until then. Usage differs, of course.
type Came = (Result<Outcome, Cause>, Vec<LogLine>);

/// One plugin on both sides.
pub(crate) struct Compared<P> {
    component: Component,
    /// All that came, as text: shows that the mails do reach what is to be compared.
    seen: String,
    plugin: PhantomData<P>,
}

impl<P: Plugin> Compared<P> {
    pub(crate) fn new(component: Component) -> Self {
        Self { component, seen: String::new(), plugin: PhantomData }
    }

    /// Runs every mail on both sides and compares what comes of it.
    pub(crate) fn over_all(&mut self, settings: &Value, limits: &Limits) {
        for (title, mail) in mails() {
            let native = self.natively(settings, limits, &mail);
            let sandboxed = self.in_the_sandbox(settings, limits, &mail);
            assert_eq!(native, sandboxed, "{} with {settings} over {title}", P::NAME);
            self.seen.push_str(&format!("{native:?}\n"));
        }
    }

    /// Each of these came at least once.
    #[track_caller]
    pub(crate) fn saw(&self, texts: &[&str]) {
        for text in texts {
            let wanted = match *text {
                "a Store" => "action: Store",
                "a FileInto" => "action: FileInto",
                "a Send" => "action: Send",
                "fails" => "Err(Failed",
                "fails: needs" => "needs an object sink",
                text => text,
            };
            assert!(self.seen.contains(wanted), "no mail led to {wanted}");
        }
    }

    fn natively(&self, settings: &Value, limits: &Limits, mail: &[u8]) -> Came {
        let bench = Bench::new().sink("vault").mailbox("home").relay("relay").discard().kv();
        let bench = bench.account("shop").received(RECEIVED_MS as u64).limits(limits.clone());
        let mail = postroom_bench::Mail::new().raw(mail).label("earlier");
        let run = bench.run::<P>(settings.clone(), &mail);
        let log = run.log().to_vec();
        (run.outcome.map(without_usage), log)
    }

    fn in_the_sandbox(&self, settings: &Value, limits: &Limits, mail: &[u8]) -> Came {
        let name = |text: &str| Name::new(text).unwrap();
        let sinks =
            [("vault", SinkKind::Object), ("home", SinkKind::Mailbox), ("relay", SinkKind::Transport)];
        let sinks: BTreeMap<_, _> = sinks.into_iter().map(|(sink, kind)| (name(sink), kind)).collect();
        let step = StepConfig {
            pipeline: name("main"),
            step: name(P::NAME),
            grants: Grants { sinks, discard: true, kv: true, ..Grants::default() },
            limits: limits.clone(),
            required: true,
            settings: settings.to_string(),
        };
        let plugin = self.component.admit(step).unwrap_or_else(|error| panic!("{error}"));
        let provenance = Provenance {
            account: name("shop"),
            uid: Uid(b"0001".to_vec()),
            ordinal: 0,
            digest: Digest::of(mail),
            size: mail.len() as u64,
            retrieved: Timestamp(RECEIVED_MS),
        };
        let octets: Arc<dyn Octets> = Arc::new(mail.to_vec());
        let parser: Arc<dyn Parser> = Arc::<Mime>::clone(&MIME);
        let message = Arc::new(Message::new(provenance, octets, Some(parser)));
        let kv: Arc<dyn KvRead> = Arc::new(NoKv);
        match plugin.handle(&message, &[Label::new("earlier").unwrap()], &kv) {
            Ok(outcome) => {
                let log = outcome.log.clone();
                (Ok(without_usage(outcome)), log)
            }
            Err(error) => (Err(error.cause), error.log.into_vec()),
        }
    }
}

fn without_usage(outcome: Outcome) -> Outcome {
    Outcome { usage: Usage::default(), ..outcome }
}
