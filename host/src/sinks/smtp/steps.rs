//! Every step of a conversation fails in every way, and it is cut after every octet: what the server took and what the sink
//! says agree. Doubt is said exactly when the final dot may have left.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use postroom_mail::{Effect, MessageId};
use postroom_practice::receiver::{ReceiverFault, Stage};
use postroom_practice::{Receiver, ReceiverConfig, Security, Times};
use postroom_spool::Receipt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::super::testing::{build, class, deliver_marking, of_the_sink, secret, send};
use super::super::{DeliveryError, Sink, Transport};
use super::Timeouts;

const RAW: &[u8] = b"Message-ID: <m@a.example>\r\nSubject: a\r\n\r\nbody\r\n.\r\n..dots\r\n";
const TO: &[&str] = &["b@b.example", "c@c.example"];
const SHORT: Duration = Duration::from_millis(60);

/// Where the server has something to say, or to leave unsaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Greeting,
    Hello,
    Auth,
    Mail,
    FirstRcpt,
    SecondRcpt,
    Data,
    /// The first line of the message has come.
    Body,
    Dot,
    Quit,
}

const STEPS: [Step; 10] = {
    use Step::{Auth, Body, Data, Dot, FirstRcpt, Greeting, Hello, Mail, Quit, SecondRcpt};
    [Greeting, Hello, Auth, Mail, FirstRcpt, SecondRcpt, Data, Body, Dot, Quit]
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Reply(u16),
    Drop,
    Silence,
    /// The usual answer, after so long in which the client neither spoke nor went away.
    Late(Duration),
}

const FAULTS: [Fault; 5] =
    [Fault::Reply(421), Fault::Reply(451), Fault::Reply(554), Fault::Drop, Fault::Silence];

/// How a server misbehaves: by a fault at a step, or by being cut after so many octets of one side.
#[derive(Clone, Copy, Debug)]
struct Script {
    fault: Option<(Step, Fault)>,
    says: usize,
    hears: usize,
}

const WELL: Script = Script { fault: None, says: usize::MAX, hears: usize::MAX };

/// What a server saw in its one conversation.
#[derive(Clone, Copy, Debug, Default)]
struct Saw {
    said: usize,
    heard: usize,
    /// It has the whole message and did not refuse it: a receiver that keeps what it then does not answer for.
    taken: bool,
}

struct Server {
    stream: TcpStream,
    script: Script,
    saw: Saw,
    unread: Vec<u8>,
    recipients: usize,
}

