//! What goes wrong in the world: each case gets a clear error with the next thing to do, costs at most that message or account,
//! and loses nothing.

use postroom_practice::maildrop::Fault;
use postroom_practice::receiver::{ReceiverFault, Stage};
use postroom_practice::{
    CertificateKind, Maildrop, MaildropConfig, Receiver, ReceiverConfig, Security, Times,
};
use postroom_tests::{S3Server, s3};

use crate::support::{ARCHIVE, Bench, PASSWORD, account, authority, mail, maildrop};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_names_user_and_password_and_leaves_the_other_account_alone() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    let port = server.addr().port();
    bench.secret("wrong", "battery staple");
    let wrong = account("wrong", port, "").replace("file = \"password\"", "file = \"wrong\"");
    let wrong = wrong.replace("user = \"user\"", "user = \"other\"");
    bench.config(&format!("{wrong}{}{ARCHIVE}", account("right", port, "")));
    let (run, summary) = bench.once().await;
    run.expect(69);
    let report = &summary["accounts"]["wrong"];
    assert!(
        report["error"].as_str().expect("an error").contains("PASS")
            || report["error"].to_string().contains("AUTH"),
        "{report}"
    );
    assert!(report["hint"].as_str().expect("a hint").contains("check `user` and `password`"), "{report}");
    assert!(!run.stdout.contains("battery staple") && !run.stderr.contains("battery staple"));
    assert_eq!(summary["accounts"]["right"]["retrieved"], 1);
    assert_eq!(bench.names("vault").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_is_named() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    let lost = account("lost", 995, "").replace("\"localhost\"", "\"pop.nowhere.invalid\"");
    bench.config(&format!("{lost}{}{ARCHIVE}", account("home", server.addr().port(), "")));
    let (run, summary) = bench.once().await;
    run.expect(75);
    let report = &summary["accounts"]["lost"];
    assert!(
        report["error"].as_str().expect("an error").contains("cannot find the server pop.nowhere.invalid"),
        "{report}"
    );
    assert!(report["hint"].as_str().expect("a hint").contains("typing mistake"), "{report}");
    assert_eq!(summary["accounts"]["home"]["retrieved"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_is_named_with_the_usual_ones() {
    let bench = Bench::new();
    let _ = authority(&bench);
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port();
    bench.config(&format!("{}{ARCHIVE}", account("home", free, "")));
    bench.postroom(&["once"]).await.expect(75).says(&["cannot connect to localhost", "995", "hint:"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_do_not_hold_are_told_apart_and_no_password_is_sent() {
    let cases = [
        (CertificateKind::Expired, "has expired", "clock"),
        (CertificateKind::OtherHost, "is for another name", "it must be a name in the server's certificate"),
        (CertificateKind::SelfSigned, "signed by itself", "ca_file"),
    ];
    for (kind, error, hint) in cases {
        let bench = Bench::new();
        let (authority, _) = authority(&bench);
        let identity = authority.issue(kind).expect("a certificate");
        let server = maildrop(&identity, vec![mail("one")]).await;
        bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), "")));
        let (run, summary) = bench.once().await;
        run.expect(69);
        let report = &summary["accounts"]["home"];
        assert!(report["error"].as_str().expect("an error").contains(error), "{report}");
        assert!(report["hint"].as_str().expect("a hint").contains(hint), "{report}");
        assert_eq!(server.stats().account("user").logins + server.stats().refused_logins, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_authority_is_not_trusted() {
    let bench = Bench::new();
    let _ = authority(&bench);
    let elsewhere = Bench::new();
    let (_, foreign) = authority(&elsewhere);
    let server = maildrop(&foreign, vec![mail("one")]).await;
    bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), "")));
    bench.postroom(&["once"]).await.expect(69).says(&["authority that is not trusted", "ca_file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_offer_stls_gets_no_password() {
    let bench = Bench::new();
    let _ = authority(&bench);
    let config = MaildropConfig::new(Security::Plain).account("user", PASSWORD, vec![mail("one")]);
    let server = Maildrop::start(config).await.expect("a maildrop");
    bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), "tls = \"starttls\"")));
    let (run, summary) = bench.once().await;
    assert!(run.code == Some(69) || run.code == Some(75), "{run:#?}");
    assert!(summary["accounts"]["home"]["error"].as_str().expect("an error").contains("STLS"), "{summary:#}");
    assert_eq!(server.stats().account("user").logins, 0);
}

