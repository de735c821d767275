//! Owns finding what an earlier attempt filed: candidates by Message-ID, or by size and day, then by their octets. Must not
//! call a message filed whose octets were not compared, or look at more than a few.

use postroom_mail::Digest;

use super::filing::Filing;
use super::mailbox::string;
use super::response::{Kind, Value};
use super::session::Session;
use crate::sinks::error::Fault;

/// Of so many candidates, the newest, the size is asked.
const MOST_SIZES: usize = 64;
/// Of so many, the newest, the octets.
const MOST_BODIES: usize = 8;

/// Where an earlier attempt put the message, if one did.
pub(super) async fn earlier(
    session: &mut Session,
    mailbox: &str,
    filing: &Filing,
) -> Result<Option<String>, Fault> {
    let Some(validity) = session.examine(mailbox).await? else { return Ok(None) };
    let mut candidates = search(session, filing).await?;
    candidates.sort_unstable();
    candidates.dedup();
    let newest = candidates.split_off(candidates.len().saturating_sub(MOST_SIZES));
    let alike = of_size(session, &newest, filing.size()).await?;
    for uid in alike.into_iter().rev().take(MOST_BODIES) {
        if digest(session, uid, filing.size()).await? == Some(filing.digest) {
            return Ok(Some(place(validity.as_deref(), &uid.to_string())));
        }
    }
    Ok(None)
}

/// `uidvalidity 38505 uid 3955, `
pub(super) fn place(validity: Option<&str>, uid: &str) -> String {
    match validity {
        Some(validity) => format!("uidvalidity {validity} uid {uid}, "),
        None => format!("uid {uid}, "),
    }
}

async fn search(session: &mut Session, filing: &Filing) -> Result<Vec<u64>, Fault> {
    let criteria = match &filing.message_id {
        Some(id) => format!("HEADER Message-ID {}", string(id)),
        None => {
            let (since, before) = filing.days();
            let (less, more) = (filing.size().saturating_sub(1), filing.size() + 1);
            format!("LARGER {less} SMALLER {more} SINCE {since} BEFORE {before}")
        }
    };
    let data = query(session, &format!("UID SEARCH {criteria}")).await?;
    let found = data.iter().filter(|values| values.first().is_some_and(|word| word.is("SEARCH")));
    Ok(found.flat_map(|values| &values[1..]).filter_map(Value::number).collect())
}

/// Those that have this size, in order.
async fn of_size(session: &mut Session, uids: &[u64], size: u64) -> Result<Vec<u64>, Fault> {
    if uids.is_empty() {
        return Ok(Vec::new());
    }
    let set: Vec<String> = uids.iter().map(u64::to_string).collect();
    let data = query(session, &format!("UID FETCH {} (RFC822.SIZE)", set.join(","))).await?;
    let of_size = |values: &Vec<Value>| {
        let items = fetched(values)?;
        let (uid, found) = (item(items, "UID")?.number()?, item(items, "RFC822.SIZE")?.number()?);
        (found == size).then_some(uid)
    };
    let mut alike: Vec<u64> = data.iter().filter_map(of_size).filter(|uid| uids.contains(uid)).collect();
    alike.sort_unstable();
    Ok(alike)
}

async fn digest(session: &mut Session, uid: u64, size: u64) -> Result<Option<Digest>, Fault> {
    session.allow(Some(size));
    let data = query(session, &format!("UID FETCH {uid} (BODY.PEEK[])")).await;
    session.allow(None);
    let body = |values: &Vec<Value>| {
        let items = fetched(values)?;
        let own = item(items, "UID").and_then(Value::number) == Some(uid);
        match item(items, "BODY[]").filter(|_| own)? {
            Value::Literal(_, digest) => Some(*digest),
            Value::Quoted(octets) => Some(Digest::of(octets)),
            Value::Atom(_) | Value::List(_) => None,
        }
    };
    Ok(data?.iter().find_map(body))
}

fn fetched(values: &[Value]) -> Option<&[Value]> {
    let [_, word, items, ..] = values else { return None };
    items.list().filter(|_| word.is("FETCH"))
}

fn item<'a>(items: &'a [Value], name: &str) -> Option<&'a Value> {
    items.chunks(2).find(|pair| pair[0].is(name)).and_then(|pair| pair.get(1))
}

/// A search that fails proves nothing: nothing is filed then, it is tried again.
async fn query(session: &mut Session, line: &str) -> Result<Vec<Vec<Value>>, Fault> {
    let when = "while looking for what an earlier attempt filed";
    let (status, data) = session.command(line, when).await?;
    match status.kind {
        Kind::Ok => Ok(data),
        Kind::No | Kind::Bad | Kind::Preauth | Kind::Bye => Err(session.refused(&status, when)),
    }
}
