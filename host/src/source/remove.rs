//! Deletion at the server. Only what the spool proves; `QUIT` makes it true, and the record follows.

use postroom_failpoint::reach;
use postroom_pop3::session::{Batch, Rest};
use postroom_pop3::{Listing, Session, Transaction};
use postroom_spool::{DeletePolicy, Listed, Removable};

use super::error::Error;
use super::visit::Visit;
use crate::config::{AccountConfig, Config};
use crate::progress::Progress;

/// `DELE`s sent ahead at once.
const AHEAD: usize = 100;

/// Marks what the spool proves removable, ends the session, and records what the server confirmed.
pub(super) async fn remove(
    visit: &mut Visit<'_>,
    session: Session<Transaction>,
    listing: &Listing,
    listed: &[Listed],
) -> Result<(), Error> {
    let policy = policy(visit);
    if policy == DeletePolicy::Never {
        return quit(visit, session, Vec::new()).await;
    }
    let removals = visit.host.spool.removable(visit.id, listed, policy, visit.host.clock.now()).await?;
    reach("remove", "proved");
    let removable = announce(visit, removals.removable).await?;
    reach("remove", "noted");
    let (session, marked) = mark(visit, session, listing, removable).await?;
    reach("remove", "marked");
    quit(visit, session, marked).await
}

/// Written down before the first is sent: should the answer to `QUIT` be lost, the next listing tells what happened. What may
/// go; nothing when something changed since it was proved.
pub(super) async fn announce(
    visit: &mut Visit<'_>,
    removable: Vec<Removable>,
) -> Result<Vec<Removable>, Error> {
    match visit.host.spool.deleting(&removable, visit.host.clock.now()).await {
        Ok(()) => Ok(removable),
        Err(postroom_spool::Error::Conflict(reason)) => {
            tracing::info!(account = %visit.id, reason, "nothing is deleted in this session");
            visit.note(reason);
            Ok(Vec::new())
        }
        Err(error) => Err(error.into()),
    }
}

/// What may be deleted here; nothing where the switch is on, or where the server does not delete what it says it did.
pub(super) fn policy(visit: &Visit<'_>) -> DeletePolicy {
    if visit.habits.maildrop.ignores_deletion() {
        DeletePolicy::Never
    } else {
        policy_of(&visit.live.config, visit.account)
    }
}

/// What the configuration makes of an account's `delete`, whatever its server turns out to be like.
pub fn policy_of(config: &Config, account: &AccountConfig) -> DeletePolicy {
    if config.never_delete || shared(account) { DeletePolicy::Never } else { account.delete }
}

fn shared(account: &AccountConfig) -> bool {
    account.user.starts_with("recent:")
}

/// Whether the maildrop is not ours alone: with a user name `recent:…` one provider shows the mail of all folders for a month, to
/// every reader.
pub(super) fn borrowed(visit: &Visit<'_>) -> bool {
    shared(visit.account)
}

/// A refusal of one leaves that one for the next session.
pub(super) async fn mark(
    visit: &mut Visit<'_>,
    mut session: Session<Transaction>,
    listing: &Listing,
    removable: Vec<Removable>,
) -> Result<(Session<Transaction>, Vec<Removable>), Error> {
    let mut marked = Vec::new();
    let together = if visit.may_pipeline(&session) { AHEAD } else { 1 };
    let mut rest = removable.into_iter().peekable();
    while rest.peek().is_some() {
        let group: Vec<_> = rest.by_ref().take(together).collect();
        let numbers: Vec<_> =
            group.iter().filter_map(|one| Some(listing.entries.get(one.index())?.number)).collect();
        let mut answers = Vec::with_capacity(group.len());
        match (numbers.as_slice(), Batch::new(&numbers)) {
            ([one], _) => {
                let (back, answer) = visit.wire.ask("DELE", session.dele(*one)).await?;
                session = back;
                answers.push(answer);
            }
            (_, Some(batch)) => {
                let mut exchange = session.dele_ahead(batch)?;
                session = loop {
                    let answered = visit.wire.ask("DELE", exchange).await.inspect_err(|error| {
                        if error.lost_step() {
                            visit.habits.server.lost_step(visit.host.clock.now());
                        }
                    })?;
                    answers.push(answered.outcome);
                    match answered.rest {
                        Rest::More(outstanding) => exchange = outstanding.next_reply(),
                        Rest::Idle(session) => break session,
                    }
                };
            }
            (_, None) => {}
        }
        for (removable, answer) in group.into_iter().zip(answers) {
            match answer {
                Ok(()) => marked.push(removable),
                Err(rejection) => {
                    tracing::warn!(account = %visit.id, %rejection, "the server would not delete a message");
                    visit.note(format!("one message stays: {rejection}"));
                }
            }
        }
    }
    Ok((session, marked))
}

/// Ends the session. Without a confirmation nothing is recorded: the next listing decides.
pub(super) async fn quit(
    visit: &mut Visit<'_>,
    session: Session<Transaction>,
    marked: Vec<Removable>,
) -> Result<(), Error> {
    let answer = visit.wire.quit(session.quit()?).await;
    if marked.is_empty() {
        // Everything is durable here and nothing was to be deleted: how the server says goodbye is its own affair.
        if let Ok(Err(rejection)) = answer {
            visit.note(rejection.to_string());
        }
        return Ok(());
    }
    answer??;
    reach("remove", "confirmed");
    let count = marked.len() as u64;
    visit.habits.maildrop.deleted = true;
    visit.host.spool.removed(marked, visit.host.clock.now()).await?;
    reach("remove", "recorded");
    visit.report.removed += count;
    visit.host.observer.tell(Progress::Removed { account: visit.id.clone(), count });
    Ok(())
}
