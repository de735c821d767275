//! What must hold after every crash (I1 to I7), and once nothing fails any more (I9). I8 compares dumps.

use std::fmt::Write as _;
use std::fs;

use postroom_spool::{EffectState, Error, History, MessageState, Spool};

use crate::host::{ATTEMPTS, Host};
use crate::mails::{Mail, account};
use crate::sinks::Sink;

type Verdict = Result<(), String>;

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(broken()) }
}

/// I1 to I7 right after a start.
///
/// # Errors
/// What does not hold.
pub async fn recovered(host: &Host) -> Verdict {
    sound(host).await?;
    for mail in host.world.maildrop.mails() {
        let Some(history) = known(host, mail).await? else { continue };
        let owned = history.state == MessageState::Running
            || history.effects.iter().any(|effect| effect.state == EffectState::Inflight);
        ensure(!owned, || format!("I6: {} is leased to nobody: {history:?}", mail.uid))?;
    }
    let left = fs::read_dir(host.state().join("incoming")).map_err(|error| error.to_string())?.count();
    ensure(left == 0, || format!("{left} temporary files are left"))
}

/// I1 to I7 at any moment.
///
/// # Errors
/// What does not hold.
pub async fn sound(host: &Host) -> Verdict {
    let (removed, mut order) = (host.world.maildrop.removed(), Vec::new());
    for (index, mail) in host.world.maildrop.mails().iter().enumerate() {
        let Some(history) = known(host, mail).await? else {
            ensure(!removed.contains(&index), || {
                format!("I1: {} is gone at the server and unknown here", mail.uid)
            })?;
            continue;
        };
        order.push(mail.message());
        body(host, mail, &history).await?;
        life(mail, &history)?;
    }
    let mut found = host.spool().find("").await.map_err(|error| format!("I7: {error}"))?;
    found.reverse();
    ensure(found == order, || format!("I7: {found:?} is not the order of the listing {order:?}"))?;
    for (sink, message, effect, count) in host.world.sinks.all() {
        let history = host.spool().history(message).await.map_err(|error| format!("I3: {error}"))?;
        let planned =
            history.is_some_and(|history| history.effects.iter().any(|one| one.effect.id == effect));
        ensure(planned, || format!("I3: {effect:?} is at {sink:?}, and no plan has it"))?;
        ensure(count <= most(sink), || format!("I4: {count} times {effect:?} at {sink:?}"))?;
    }
    Ok(())
}

fn most(sink: Sink) -> usize {
    match sink {
        Sink::Directory | Sink::Maildir | Sink::Store => 1,
        Sink::Relay => 2,
    }
}

async fn known(host: &Host, mail: &Mail) -> Result<Option<History>, String> {
    host.spool()
        .history(mail.message())
        .await
        .map_err(|error| format!("{} cannot be asked for: {error}", mail.uid))
}

/// I2, and with it the second half of I1.
async fn body(host: &Host, mail: &Mail, history: &History) -> Verdict {
    match host.spool().open(mail.message()).await {
        Ok(body) => {
            body.verify(mail.message(), &mail.digest()).map_err(|error| format!("I2: {}: {error}", mail.uid))
        }
        Err(Error::Gone(_)) => {
            let copies = Sink::ALL
                .iter()
                .all(|sink| host.world.sinks.all().any(|at| at.0 == *sink && at.1 == mail.message()));
            ensure(history.state == MessageState::Done && copies, || {
                format!("I2: the body of {} is gone, and it is not done: {history:?}", mail.uid)
            })
        }
        Err(error) => Err(format!("I2: {}: {error}", mail.uid)),
    }
}

/// I5 and I6.
fn life(mail: &Mail, history: &History) -> Verdict {
    let done = history.effects.iter().all(|effect| effect.state == EffectState::Done);
    ensure(history.state != MessageState::Done || done, || {
        format!("I5: {} is done too early: {history:?}", mail.uid)
    })?;
    let most = history.effects.iter().map(|effect| effect.attempts).max().unwrap_or(0);
    ensure(history.attempts <= ATTEMPTS + 1 && most <= ATTEMPTS + 1, || {
        format!("I6: {} was tried too often: {history:?}", mail.uid)
    })
}

/// I9: everything came to its end, and the sinks hold what the server ever held.
///
/// # Errors
/// What does not hold.
pub async fn at_rest(host: &Host) -> Verdict {
    sound(host).await?;
    let counts = host.spool().counts(None).await.map_err(|error| error.to_string())?;
    let mails = host.world.maildrop.mails();
    ensure(counts.admitted == mails.len() as u64, || format!("I9: {} messages are here", counts.admitted))?;
    for (index, mail) in mails.iter().enumerate() {
        let history = known(host, mail).await?.ok_or_else(|| format!("I9: {} is unknown", mail.uid))?;
        // Where a mail was sent twice in doubt, it is left to the operator.
        let doubt = history.effects.iter().any(|effect| effect.state == EffectState::Parked);
        let ended = match history.state {
            MessageState::Done => host.world.maildrop.removed().contains(&index),
            MessageState::Quarantined => doubt,
            MessageState::Spooled | MessageState::Running => false,
            MessageState::Planned | MessageState::Discarded => false,
        };
        ensure(ended, || format!("I9: {} did not come to its end: {history:?}", mail.uid))?;
        for sink in Sink::ALL {
            let held: usize = host
                .world
                .sinks
                .all()
                .filter(|at| at.0 == sink && at.1 == mail.message())
                .map(|at| at.3)
                .sum();
            ensure((1..=most(sink)).contains(&held), || {
                format!("I9: {sink:?} has {} {held} times", mail.uid)
            })?;
        }
    }
    let strange = host.world.sinks.all().find(|at| mails.iter().all(|mail| mail.message() != at.1));
    ensure(strange.is_none(), || format!("I9: {strange:?} was never at the server"))
}

/// Everything the spool knows, in words: two states with the same dump are the same.
pub async fn dump(host: &Host) -> String {
    let Some(spool) = host.spool.clone() else { return "the host does not run".into() };
    let mut text = String::new();
    for mail in host.world.maildrop.mails() {
        let history = spool.history(mail.message()).await;
        let body = match spool.open(mail.message()).await {
            Ok(body) => format!("{:?}", body.verify(mail.message(), &mail.digest()).is_ok()),
            Err(error) => error.to_string(),
        };
        let _ = writeln!(text, "{}: body {body} {history:?}", mail.uid);
    }
    let _ = writeln!(text, "{:?}", spool.seen(&account(), None, 100).await);
    let _ = writeln!(text, "{:?}", spool.counts(None).await);
    let _ = writeln!(text, "{:?}", spool.accounts().await);
    text
}
