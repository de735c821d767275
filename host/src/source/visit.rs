//! One session: list, judge the listing, retrieve what is new, delete what is proved removable, `QUIT`.
//!
//! `QUIT` is a commit point: it is sent only when everything retrieved in the session is durable. On any other end the
//! connection is dropped, and the mail stays where it is.

use std::collections::HashSet;
use std::time::Duration;

use postroom_dial::Peer;
use postroom_failpoint::reach;
use postroom_mail::{AccountId, Uid};
use postroom_oauth::Provider;
use postroom_pop3::listing::{NoId, ScanListing};
use postroom_pop3::{Entry, Listing, Session, Transaction, listing};
use postroom_spool::{DeletePolicy, Listed, SeenBy, Stumble};

use super::contact::Headers;
use super::error::Error;
use super::gate::{self, Verdict};
use super::habits::Habits;
use super::report::Report;
use super::retrieve::{Because, Wanted, key, retrieve};
use super::session::{self, Maildrop};
use super::wire::Wire;
use super::{contact, numberless, rehearse, remove, rename, room};
use crate::config::{AccountConfig, Renumbered};
use crate::live::Live;
use crate::progress::Progress;
use crate::supervise::Host;

/// What is absent from the server is remembered at least so long: some servers bring mail back.
const TOMBSTONE: Duration = Duration::from_secs(90 * 86_400);
/// So many messages that stay are told one by one; the others are counted.
const REFUSED: usize = 100;
/// So long before its end a certificate is warned about.
const EXPIRY: Duration = Duration::from_secs(14 * 86_400);

/// Everything one session needs.
pub(super) struct Visit<'a> {
    pub(super) host: &'a Host,
    pub(super) live: &'a Live,
    pub(super) id: &'a AccountId,
    pub(super) account: &'a AccountConfig,
    pub(super) wire: Wire,
    pub(super) habits: &'a mut Habits,
    pub(super) report: &'a mut Report,
    /// The session broke over one message: the others can still arrive in another one.
    pub(super) again: bool,
    /// Mail came back whose deletion had been confirmed.
    pub(super) returned: bool,
    /// Entries whose removal the server had confirmed.
    pub(super) gone: HashSet<(Uid, u32)>,
    /// Messages that failed before.
    pub(super) stumbles: Vec<Stumble>,
    /// What the server showed of TOP.
    pub(super) headers: Headers,
    /// What the session's first STAT said; it says so to its end.
    pub(super) stat: Option<listing::Stat>,
    /// Mail on its way here.
    pub(super) known: room::Known,
}

/// What the maildrop holds.
enum Contents {
    /// Every message can be told apart.
    Identified(Listing),
    /// The server has no unique-ids.
    Numbered(ScanListing),
}

/// One session from the connection to `QUIT`. The flag says that it broke over one message, so that another is worth while.
pub(super) async fn visit(
    host: &Host,
    live: &Live,
    id: &AccountId,
    account: &AccountConfig,
    habits: &mut Habits,
    report: &mut Report,
) -> (Result<(), Error>, bool) {
    let base = &live.config.base;
    let purse = match host.purses.of(id, account, base).await {
        Ok(purse) => purse,
        Err(error) => return (Err(error), false),
    };
    let opened = session::open(account, base, &purse, &mut habits.server, host.clock.now()).await;
    let Maildrop { wire, session, peer } = match opened {
        Ok(maildrop) => maildrop,
        Err(error) => return (Err(error), false),
    };
    report.refused.clear();
    let mut visit = Visit {
        host,
        live,
        id,
        account,
        wire,
        habits,
        report,
        again: false,
        returned: false,
        gone: HashSet::new(),
        stumbles: Vec::new(),
        headers: Headers::Refused(0),
        stat: None,
        known: room::Known::default(),
    };
    visit.arrived(peer.as_ref());
    let ended = visit.perform(session).await;
    let again = visit.again;
    (ended, again)
}