impl Server {
    async fn start(script: Script) -> (u16, JoinHandle<Saw>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut server = Self { stream, script, saw: Saw::default(), unread: Vec::new(), recipients: 0 };
            let _ = server.converse().await;
            server.saw
        });
        (port, serving)
    }

    async fn converse(&mut self) -> Option<()> {
        self.answer(Step::Greeting, "220 relay.example\r\n").await?;
        loop {
            let line = String::from_utf8(self.hear(b"\r\n").await?).unwrap();
            match line.split([' ', '\r']).next().unwrap() {
                "EHLO" => {
                    let offers = "250-relay.example\r\n250-SIZE 1000\r\n250 AUTH PLAIN\r\n";
                    self.answer(Step::Hello, offers).await?;
                }
                "AUTH" => self.answer(Step::Auth, "235 2.7.0 welcome\r\n").await?,
                "MAIL" => self.answer(Step::Mail, "250 2.1.0 ok\r\n").await?,
                "RCPT" => {
                    self.recipients += 1;
                    let step = if self.recipients == 1 { Step::FirstRcpt } else { Step::SecondRcpt };
                    self.answer(step, "250 2.1.5 ok\r\n").await?;
                }
                "DATA" => self.data().await?,
                "RSET" => self.say("250 2.0.0 ok\r\n").await?,
                "QUIT" => {
                    self.answer(Step::Quit, "221 2.0.0 bye\r\n").await?;
                    return Some(());
                }
                other => panic!("{other:?} is not a command of this client"),
            }
        }
    }

    async fn data(&mut self) -> Option<()> {
        self.answer(Step::Data, "354 go on\r\n").await?;
        if self.fault(Step::Data).is_some() {
            return Some(());
        }
        if self.fault(Step::Body).is_some() {
            self.hear(b"\r\n").await?;
            self.answer(Step::Body, "").await?;
            // It said no before the end, and reads on to see the client go.
            return self.ignore().await;
        }
        self.hear(b"\r\n.\r\n").await?;
        self.saw.taken = !matches!(self.fault(Step::Dot), Some(Fault::Reply(_)));
        self.answer(Step::Dot, "250 2.0.0 queued as 4XyZ\r\n").await
    }

    fn fault(&self, step: Step) -> Option<Fault> {
        self.script.fault.filter(|(at, _)| *at == step).map(|(_, fault)| fault)
    }

    async fn answer(&mut self, step: Step, usual: &str) -> Option<()> {
        match self.fault(step) {
            None => self.say(usual).await,
            Some(Fault::Reply(code)) => self.say(&format!("{code} no\r\n")).await,
            Some(Fault::Drop) => None,
            Some(Fault::Silence) => self.ignore().await,
            Some(Fault::Late(by)) => {
                let mut buffer = [0; 16];
                let early = tokio::time::timeout(by, self.stream.read(&mut buffer)).await;
                assert!(early.is_err(), "the client gave up: {early:?}");
                self.say(usual).await
            }
        }
    }

    /// Reads until the client goes away.
    async fn ignore(&mut self) -> Option<()> {
        let mut buffer = [0; 1024];
        while self.stream.read(&mut buffer).await.ok()? > 0 {}
        None
    }

    async fn say(&mut self, text: &str) -> Option<()> {
        let part = &text.as_bytes()[..text.len().min(self.script.says - self.saw.said)];
        self.saw.said += part.len();
        self.stream.write_all(part).await.ok()?;
        (part.len() == text.len()).then_some(())
    }

    async fn hear(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return Some(self.unread.drain(..at + end.len()).collect());
            }
            let mut chunk = vec![0; (self.script.hears - self.saw.heard).min(1024)];
            let read = self.stream.read(&mut chunk).await.ok()?;
            if read == 0 {
                return None;
            }
            self.saw.heard += read;
            self.unread.extend_from_slice(&chunk[..read]);
        }
    }
}

fn sink(port: u16, change: impl FnOnce(&mut Timeouts)) -> Sink {
    let base = tempfile::tempdir().unwrap();
    secret(base.path(), "password", "open sesame");
    let config = format!(
        "type = \"smtp\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\ninsecure_plaintext = \"I accept\"\n\
         user = \"me\"\npassword = {{ file = \"password\" }}\nhello = \"own.example\""
    );
    let mut sink = build(base.path(), &config);
    if let Transport::Smtp(smtp) = &mut sink.transport {
        // Nobody waits for the answer to a QUIT.
        smtp.server.timeouts.quit = SHORT;
        change(&mut smtp.server.timeouts);
    }
    sink
}

/// What the sink said, how often it recorded that the dot was about to leave, and what the server saw.
struct Told {
    outcome: Result<Receipt, DeliveryError>,
    marks: usize,
    saw: Saw,
}

async fn conversation(script: Script, change: impl FnOnce(&mut Timeouts)) -> Told {
    let (port, serving) = Server::start(script).await;
    let sink = sink(port, change);
    let marks = AtomicUsize::new(0);
    let mark = || -> futures::future::BoxFuture<'_, _> {
        marks.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(()) })
    };
    let effect: Effect = send(Some("p@p.example"), TO, RAW);
    let outcome = deliver_marking(&sink, &effect, RAW, 1, &mark).await;
    Told { outcome, marks: marks.load(Ordering::Relaxed), saw: serving.await.unwrap() }
}

/// What holds for every conversation, however it went.
fn check(told: &Told, what: &str) {
    let (class, marked, taken) = (class(&told.outcome), told.marks, told.saw.taken);
    assert!(marked <= 1, "{what}");
    match class {
        "done" => assert!(taken && marked == 1, "{what}: done, and the server has nothing"),
        "in doubt" => assert!(marked == 1, "{what}: doubt before the dot"),
        _ => assert!(!taken, "{what}: {class}, and the server has it: {:?}", told.outcome),
    }
}

