//! Owns the faults of the surroundings: chooses them by the seed, makes them, mends them. Must not touch the program under
//! test itself.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use postroom_practice::Times;
use postroom_practice::receiver::{ReceiverFault, Stage};
use tokio::time::Instant;

use super::draw::Draw;
use super::proxy::{ChaosProxy, Cut, Way};
use super::scene::Scene;
use crate::HarnessError;

/// Faults made, by kind.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(super) struct Made {
    /// Dovecot killed with all its processes, and started again.
    pub(super) dovecot_crashes: u64,
    /// Connections that were broken or stalled on their way.
    pub(super) connections: u64,
    /// Requests that the S3 server was told to refuse.
    pub(super) s3_refusals: u64,
    /// Answers of the S3 server that were to be lost after it did its work.
    pub(super) s3_lost_answers: u64,
    /// Mails the SMTP server was to accept without saying so.
    pub(super) smtp_silent_acceptances: u64,
    /// Other misbehaviour of the SMTP server.
    pub(super) smtp_refusals: u64,
    /// Times a directory or Maildir could not be written for a while.
    pub(super) unwritable: u64,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Dovecot,
    Pop,
    S3Refusal,
    S3LostAnswer,
    S3Line,
    SmtpSilence,
    SmtpRefusal,
    SmtpLine,
    Unwritable,
}

const FAULTS: [(u64, Fault); 9] = [
    (6, Fault::Dovecot),
    (30, Fault::Pop),
    (8, Fault::S3Refusal),
    (8, Fault::S3LostAnswer),
    (8, Fault::S3Line),
    (6, Fault::SmtpSilence),
    (8, Fault::SmtpRefusal),
    (8, Fault::SmtpLine),
    (10, Fault::Unwritable),
];

/// The faults of one run.
pub(super) struct Trouble {
    draw: Draw,
    made: Made,
    /// What cannot be written now, and until when.
    sealed: Option<(Vec<PathBuf>, Instant)>,
}

impl Trouble {
    pub(super) fn new(seed: u64) -> Self {
        Self { draw: Draw::of(seed, "faults"), made: Made::default(), sealed: None }
    }

    /// Makes the next fault and returns when it is time for another.
    pub(super) async fn make(&mut self, scene: &mut Scene) -> Result<Instant, HarnessError> {
        if let Some((_, until)) = &self.sealed
            && *until <= Instant::now()
        {
            self.unseal()?;
        }
        match self.draw.weighted(&FAULTS) {
            Some(Fault::Dovecot) => {
                scene.dovecot.crash().await?;
                self.made.dovecot_crashes += 1;
            }
            Some(Fault::Pop) => {
                let cut = cut(&mut self.draw, 18);
                if self.draw.once_in(3) { scene.stls.cut(cut) } else { scene.pop.cut(cut) }
            }
            Some(Fault::S3Refusal) => {
                let (requests, status) =
                    (self.draw.between(1, 8), if self.draw.once_in(2) { 500 } else { 503 });
                scene.s3.refuse(requests as u32, status);
                self.made.s3_refusals += requests;
            }
            Some(Fault::S3LostAnswer) => {
                // The request is on its way or done; of the answer nothing, or half a line, arrives.
                scene.objects.cut(Cut::After(Way::Down, self.draw.between(0, 12)));
                self.made.s3_lost_answers += 1;
            }
            Some(Fault::S3Line) => scene.objects.cut(cut(&mut self.draw, 18)),
            Some(Fault::SmtpSilence) => {
                scene.receiver.inject(ReceiverFault::AcceptThenDrop, Times::Next(1));
                self.made.smtp_silent_acceptances += 1;
            }
            Some(Fault::SmtpRefusal) => {
                scene.receiver.inject(refusal(&mut self.draw), Times::Next(1));
                self.made.smtp_refusals += 1;
            }
            Some(Fault::SmtpLine) => scene.smtp.cut(cut(&mut self.draw, 16)),
            Some(Fault::Unwritable) => self.seal(scene)?,
            None => {}
        }
        Ok(Instant::now() + self.draw.pause(200, 3_000))
    }

    /// Makes a directory or a Maildir unwritable for a while.
    fn seal(&mut self, scene: &Scene) -> Result<(), HarnessError> {
        if self.sealed.is_some() {
            return Ok(());
        }
        let vault = super::scene::ACCOUNTS.iter().map(|account| scene.arena.path("vault").join(account));
        let maildir = ["tmp", "new"].iter().map(|part| scene.arena.path("box").join(part));
        let places: Vec<PathBuf> = if self.draw.once_in(2) { vault.collect() } else { maildir.collect() };
        let places: Vec<PathBuf> = places.into_iter().filter(|place| place.is_dir()).collect();
        set(&places, 0o500)?;
        self.made.unwritable += 1;
        self.sealed = Some((places, Instant::now() + self.draw.pause(300, 4_000)));
        Ok(())
    }

    fn unseal(&mut self) -> Result<(), HarnessError> {
        self.sealed.take().map_or(Ok(()), |(places, _)| set(&places, 0o700))
    }

    /// Nothing fails any more.
    pub(super) fn heal(&mut self, scene: &Scene) -> Result<(), HarnessError> {
        for proxy in [&scene.pop, &scene.stls, &scene.objects, &scene.smtp] {
            proxy.heal();
        }
        scene.receiver.clear_faults();
        scene.s3.refuse(0, 503);
        self.unseal()
    }

    /// What was made so far.
    pub(super) fn made(&self, scene: &Scene) -> Made {
        let proxies = [&scene.pop, &scene.stls, &scene.objects, &scene.smtp];
        Made { connections: proxies.into_iter().map(ChaosProxy::broken).sum(), ..self.made }
    }

    /// How many in all.
    pub(super) fn total(&self, scene: &Scene) -> u64 {
        let Made {
            dovecot_crashes,
            connections,
            s3_refusals,
            s3_lost_answers: _,
            smtp_silent_acceptances,
            smtp_refusals,
            unwritable,
        } = self.made(scene);
        // Lost answers are among the broken connections.
        dovecot_crashes + connections + s3_refusals + smtp_silent_acceptances + smtp_refusals + unwritable
    }
}

/// A connection that is cut after some octets, few or many, or that stalls.
pub(super) fn cut(draw: &mut Draw, power: u64) -> Cut {
    let way = if draw.once_in(3) { Way::Up } else { Way::Down };
    if draw.once_in(4) {
        return Cut::Stall(way, draw.pause(200, 8_000));
    }
    Cut::After(way, draw.magnitude(power))
}

fn refusal(draw: &mut Draw) -> ReceiverFault {
    let stages = [Stage::Greeting, Stage::Hello, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Message];
    let stage = stages[draw.between(0, stages.len() as u64) as usize];
    match draw.between(0, 2) {
        0 => ReceiverFault::Drop(stage),
        _ => ReceiverFault::Reply { stage, code: 451, text: "4.3.0 try again later".to_owned() },
    }
}

fn set(places: &[PathBuf], mode: u32) -> Result<(), HarnessError> {
    for path in places {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .map_err(|source| HarnessError::File { path: path.clone(), source })?;
    }
    Ok(())
}

/// How long a program waits for a server that says nothing.
pub(super) const SILENCE: Duration = Duration::from_secs(5);