impl Visit<'_> {
    fn arrived(&mut self, peer: Option<&Peer>) {
        let now = self.host.clock.now();
        self.habits.maildrop.in_use_since = None;
        self.habits.maildrop.last_login = (self.habits.server.advertised_delay > 0).then_some(now);
        if let Some(ends) = peer.filter(|peer| peer.expires_within(now.0 / 1000, EXPIRY)) {
            let soonest =
                ends.certificates.iter().map(|certificate| certificate.not_after).min().unwrap_or(0);
            let days = (soonest - now.0 / 1000) / 86_400;
            self.note(format!(
                "the server's certificate ends in {days} days: after that nothing is retrieved until its operator renews it"
            ));
        }
    }

    async fn perform(&mut self, session: Session<Transaction>) -> Result<(), Error> {
        let session = self.capabilities(session).await?;
        let (session, contents) = self.list(session).await?;
        reach("visit", "listed");
        match contents {
            Contents::Identified(listing) => self.sort(session, listing).await,
            Contents::Numbered(sizes) if self.host.rehearsing() => {
                rehearse::numbered(self, session, &sizes).await
            }
            Contents::Numbered(sizes) => numberless::take(self, session, &sizes).await,
        }
    }

    /// After the login the answer may be another (RFC 2449 section 5).
    async fn capabilities(&mut self, session: Session<Transaction>) -> Result<Session<Transaction>, Error> {
        if !self.habits.server.asks_capa(self.host.clock.now()) {
            return Ok(session);
        }
        let (session, answer) = self.wire.ask("CAPA", session.capa()).await?;
        let Ok(capabilities) = answer else { return Ok(session) };
        self.habits.server.advertised_delay =
            capabilities.login_delay.map_or(0, |delay| delay.seconds.min(24 * 3600));
        if self.habits.server.advertised_delay > 0 {
            self.habits.maildrop.last_login = Some(self.host.clock.now());
        }
        let hides = self
            .account
            .provider
            .as_deref()
            .and_then(Provider::find)
            .is_some_and(|known| known.retrieve_hides);
        self.habits.maildrop.hides =
            hides || capabilities.expire.is_some_and(|expire| expire.days == Some(0));
        Ok(session)
    }

    async fn list(
        &mut self,
        session: Session<Transaction>,
    ) -> Result<(Session<Transaction>, Contents), Error> {
        let (session, stat) = self.wire.ask("STAT", session.stat()).await?;
        let stat = stat?;
        self.stat = Some(stat);
        if stat.count == 0 {
            let empty = listing::join(&ScanListing::default(), &listing::UidListing::default());
            return Ok((session, Contents::Identified(empty)));
        }
        let (session, sizes) = self.wire.ask("LIST", session.list()).await?;
        let sizes = sizes?;
        let (session, ids) = self.wire.ask("UIDL", session.uidl()).await?;
        match ids {
            Ok(ids) => {
                self.habits.maildrop.uidl = true;
                Ok((session, Contents::Identified(listing::join(&sizes, &ids).against(stat))))
            }
            Err(rejection) => {
                let listed = session.capabilities().is_some_and(|capabilities| capabilities.uidl);
                // Refused once is passing trouble; taking everything for new would retrieve all of it again.
                if listed || self.habits.maildrop.uidl || rejection.code.is_some() {
                    return Err(rejection.into());
                }
                Ok((session, Contents::Numbered(sizes)))
            }
        }
    }

    async fn sort(&mut self, session: Session<Transaction>, listing: Listing) -> Result<(), Error> {
        let listed: Vec<Listed> = listing.entries.iter().map(as_listed).collect();
        self.report.listed = (listing.entries.len() + listing.without_id.len()) as u64;
        self.without_ids(&listing);
        let mut found = self.host.spool.reconcile(self.id, &listed).await?;
        if self.host.rehearsing() {
            return rehearse::identified(self, session, &listing, &listed, &found).await;
        }
        reach("visit", "reconciled");
        self.stumbles = self.host.spool.stumbles(self.id).await?;
        self.gone = found.returned.iter().filter_map(|&index| listed.get(index)).map(key).collect();
        let (session, same) = rename::returned(self, session, &listing, &found.returned).await?;
        found.new.retain(|index| !same.contains(index));
        if found.first && self.habits.maildrop.hides {
            let text = "the server may delete or hide mail once it was retrieved (EXPIRE 0), whatever `delete` says here";
            self.note(text.to_owned());
        }
        let session = match found.first {
            true => contact::seed(self, session, &listing, &mut found.new).await?,
            false => session,
        };
        let (on_renumbering, habits) = (self.account.renumbered, &mut self.habits.maildrop);
        let verdict = gate::judge(self.report.listed, &found, listing.complete, on_renumbering, habits);
        reach("visit", "judged");
        let here: HashSet<_> = listed.iter().map(key).collect();
        let (session, wanted, believed) = match verdict {
            Verdict::Held(reason) => {
                self.report.held = Some(reason);
                reach("visit", "held");
                self.wire.quit(session.quit()?).await??;
                return Ok(());
            }
            Verdict::Renumbered(Renumbered::Match | Renumbered::Hold)
                if rename::unknowable(self, &here).await? =>
            {
                self.report.held = Some(
                    "all unique-ids are unknown and the known mail was only marked as seen, so it cannot be recognised: set \
                     `renumbered` to \"take-as-seen\" or \"take-as-new\""
                        .to_owned(),
                );
                self.wire.quit(session.quit()?).await??;
                return Ok(());
            }
            Verdict::Renumbered(Renumbered::Match | Renumbered::Hold) => {
                let (session, wanted) = rename::matched(self, session, &listing, &found.new, &here).await?;
                (session, wanted, false)
            }
            Verdict::Renumbered(Renumbered::TakeAsSeen) => {
                let entries = found.new.iter().filter_map(|&index| listing.entries.get(index));
                let seen = entries.map(contact::as_seen).collect();
                let now = self.host.clock.now();
                self.report.seeded += self.host.spool.seed(self.id, seen, SeenBy::Seeded, now).await?;
                (session, Vec::new(), listing.complete)
            }
            Verdict::Renumbered(Renumbered::TakeAsNew) => {
                (session, wanted(&listing, &found.new, Because::New), listing.complete)
            }
            Verdict::Doubted(reason) => {
                self.note(reason);
                (session, wanted(&listing, &found.new, Because::New), false)
            }
            Verdict::Believed => (session, wanted(&listing, &found.new, Because::New), true),
        };
        let observed =
            self.host.spool.observe(self.id, &listed, believed, TOMBSTONE, self.host.clock.now()).await?;
        reach("visit", "observed");
        self.report.removed += observed.removed;
        let (session, doubtful) = rename::verified(self, session, &listing, &found.doubtful).await?;
        let wanted: Vec<_> = wanted.into_iter().chain(doubtful).collect();
        self.report.new = wanted.len() as u64;
        let (account, new, total) = (self.id.clone(), self.report.new, self.report.listed);
        self.host.observer.tell(Progress::Listed { account, new, total });
        let session = retrieve(self, session, wanted, &here).await?;
        reach("visit", "retrieved");
        self.came_back();
        remove::remove(self, session, &listing, &listed).await
    }

    fn without_ids(&mut self, listing: &Listing) {
        for (number, _, why) in &listing.without_id {
            let why = match why {
                NoId::Empty => "none was given",
                NoId::Conflicting => "two were given",
            };
            self.refuse(format!(
                "message {number} has no usable unique-id ({why}): it cannot be told apart and stays on the server"
            ));
        }
    }

    /// Counts polls in which mail came back whose deletion had been confirmed.
    fn came_back(&mut self) {
        let maildrop = &mut self.habits.maildrop;
        if self.returned {
            maildrop.returned = maildrop.returned.saturating_add(1);
        } else if maildrop.deleted {
            maildrop.returned = 0;
        }
        maildrop.deleted = false;
        if self.habits.maildrop.ignores_deletion() && self.account.delete != DeletePolicy::Never {
            self.note(
                "the server keeps mail whose deletion it has confirmed, so nothing is deleted there any more; see what its \
                 settings say about mail read by POP3, or set delete = \"never\""
                    .to_owned(),
            );
        }
    }

    /// The largest message that is taken.
    pub(super) fn limit(&self) -> u64 {
        self.live.config.limits.message
    }

    /// Whether commands may be sent ahead.
    pub(super) fn may_pipeline(&self, session: &Session<Transaction>) -> bool {
        self.account.pipelining
            && session.may_pipeline()
            && self.habits.server.may_pipeline(self.host.clock.now())
    }

    /// Something is odd; a second session of the same poll need not say it again.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.report.notes.contains(&text) {
            self.report.notes.push(text);
        }
    }

    /// A message stays on the server.
    pub(super) fn refuse(&mut self, reason: String) {
        if self.report.refused.len() >= REFUSED {
            self.report.refused_more += 1;
            return;
        }
        self.host.observer.tell(Progress::Refused { account: self.id.clone(), reason: reason.clone() });
        self.report.refused.push(reason);
    }
}

/// These entries, to be retrieved.
pub(super) fn wanted<'a>(listing: &'a Listing, indexes: &[usize], because: Because) -> Vec<Wanted<'a>> {
    let entries = indexes.iter().filter_map(|&index| listing.entries.get(index));
    entries.map(|entry| Wanted { entry, because }).collect()
}

/// An entry in the ledger's terms.
pub(super) fn as_listed(entry: &Entry) -> Listed {
    Listed { uid: uid(entry), ordinal: entry.ordinal, size: entry.size }
}

pub(super) fn uid(entry: &Entry) -> Uid {
    Uid(entry.uid.as_bytes().to_vec())
}