/// What a fault at a step means, and whether it is the sink's rather than the message's.
fn expected(step: Step, fault: Fault) -> (&'static str, bool) {
    use Step::{Auth, Body, Data, Dot, FirstRcpt, Greeting, Hello, Mail, Quit, SecondRcpt};
    match (step, fault) {
        (Quit, _) => ("done", false),
        (_, Fault::Reply(421)) => ("temporary", true),
        (Greeting | Hello | Auth, Fault::Reply(554)) => ("configuration", false),
        (Greeting | Hello | Auth, _) => ("temporary", true),
        (Mail | FirstRcpt | SecondRcpt | Data | Body | Dot, Fault::Reply(451)) => ("temporary", false),
        (Mail | FirstRcpt | SecondRcpt | Data | Body | Dot, Fault::Reply(_)) => ("permanent", false),
        (Mail | FirstRcpt | SecondRcpt | Data, Fault::Drop | Fault::Silence | Fault::Late(_)) => {
            ("temporary", true)
        }
        (Body | Dot, Fault::Drop | Fault::Silence | Fault::Late(_)) => ("in doubt", true),
    }
}

#[tokio::test]
async fn every_step_fails_in_every_way_and_each_is_told_for_what_it_is() {
    for step in STEPS {
        for fault in FAULTS {
            let script = Script { fault: Some((step, fault)), ..WELL };
            let told = conversation(script, |timeouts| {
                let silent = fault == Fault::Silence;
                match step {
                    Step::Greeting if silent => timeouts.greeting = SHORT,
                    Step::Data if silent => timeouts.data = SHORT,
                    Step::Body | Step::Dot if silent => timeouts.dot = SHORT,
                    Step::Quit => {}
                    _ if silent => timeouts.command = SHORT,
                    _ => {}
                }
            })
            .await;
            let what = format!("{step:?} {fault:?}");
            check(&told, &what);
            let found = (class(&told.outcome), of_the_sink(&told.outcome));
            if (step, fault) == (Step::Body, Fault::Drop) {
                // Whether the loss is noticed before the dot is the kernel's affair.
                assert!(matches!(found, ("temporary" | "in doubt", true)), "{what}: {:?}", told.outcome);
            } else {
                assert_eq!(found, expected(step, fault), "{what}: {:?}", told.outcome);
            }
        }
    }
}

#[tokio::test]
async fn a_conversation_cut_after_every_octet_of_the_servers_loses_nothing_and_hides_no_doubt() {
    let whole = conversation(WELL, |_| {}).await;
    assert_eq!(class(&whole.outcome), "done");
    assert!(whole.outcome.unwrap().proof.contains("queued as 4XyZ"), "the receipt is the server's word");
    let mut seen = std::collections::BTreeMap::<&str, usize>::new();
    for says in 0..whole.saw.said {
        let told = conversation(Script { says, ..WELL }, |_| {}).await;
        check(&told, &format!("{says} octets of the server's"));
        // The server answered nothing after what it was cut in: the dot was there, or it was not.
        assert_eq!(told.saw.taken, told.marks == 1, "{says}: {:?}", told.outcome);
        *seen.entry(class(&told.outcome)).or_default() += 1;
    }
    let answer = "250 2.0.0 queued as 4XyZ\r\n".len();
    assert_eq!(seen["in doubt"], answer, "as long as the answer to the dot is not whole: {seen:?}");
    assert_eq!(seen["done"], "221 2.0.0 bye\r\n".len(), "{seen:?}");
}

#[tokio::test]
async fn a_conversation_cut_after_every_octet_of_the_clients_loses_nothing_and_hides_no_doubt() {
    let whole = conversation(WELL, |_| {}).await;
    for hears in 0..whole.saw.heard {
        let told = conversation(Script { hears, ..WELL }, |_| {}).await;
        check(&told, &format!("{hears} octets of the client's"));
        if told.saw.taken {
            assert_eq!(class(&told.outcome), "done", "{hears}: it answered before it was cut");
        }
    }
}

