//! What the operator asks of a host that is running on the state: a file a request in a private directory, answered by a
//! file beside it. Owns their form and their way; executes only the verbs of [`Deed`], through the spool, and what
//! [`Reclose`] says.
//!
//! A request is taken by renaming it, so it is either withdrawn by who asked or carried out, never both. Carrying one out
//! twice changes nothing more.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use postroom_failpoint::reach;
use postroom_mail::{MessageId, Name, Timestamp};
use postroom_spool::{Decided, Spool};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::pipeline::{self, Reclosed};
use crate::supervise::Host;

/// How often the host looks.
const LOOK: Duration = Duration::from_millis(500);
/// How often who asked looks.
const ASK: Duration = Duration::from_millis(50);
/// How long who asked waits.
const PATIENCE: Duration = Duration::from_secs(30);
/// A request this old is of somebody who is gone.
const STALE: Duration = Duration::from_secs(10 * 60);
/// The largest file that is read, in octets.
const LARGEST: u64 = 1 << 20;
/// Messages in one request at most.
pub const MOST: usize = 1000;

const REQUEST: &str = "request";
const TAKEN: &str = "taken";
const ANSWER: &str = "answer";
const UNFINISHED: &str = "unfinished";

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// [`Spool::retry`].
    Retry,
    /// [`Spool::let_go`].
    Release,
    /// [`Spool::discard`].
    Drop,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What to do.
    pub deed: Deed,
    /// With which messages, at most [`MOST`].
    pub messages: Vec<MessageId>,
    /// Only with what is of this sink; not for [`Deed::Drop`].
    pub sink: Option<Name>,
    /// When it was made.
    pub at: Timestamp,
}

/// A request to close the breaker of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reclose {
    /// The pipeline.
    pub pipeline: Name,
    /// The step.
    pub step: Name,
    /// When it was made.
    pub at: Timestamp,
}

/// Something that can be asked, and is answered in its own way.
pub trait Ask: Serialize {
    /// What is answered when it was carried out.
    type Told: Serialize + for<'de> Deserialize<'de>;
}

impl Ask for Request {
    /// What became of each message.
    type Told = Vec<Decided>;
}

impl Ask for Reclose {
    type Told = Reclosed;
}

/// What lies in a file of a request.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Asked {
    Messages(Request),
    Step(Reclose),
}

/// What is answered, or why the request as a whole was not carried out.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Told {
    Messages(Vec<Decided>),
    Step(Reclosed),
}

/// Why nobody answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody took it, and it was withdrawn.
    #[error("another postroom process is using the state, and takes no requests: nothing was changed")]
    NotTaken,
    /// It was taken, and then nothing came.
    #[error(
        "the running host took the request but did not answer: it may have been carried out, and asking again does no harm"
    )]
    NoAnswer,
    /// The host could not do it.
    #[error("the running host could not do it: {0}")]
    Failed(String),
    /// The files.
    #[error("cannot {doing} in the directory of requests: {source}")]
    Files {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: io::Error,
    },
}

/// Carries one out.
///
/// # Errors
/// When the spool fails.
pub async fn perform(
    spool: &dyn Spool,
    request: Request,
    now: Timestamp,
) -> Result<Vec<Decided>, postroom_spool::Error> {
    let Request { deed, messages, sink, .. } = request;
    match deed {
        Deed::Retry => spool.retry(messages, sink, now).await,
        Deed::Release => spool.let_go(messages, sink, now).await,
        Deed::Drop => spool.discard(messages, now).await,
    }
}

