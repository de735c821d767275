//! Side by side: several retrievers at the same time, each with a maildrop of its own on the same Dovecot, the same mail, and
//! the same moments of kills and of broken connections. Each runs again and again, as from cron, into a Maildir.
//! Must not treat one otherwise than the others.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use postroom_practice::Authority;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::arena::{Arena, PASSWORD};
use super::draw::Draw;
use super::faults::cut;
use super::oracle::{Found, Held, Tally, judge};
use super::post::{Mark, Post, Sorts};
use super::proxy::ChaosProxy;
use super::tools::{Set, Tool};
use crate::{Dovecot, HarnessError, process};

/// Each piece of up to 16 KiB takes so long on its way, as on a line to a server that is not on the same machine; without
/// it the runs are so short that hardly a kill hits one.
const DELAY: Duration = Duration::from_millis(2);
/// Between two runs.
const PAUSE: Duration = Duration::from_millis(200);
/// So long at most one run may take when nothing fails.
const RUN: Duration = Duration::from_secs(600);
/// So many runs at most to retrieve the rest.
const ROUNDS: usize = 20;

/// How one of them fared.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Score {
    pub(super) tool: &'static str,
    pub(super) command: String,
    pub(super) configuration: String,
    pub(super) runs: u64,
    /// SIGKILL that hit a run.
    pub(super) kills: u64,
    /// Connections broken or stalled.
    pub(super) connections: u64,
    pub(super) tally: Tally,
}

struct Contender {
    tool: Tool,
    set: Set,
    line: ChaosProxy,
    runs: u64,
    kills: u64,
}

/// Lets them run for so long, then undisturbed until their maildrops are empty, and counts.
pub(super) async fn compare(
    binary: &Path,
    tools: &[Tool],
    time: Duration,
    seed: u64,
) -> Result<(Vec<Score>, Sorts, Arena), HarnessError> {
    let arena = Arena::make()?;
    let authority = Authority::new()?;
    arena.write("ca.pem", &authority.pem())?;
    let users: Vec<_> = tools.iter().map(|tool| (tool.name(), PASSWORD)).collect();
    let mut dovecot = Dovecot::start(&authority, &users).await?;
    let binary = arena.program(binary)?;
    let mut contenders = Vec::new();
    for &tool in tools {
        let line = ChaosProxy::start(dovecot.implicit(), DELAY).await?;
        let set = tool.set_up(&arena, &binary, line.addr().port())?;
        eprintln!("{}: {}\n{}", tool.name(), set.program.shown(), set.configuration);
        contenders.push(Contender { tool, set, line, runs: 0, kills: 0 });
    }
    if let Some(postroom) = contenders.iter().find(|contender| contender.tool == Tool::Postroom) {
        // Compiles the plugins, which happens once in the life of an installation.
        postroom.set.program.with(&["check"]).run(RUN).await?;
    }
    let end = Instant::now() + time;
    let mut running = JoinSet::new();
    for contender in contenders {
        running.spawn(contender.race(end, seed));
    }
    let mut post = Post::new(seed, 1, false);
    load(&mut dovecot, tools, &mut post, end, seed).await?;
    let mut contenders = Vec::new();
    while let Some(ended) = running.join_next().await {
        let ended = ended.map_err(|_| HarnessError::Answer {
            expected: "a retriever's task to end".to_owned(),
            got: "a panic".to_owned(),
        })?;
        contenders.push(ended?);
    }
    contenders.sort_by_key(|contender| tools.iter().position(|&tool| tool == contender.tool));
    let mut scores = Vec::new();
    for contender in contenders {
        scores.push(contender.finish(&dovecot, &post).await?);
    }
    Ok((scores, post.sorts(), arena))
}

