//! Mail goes into mailboxes of a real Dovecot by IMAP and by LMTP: once, octet for octet, whatever is lost on the way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use postroom_practice::Authority;
use postroom_tests::Dovecot;
use postroom_tests::dovecot::Setup;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::mechanisms::token;
use crate::support::{Bench, PASSWORD, account, authority, mail, maildrop};

/// The sink `box` in the mailboxes of `ann`, and a step that files everything into one.
fn imap(port: u16, mailbox: &str, more: &str) -> String {
    format!(
        "[sinks.box]\ntype = \"imap\"\nhost = \"localhost\"\nport = {port}\nuser = \"ann\"\nca_file = \"ca.pem\"\n{more}\n\
         [[pipelines.main.steps]]\nplugin = \"archive\"\ngrants = {{ sinks = [\"box\"] }}\n\
         settings = {{ sink = \"box\", mailbox = \"{mailbox}\", flags = \"SFP\" }}\n"
    )
}

const BY_PASSWORD: &str = "password = { file = \"password\" }";

/// A bench that retrieves these from a practice maildrop, and what makes certificates that it trusts.
async fn bench(mails: &[Vec<u8>]) -> (Bench, Authority, postroom_practice::Maildrop) {
    let bench = Bench::new();
    let (authority, identity) = authority(&bench);
    let server = maildrop(&identity, mails.to_vec()).await;
    (bench, authority, server)
}

async fn dovecot(authority: &Authority, change: impl FnOnce(Setup) -> Setup) -> Dovecot {
    let setup = change(Setup::new(&[("ann", PASSWORD), ("bob", PASSWORD)]).delivery());
    Dovecot::configured(authority, setup).await.expect("Dovecot")
}