#[tokio::test]
async fn when_it_cannot_be_recorded_that_the_dot_is_about_to_leave_it_does_not() {
    let (port, serving) = Server::start(WELL).await;
    let refuse = || -> futures::future::BoxFuture<'static, _> {
        Box::pin(async { Err(postroom_spool::Error::Gone(MessageId(postroom_mail::Digest::of(b"m")))) })
    };
    let outcome = deliver_marking(&sink(port, |_| {}), &send(None, TO, RAW), RAW, 1, &refuse).await;
    assert_eq!(class(&outcome), "temporary");
    assert!(!of_the_sink(&outcome), "the spool's fault, not the server's");
    assert!(outcome.unwrap_err().to_string().contains("could not be recorded"));
    assert!(!serving.await.unwrap().taken, "neither a dot nor a QUIT that ends the message");
}

/// The answer comes later than anything else may take. A real 590 s would need a clock that the network obeys.
#[tokio::test]
async fn the_answer_to_the_final_dot_is_waited_for_longer_than_any_other() {
    assert!(Timeouts::STANDARD.dot >= Duration::from_secs(600), "RFC 5321 section 4.5.3.2.6");
    let other = Duration::from_secs(2);
    let script = Script { fault: Some((Step::Dot, Fault::Late(other + SHORT))), ..WELL };
    let (port, serving) = Server::start(script).await;
    let sink = sink(port, |timeouts| {
        (timeouts.greeting, timeouts.command, timeouts.data, timeouts.block) = (other, other, other, other);
    });
    let mark = || -> futures::future::BoxFuture<'static, _> { Box::pin(async { Ok(()) }) };
    let outcome = deliver_marking(&sink, &send(None, TO, RAW), RAW, 1, &mark).await;
    assert!(outcome.unwrap().proof.contains("queued as 4XyZ"));
    assert!(serving.await.unwrap().taken);
}

#[tokio::test]
async fn silence_on_the_way_to_a_protected_login_is_the_sinks() {
    let authority = postroom_practice::Authority::new().unwrap();
    let base = tempfile::tempdir().unwrap();
    authority.write_pem(&base.path().join("ca.pem")).unwrap();
    secret(base.path(), "password", "open sesame");
    for stage in [Stage::StartTls, Stage::Auth] {
        let identity = authority.issue(postroom_practice::CertificateKind::Good).unwrap();
        let config = ReceiverConfig::new(Security::Upgrade(identity)).credentials("me", "open sesame");
        let server =
            Receiver::start(config.fault(ReceiverFault::Silent(stage), Times::Always)).await.unwrap();
        let config = format!(
            "type = \"smtp\"\nhost = \"localhost\"\nport = {}\ntls = \"starttls\"\nca_file = \"ca.pem\"\n\
             user = \"me\"\npassword = {{ file = \"password\" }}",
            server.addr().port()
        );
        let mut sink = build(base.path(), &config);
        if let Transport::Smtp(smtp) = &mut sink.transport {
            smtp.server.timeouts.command = Duration::from_millis(300);
        }
        let mark = || -> futures::future::BoxFuture<'static, _> { Box::pin(async { Ok(()) }) };
        let outcome = deliver_marking(&sink, &send(None, TO, RAW), RAW, 1, &mark).await;
        assert_eq!((class(&outcome), of_the_sink(&outcome)), ("temporary", true), "{stage:?}: {outcome:?}");
    }
}

#[test]
fn doubt_is_borne_twice_unless_the_operator_says_hold() {
    let config = |more: &str| format!("type = \"smtp\"\nhost = \"smtp.example\"\n{more}");
    for (more, expected) in [("", 2), ("in_doubt = \"retry-once\"", 2), ("in_doubt = \"hold\"", 1)] {
        assert_eq!(build(Path::new("."), &config(more)).most_doubts(), expected, "{more}");
    }
    assert!(toml::from_str::<super::super::SinkConfig>(&config("in_doubt = \"again\"")).is_err());
}
