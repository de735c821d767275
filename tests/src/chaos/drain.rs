//! After the storm: lets the program finish what waits, asks it what it set aside, and collects what lies everywhere.
//! Must not judge.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use postroom_mail::Digest;
use serde_json::Value;

use super::oracle::{Found, Held, Tally, judge};
use super::post::{Mark, Post};
use super::scene::{ACCOUNTS, Scene};
use super::subject::Program;
use crate::HarnessError;

/// A single run may take so long.
const RUN: Duration = Duration::from_secs(600);
/// So many runs at most.
const ROUNDS: usize = 60;
/// After so many runs that changed nothing, nothing will. Deletion waits for five seconds.
const STILL: usize = 8;

/// Runs the program again and again until nothing waits any more, or nothing changes any more. Returns what still waits.
pub(super) async fn drain(scene: &Scene) -> Result<u64, HarnessError> {
    let once = scene.program().with(&["once", "--json"]);
    let (mut before, mut still) = ((u64::MAX, usize::MAX), 0);
    for _ in 0..ROUNDS {
        for account in ACCOUNTS {
            // Cut connections are nobody's fault, so what they kept from coming is not left alone for an hour.
            scene.program().with(&["seen", "retry", account]).run(RUN).await?;
        }
        let (_, printed) = once.run(RUN).await?;
        let summary: Value = serde_json::from_str(&printed).unwrap_or_default();
        let count = |name: &str| summary["counts"][name].as_u64().unwrap_or(1);
        let now = (count("waiting") + count("effects_open"), scene.on_server()?);
        if now == (0, 0) {
            return Ok(0);
        }
        eprintln!("drain: {} waiting, {} on the server", now.0, now.1);
        still = if now == before { still + 1 } else { 0 };
        before = now;
        if still >= STILL {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(before.0)
}

/// What the program says it set aside, and how often it gives which reason.
pub(super) async fn held(program: &Program) -> Result<(Held, BTreeMap<String, u64>), HarnessError> {
    let (_, printed) = program.with(&["queue", "ls", "--json", "--limit", "100000"]).run(RUN).await?;
    let rows: Vec<Value> = serde_json::from_str(&printed).unwrap_or_default();
    let (mut held, mut reasons) = (Held::default(), BTreeMap::new());
    for row in &rows {
        let (parked, quarantined) = (row["effect_state"] == "parked", row["state"] == "quarantined");
        let Some(message) = row["message"].as_str().filter(|_| parked || quarantined) else { continue };
        let (_, printed) = program.with(&["why", "--json", message]).run(RUN).await?;
        let history: Value = serde_json::from_str(&printed).unwrap_or_default();
        let digest = history["provenance"]["digest"].as_str().unwrap_or_default().to_owned();
        let reason = row["reason"].as_str().unwrap_or("no reason given");
        match row["sink"].as_str() {
            Some(sink) if parked => {
                *reasons.entry(format!("parked at {sink}: {reason}")).or_default() += 1;
                held.deliveries.insert((digest, sink.to_owned()));
            }
            // One that got as far as its deliveries is set aside for the sake of those that are parked, not as a whole.
            Some(_) | None if history["effects"].as_array().is_some_and(|effects| !effects.is_empty()) => {}
            Some(_) | None => {
                *reasons.entry(format!("quarantined: {reason}")).or_default() += 1;
                held.messages.insert(digest);
            }
        }
    }
    Ok((held, reasons))
}

/// Every place against what was put into the maildrops.
pub(super) fn tallies(scene: &Scene, post: &Post, held: &Held) -> Result<Vec<Tally>, HarnessError> {
    let known: BTreeMap<Digest, Mark> = post.put().iter().map(|(mark, put)| (put.digest, *mark)).collect();
    let on_server = on_server(scene)?;
    let mut bucket = Found::default();
    for key in scene.s3.keys()? {
        if let Some(octets) = scene.s3.object(&key)? {
            bucket.exact(&octets, &known);
        }
    }
    let mut sent = Found::default();
    scene.receiver.look(|stats| stats.accepted.iter().for_each(|mail| sent.marked(&mail.octets)));
    let exact =
        |place: &str| Found::below(&scene.arena.path(place), |found, octets| found.exact(octets, &known));
    let all = || post.put().iter();
    let forwarded = all().filter(|(_, put)| put.account + 1 == ACCOUNTS.len());
    Ok(vec![
        judge("directory", all(), &exact("vault"), &on_server, held),
        judge("maildir", all(), &exact("box"), &on_server, held),
        judge("s3", all(), &bucket, &on_server, held),
        judge("smtp", forwarded, &sent, &on_server, held),
    ])
}

fn on_server(scene: &Scene) -> Result<BTreeSet<Mark>, HarnessError> {
    let mut marks = BTreeSet::new();
    for user in ACCOUNTS {
        for path in crate::process::maildir_files(&scene.dovecot.maildir(user))? {
            marks.extend(Mark::of(&crate::process::read(&path)?));
        }
    }
    Ok(marks)
}
