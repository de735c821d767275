//! Look-ups of a plugin that decides, said again to its candidate: both see the same answers, and no target is asked twice.
//! Must not ask anybody for the candidate.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postroom_sandbox::{Fetch, FetchAnswer, FetchError, FetchRequest};

type Answer = Result<FetchAnswer, FetchError>;

/// Makes calls by another, and keeps what they were answered. Lives as long as one message, whose limits bound it.
pub(super) struct Heard {
    by: Arc<dyn Fetch>,
    calls: Mutex<Vec<(FetchRequest, Answer)>>,
}

impl Heard {
    pub(super) fn new(by: Arc<dyn Fetch>) -> Arc<Self> {
        Arc::new(Self { by, calls: Mutex::default() })
    }

    /// The same answers once more, for a candidate.
    pub(super) fn again(&self) -> Arc<Again> {
        Arc::new(Again { left: Mutex::new(self.lock().clone()), missed: AtomicBool::new(false) })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(FetchRequest, Answer)>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fetch for Heard {
    fn fetch(&self, request: &FetchRequest) -> Answer {
        let answer = self.by.fetch(request);
        self.lock().push((request.clone(), answer.clone()));
        answer
    }
}

/// Answers what was answered before, each once and in the same order.
pub(super) struct Again {
    left: Mutex<Vec<(FetchRequest, Answer)>>,
    missed: AtomicBool,
}

impl Again {
    /// Whether something was asked that nobody had asked: what follows from that is no decision of the candidate's.
    pub(super) fn missed(&self) -> bool {
        self.missed.load(Ordering::Relaxed)
    }
}

impl Fetch for Again {
    fn fetch(&self, request: &FetchRequest) -> Answer {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = left.iter().position(|(heard, _)| is_same(heard, request)) else {
            self.missed.store(true, Ordering::Relaxed);
            let why = format!("a candidate makes no calls of its own to the target {}", request.target);
            return Err(FetchError::Refused(why));
        };
        match left.remove(at).1 {
            Ok(answer) if answer.body.len() as u64 > request.most => {
                Err(FetchError::TooLarge { most: request.most })
            }
            answer => answer,
        }
    }
}

/// Whether a server could not tell them apart. How much and how long each may is left out.
fn is_same(one: &FetchRequest, other: &FetchRequest) -> bool {
    let asked = |request: &FetchRequest| (request.target.clone(), request.method, request.path.clone());
    asked(one) == asked(other) && one.headers == other.headers && one.body == other.body
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::atomic::AtomicU16;
    use std::time::Duration;

    use postroom_mail::Name;
    use postroom_sandbox::{FetchMethod, FetchPath};

    use super::*;

    /// Counts: the first call is answered 201.
    struct Counting(AtomicU16);

    impl Fetch for Counting {
        fn fetch(&self, _: &FetchRequest) -> Answer {
            let status = 201 + self.0.fetch_add(1, Ordering::Relaxed);
            Ok(FetchAnswer { status, headers: Vec::new(), body: b"four".to_vec() })
        }
    }

    fn request(path: &str) -> FetchRequest {
        FetchRequest {
            step: "main/step".to_owned(),
            target: Name::new("crm").unwrap(),
            method: FetchMethod::Get,
            path: FetchPath::new(path.to_owned()).unwrap(),
            headers: Vec::new(),
            body: None,
            most: 100,
            within: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_candidate_hears_what_was_answered_in_the_same_order_and_asks_nobody() {
        let server = Arc::new(Counting(AtomicU16::new(0)));
        let heard = Heard::new(Arc::clone(&server) as Arc<dyn Fetch>);
        for path in ["a", "b", "a"] {
            heard.fetch(&request(path)).unwrap();
        }
        let again = heard.again();
        let hears = |path| again.fetch(&request(path)).map(|answer| answer.status);
        assert_eq!((hears("a"), hears("a"), hears("b")), (Ok(201), Ok(203), Ok(202)));
        assert!(!again.missed());
        assert!(matches!(hears("a"), Err(FetchError::Refused(_))), "once more than was asked");
        assert!(again.missed());
        assert_eq!(server.0.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_candidate_that_asks_otherwise_or_may_hear_less_is_told_so() {
        let heard = Heard::new(Arc::new(Counting(AtomicU16::new(0))));
        heard.fetch(&request("a")).unwrap();
        let less = FetchRequest { most: 3, ..request("a") };
        assert_eq!(heard.again().fetch(&less), Err(FetchError::TooLarge { most: 3 }));
        for other in [
            FetchRequest { method: FetchMethod::Post, body: Some(Vec::new()), ..request("a") },
            FetchRequest { headers: vec![("x".to_owned(), "1".to_owned())], ..request("a") },
            FetchRequest { target: Name::new("other").unwrap(), ..request("a") },
            request("a?b"),
        ] {
            let again = heard.again();
            assert!(again.fetch(&other).is_err());
            assert!(again.missed());
        }
    }
}
