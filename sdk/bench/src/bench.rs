//! What the bench grants, and one run of a plugin on it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;

use postroom_contract::{
    Breach, Call, Cause, Failure, FetchAnswer, FetchError, Grants, KvRead, Limits, Message, Parser,
    RecordedFetch, SinkKind, StepConfig, neutral_problems,
};
use postroom_mail::{Label, Name, Octets};
use postroom_sdk::{Fault, Plugin, Problem, native};
use serde_json::Value;

use crate::host::BenchHost;
use crate::mail::Mail;
use crate::parser::Bundled;
use crate::run::{Run, effects, failure, line};

/// What a call of the contract ends with.
type Answer = Result<Result<(), Failure>, Cause>;

/// The step that a function runs as.
const FUNCTION: &str = "function";

/// When mails are retrieved unless they say otherwise: 2026-11-24 10:00:00 UTC.
const RECEIVED_MS: u64 = 1_795_514_400_000;

/// What the operator granted. Nothing, to begin with.
///
/// ```
/// use postroom_bench::{Bench, Limits, Mail, json};
/// use postroom_sdk::prelude::*;
/// # struct Copies;
/// # impl Plugin for Copies {
/// #     type Settings = NoSettings;
/// #     const NAME: &'static str = "copies";
/// #     const VERSION: &'static str = "0";
/// #     const DESCRIPTION: &'static str = "";
/// #     fn handle(message: &Message, _: &NoSettings) -> Result<(), Failure> {
/// #         kv::set("last", message.account().as_bytes())?;
/// #         effects::store("vault", message.received().format("%Y.eml"), &message.raw()).queue()?;
/// #         Ok(())
/// #     }
/// # }
///
/// // `Copies` stores each message, and remembers the account of the last one.
/// let mut bench = Bench::new().sink("vault").kv().account("work").received(1_795_514_400_000);
/// let run = bench.run_keeping::<Copies>(json!({}), &Mail::new().raw(b"Hello"));
/// assert_eq!(run.lines(), ["store vault:2026.eml 5 octets"]);
/// assert_eq!(run.kv["last"], b"work");
/// assert!(bench.run::<Copies>(json!({}), &Mail::new()).result.is_ok());
/// assert!(bench.run_eml::<Copies>(json!({}), b"Subject: x\r\n\r\n").result.is_ok());
/// assert!(bench.configure::<Copies>(&json!({ "colour": "red" })).is_err());
///
/// // What the operator did not grant, or does not let happen, fails as in the host.
/// assert!(Bench::default().run::<Copies>(json!({}), &Mail::new()).result.is_err());
/// let small = Limits { effects: 0, ..Limits::default() };
/// assert!(bench.clone().limits(small).run::<Copies>(json!({}), &Mail::new()).result.is_err());
/// let full = bench.refuse("vault", Fault::Transient("the disk is full".to_owned()));
/// assert_eq!(full.run::<Copies>(json!({}), &Mail::new()).result, Err(Failure::transient("the disk is full")));
///
/// // A function can be run alone. Other sinks, and what targets of `fetch` answer:
/// let bench = Bench::new().mailbox("mail").relay("out").discard();
/// let bench = bench.answers("crm", "people/1", 200, "Ann").no_answer("crm", "people/2", "it is down");
/// let run = bench.run_fn(&Mail::new(), |_| {
///     assert!(fetch::get("crm", "people/1")?.is_success());
///     assert!(matches!(fetch::get("crm", "people/2"), Err(Fault::Transient(_))));
///     effects::discard("seen")?;
///     Ok(())
/// });
/// assert_eq!(run.lines(), ["discard seen"]);
/// ```
#[derive(Clone, Debug)]
pub struct Bench {
    sinks: BTreeMap<String, SinkKind>,
    refusals: BTreeMap<String, Fault>,
    discard: bool,
    kv: bool,
    targets: BTreeSet<String>,
    answers: Vec<(String, String, Result<FetchAnswer, FetchError>)>,
    limits: Limits,
    account: String,
    received_ms: u64,
    state: State,
}

/// Durable state: scope and key to value.
#[derive(Clone, Debug, Default)]
struct State(BTreeMap<(String, String), Vec<u8>>);

