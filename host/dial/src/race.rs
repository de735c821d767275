//! Happy Eyeballs (RFC 8305): which address is tried when, and who wins. Must not know what connecting is, so that its
//! timing is tested without a network.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

/// Nobody won.
#[derive(Debug)]
pub(crate) struct Lost {
    /// Attempts begun.
    pub(crate) tried: usize,
    /// The most telling failure.
    pub(crate) reason: io::Error,
}

/// The addresses in the order to try them: families take turns, beginning with the family of the first (RFC 8305
/// section 4), within a family as given; at most `most` of them.
pub(crate) fn in_turn(addresses: &[SocketAddr], most: usize) -> VecDeque<SocketAddr> {
    let leading = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let mut one = addresses.iter().filter(|address| address.is_ipv6() == leading);
    let mut other = addresses.iter().filter(|address| address.is_ipv6() != leading);
    let mut turns = VecDeque::new();
    loop {
        let pair = (one.next(), other.next());
        if pair == (None, None) {
            break;
        }
        turns.extend(pair.0);
        turns.extend(pair.1);
    }
    turns.truncate(most);
    turns
}

/// Starts an attempt every `delay`, and at once when one fails; the first success wins and drops the others. Attempts
/// have no limit each: they run side by side until `deadline`.
pub(crate) async fn first<T, F>(
    mut waiting: VecDeque<SocketAddr>,
    delay: Duration,
    deadline: Instant,
    dial: impl Fn(SocketAddr) -> F,
) -> Result<T, Lost>
where
    F: Future<Output = io::Result<T>>,
{
    let mut running = FuturesUnordered::new();
    let mut next_start = Instant::now();
    let mut tried = 0;
    let mut reason: Option<io::Error> = None;
    loop {
        if running.is_empty() && waiting.is_empty() {
            let none = || io::Error::new(io::ErrorKind::NotFound, "there is no address to try");
            return Err(Lost { tried, reason: reason.unwrap_or_else(none) });
        }
        tokio::select! {
            biased;
            Some(done) = running.next(), if !running.is_empty() => match done {
                Ok(won) => return Ok(won),
                Err(error) => {
                    if reason.as_ref().is_none_or(|worse| weight(&error) >= weight(worse)) {
                        reason = Some(error);
                    }
                    next_start = Instant::now();
                }
            },
            () = sleep_until(deadline) => {
                let silent = || io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
                let reason = reason.filter(|error| weight(error) > weight(&silent())).unwrap_or_else(silent);
                return Err(Lost { tried, reason });
            }
            () = sleep_until(next_start), if !waiting.is_empty() => {
                if let Some(address) = waiting.pop_front() {
                    tried += 1;
                    running.push(dial(address));
                    next_start = Instant::now() + delay;
                }
            }
        }
    }
}

/// How much a failure says: trouble of this machine most, then what a server said, then silence, then that a whole
/// family of addresses does not work here, which is usual and explains nothing.
fn weight(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::NetworkUnreachable => 0,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkDown => 1,
        io::ErrorKind::TimedOut => 2,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => 3,
        io::ErrorKind::ConnectionRefused => 4,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::sleep;

    use super::*;

    fn v4(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 995))
    }

    fn v6(last: u16) -> SocketAddr {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 995))
    }

    const DELAY: Duration = Duration::from_millis(250);
    const TOTAL: Duration = Duration::from_secs(20);

    fn failure(kind: io::ErrorKind) -> io::Error {
        io::Error::from(kind)
    }

    #[test]
    fn families_take_turns_and_the_bound_leaves_both_in() {
        let given = [v6(1), v6(2), v6(3), v4(1)];
        assert_eq!(in_turn(&given, 16), [v6(1), v4(1), v6(2), v6(3)]);
        assert_eq!(in_turn(&[v4(1), v4(2), v6(1)], 16), [v4(1), v6(1), v4(2)]);
        let many: Vec<_> = (0..100).map(v6).chain((0..100).map(v4)).collect();
        let bounded = in_turn(&many, 16);
        assert_eq!(bounded.len(), 16);
        assert_eq!(bounded.iter().filter(|address| address.is_ipv4()).count(), 8);
        assert!(in_turn(&[], 16).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_address_loses_to_the_second_after_one_delay() {
        let begun = Instant::now();
        let won = first(VecDeque::from([v6(1), v4(1), v4(2)]), DELAY, begun + TOTAL, async |address| {
            sleep(if address == v6(1) { Duration::from_secs(5) } else { Duration::from_millis(10) }).await;
            Ok(address)
        });
        assert_eq!(won.await.unwrap(), v4(1));
        assert_eq!(begun.elapsed(), DELAY + Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_address_still_wins_if_the_later_ones_fail() {
        let begun = Instant::now();
        let won = first(VecDeque::from([v6(1), v4(1)]), DELAY, begun + TOTAL, async |address| {
            if address == v4(1) {
                return Err(failure(io::ErrorKind::ConnectionRefused));
            }
            sleep(Duration::from_secs(3)).await;
            Ok(address)
        });
        assert_eq!(won.await.unwrap(), v6(1));
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_starts_the_next_attempt_at_once() {
        let begun = Instant::now();
        let order = RefCell::new(Vec::new());
        let won = first(VecDeque::from([v6(1), v6(2), v4(1)]), DELAY, begun + TOTAL, async |address| {
            order.borrow_mut().push(address);
            if address.is_ipv6() { Err(failure(io::ErrorKind::NetworkUnreachable)) } else { Ok(address) }
        });
        assert_eq!(won.await.unwrap(), v4(1));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(*order.borrow(), [v6(1), v6(2), v4(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_it_however_many_are_silent() {
        let begun = Instant::now();
        let silent = VecDeque::from_iter((0..16).map(v4));
        let lost = first(silent, DELAY, begun + TOTAL, |_| std::future::pending::<io::Result<()>>()).await;
        let lost = lost.unwrap_err();
        assert_eq!((lost.tried, lost.reason.kind()), (16, io::ErrorKind::TimedOut));
        assert_eq!(begun.elapsed(), TOTAL);
    }

    #[tokio::test(start_paused = true)]
    async fn the_most_telling_failure_is_reported_not_the_last() {
        let lost = first(VecDeque::from([v4(1), v6(1)]), DELAY, Instant::now() + TOTAL, async |address| {
            let refused = address.is_ipv4();
            Err::<(), _>(failure(if refused {
                io::ErrorKind::ConnectionRefused
            } else {
                io::ErrorKind::NetworkUnreachable
            }))
        });
        let lost = lost.await.unwrap_err();
        assert_eq!((lost.tried, lost.reason.kind()), (2, io::ErrorKind::ConnectionRefused));
    }
}
