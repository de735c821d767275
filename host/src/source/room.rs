//! Whether there is room here for more mail: on the disk, on its way to the sinks, and arriving. Asked before a server is
//! asked for a message: what has no room stays there, and the session ends in good order. Must not make room: that is the
//! sinks' and the sweep's.

use std::sync::Arc;
use std::time::Duration;

use postroom_spool::{Backlog, Spool};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Trouble;
use super::error::Error;
use super::visit::Visit;
use crate::config::Limits;
use crate::config::units;

/// What is on its way is counted anew after so many messages; in between a session adds what it took itself.
const LOOK: u64 = 64;
/// While a message arrives, the disk is looked at after so many octets: its listed size may be wrong.
const STRIDE: u64 = 4 << 20;
/// So many files are left to the database, the segments and the sinks.
const SPARE_FILES: u64 = 16;
/// A session waits so long for what others retrieve to become durable, then it ends.
const PATIENCE: Duration = Duration::from_secs(60);
/// Octets in flight are counted in these.
const UNIT: u64 = 1024;

/// Mail that all sessions together retrieve and that is not durable yet: bounded, whatever the servers send.
pub struct InFlight {
    free: Arc<Semaphore>,
    units: u32,
}

/// Part of [`InFlight`]; free again when dropped.
pub(super) struct Place {
    _units: OwnedSemaphorePermit,
}

