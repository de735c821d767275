//! Look-ups: a guest asks, a table answers; what is refused never reaches whoever makes the calls.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postroom_sandbox::{
    Cause, Fetch, FetchAnswer, FetchError, FetchMethod, FetchRequest, Grants, InvokeError, Limits, LoadError,
    Outcome, RecordedFetch, StepConfig,
};

use super::guests::*;

/// Keeps what was asked, and answers from the table; `stuck` never answers before its time is over.
#[derive(Default)]
struct Kept {
    table: RecordedFetch,
    asked: Mutex<Vec<FetchRequest>>,
}

impl Fetch for Kept {
    fn fetch(&self, request: &FetchRequest) -> Result<FetchAnswer, FetchError> {
        self.asked.lock().unwrap().push(request.clone());
        if request.path.as_str() == "stuck" {
            let begun = std::time::Instant::now();
            while begun.elapsed() < request.within {
                std::thread::yield_now();
            }
            return Err(FetchError::Unavailable("the target crm did not answer".to_owned()));
        }
        self.table.fetch(request)
    }
}

fn table() -> RecordedFetch {
    let headers = [
        ("content-type", "text/plain"),
        ("set-cookie", "id=1"),
        ("location", "https://crm.example/x"),
        ("connection", "close, X-Hop"),
        ("x-hop", "1"),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let answer = |status, body: Vec<u8>| FetchAnswer { status, headers: headers.clone(), body };
    let crm = name("crm");
    RecordedFetch::default()
        .answers(&crm, "people/1", answer(200, b"Ann".to_vec()))
        .answers(&crm, "people/2", answer(404, Vec::new()))
        .answers(&crm, "large", answer(200, vec![b'x'; 700 << 10]))
}

fn asking(mode: &str) -> StepConfig {
    let grants = Grants { fetch: BTreeSet::from([name("crm")]), ..Grants::default() };
    StepConfig { grants, ..step(mode) }
}

fn run_with(config: StepConfig) -> (Result<Outcome, InvokeError>, Vec<FetchRequest>) {
    let kept = Arc::new(Kept { table: table(), asked: Mutex::default() });
    let plugin = admit("fetcher", config).unwrap().with_fetch(Arc::clone(&kept) as Arc<dyn Fetch>);
    let outcome = plugin.handle(&message(PLAIN, None), &[], &no_kv());
    let asked = std::mem::take(&mut *kept.asked.lock().unwrap());
    (outcome, asked)
}

/// What the guest logged, one line a call, and what was asked.
fn said_to(mode: &str, limits: Limits) -> (Vec<String>, Vec<FetchRequest>) {
    let (outcome, asked) = run_with(StepConfig { limits, ..asking(mode) });
    let log = outcome.unwrap().log;
    (texts(&log).into_iter().map(str::to_owned).collect(), asked)
}

#[test]
fn a_guest_sees_status_body_and_the_header_fields_it_may_see() {
    let (said, asked) = said_to("get crm people/1 +Accept=text/plain & post crm people/2", Limits::default());
    assert_eq!(
        said,
        [
            r#"200 3 octets "Ann" [Some("text/plain"), None, None, None]"#,
            r#"404 0 octets "" [Some("text/plain"), None, None, None]"#,
        ]
    );
    assert_eq!(asked[0].headers, [("accept".to_owned(), "text/plain".to_owned())]);
    assert_eq!(
        (asked[0].method, asked[0].body.as_deref(), asked[0].step.as_str()),
        (FetchMethod::Get, None, "shop/echo")
    );
    assert_eq!((asked[1].method, asked[1].body.as_deref()), (FetchMethod::Post, Some(PLAIN)));
}

#[test]
fn a_plugin_that_fetches_is_admitted_only_with_a_target() {
    let error = admit("fetcher", step("get crm people/1")).unwrap_err();
    let LoadError::Ungranted { imports, line } = &error else { panic!("{error}") };
    assert_eq!(imports, &["postroom:plugin/fetch@0.1.0"]);
    assert!(line.contains("fetch = [\"TARGET\"]") && line.contains("kv = true"), "{line}");
}

#[test]
fn another_target_is_denied_with_the_line_that_would_grant_it() {
    let (said, asked) =
        said_to("get erp x & get 127.0.0.1 x & get https://evil.example/ x", Limits::default());
    assert_eq!(said[0], r#"denied: grants = { fetch = ["crm", "erp"] }"#);
    assert!(said[1..].iter().all(|text| text.starts_with("invalid: ")), "{said:?}");
    assert_eq!(asked, []);
}

#[test]
fn paths_and_fields_that_smuggle_never_reach_the_caller() {
    let calls = [
        "get crm ../admin",
        "get crm //evil.example/",
        "get crm https://evil.example/",
        "get crm %2e%2e/admin",
        "get crm a%2f..%2fb",
        "get crm /etc/passwd",
        "get crm a#b",
        "get crm people/1 +Host=evil.example",
        "get crm people/1 +Authorization=x",
        "get crm people/1 +Transfer-Encoding=chunked",
        "get crm people/1 +content_length=0",
        "get crm people/1 +Cookie=a",
        "get crm people/1 +Proxy-Authorization=x",
        "get crm people/1 +X-HTTP-Method-Override=DELETE",
    ];
    let limits = Limits { fetch_calls: 100, ..Limits::default() };
    let (said, asked) = said_to(&calls.join(" & "), limits);
    assert!(said.len() == calls.len() && said.iter().all(|text| text.starts_with("invalid: ")), "{said:#?}");
    assert_eq!(asked, []);
}

#[test]
fn calls_octets_and_time_each_have_their_own_quota() {
    let (said, asked) = said_to("x17 get crm people/1", Limits::default());
    assert_eq!(said[16], "quota: calls of fetch: asked for 17, allowed 16");
    assert_eq!(asked.len(), 16);

    let (said, asked) = said_to("x2 get crm large", Limits::default());
    assert!(
        said[1]
            .starts_with("quota: octets of answers of fetch: more than 331776 in this one, allowed 1048576"),
        "{said:?}"
    );
    assert_eq!(asked[1].most, (1 << 20) - (700 << 10));

    let small = PLAIN.len() as u64 + 1;
    let (said, asked) = said_to("x2 post crm people/1", Limits { fetch_octets: small, ..Limits::default() });
    assert_eq!(
        said[1],
        format!("quota: octets sent by fetch: asked for {}, allowed {small}", 2 * PLAIN.len())
    );
    assert_eq!(asked.len(), 1);

    let limits = Limits { fetch_time: Duration::from_millis(20), ..Limits::default() };
    let (said, asked) = said_to("x2 get crm stuck", limits);
    assert_eq!(said[0], "transient: the target crm did not answer");
    assert!(
        said[1].starts_with("quota: milliseconds of fetch: asked for ") && said[1].ends_with("allowed 20"),
        "{said:?}"
    );
    assert!(asked.len() == 1 && asked[0].within <= Duration::from_millis(20));
}

#[test]
fn waiting_ends_with_the_time_of_the_message() {
    let limits = Limits { wall: Duration::from_millis(500), ..Limits::default() };
    let (outcome, asked) = run_with(StepConfig { limits, ..asking("get crm stuck") });
    assert!(matches!(outcome.unwrap_err().cause, Cause::WallTime { .. }));
    assert!(asked[0].within <= Duration::from_millis(500));
}

#[test]
fn without_a_caller_every_call_is_refused() {
    let outcome = run("fetcher", asking("get crm people/1")).unwrap();
    assert_eq!(texts(&outcome.log), ["other: no call to the target crm: nobody makes calls here"]);
}

#[test]
fn limits_of_fetch_have_a_hard_maximum() {
    for limits in [
        Limits { fetch_calls: 257, ..Limits::default() },
        Limits { fetch_octets: 17 << 20, ..Limits::default() },
        Limits { fetch_time: Duration::from_secs(61), ..Limits::default() },
    ] {
        let refused = admit("fetcher", StepConfig { limits, ..asking("") }).unwrap_err();
        assert!(matches!(&refused, LoadError::Limits(text) if text.starts_with("limit fetch-")), "{refused}");
    }
}
