//! One program in the storm: mail keeps coming, the program is killed and its surroundings fail, at moments that the seed
//! chooses. Must not judge what came of it.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep_until};

use super::arena::files;
use super::draw::Draw;
use super::faults::Trouble;
use super::post::Post;
use super::scene::{ACCOUNTS, Scene};
use super::subject::{Program, Running};
use crate::HarnessError;

/// Between two lines of progress.
const TELL: Duration = Duration::from_secs(5);
/// More mail than this is not let wait: the rest of the run would be only about what waits.
const MOST_WAITING: u64 = 300;

/// Signals sent.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(super) struct Blows {
    pub(super) sigkill: u64,
    pub(super) sigterm: u64,
    pub(super) sighup: u64,
    pub(super) sigstop: u64,
    /// Starts, the first and those after an end.
    pub(super) starts: u64,
}

#[derive(Clone, Copy, Debug)]
enum Blow {
    Kill,
    Terminate,
    Hangup,
    Freeze,
}

const BLOWS: [(u64, Blow); 4] =
    [(60, Blow::Kill), (15, Blow::Terminate), (10, Blow::Hangup), (15, Blow::Freeze)];

/// The storm over one scene.
pub(super) struct Storm<'s> {
    scene: &'s mut Scene,
    trouble: Trouble,
    post: Post,
    program: Program,
    running: Running,
    blows: Blows,
    draw: Draw,
    began: Instant,
}

/// What it left.
pub(super) struct After {
    pub(super) post: Post,
    pub(super) blows: Blows,
    pub(super) trouble: Trouble,
}

impl<'s> Storm<'s> {
    pub(super) fn new(scene: &'s mut Scene, seed: u64) -> Result<Self, HarnessError> {
        let program = scene.program().with(&["run"]);
        let running = program.start()?;
        Ok(Self {
            scene,
            trouble: Trouble::new(seed),
            post: Post::new(seed, ACCOUNTS.len(), true),
            program,
            running,
            blows: Blows { starts: 1, ..Blows::default() },
            draw: Draw::of(seed, "blows"),
            began: Instant::now(),
        })
    }

    /// Rages for so long; then nothing fails any more, and the program is told to end.
    pub(super) async fn rage(mut self, time: Duration) -> Result<After, HarnessError> {
        let end = self.began + time;
        let mut letters = Draw::of(self.draw.between(0, u64::MAX), "letters");
        let (mut letter, mut blow, mut fault) = (self.began, self.began, self.began);
        blow += self.draw.pause(1_000, 7_000);
        let (mut tell, mut thaw, mut waiting) = (self.began + TELL, None, 0);
        loop {
            let thawing = thaw.unwrap_or(end);
            tokio::select! {
                () = sleep_until(end) => break,
                () = sleep_until(letter) => {
                    if waiting < MOST_WAITING {
                        self.put()?;
                    }
                    letter = Instant::now() + letters.pause(20, 180);
                }
                () = sleep_until(blow) => {
                    thaw = self.strike(thaw).await?;
                    blow = Instant::now() + self.draw.pause(1_000, 7_000);
                }
                () = sleep_until(thawing), if thaw.is_some() => {
                    self.running.signal(Signal::CONT);
                    thaw = None;
                }
                () = sleep_until(fault) => fault = self.trouble.make(self.scene).await?,
                ended = self.running.ended() => {
                    ended?;
                    thaw = None;
                    self.start()?;
                }
                () = sleep_until(tell) => {
                    waiting = self.tell()?;
                    tell = Instant::now() + TELL;
                }
            }
        }
        self.calm().await
    }

    fn put(&mut self) -> Result<(), HarnessError> {
        let letter = self.post.next();
        for _ in 0..letter.times {
            self.scene.dovecot.deliver(ACCOUNTS[letter.account], &letter.octets)?;
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), HarnessError> {
        self.running = self.program.start()?;
        self.blows.starts += 1;
        Ok(())
    }

    /// Strikes once. Returns when a frozen process is to go on.
    async fn strike(&mut self, frozen: Option<Instant>) -> Result<Option<Instant>, HarnessError> {
        match self.draw.weighted(&BLOWS) {
            Some(Blow::Kill) => {
                self.running.kill().await;
                self.blows.sigkill += 1;
                self.start()?;
                Ok(None)
            }
            Some(Blow::Terminate) => {
                self.running.signal(Signal::TERM);
                self.blows.sigterm += 1;
                Ok(frozen)
            }
            Some(Blow::Hangup) => {
                self.running.signal(Signal::HUP);
                self.blows.sighup += 1;
                Ok(frozen)
            }
            Some(Blow::Freeze) => {
                self.running.signal(Signal::STOP);
                self.blows.sigstop += 1;
                Ok(Some(Instant::now() + self.draw.pause(100, 3_000)))
            }
            None => Ok(frozen),
        }
    }

    /// Prints a line of progress and returns how many copies have not come to the directory yet.
    fn tell(&self) -> Result<u64, HarnessError> {
        let sorts = self.post.sorts();
        let count = |path: PathBuf| files(&path).len() as u64;
        let directory = count(self.scene.arena.path("vault"));
        let maildir = count(self.scene.arena.path("box"));
        let (objects, sent) = (self.scene.s3.keys()?.len(), self.scene.sent());
        let on_server = self.scene.on_server()?;
        let Blows { sigkill, sigterm, sighup, sigstop, .. } = self.blows;
        eprintln!(
            "{:>5} s  put {:>5}  directory {directory:>5}  maildir {maildir:>5}  s3 {objects:>5}  smtp {sent:>5}  \
             on server {on_server:>4}  KILL {sigkill} TERM {sigterm} HUP {sighup} STOP {sigstop}  faults {}",
            self.began.elapsed().as_secs(),
            sorts.mails,
            self.trouble.total(self.scene),
        );
        Ok(sorts.mails.saturating_sub(directory))
    }

    async fn calm(mut self) -> Result<After, HarnessError> {
        /// A little longer than the program gives itself.
        const PATIENCE: Duration = Duration::from_secs(40);
        self.trouble.heal(self.scene)?;
        self.running.signal(Signal::CONT);
        self.running.signal(Signal::TERM);
        if tokio::time::timeout(PATIENCE, self.running.ended()).await.is_err() {
            self.running.kill().await;
            self.blows.sigkill += 1;
        }
        Ok(After { post: self.post, blows: self.blows, trouble: self.trouble })
    }
}