#[test]
fn plain_text_is_refused_unless_the_danger_is_accepted_in_words() {
    let bench = Bench::new();
    bench.config(&format!("{}{ARCHIVE}", account("home", 110, "tls = \"none\"")));
    bench.run(&["check"]).expect(78).says(&["insecure_plaintext", "password"]);
}

#[test]
fn an_unreadable_configuration_says_where_and_what() {
    let bench = Bench::new();
    bench.run(&["check"]).expect(78).says(&["postroom.toml", "postroom init"]);
    bench.config("[accounts.home]\nhost = \"pop.example.net\"\nusr = \"me\"\n");
    bench.run(&["check"]).expect(78).says(&["postroom.toml:4", "usr", "did you mean `user`?"]);
    bench.config("[accounts.home\n");
    bench.run(&["check"]).expect(78).says(&["postroom.toml:2"]);
}

#[test]
fn a_missing_plugin_is_named_with_those_there_are() {
    let bench = Bench::new();
    let _ = authority(&bench);
    let with = |plugin: &str| {
        format!("{}[[pipelines.main.steps]]\nplugin = \"{plugin}\"\n", account("home", 995, ""))
    };
    bench.config(&with("archiv"));
    bench.run(&["check"]).expect(78).says(&["archiv", "archive, "]);
    bench.config(&with("./mine.wasm"));
    bench.run(&["check"]).expect(78).says(&["cannot read the plugin", "mine.wasm"]);
    bench.write("mine.wasm", b"this is no component");
    bench.run(&["check"]).expect(78).says(&["mine.wasm", "not a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_the_server_will_not_give_out_costs_that_message_only() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one"), mail("two"), mail("three")]).await;
    server.inject(Fault::RetrRefused { message: 2 }, Times::Next(1));
    bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), "")));
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["accounts"]["home"]["retrieved"], 2);
    assert_eq!(summary["accounts"]["home"]["refused"].as_array().expect("a list").len(), 1);
    let (_, summary) = bench.once().await;
    assert_eq!(summary["accounts"]["home"]["retrieved"], 1, "it is asked for again");
    assert_eq!(bench.names("vault").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_within_a_message_sends_no_quit_and_is_made_again() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one"), mail("two"), mail("three")]).await;
    server.inject(Fault::RetrCut { message: 2, after: 20 }, Times::Next(1));
    // Of messages asked for together none counts before all are there.
    bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), "pipelining = false")));
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["counts"]["admitted"], 3);
    assert_eq!(bench.names("vault").len(), 3);
    let stats = server.stats().account("user");
    assert_eq!(
        (stats.logins, stats.quits),
        (2, 1),
        "the first session was dropped, the second ended in order"
    );
    assert_eq!(stats.retrieved_again().len(), 1, "only what was not whole is retrieved again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_always_breaks_the_session_costs_that_message_only() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one"), mail("two"), mail("three")]).await;
    server.inject(Fault::RetrCut { message: 1, after: 20 }, Times::Always);
    bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), "")));
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(bench.names("vault").len(), 2, "the others arrive");
    let refused = summary["accounts"]["home"]["refused"].as_array().expect("a list");
    assert!(
        refused.len() == 1 && refused[0].as_str().expect("a text").contains("could not be retrieved 3 times"),
        "{refused:?}"
    );
    assert_eq!(server.messages("user").len(), 3, "it stays on the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lying_size_and_malformed_mail_arrive_byte_for_byte() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let odd: Vec<Vec<u8>> = vec![
        b"no header at all, no line end".to_vec(),
        b"\r\n".to_vec(),
        b"Subject: bare\rreturn\r\n\r\nand bare\nfeed, NUL \0, \xff\xfe\r\n".to_vec(),
        b"Content-Type: multipart/mixed; boundary=\"\r\n\r\n--\r\n".to_vec(),
        b"Content-Type: message/rfc822\r\n\r\n".repeat(4000),
    ];
    let served: Vec<Vec<u8>> = odd
        .iter()
        .map(
            |octets| if octets.ends_with(b"\r\n") { octets.clone() } else { [octets, &b"\r\n"[..]].concat() },
        )
        .collect();
    let server = maildrop(&identity, served.clone()).await;
    server.inject(Fault::WrongSize { message: 1, size: 9_999 }, Times::Always);
    bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), "")));
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["counts"]["done"], served.len(), "{summary:#}");
    let expected = served.iter().map(|octets| (postroom_mail::Digest::of(octets), 1)).collect();
    assert_eq!(bench.digests("vault"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_s3_server_that_is_away_holds_its_effects_and_gets_them_when_it_is_back() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one"), mail("two")]).await;
    let objects = tempfile::tempdir().expect("a directory");
    let store = S3Server::start(objects.path()).await.expect("an S3 server");
    bench.secret("s3-access", s3::ACCESS_KEY);
    bench.secret("s3-secret", s3::SECRET_KEY);
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port();
    let with = |endpoint: &str| {
        format!(
            "{}{ARCHIVE}[sinks.bucket]\ntype = \"s3\"\nbucket = \"{}\"\nendpoint = \"{endpoint}\"\nallow_http = true\n\
             access_key = {{ file = \"s3-access\" }}\nsecret_key = {{ file = \"s3-secret\" }}\n\
             [[pipelines.main.steps]]\nname = \"s3\"\nplugin = \"archive\"\ngrants = {{ sinks = [\"bucket\"] }}\nsettings = {{ sink = \"bucket\" }}\n",
            account("home", server.addr().port(), ""),
            s3::BUCKET
        )
    };
    bench.config(&with(&format!("http://127.0.0.1:{free}")));
    let (run, summary) = bench.once().await;
    run.expect(75);
    assert_eq!(summary["counts"]["effects_open"], 2, "{summary:#}");
    assert_eq!(bench.names("vault").len(), 2, "the other sink goes on");
    bench.postroom(&["queue", "ls"]).await.expect(0).says(&["bucket", "waiting"]);
    bench.config(&with(&store.endpoint()));
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["counts"]["done"], 2);
    assert_eq!(store.keys().expect("keys").len(), 2);
}