impl KvRead for State {
    fn get(&self, scope: &str, key: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.get(&(scope.to_owned(), key.to_owned())).cloned())
    }

    fn total(&self, scope: &str) -> Result<u64, String> {
        Ok(self.of(scope).iter().map(|(key, value)| (key.len() + value.len()) as u64).sum())
    }
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Bench {
    /// A bench that grants nothing, with the host's default limits.
    pub fn new() -> Self {
        Self {
            sinks: BTreeMap::new(),
            refusals: BTreeMap::new(),
            discard: false,
            kv: false,
            targets: BTreeSet::new(),
            answers: Vec::new(),
            limits: Limits::default(),
            account: "home".to_owned(),
            received_ms: RECEIVED_MS,
            state: State::default(),
        }
    }

    /// Grants an object sink (directory, s3), which takes `store`.
    #[must_use]
    pub fn sink(self, name: &str) -> Self {
        self.granting(name, SinkKind::Object)
    }

    /// Grants a mailbox sink (maildir), which takes `file_into`.
    #[must_use]
    pub fn mailbox(self, name: &str) -> Self {
        self.granting(name, SinkKind::Mailbox)
    }

    /// Grants a transport sink (smtp), which takes `forward` and `send`.
    #[must_use]
    pub fn relay(self, name: &str) -> Self {
        self.granting(name, SinkKind::Transport)
    }

    fn granting(mut self, name: &str, kind: SinkKind) -> Self {
        self.sinks.insert(name.to_owned(), kind);
        self
    }

    /// Lets everything asked of a sink fail.
    #[must_use]
    pub fn refuse(mut self, sink: &str, fault: Fault) -> Self {
        self.refusals.insert(sink.to_owned(), fault);
        self
    }

    /// Grants `discard`.
    #[must_use]
    pub fn discard(mut self) -> Self {
        self.discard = true;
        self
    }

    /// Grants `kv`.
    #[must_use]
    pub fn kv(mut self) -> Self {
        self.kv = true;
        self
    }

    /// Grants a target of `fetch`, and says what a path of it answers.
    #[must_use]
    pub fn answers(mut self, target: &str, path: &str, status: u16, body: impl Into<Vec<u8>>) -> Self {
        let answer = FetchAnswer { status, body: body.into(), ..FetchAnswer::default() };
        self.targets.insert(target.to_owned());
        self.answers.push((target.to_owned(), path.to_owned(), Ok(answer)));
        self
    }

    /// Grants a target of `fetch`, and says that a path of it cannot be had just now.
    #[must_use]
    pub fn no_answer(mut self, target: &str, path: &str, why: &str) -> Self {
        let why = FetchError::Unavailable(why.to_owned());
        self.targets.insert(target.to_owned());
        self.answers.push((target.to_owned(), path.to_owned(), Err(why)));
        self
    }

    /// Other limits than the host's default ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The account of mails that name none.
    #[must_use]
    pub fn account(mut self, name: &str) -> Self {
        self.account = name.to_owned();
        self
    }

    /// When mails were retrieved that do not say it, milliseconds since 1970 UTC.
    #[must_use]
    pub fn received(mut self, ms: u64) -> Self {
        self.received_ms = ms;
        self
    }

    /// Checks settings as the host does when it starts.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn configure<P: Plugin>(&self, settings: &Value) -> Result<(), Vec<Problem>> {
        native::configure::<P>(&settings.to_string()).map(drop)
    }

    /// What `postroom check` would warn of.
    ///
    /// ```
    /// use postroom_bench::{Bench, json};
    /// use postroom_sdk::prelude::*;
    /// # struct Odd;
    /// impl Plugin for Odd {
    /// #     type Settings = NoSettings;
    /// #     const NAME: &'static str = "odd";
    /// #     const VERSION: &'static str = "0";
    /// #     const DESCRIPTION: &'static str = "";
    ///     fn warnings(_: &NoSettings) -> Vec<Problem> {
    ///         vec![Problem::new("", "it does nothing")]
    ///     }
    /// #     fn handle(_: &Message, _: &NoSettings) -> Result<(), Failure> { Ok(()) }
    /// }
    ///
    /// assert_eq!(Bench::new().warnings::<Odd>(&json!({})).unwrap()[0].text, "it does nothing");
    /// ```
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn warnings<P: Plugin>(&self, settings: &Value) -> Result<Vec<Problem>, Vec<Problem>> {
        native::warnings::<P>(&settings.to_string())
    }

    /// Runs a plugin over a mail. State in `kv` is kept for the next run on the same bench, unless the run fails.
    pub fn run_keeping<P: Plugin>(&mut self, settings: Value, mail: &Mail) -> Run {
        let run = self.run::<P>(settings, mail);
        for write in run.outcome.iter().flat_map(|outcome| &outcome.kv) {
            self.state.write(write);
        }
        run
    }

    /// Runs a plugin over a mail.
    ///
    /// # Panics
    /// When the plugin does. In the host that is a failure of the message.
    pub fn run<P: Plugin>(&self, settings: Value, mail: &Mail) -> Run {
        self.run_step(P::NAME, mail, |host| match native::configure::<P>(&settings.to_string()) {
            Ok(settings) => answer(host, |message| P::handle(message, &settings)),
            Err(problems) => {
                let pairs: Vec<_> =
                    problems.into_iter().map(|problem| (problem.path, problem.text)).collect();
                Ok(Err(Failure::settings(&neutral_problems(&pairs))))
            }
        })
    }

    /// Runs a function over a mail as if it were `handle` of a plugin: a part of one can be tested without the rest.
    ///
    /// # Panics
    /// When the function does.
    pub fn run_fn(
        &self,
        mail: &Mail,
        function: impl FnOnce(&postroom_sdk::Message<'_>) -> Result<(), postroom_sdk::Failure>,
    ) -> Run {
        self.run_step(FUNCTION, mail, |host| answer(host, function))
    }

    /// Runs a plugin over the octets of a message, such as those of an .eml file.
    ///
    /// # Panics
    /// As [`Bench::run`].
    pub fn run_eml<P: Plugin>(&self, settings: Value, octets: &[u8]) -> Run {
        self.run::<P>(settings, &Mail::new().raw(octets))
    }

    /// The call of a step in a pipeline "main"; a text when a name is none.
    fn call(&self, step: &str, mail: &Mail) -> Result<(Call, Arc<Message>), String> {
        let name = |text: &str| Name::new(text).map_err(|error| format!("the bench: {error}"));
        let sinks = self.sinks.iter().map(|(sink, kind)| Ok((name(sink)?, *kind)));
        let grants = Grants {
            sinks: sinks.collect::<Result<_, String>>()?,
            discard: self.discard,
            kv: self.kv,
            fetch: self.targets.iter().map(|target| name(target)).collect::<Result<_, String>>()?,
            entropy: false,
        };
        let step = StepConfig {
            pipeline: name("main")?,
            step: name(step)?,
            grants,
            limits: self.limits.clone(),
            required: true,
            settings: String::new(),
        };
        self.limits.check()?;
        let octets = mail.octets();
        let account = name(mail.account.as_deref().unwrap_or(&self.account))?;
        let provenance = mail.provenance(account, self.received_ms, &octets);
        let octets: Arc<dyn Octets> = Arc::new(octets);
        let parser: Arc<dyn Parser> = Arc::new(Bundled);
        let message = Arc::new(Message::new(provenance, octets, Some(parser)));
        let labels = mail.labels.iter().map(|label| Label::new(label.as_str()));
        let labels = labels.collect::<Result<_, _>>().map_err(|error| format!("the bench: {error}"))?;
        let kv: Arc<dyn KvRead> = Arc::new(self.state.clone());
        let recorded =
            self.answers.iter().try_fold(RecordedFetch::default(), |recorded, (target, path, answer)| {
                Ok::<_, String>(recorded.records(&name(target)?, path, answer.clone()))
            })?;
        let call = Call::working(Arc::new(step), Arc::clone(&message), labels, kv);
        Ok((call.with_fetch(Arc::new(recorded)), message))
    }

    fn run_step(&self, step: &str, mail: &Mail, act: impl FnOnce(&Rc<RefCell<BenchHost>>) -> Answer) -> Run {
        let (mut call, message) = match self.call(step, mail) {
            Ok(both) => both,
            Err(text) => return Run::impossible(text),
        };
        let scope = call.work().map(|work| work.scope()).unwrap_or_default();
        let host = BenchHost::new(call, Arc::clone(&message), self.refusals.clone());
        let host = Rc::new(RefCell::new(host));
        let answer = act(&host);
        let Ok(host) = Rc::try_unwrap(host).map(RefCell::into_inner) else {
            return Run::impossible("the plugin's call did not give its host back".to_owned());
        };
        let answer = host.call.meter.check().map_err(|breach| Cause::from(&breach)).and(answer);
        let ended = host.call.end(answer);
        let (outcome, log) = match ended {
            Ok(outcome) => {
                let log = outcome.log.clone();
                (Ok(outcome), log)
            }
            Err(error) => (Err(error.cause), error.log.into_vec()),
        };
        let mut state = self.state.clone();
        for write in outcome.iter().flat_map(|outcome| &outcome.kv) {
            state.write(write);
        }
        Run {
            result: outcome.as_ref().map(drop).map_err(failure),
            effects: outcome.as_ref().map(|outcome| effects(outcome, &mail.octets())).unwrap_or_default(),
            logs: log.iter().map(line).collect(),
            parsed: message.is_parsed(),
            kv: state.of(&scope),
            retry_after: host.retry_after,
            outcome,
            log,
        }
    }
}

