//! Look-ups at places that the operator named. Needs the grant `fetch`, which lists them.
//!
//! A call is made at once, is not undone when the plugin fails, and is made again when the message is tried again. The
//! host knows the address and the credentials; a plugin only names a target and a path below it.
//!
//! ```
//! use postroom_bench::{Bench, Mail};
//! use postroom_sdk::prelude::*;
//!
//! fn label_customers(message: &Message) -> Result<(), Failure> {
//!     for from in message.addresses("From") {
//!         let path = format!("people?email={}", fetch::encoded(&from.email));
//!         if fetch::get("crm", &path)?.is_success() {
//!             effects::label("customer")?;
//!         }
//!     }
//!     Ok(())
//! }
//!
//! let bench = Bench::new().answers("crm", "people?email=a%40shop.example", 200, "{}");
//! let run = bench.run_fn(&Mail::new().from("a@shop.example"), label_customers);
//! assert_eq!(run.lines(), ["label customer"]);
//! ```

use std::fmt::Write;

use serde::de::DeserializeOwned;

use crate::content::Blob;
use crate::fault::Fault;
use crate::seam;

/// More than the host lets any answer have.
const LONGEST: u64 = 16 << 20;

/// Asks a target for what is at `path`, which is relative and percent-encoded: see [`encoded`].
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().answers("crm", "people/1", 200, "Ann").run_fn(&Mail::new(), |_| {
///     assert_eq!(fetch::get("crm", "people/1")?.body().read_all(100)?, b"Ann");
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
/// ```
///
/// # Errors
/// [`Fault::Denied`] when the target is not granted, [`Fault::Invalid`] for a path that no target has, [`Fault::Quota`]
/// at a limit, [`Fault::Transient`] when there was no answer. Any status is an answer.
pub fn get(target: &str, path: &str) -> Result<Response, Fault> {
    to(target).get(path)
}

/// Sends content to a target.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().answers("scan", "mail", 201, "").run_fn(&Mail::new(), |message| {
///     assert_eq!(fetch::post("scan", "mail", &message.raw())?.status(), 201);
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
/// ```
///
/// # Errors
/// As [`get`]; also when the target takes no `post`.
pub fn post(target: &str, path: &str, body: &Blob) -> Result<Response, Fault> {
    to(target).post(path, body)
}

/// A call with header fields: `fetch::to("crm").header("accept", "text/csv").get("people")`.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().answers("crm", "people", 404, "").run_fn(&Mail::new(), |_| {
///     assert!(!fetch::to("crm").header("accept", "text/csv").get("people")?.is_success());
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
/// ```
pub fn to(target: &str) -> Call<'_> {
    Call { target, headers: Vec::new() }
}

/// A call to come.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().answers("scan", "mail", 200, "").run_fn(&Mail::new(), |message| {
///     let call = fetch::to("scan").header("content-type", "message/rfc822").header("x-kind", "whole");
///     assert!(call.clone().get("mail")?.is_success());
///     assert!(call.post("mail", &message.raw())?.is_success());
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is asked before `get` or `post`"]
pub struct Call<'t> {
    target: &'t str,
    headers: Vec<(String, String)>,
}

impl Call<'_> {
    /// Adds a header field. Those of the connection, and the credentials, are the host's.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As [`get`].
    ///
    /// # Errors
    /// As [`get`].
    pub fn get(self, path: &str) -> Result<Response, Fault> {
        seam::fetch_get(self.target, path, self.headers).map(Response)
    }

    /// As [`post`].
    ///
    /// # Errors
    /// As [`post`].
    pub fn post(self, path: &str, body: &Blob) -> Result<Response, Fault> {
        seam::fetch_post(self.target, path, self.headers, &body.0).map(Response)
    }
}

/// What a target answered.
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::prelude::*;
///
/// let run = Bench::new().answers("crm", "people/1", 200, r#"{ "name": "Ann" }"#).run_fn(&Mail::new(), |_| {
///     let answer = fetch::get("crm", "people/1")?;
///     assert!(answer.is_success() && answer.status() == 200);
///     assert_eq!(answer.header("content-type"), None);
///     assert_eq!(answer.body().size(), 17);
///     let person: std::collections::BTreeMap<String, String> = answer.json()?;
///     assert_eq!(person["name"], "Ann");
///     Ok(())
/// });
/// assert_eq!(run.result, Ok(()));
/// ```
#[derive(Debug)]
pub struct Response(seam::Response);

impl Response {
    /// The status: 200, 404.
    pub fn status(&self) -> u16 {
        self.0.status()
    }

    /// A status from 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status())
    }

    /// The first header field of that name, in any case. Cookies and addresses of the server are not shown.
    pub fn header(&self, name: &str) -> Option<String> {
        self.0.header(name)
    }

    /// What was sent, as it was sent.
    pub fn body(&self) -> Blob {
        Blob(self.0.body())
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// [`Fault::Other`] when it is no such JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        let octets = self.body().read_all(LONGEST)?;
        serde_json::from_slice(&octets)
            .map_err(|error| Fault::Other(format!("the answer is not the JSON that was expected: {error}")))
    }
}

/// A text as part of a path or a query: everything but letters, digits, `-`, `.`, `_` and `~` percent-encoded. A `/` in
/// a path is then refused by the host, since servers read it in different ways; in a query it is well.
///
/// ```
/// assert_eq!(postroom_sdk::fetch::encoded("a+b@shop.example"), "a%2Bb%40shop.example");
/// ```
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(octet))
            }
            octet => {
                let _ = write!(encoded, "%{octet:02X}");
            }
        }
    }
    encoded
}