fn relay(port: u16) -> String {
    format!(
        "[sinks.relay]\ntype = \"smtp\"\nhost = \"localhost\"\nport = {port}\nca_file = \"ca.pem\"\n\
         [[pipelines.main.steps]]\nplugin = \"forward\"\ngrants = {{ sinks = [\"relay\"] }}\nsettings = {{ sink = \"relay\", to = [\"you@elsewhere.example\"] }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_smtp_server_that_is_away_holds_its_effects_and_gets_them_when_it_is_back() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    let receiver =
        Receiver::start(ReceiverConfig::new(Security::Implicit(identity.clone()))).await.expect("a receiver");
    let port = receiver.addr().port();
    receiver.inject(
        ReceiverFault::Reply { stage: Stage::Greeting, code: 421, text: "overloaded".to_owned() },
        Times::Next(1),
    );
    bench.config(&format!("{}{ARCHIVE}{}", account("home", server.addr().port(), ""), relay(port)));
    bench.once().await.0.expect(75);
    assert_eq!(receiver.accepted().len(), 0);
    bench.postroom(&["queue", "ls"]).await.says(&["relay", "421"]);
    bench.once().await.0.expect(0);
    assert_eq!(receiver.accepted().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_refused_for_good_quarantines_that_message_with_the_servers_words() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    let receiver =
        Receiver::start(ReceiverConfig::new(Security::Implicit(identity.clone()))).await.expect("a receiver");
    receiver.inject(
        ReceiverFault::Reply { stage: Stage::Rcpt, code: 550, text: "no such user".to_owned() },
        Times::Always,
    );
    bench.config(&format!(
        "{}{ARCHIVE}{}",
        account("home", server.addr().port(), "delete = { when = \"done\", after = \"0s\" }"),
        relay(receiver.addr().port())
    ));
    let (_, summary) = bench.once().await;
    assert_eq!(summary["counts"]["quarantined"], 1, "{summary:#}");
    assert_eq!(bench.names("vault").len(), 1, "the archive has its copy all the same");
    bench.postroom(&["queue", "ls"]).await.says(&["parked", "no such user"]);
    let (_, summary) = bench.once().await;
    assert_eq!(summary["accounts"]["home"]["removed"], 0, "what is not done is not deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_after_the_final_dot_makes_one_duplicate_at_most() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one")]).await;
    let receiver =
        Receiver::start(ReceiverConfig::new(Security::Implicit(identity.clone()))).await.expect("a receiver");
    receiver.inject(ReceiverFault::AcceptThenDrop, Times::Always);
    bench.config(&format!("{}{}", account("home", server.addr().port(), ""), relay(receiver.addr().port())));
    for _ in 0..4 {
        bench.once().await;
    }
    assert_eq!(receiver.accepted().len(), 2, "once, and once more; then it is the operator's");
    bench.postroom(&["queue", "ls"]).await.says(&["in doubt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_set_up_wrongly_needs_a_person_and_says_until_when_it_rests() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let server = maildrop(&identity, vec![mail("one"), mail("two")]).await;
    let receiver =
        Receiver::start(ReceiverConfig::new(Security::Implicit(identity.clone()))).await.expect("a receiver");
    receiver.inject(
        ReceiverFault::Reply { stage: Stage::Greeting, code: 554, text: "not you".to_owned() },
        Times::Always,
    );
    let port = receiver.addr().port();
    bench.config(&format!("{}{ARCHIVE}{}", account("home", server.addr().port(), ""), relay(port)));
    let (run, summary) = bench.once().await;
    run.expect(69);
    assert_eq!(summary["left_alone"]["relay"]["needs_a_person"], true, "{summary}");
    assert_eq!(summary["counts"]["effects_done"], 2, "the archive has both: {summary}");
    bench.postroom(&["once"]).await.expect(69).says(&["sink relay fails and is left alone until", "not you"]);
}

/// A small file system of its own, so that it can be full. Unmounted on drop.
pub(crate) struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    pub(crate) fn mount(at: std::path::PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&at).expect("a directory");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&at)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at)),
            other => {
                println!(
                    "not tested: a full disk, because no small file system can be mounted here: {other:?}"
                );
                None
            }
        }
    }

    fn grow(&self) {
        let grown =
            std::process::Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).status();
        assert!(grown.expect("mount runs").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_at_a_sink_holds_its_effects_until_there_is_room() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let Some(disk) = SmallDisk::mount(bench.path("vault"), "256k") else { return };
    let big = |n: u8| [mail(&format!("big {n}")), vec![b'a' + n; 200_000], b"\r\n".to_vec()].concat();
    let mails: Vec<Vec<u8>> = (0..4).map(big).collect();
    let server = maildrop(&identity, mails.clone()).await;
    bench.config(&format!("{}{ARCHIVE}", account("home", server.addr().port(), "")));
    let (run, summary) = bench.once().await;
    run.expect(75);
    assert_eq!(summary["counts"]["admitted"], 4);
    assert!(summary["counts"]["effects_open"].as_u64().expect("a number") >= 2, "{summary:#}");
    bench.postroom(&["queue", "ls"]).await.says(&["vault", "space"]);
    disk.grow();
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["counts"]["done"], 4);
    let expected = mails.iter().map(|mail| (postroom_mail::Digest::of(mail), 1)).collect();
    assert_eq!(bench.digests("vault"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_spool_leaves_the_mail_on_the_server() {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let Some(disk) = SmallDisk::mount(bench.path("small"), "8m") else { return };
    let big = |n: u8| [mail(&format!("big {n}")), vec![b'a' + n; 300_000], b"\r\n".to_vec()].concat();
    let mails: Vec<Vec<u8>> = (0..3).map(big).collect();
    let server = maildrop(&identity, mails.clone()).await;
    // So that the disk is filled to its end.
    let top = "state = \"small/state\"\nlimits = { free_space = \"0 B\" }\n";
    bench.config(&format!("{top}{}{ARCHIVE}", account("home", server.addr().port(), "")));
    let run = bench.postroom(&["once"]).await;
    assert_ne!(run.code, Some(0), "{run:#?}");
    assert_eq!(
        server.stats().account("user").quits,
        0,
        "no QUIT: some servers would hide what was retrieved"
    );
    disk.grow();
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["counts"]["done"], 3);
    assert_eq!(bench.names("vault").len(), 3);
}