impl State {
    fn write(&mut self, write: &postroom_mail::KvWrite) {
        let at = (write.scope.clone(), write.key.clone());
        match &write.value {
            Some(value) => self.0.insert(at, value.clone()),
            None => self.0.remove(&at),
        };
    }

    fn of(&self, scope: &str) -> BTreeMap<String, Vec<u8>> {
        let own = self.0.iter().filter(|((of, _), _)| of == scope);
        own.map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }
}

/// What comes of a call, whichever way it ends.
fn answer(
    host: &Rc<RefCell<BenchHost>>,
    act: impl FnOnce(&postroom_sdk::Message<'_>) -> Result<(), postroom_sdk::Failure>,
) -> Answer {
    let host = Rc::clone(host) as Rc<RefCell<dyn native::Host>>;
    match catch_unwind(AssertUnwindSafe(|| native::call(host, act))) {
        Ok(answer) => Ok(answer.map_err(|failure| match failure {
            postroom_sdk::Failure::Transient(text) => Failure::Transient(text),
            postroom_sdk::Failure::Permanent(text) => Failure::Permanent(text),
        })),
        Err(panic) => match panic.downcast::<Breach>() {
            Ok(breach) => Err(Cause::from(&*breach)),
            // The author's test is to fail with the author's panic.
            Err(panic) => resume_unwind(panic),
        },
    }
}