/// Flags, time and octets of all messages in a mailbox, as the server gives them, by IMAP. The name is as on the wire.
async fn fetched(dovecot: &Dovecot, bench: &Bench, mailbox: &str) -> Vec<(String, Vec<u8>)> {
    let tcp = TcpStream::connect(dovecot.imap()).await.expect("a connection");
    let name = "localhost".try_into().expect("a name");
    let trust = postroom_dial::client(Some(&bench.path("ca.pem"))).expect("trust");
    let mut stream = tokio_rustls::TlsConnector::from(trust).connect(name, tcp).await.expect("TLS");
    let commands = format!(
        "a LOGIN ann \"{PASSWORD}\"\r\nb EXAMINE \"{mailbox}\"\r\nc UID FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])\r\n\
         d LOGOUT\r\n"
    );
    stream.write_all(commands.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let mut messages = Vec::new();
    let mut rest = answer.as_slice();
    while let Some(at) = rest.windows(8).position(|octets| octets == b" BODY[] ") {
        let start = rest[..at].iter().rposition(|octet| *octet == b'*').expect("a response");
        let head = String::from_utf8_lossy(&rest[start..at]).into_owned();
        let literal = &rest[at + 9..];
        let end = literal.iter().position(|octet| *octet == b'}').expect("a literal");
        let size: usize = std::str::from_utf8(&literal[..end]).expect("digits").parse().expect("a size");
        messages.push((head, literal[end + 3..end + 3 + size].to_vec()));
        rest = &literal[end + 3 + size..];
    }
    messages
}

fn sorted(mut mails: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    mails.sort();
    mails
}

/// Passes connections on to a server. The first `swallowed` of them that carry so many octets up are cut as soon as the
/// server has answered what came last: it has the message, and nobody hears of it.
async fn deaf(to: SocketAddr, most: usize, swallowed: Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let swallowed = Arc::clone(&swallowed);
            tokio::spawn(async move {
                let server = TcpStream::connect(to).await.expect("the server");
                let ((mut from, mut back), (mut answers, mut on)) =
                    (client.into_split(), server.into_split());
                let mut carried = 0;
                let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 16 << 10]);
                loop {
                    tokio::select! {
                        read = from.read(&mut up) => match read {
                            Ok(read) if read > 0 && on.write_all(&up[..read]).await.is_ok() => carried += read,
                            _ => return,
                        },
                        read = answers.read(&mut down) => match read {
                            Ok(read) if read > 0 => {
                                let left = swallowed.load(Ordering::SeqCst);
                                if carried >= most && left > 0 {
                                    swallowed.store(left - 1, Ordering::SeqCst);
                                    return;
                                }
                                if back.write_all(&down[..read]).await.is_err() {
                                    return;
                                }
                            }
                            _ => return,
                        },
                    }
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_filed_by_imap_octet_for_octet_with_flags_into_a_mailbox_that_was_not_there() {
    let mut mails: Vec<_> =
        postroom_tests::corpus::generate(3, 30).into_iter().map(|mail| mail.octets).collect();
    mails.retain(|mail| !mail.contains(&0));
    let (bench, authority, server) = bench(&mails).await;
    let dovecot = dovecot(&authority, |setup| setup.mechanisms("plain scram-sha-256")).await;
    let sink = imap(dovecot.imap().port(), "Entwürfe/日本語 & mehr", BY_PASSWORD);
    bench.config(&format!("{}{sink}", account("home", server.addr().port(), "")));
    bench.postroom(&["check", "--online"]).await.expect(0).says(&["logged in as ann", "separated by \".\""]);
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["counts"]["done"], mails.len(), "{summary:#}");
    let there = fetched(&dovecot, &bench, "Entw&APw-rfe.&ZeVnLIqe- &- mehr").await;
    assert!(
        there.iter().all(|(head, _)| {
            ["\\Seen", "\\Flagged", "$Forwarded"].iter().all(|flag| head.contains(flag))
        })
    );
    assert!(sorted(there.into_iter().map(|(_, octets)| octets).collect()) == sorted(mails), "other octets");
    // The last one is this test's own.
    let logins = dovecot.logins("ann");
    let ours = &logins[..logins.len() - 1];
    assert!(ours.iter().all(|login| login.tls && login.method == "SCRAM-SHA-256"), "{logins:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_an_append_is_lost_and_exactly_one_copy_is_there() {
    for with_id in [true, false] {
        let mut large = mail("large");
        large.extend(b"line\r\n".repeat(20_000));
        if !with_id {
            large = String::from_utf8(large).expect("text").replace("Message-ID", "X-Other").into_bytes();
        }
        let (bench, authority, server) = bench(std::slice::from_ref(&large)).await;
        let dovecot = dovecot(&authority, |setup| setup).await;
        let swallowed = Arc::new(AtomicUsize::new(1));
        let port = deaf(dovecot.imap(), large.len(), Arc::clone(&swallowed)).await;
        let account = account("home", server.addr().port(), "");
        bench.config(&format!("{account}{}", imap(port, "", BY_PASSWORD)));
        let (_, summary) = bench.once().await;
        assert_eq!(summary["counts"]["done"], 0, "{summary:#}");
        assert_eq!(swallowed.load(Ordering::SeqCst), 0, "nothing was lost");
        assert_eq!(fetched(&dovecot, &bench, "INBOX").await.len(), 1, "the server has it");
        let (run, summary) = bench.once().await;
        run.expect(0);
        assert_eq!(summary["counts"]["done"], 1, "{summary:#}");
        let there = fetched(&dovecot, &bench, "INBOX").await;
        assert_eq!(there.len(), 1);
        assert!(there[0].1 == large, "other octets");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_logs_in_at_imap_by_both_mechanisms() {
    let key = [7; 32];
    for auth in ["xoauth2", "oauthbearer"] {
        let (bench, authority, server) = bench(&[mail("one")]).await;
        let dovecot = dovecot(&authority, |setup| setup.tokens(&BASE64_STANDARD.encode(key))).await;
        let by_token = format!("auth = \"{auth}\"\noauth2 = {{ command = [\"/bin/cat\", \"token\"] }}");
        let account = account("home", server.addr().port(), "");
        bench.config(&format!("{account}{}", imap(dovecot.imap().port(), "", &by_token)));
        bench.secret("token", &token(&[8; 32], "ann"));
        let (_, summary) = bench.once().await;
        assert_eq!(summary["counts"]["done"], 0, "{summary:#}");
        bench.secret("token", &token(&key, "ann"));
        bench.once().await.0.expect(0);
        assert_eq!(fetched(&dovecot, &bench, "INBOX").await.len(), 1, "{}", dovecot.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_over_quota_is_the_sinks_and_the_mail_waits() {
    let mut large = mail("large");
    large.extend(b"line\r\n".repeat(20_000));
    let (bench, authority, server) = bench(&[large]).await;
    let dovecot = dovecot(&authority, |setup| setup.quota(20)).await;
    let account = account("home", server.addr().port(), "");
    bench.config(&format!("{account}{}", imap(dovecot.imap().port(), "", BY_PASSWORD)));
    let (_, summary) = bench.once().await;
    let counts = &summary["counts"];
    assert_eq!((&counts["effects_open"], &counts["effects_parked"]), (&1.into(), &0.into()), "{summary:#}");
    bench.postroom(&["queue", "ls"]).await.says(&["OVERQUOTA"]);
    assert!(fetched(&dovecot, &bench, "INBOX").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_delivered_by_lmtp_to_each_recipient_by_itself() {
    let (bench, authority, server) = bench(&[mail("one")]).await;
    let dovecot = dovecot(&authority, |setup| setup).await;
    let sink = |to: &str| {
        format!(
            "[sinks.near]\ntype = \"lmtp\"\nsocket = \"{}\"\nfrom = \"from@home.example\"\n\
             [[pipelines.main.steps]]\nplugin = \"forward\"\ngrants = {{ sinks = [\"near\"] }}\n\
             settings = {{ sink = \"near\", to = [{to}] }}\n",
            dovecot.lmtp().display()
        )
    };
    let account = account("home", server.addr().port(), "");
    let to = "\"ann@dovecot.example\", \"nobody@dovecot.example\", \"bob@dovecot.example\"";
    bench.config(&format!("{account}{}", sink(to)));
    bench.postroom(&["check", "--online"]).await.expect(0).says(&["lmtp answers as"]);
    let (_, summary) = bench.once().await;
    assert_eq!(dovecot.count("ann").expect("a count"), 1, "{summary:#}");
    assert_eq!(dovecot.count("bob").expect("a count"), 1, "{}", dovecot.log());
    let counts = &summary["counts"];
    assert_eq!((&counts["effects_done"], &counts["effects_parked"]), (&2.into(), &1.into()), "{summary:#}");
    // What nobody takes is set aside alone; those who have it get no second copy.
    bench.once().await;
    assert_eq!((dovecot.count("ann").expect("a count"), dovecot.count("bob").expect("a count")), (1, 1));
}