impl InFlight {
    /// Room for so many octets, at most 4 TiB.
    pub fn new(octets: u64) -> Self {
        let units = in_units(octets);
        Self { free: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// A place, if there is one now. What is larger than all of it gets all of it.
    pub(super) fn try_take(&self, octets: u64) -> Option<Place> {
        let units = in_units(octets).min(self.units);
        let units = Arc::clone(&self.free).try_acquire_many_owned(units).ok()?;
        Some(Place { _units: units })
    }

    /// Waits for a place, but not for ever. The caller must hold none: two that wait for each other would not end.
    pub(super) async fn take(&self, octets: u64) -> Option<Place> {
        self.take_within(octets, PATIENCE).await
    }

    async fn take_within(&self, octets: u64, patience: Duration) -> Option<Place> {
        let units = Arc::clone(&self.free).acquire_many_owned(in_units(octets).min(self.units));
        let units = tokio::time::timeout(patience, units).await.ok()?.ok()?;
        Some(Place { _units: units })
    }

    fn taken(&self) -> u64 {
        let free = u32::try_from(self.free.available_permits()).unwrap_or(u32::MAX);
        u64::from(self.units.saturating_sub(free)) * UNIT
    }
}

fn in_units(octets: u64) -> u32 {
    u32::try_from(octets.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// What one session knows of the mail that is on its way.
#[derive(Default)]
pub(super) struct Known {
    backlog: Backlog,
    /// Messages since it was counted; `None` before the first count.
    since: Option<u64>,
}

impl Known {
    fn is_full(&self, limits: &Limits) -> bool {
        self.backlog.messages >= limits.waiting || self.backlog.octets >= limits.spool
    }
}

impl Visit<'_> {
    /// How many messages may be asked for now, the first of them of this listed size. When it is none, the report says why.
    pub(super) async fn room(&mut self, size: Option<u64>) -> Result<u64, Error> {
        let limits = &self.live.config.limits;
        if let Some(reason) = disk(self.host.spool.as_ref(), &self.host.in_flight, limits, size)? {
            return Ok(self.hold(reason));
        }
        if self.looks() {
            let backlog = self.host.spool.backlog().await?;
            self.known = Known { backlog, since: Some(0) };
        }
        let Backlog { messages, octets } = self.known.backlog;
        if self.known.is_full(limits) {
            return Ok(self.hold(format!(
                "{messages} messages of {} are on their way to their sinks, and `limits.waiting` = {}, `limits.spool` = {} allow \
                 no more: mail stays on the server until some are delivered",
                units::size(octets),
                limits.waiting,
                units::size(limits.spool)
            )));
        }
        Ok(limits.waiting - messages)
    }

    /// Whether [`Visit::room`] will count anew. Before that, everything retrieved must be durable: only that is counted.
    pub(super) fn looks(&self) -> bool {
        self.known.is_full(&self.live.config.limits) || self.known.since.is_none_or(|since| since >= LOOK)
    }

    /// So many messages are retrieved now.
    pub(super) fn taken(&mut self, messages: u64, octets: u64) {
        self.known.backlog.messages += messages;
        self.known.backlog.octets += octets;
        self.known.since = self.known.since.map(|since| since + messages);
    }

    fn hold(&mut self, reason: String) -> u64 {
        self.report.held = Some(reason);
        self.report.trouble = Some(Trouble::NoRoom);
        0
    }
}

/// Why a message of this listed size has no room on the disk. While it is admitted it is there twice: as it arrived, and in its
/// segment. What other sessions have in flight is taken for not written yet.
fn disk(
    spool: &dyn Spool,
    in_flight: &InFlight,
    limits: &Limits,
    size: Option<u64>,
) -> Result<Option<String>, Error> {
    let Some(free) = spool.free()? else { return Ok(None) };
    if free.files < SPARE_FILES {
        let text =
            "the disk under the state directory has no more files to give (inodes): mail stays on the server";
        return Ok(Some(text.to_owned()));
    }
    let wanted = size.unwrap_or(0).saturating_mul(2).saturating_add(in_flight.taken());
    if free.octets >= limits.free_space.saturating_add(wanted) {
        return Ok(None);
    }
    let extra =
        if wanted > 0 { format!(" beside {} that arrive", units::size(wanted)) } else { String::new() };
    Ok(Some(format!(
        "the disk under the state directory has {} free, and `limits.free_space` asks for {}{extra}: mail stays on the server \
         until there is more",
        units::size(free.octets),
        units::size(limits.free_space)
    )))
}

/// Looks at the disk while one message arrives.
pub(super) struct Watch<'a> {
    spool: &'a dyn Spool,
    floor: u64,
    arrived: u64,
    next: u64,
}

impl<'a> Watch<'a> {
    pub(super) fn new(spool: &'a dyn Spool, limits: &Limits) -> Self {
        Self { spool, floor: limits.free_space, arrived: 0, next: STRIDE }
    }

    /// So many octets more arrived; an error when the disk has no room for those still to come.
    pub(super) fn arrived(&mut self, octets: &[u8]) -> Result<(), Error> {
        self.arrived += octets.len() as u64;
        if self.arrived < self.next {
            return Ok(());
        }
        self.next = self.arrived + STRIDE;
        match self.spool.free()? {
            Some(free) if free.octets < self.floor => Err(Error::NoRoom(format!(
                "the disk under the state directory has {} free, less than `limits.free_space` = {}, and a message larger than \
                 it was listed was broken off: it stays on the server",
                units::size(free.octets),
                units::size(self.floor)
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_flight_is_bounded_and_the_largest_message_still_gets_through() {
        let all = InFlight::new(1 << 20);
        let half = all.try_take(512 << 10).unwrap();
        assert_eq!(all.taken(), 512 << 10);
        assert!(all.try_take((512 << 10) + 1).is_none());
        let rest = all.try_take(512 << 10).unwrap();
        assert!(all.try_take(1).is_none());
        drop((half, rest));
        let large = all.try_take(50 << 20).unwrap();
        assert!(all.try_take(1).is_none());
        drop(large);
        assert_eq!(all.taken(), 0);
    }

    #[tokio::test]
    async fn a_session_does_not_wait_for_ever_for_others_in_flight() {
        let all = InFlight::new(1 << 20);
        let held = all.take(1 << 20).await.unwrap();
        assert!(all.take_within(1, Duration::ZERO).await.is_none());
        drop(held);
        assert!(all.take_within(1, Duration::ZERO).await.is_some());
    }
}
