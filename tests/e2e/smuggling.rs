//! Ends of a message inside of it, from a maildrop through the forward plugin to a real Postfix.

use postroom_tests::{HarnessError, Postfix};

use crate::support::{Bench, account, authority, maildrop};

/// Without NUL, which is refused before anything is sent; see `host/src/sinks/smtp/smuggling.rs`.
const ENDS: [&str; 12] = [
    "\n.\n",
    "\n.\r\n",
    "\r\n.\n",
    "\r.\r",
    "\r\n.\r",
    "\r.\r\n",
    "\n.\r",
    "\r.\n",
    "\r\n.\r\n",
    "\r\r\n.\r\r\n",
    "\n\r.\n\r",
    "\r\n.\r\r\n",
];

fn hostile() -> Vec<Vec<u8>> {
    let smuggled =
        "MAIL FROM:<x@archive.example>\r\nRCPT TO:<smuggled@archive.example>\r\nDATA\r\nSubject: x\r\n\r\n";
    let mut mails = Vec::new();
    for (number, end) in ENDS.into_iter().enumerate() {
        for (place, before, after) in [("header", "", "\r\n\r\nbody"), ("body", "\r\n\r\nbody", "")] {
            let head = format!(
                "From: eve@shop.example\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{place}{number}@shop.example>"
            );
            mails.push(format!("{head}{before}{end}{smuggled}{after}\r\nthe end of it\r\n").into_bytes());
        }
    }
    mails
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_postfix_gets_one_message_for_each_whatever_ends_are_inside() {
    let bench = Bench::new();
    let (authority, identity) = authority(&bench);
    let postfix = match Postfix::start(&authority).await {
        Err(error @ HarnessError::NotRoot { .. }) => {
            println!("not tested: {error}");
            return;
        }
        outcome => outcome.unwrap(),
    };
    let mails = hostile();
    let server = maildrop(&identity, mails.clone()).await;
    bench.config(&format!(
        r#"{}
[sinks.relay]
type = "smtp"
host = "localhost"
port = {}
tls = "starttls"
ca_file = "ca.pem"
[[pipelines.main.steps]]
plugin = "forward"
grants = {{ sinks = ["relay"] }}
settings = {{ sink = "relay", to = ["copy@archive.example"] }}
"#,
        account("home", server.addr().port(), ""),
        postfix.addr().port()
    ));
    let (run, summary) = bench.once().await;
    run.expect(0);
    assert_eq!(summary["counts"]["done"], mails.len(), "{summary:#}");

    let received = postfix.wait_for(mails.len()).await.unwrap();
    assert_eq!(received.len(), mails.len());
    for stored in &received {
        let text = String::from_utf8_lossy(stored);
        assert!(
            text.contains("RCPT TO:<smuggled@archive.example>") && text.ends_with("the end of it\n"),
            "{text}"
        );
        assert!(text.contains("\nX-Original-To: copy@archive.example\n"), "{text}");
    }
    assert!(!postfix.log().contains("to=<smuggled@"), "{}", postfix.log());
}
