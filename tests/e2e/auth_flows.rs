//! `postroom auth`: a person signs in, on another device or in a browser on this machine, and from then on mail comes.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use postroom_practice::Times;
use postroom_practice::token::{Endpoint, TokenFault, TokenServerConfig};

use crate::oauth::{CLIENT, Stand};
use crate::support::{Bench, authority};

/// How long a sign-in may take; the practice server asks for five seconds between two questions.
const LIMIT: Duration = Duration::from_secs(40);

/// `postroom auth` under way.
struct SignIn {
    child: Child,
    lines: mpsc::Receiver<String>,
    heard: String,
}

impl SignIn {
    fn start(stand: &Stand, more: &[&str]) -> Self {
        let mut command = stand.bench.command(&[&["auth", "home"], more].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let stderr: ChildStderr = child.stderr.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        Self { child, lines, heard: String::new() }
    }

    /// The next line with these words.
    #[track_caller]
    fn says(&mut self, words: &str) -> String {
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => {
                    self.heard.push_str(&line);
                    self.heard.push('\n');
                    if line.contains(words) {
                        return line;
                    }
                }
                Err(error) => panic!("{words:?} was not said ({error}):\n{}", self.heard),
            }
        }
    }

    /// Waits for its end and gives everything it said.
    fn ended(mut self) -> (Option<i32>, String) {
        use std::io::Read;
        let mut all = String::new();
        self.child.stdout.take().expect("piped").read_to_string(&mut all).expect("text");
        let status = self.child.wait().expect("ends");
        self.lines.iter().for_each(|line| self.heard.push_str(&line));
        (status.code(), format!("{all}\n{}", self.heard))
    }
}

impl Drop for SignIn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An account that nobody has signed in for.
async fn stand() -> Stand {
    let bench = Bench::new();
    let (_, identity) = authority(&bench);
    let stand =
        Stand::new(TokenServerConfig::new(identity.clone(), CLIENT), bench, &identity, |_| true).await;
    stand.configure("auto", "flow = \"device\"");
    stand
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("joins")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_typed_on_another_device_and_mail_comes() {
    let stand = stand().await;
    // The first answer is that nobody has typed the code yet (RFC 8628 section 3.5).
    let pending =
        TokenFault::Error(Endpoint::Token, "authorization_pending".to_owned(), "not yet".to_owned());
    stand.tokens.inject(pending, Times::Next(1));
    let mut sign_in = SignIn::start(&stand, &[]);
    let (code, said) = blocking(move || {
        sign_in.says("https://sign-in.example/device");
        sign_in.says("PRAC-TICE");
        sign_in.ended()
    })
    .await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("practice-"), "a token shows: {said}");
    assert_eq!(stand.kept()["client_id"], CLIENT);
    assert_eq!(stand.poll(0).await["retrieved"], 1);
    assert_eq!((stand.logins(), stand.refreshes()), ((1, 0), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_on_this_machine_comes_back_and_mail_comes() {
    let stand = stand().await;
    let mut sign_in = SignIn::start(&stand, &["--browser"]);
    let (url, sign_in) = blocking(move || (sign_in.says("https://localhost:"), sign_in)).await;
    let ca_file = Some(stand.bench.path("ca.pem"));
    let trust = postroom_dial::Trust { ca_file, ..Default::default() };
    let tls = rustls::ClientConfig::clone(&trust.prepare().expect("the authority").config());
    let browser = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().timeout(LIMIT);
    let browser = browser.build().expect("a browser");
    let page = browser.get(url.trim()).send().await.expect("a page");
    assert!(page.status().is_success(), "{page:?}");
    let (code, said) = blocking(move || sign_in.ended()).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("practice-"), "a token shows: {said}");
    assert_eq!(stand.poll(0).await["retrieved"], 1);
}