/// Puts the same mail into every maildrop, and crashes the server now and then.
async fn load(
    dovecot: &mut Dovecot,
    tools: &[Tool],
    post: &mut Post,
    end: Instant,
    seed: u64,
) -> Result<(), HarnessError> {
    const TELL: Duration = Duration::from_secs(5);
    // What the slowest cannot keep up with is not put: who has a long session to lose is not to be drowned.
    const MOST_WAITING: usize = 100;
    let mut draw = Draw::of(seed, "load");
    let began = Instant::now();
    let (mut crash, mut letter, mut tell) = (began + draw.pause(10_000, 30_000), began, began + TELL);
    let mut full = false;
    loop {
        tokio::select! {
            () = sleep_until(end) => return Ok(()),
            () = sleep_until(crash) => {
                dovecot.crash().await?;
                crash = Instant::now() + draw.pause(10_000, 30_000);
            }
            () = sleep_until(letter) => {
                let next = (!full).then(|| post.next());
                for tool in next.iter().flat_map(|letter| std::iter::repeat_n(tools, letter.times as usize)).flatten() {
                    if let Some(letter) = &next {
                        dovecot.deliver(tool.name(), &letter.octets)?;
                    }
                }
                letter = Instant::now() + draw.pause(50, 350);
            }
            () = sleep_until(tell) => {
                let waiting = tools.iter().map(|tool| dovecot.count(tool.name())).collect::<Result<Vec<_>, _>>()?;
                full = waiting.iter().any(|&waiting| waiting > MOST_WAITING);
                let shown: Vec<_> = tools.iter().zip(&waiting).map(|(tool, count)| format!("{} {count}", tool.name())).collect();
                eprintln!("{:>5} s  put {:>5}  on the server: {}", began.elapsed().as_secs(), post.sorts().mails, shown.join(", "));
                tell = Instant::now() + TELL;
            }
        }
    }
}

impl Contender {
    /// Runs it again and again; the moments of kills and broken connections are the same for everybody. The run after a
    /// killed one is spared, since on a slow machine one that takes long to get going would never get anywhere; a kill
    /// that was due meanwhile hits the next.
    async fn race(mut self, end: Instant, seed: u64) -> Result<Self, HarnessError> {
        let (mut kills, mut cuts) = (Draw::of(seed, "kills"), Draw::of(seed, "cuts"));
        let mut kill = Instant::now() + kills.pause(1_000, 10_000);
        let mut broken = Instant::now() + cuts.pause(1_000, 5_000);
        let mut spared = false;
        while Instant::now() < end {
            if kill < Instant::now() {
                kill = Instant::now() + kills.pause(200, 3_000);
            }
            let mut running = self.set.program.start()?;
            self.runs += 1;
            loop {
                tokio::select! {
                    ended = running.ended() => {
                        ended?;
                        spared = false;
                        sleep(PAUSE).await;
                        break;
                    }
                    () = sleep_until(kill), if !spared => {
                        running.kill().await;
                        self.kills += 1;
                        spared = true;
                        kill = Instant::now() + kills.pause(1_000, 10_000);
                        break;
                    }
                    () = sleep_until(broken) => {
                        self.line.cut(cut(&mut cuts, 18));
                        broken = Instant::now() + cuts.pause(1_000, 5_000);
                    }
                    () = sleep_until(end) => {
                        running.kill().await;
                        self.kills += 1;
                        break;
                    }
                }
            }
        }
        Ok(self)
    }

    /// Retrieves the rest undisturbed, then counts.
    async fn finish(self, dovecot: &Dovecot, post: &Post) -> Result<Score, HarnessError> {
        let (name, program) = (self.tool.name(), &self.set.program);
        self.line.heal();
        for _ in 0..ROUNDS {
            if self.tool == Tool::Postroom {
                program.with(&["seen", "retry", name]).run(RUN).await?;
            }
            program.run(RUN).await?;
            if dovecot.count(name)? == 0 {
                break;
            }
            sleep(PAUSE).await;
        }
        let mut on_server = BTreeSet::new();
        for path in process::maildir_files(&dovecot.maildir(name))? {
            on_server.extend(Mark::of(&process::read(&path)?));
        }
        let found = Found::below(&self.set.maildir, Found::marked);
        let tally = judge("maildir", post.put().iter(), &found, &on_server, &Held::default());
        Ok(Score {
            tool: name,
            command: program.shown(),
            configuration: self.set.configuration,
            runs: self.runs,
            kills: self.kills,
            connections: self.line.broken(),
            tally,
        })
    }
}