/// Takes requests until `stop`.
pub async fn serve(host: Arc<Host>, mut stop: watch::Receiver<bool>) {
    let directory = directory(&host.live.load().config.state);
    if let Err(error) = prepare(&directory) {
        tracing::error!(directory = %directory.display(), %error, "no requests are taken");
        return;
    }
    while !*stop.borrow() {
        match waiting(&directory) {
            Ok(requests) => {
                for path in requests {
                    if let Err(error) = answer(&host, &path).await {
                        tracing::error!(request = %path.display(), %error, "a request could not be answered");
                    }
                }
            }
            Err(error) => {
                tracing::error!(directory = %directory.display(), %error, "cannot look for requests")
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stop.changed() => {}
        }
    }
}

async fn answer(host: &Arc<Host>, path: &Path) -> io::Result<()> {
    let taken = path.with_extension(TAKEN);
    match fs::rename(path, &taken) {
        Ok(()) => {}
        // It was withdrawn.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    reach("requests", "taken");
    let now = host.clock.now();
    let answer = match read::<Asked>(&taken).and_then(|asked| acceptable(asked, now)) {
        Err(error) => Err(error.to_string()),
        Ok(asked) => carry_out(host, asked, now).await,
    };
    if answer.is_ok() {
        // What was mended is tried at once, also at a sink that is left alone for a while.
        host.breakers.clear();
        pipeline::hasten(host).await;
        host.bells.inbox.notify_one();
        host.bells.outbox.notify_one();
    }
    reach("requests", "performed");
    let directory = path.parent().unwrap_or(Path::new("."));
    write(directory, &path.with_extension(ANSWER), &answer)?;
    fs::remove_file(taken)
}

async fn carry_out(host: &Arc<Host>, asked: Asked, now: Timestamp) -> Result<Told, String> {
    match asked {
        Asked::Messages(request) => {
            let (deed, count) = (request.deed, request.messages.len());
            tracing::info!(?deed, messages = count, "the operator asks");
            let done = perform(host.spool.as_ref(), request, now).await;
            done.map(Told::Messages).map_err(|error| error.to_string())
        }
        Asked::Step(Reclose { pipeline, step, .. }) => {
            pipeline::reclose(host, &pipeline, &step).await.map(Told::Step)
        }
    }
}

fn acceptable(asked: Asked, now: Timestamp) -> io::Result<Asked> {
    let (at, messages) = match &asked {
        Asked::Messages(request) => (request.at, request.messages.len()),
        Asked::Step(reclose) => (reclose.at, 0),
    };
    if now.since(at) > STALE {
        return Err(io::Error::other("the request is more than ten minutes old"));
    }
    if messages > MOST {
        return Err(io::Error::other("the request names too many messages"));
    }
    Ok(asked)
}

/// Asks the host that runs on this state, and waits for its answer.
///
/// # Errors
/// See [`AskError`].
pub async fn ask<A: Ask>(state: &Path, request: &A) -> Result<A::Told, AskError> {
    let directory = directory(state);
    let files = |doing| move |source| AskError::Files { doing, source };
    let path = match put(&directory, request) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(AskError::NotTaken),
        Err(error) => return Err(files("put a request")(error)),
    };
    let answer = path.with_extension(ANSWER);
    let mut deadline = Instant::now() + PATIENCE;
    let mut withdrawn = false;
    loop {
        match read::<Result<A::Told, String>>(&answer) {
            Ok(told) => {
                fs::remove_file(&answer).map_err(files("remove the answer"))?;
                return told.map_err(AskError::Failed);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(files("read the answer")(error)),
        }
        if Instant::now() >= deadline {
            if withdrawn {
                return Err(AskError::NoAnswer);
            }
            match fs::remove_file(&path) {
                Ok(()) => return Err(AskError::NotTaken),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    (withdrawn, deadline) = (true, deadline + PATIENCE);
                }
                Err(error) => return Err(files("withdraw the request")(error)),
            }
        }
        tokio::time::sleep(ASK).await;
    }
}

fn directory(state: &Path) -> PathBuf {
    state.join("requests")
}

/// Makes the directory, and clears away what an earlier run left half done.
fn prepare(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
        }
        Err(error) => return Err(error),
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != REQUEST) {
            // What is no file was put there by somebody else, and is no reason to serve nobody.
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "something odd lies among the requests");
            }
        }
    }
    Ok(())
}

fn waiting(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == REQUEST) {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

/// A request under a name of its own.
fn put(directory: &Path, request: &impl Serialize) -> io::Result<PathBuf> {
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let path = directory.join(format!("{:032x}.{REQUEST}", u128::from_ne_bytes(random)));
    write(directory, &path, request)?;
    Ok(path)
}

/// Whole or not at all. Root hands it to whom the directory belongs, so that the host can read it.
fn write(directory: &Path, path: &Path, value: &impl Serialize) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let owner = fs::metadata(directory)?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?;
    fs::rename(unfinished, path)?;
    File::open(directory)?.sync_all()
}

