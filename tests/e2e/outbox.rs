//! A sink that is down as a whole, and SIGKILL between the final dot and its answer.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::support::{ARCHIVE, Bench, account, authority, mail, maildrop};

fn relay(port: u16, more: &str) -> String {
    format!(
        "[sinks.relay]\ntype = \"smtp\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n\
         insecure_plaintext = \"I accept\"\n{more}\n\
         [[pipelines.main.steps]]\nplugin = \"forward\"\ngrants = {{ sinks = [\"relay\"] }}\n\
         settings = {{ sink = \"relay\", to = [\"you@elsewhere.example\"] }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_relay_is_not_tried_once_for_each_message_and_once_says_so() {
    const MESSAGES: usize = 60;
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let mails: Vec<Vec<u8>> = (0..MESSAGES).map(|number| mail(&format!("number {number}"))).collect();
    let server = maildrop(&identity, mails).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    // Nobody listens there any more.
    drop(listener);
    bench.config(&format!("{}{ARCHIVE}{}", account("home", server.addr().port(), ""), relay(port, "")));
    let (run, summary) = bench.once().await;
    run.expect(75);
    assert_eq!(bench.names("vault").len(), MESSAGES, "the other sink goes on");
    let tried = summary["attempts"].as_u64().expect("a number") - MESSAGES as u64;
    assert!((5..20).contains(&tried), "{tried} of {MESSAGES} were tried at the dead relay");
    let reason = summary["left_alone"]["relay"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("cannot connect"), "{reason}");
    let rows = bench.postroom(&["queue", "ls", "--json"]).await.json();
    let waiting = rows.as_array().expect("rows").iter().filter(|row| row["sink"] == "relay");
    let attempts: Vec<u64> = waiting.map(|row| row["attempts"].as_u64().expect("a number")).collect();
    assert_eq!(attempts.len(), MESSAGES);
    assert_eq!(attempts.iter().sum::<u64>(), tried, "what was not tried has lost no attempt");
    bench.postroom(&["once"]).await.expect(75).says(&["sink relay fails and is left alone until"]);
}

/// Takes every message, says so to the test, and never answers for it.
async fn taciturn(listener: TcpListener, taken: mpsc::UnboundedSender<()>) {
    while let Ok((stream, _)) = listener.accept().await {
        let taken = taken.clone();
        tokio::spawn(async move { converse(stream, &taken).await });
    }
}

async fn converse(stream: TcpStream, taken: &mpsc::UnboundedSender<()>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 relay.example\r\n").await.ok()?;
    let mut in_mail = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "." if in_mail => taken.send(()).ok()?,
            _ if in_mail => {}
            "DATA" => {
                in_mail = true;
                stream.write_all(b"354 go on\r\n").await.ok()?;
            }
            _ => stream.write_all(b"250 ok\r\n").await.ok()?,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_between_the_final_dot_and_its_answer_deliver_at_most_twice_and_once_with_hold() {
    for (more, most) in [("", 2), ("in_doubt = \"hold\"", 1)] {
        let bench = Bench::new();
        let (_, identity) = authority(&bench);
        let server = maildrop(&identity, vec![mail("one")]).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (taken, mut takes) = mpsc::unbounded_channel();
        tokio::spawn(taciturn(listener, taken));
        bench.config(&format!("{}{}", account("home", server.addr().port(), ""), relay(port, more)));
        for _ in 0..most {
            let mut child =
                bench.command(&["once"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
            let dot = tokio::time::timeout(Duration::from_secs(120), takes.recv()).await;
            child.kill().expect("SIGKILL");
            let _ = child.wait();
            assert!(matches!(dot, Ok(Some(()))), "the message was not handed over");
        }
        // It ends by itself, because nothing is sent any more.
        for _ in 0..3 {
            let (_, summary) = bench.once().await;
            assert_eq!(summary["counts"]["effects_parked"], 1, "{summary:#}");
        }
        assert!(takes.try_recv().is_err(), "it was sent more than {most} times");
        bench.postroom(&["queue", "ls"]).await.says(&["parked", "in doubt", "receiving side", "queue retry"]);
    }
}