/// A regular file of ours, never what a link points at.
fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> io::Result<T> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() > LARGEST {
        return Err(io::Error::other("it is no request"));
    }
    let mut octets = Vec::new();
    file.take(LARGEST).read_to_end(&mut octets)?;
    Ok(serde_json::from_slice(&octets)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use postroom_mail::Digest;
    use postroom_spool::{MemorySpool, Refusal};

    use super::*;

    fn request(messages: usize, at: i64) -> Request {
        let message = MessageId(Digest::of(b"message"));
        Request { deed: Deed::Retry, messages: vec![message; messages], sink: None, at: Timestamp(at) }
    }

    fn reclose() -> Reclose {
        let name = |text| Name::new(text).unwrap();
        Reclose { pipeline: name("main"), step: name("mine"), at: Timestamp(5) }
    }

    #[test]
    fn a_request_is_private_whole_and_read_back_as_it_was() {
        let state = tempfile::tempdir().unwrap();
        let directory = directory(state.path());
        prepare(&directory).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        let path = put(&directory, &request(MOST, 5)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(waiting(&directory).unwrap(), std::slice::from_ref(&path));
        assert_eq!(read::<Request>(&path).unwrap(), request(MOST, 5));
    }

    #[test]
    fn what_a_link_points_at_is_not_read() {
        let state = tempfile::tempdir().unwrap();
        let (file, link) = (state.path().join("file"), state.path().join("a.request"));
        fs::write(&file, serde_json::to_vec(&request(1, 5)).unwrap()).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(read::<Request>(&link).is_err());
        assert!(read::<Request>(&file).is_ok());
        assert!(read::<Request>(state.path()).is_err(), "nor a directory");
    }

    #[test]
    fn nothing_but_the_verbs_can_be_asked() {
        for text in [
            r#"{"deed":"exec","messages":[],"sink":null,"at":1}"#,
            r#"{"deed":"drop"}"#,
            "[]",
            "",
            r#"{"pipeline":"main","step":"mine","at":1,"deed":"drop"}"#,
        ] {
            assert!(serde_json::from_str::<Asked>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_request_of_somebody_who_is_gone_is_not_carried_out() {
        let now = Timestamp(3_600_000);
        let acceptable = |messages, at| acceptable(Asked::Messages(request(messages, at)), now);
        assert!(acceptable(1, now.0 - 600_000).is_ok());
        assert!(acceptable(1, now.0 - 600_001).is_err());
        assert!(acceptable(MOST + 1, now.0).is_err());
        let step = |at| Asked::Step(Reclose { at: Timestamp(at), ..reclose() });
        assert!(super::acceptable(step(now.0), now).is_ok());
        assert!(super::acceptable(step(now.0 - 600_001), now).is_err());
    }

    #[test]
    fn a_start_clears_away_what_is_half_done_and_keeps_what_waits() {
        let state = tempfile::tempdir().unwrap();
        let directory = directory(state.path());
        prepare(&directory).unwrap();
        let waits = put(&directory, &request(1, 5)).unwrap();
        for name in ["b.taken", "c.answer", "d.unfinished"] {
            fs::write(directory.join(name), "x").unwrap();
        }
        prepare(&directory).unwrap();
        let left: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [waits]);
    }

    #[tokio::test]
    async fn an_answer_tells_of_each_message() {
        let spool = MemorySpool::new();
        for deed in [Deed::Retry, Deed::Release, Deed::Drop] {
            let decided = perform(&spool, Request { deed, ..request(2, 5) }, Timestamp(5)).await.unwrap();
            assert_eq!(decided.len(), 2);
            assert!(decided.iter().all(|decided| decided.outcome == Err(Refusal::Unknown)), "{decided:?}");
            let told: Result<Told, String> = Ok(Told::Messages(decided.clone()));
            let text = serde_json::to_string(&told).unwrap();
            assert_eq!(serde_json::from_str::<Result<Vec<Decided>, String>>(&text).unwrap(), Ok(decided));
        }
    }

    #[test]
    fn a_request_about_a_step_and_its_answer_are_read_back_as_they_were() {
        let text = serde_json::to_string(&reclose()).unwrap();
        assert!(matches!(serde_json::from_str(&text).unwrap(), Asked::Step(read) if read == reclose()));
        for version in [None, Some(Digest::of(b"version"))] {
            let told: Result<Told, String> = Ok(Told::Step(Reclosed { version }));
            let text = serde_json::to_string(&told).unwrap();
            let read: Result<Reclosed, String> = serde_json::from_str(&text).unwrap();
            assert_eq!(read, Ok(Reclosed { version }));
        }
    }

    #[tokio::test]
    async fn where_no_host_ever_took_requests_nobody_is_waited_for() {
        let state = tempfile::tempdir().unwrap();
        let asked = ask(state.path(), &request(1, 5)).await;
        assert!(matches!(asked, Err(AskError::NotTaken)), "{asked:?}");
    }
}
