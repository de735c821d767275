//! One target: its client, its credentials, how often and how long it is asked. Texts for the plugin name the target and
//! nothing else of it; the log names the host, never a path, a query or a credential.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use postroom_mail::Name;
use postroom_sandbox::{FetchAnswer, FetchError, FetchMethod, FetchRequest};
use reqwest::dns::Resolve;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, Url};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::config::FetchConfig;
use super::guard::{Forbidden, Guard};
use super::names::Guarded;
use super::rate::Rate;
use crate::config::{Secret, SecretRef};

/// Header fields of an answer, and octets of their names and values.
const MOST_FIELDS: usize = 64;
const FIELD_OCTETS: usize = 16 << 10;
/// A connection that nobody uses is closed.
const IDLE: Duration = Duration::from_secs(30);
/// A word of a credential shorter than this may stand in an answer by chance.
const TELLING: usize = 8;

pub(super) struct Target {
    name: Name,
    base: Url,
    /// For the log.
    host: String,
    client: reqwest::Client,
    methods: Vec<FetchMethod>,
    credentials: HeaderMap,
    /// What no answer may repeat.
    telling: Vec<Zeroizing<String>>,
    guard: Guard,
    timeout: Duration,
    most: u64,
    slots: Semaphore,
    rate: Mutex<Rate>,
    per_minute: u32,
}

impl Target {
    pub(super) fn build(
        name: &Name,
        config: &FetchConfig,
        base: &Path,
        names: Arc<dyn Resolve>,
    ) -> Result<Self, String> {
        let url = config.base().map_err(|problem| problem.text)?;
        let guard = config.guard();
        let ca_file = config.ca_file.as_ref().map(|file| base.join(file));
        let tls = postroom_dial::client(ca_file.as_deref()).map_err(|error| error.to_string())?;
        let (credentials, telling) = credentials(config, base)?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(&tls))
            .https_only(!config.allow_http)
            .dns_resolver(Arc::new(Guarded::new(names, guard.clone())))
            // A server's word must not lead a request with a credential in it, or a plugin, to another place.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent("postroom")
            .http1_only()
            .http1_max_headers(MOST_FIELDS)
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .connect_timeout(config.timeout)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(config.connections as usize)
            .build()
            .map_err(|_| "the HTTP client does not take the TLS settings".to_owned())?;
        Ok(Self {
            name: name.clone(),
            host: url.host_str().unwrap_or_default().to_owned(),
            base: url,
            client,
            methods: config.methods.iter().map(|method| (*method).into()).collect(),
            credentials,
            telling,
            guard,
            timeout: config.timeout,
            most: config.max_response,
            slots: Semaphore::new(config.connections as usize),
            rate: Mutex::new(Rate::new(config.per_minute, Instant::now())),
            per_minute: config.per_minute,
        })
    }

    /// One call, logged, whatever becomes of it.
    pub(super) async fn call(&self, request: &FetchRequest) -> Result<FetchAnswer, FetchError> {
        let begun = Instant::now();
        let within = self.timeout.min(request.within);
        let outcome = match timeout(within, self.ask(request, begun + within)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.unavailable(format_args!("did not answer within {within:?}"))),
        };
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (fetch, method, step) = (self.name.as_str(), request.method.as_str(), request.step.as_str());
        match &outcome {
            Ok(answer) => {
                let octets = answer.body.len();
                tracing::info!(
                    step,
                    fetch,
                    host = self.host,
                    method,
                    status = answer.status,
                    octets,
                    millis,
                    "fetched"
                );
            }
            Err(error) => {
                tracing::warn!(step, fetch, host = self.host, method, millis, %error, "not fetched");
            }
        }
        outcome
    }

    async fn ask(&self, request: &FetchRequest, until: Instant) -> Result<FetchAnswer, FetchError> {
        if !self.methods.contains(&request.method) {
            return Err(FetchError::Denied(self.line_with(request.method)));
        }
        let url = self.joined(request)?;
        let headers = self.headers(request)?;
        self.turn(until).await?;
        let Ok(_slot) = self.slots.acquire().await else {
            return Err(self.unavailable(format_args!("takes no calls any more")));
        };
        // The client looks up no address that is one already.
        if let Some(address) = super::config::literal(&url) {
            self.guard.check([address]).map_err(|forbidden| self.forbidden(&forbidden))?;
        }
        let method = match request.method {
            FetchMethod::Get => reqwest::Method::GET,
            FetchMethod::Post => reqwest::Method::POST,
        };
        let mut call = self.client.request(method, url).headers(headers);
        if let Some(body) = &request.body {
            call = call.body(body.clone());
        }
        let response = call.send().await.map_err(|error| self.trouble(&error))?;
        self.answer(response, self.most.min(request.most)).await
    }

    /// Waits for a turn, unless it would come too late: a burst is spread, not refused.
    async fn turn(&self, until: Instant) -> Result<(), FetchError> {
        loop {
            let taken = self.rate.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
            let Err(wait) = taken else { return Ok(()) };
            if wait >= until.saturating_duration_since(Instant::now()) {
                let text = format_args!("is asked at most {} times a minute", self.per_minute);
                return Err(self.unavailable(text));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Joined as texts; the parser has to read back exactly that, below the base.
    fn joined(&self, request: &FetchRequest) -> Result<Url, FetchError> {
        let text = format!("{}{}", self.base, request.path.as_str());
        let url = Url::parse(&text).ok().filter(|url| {
            url.as_str() == text
                && url.origin() == self.base.origin()
                && url.path().starts_with(self.base.path())
                && url.fragment().is_none()
        });
        url.ok_or_else(|| FetchError::Refused(format!("the path is not below the target {}", self.name)))
    }

    /// The plugin's, then the host's in place of any of the same name.
    fn headers(&self, request: &FetchRequest) -> Result<HeaderMap, FetchError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let field = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
            let Some((name, value)) = field else {
                return Err(FetchError::Refused("a header field cannot be sent".to_owned()));
            };
            headers.append(name, value);
        }
        for (name, value) in &self.credentials {
            headers.insert(name, value.clone());
        }
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Ok(headers)
    }

    async fn answer(&self, mut response: Response, most: u64) -> Result<FetchAnswer, FetchError> {
        let fields = response.headers();
        let octets: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if fields.len() > MOST_FIELDS || octets > FIELD_OCTETS {
            return Err(self.refused("answered with more than 64 header fields or 16 KiB of them"));
        }
        // A value that is no text is of no use to a plugin.
        let shown = fields.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let headers: Vec<_> = shown.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let status = response.status().as_u16();
        if response.content_length().is_some_and(|length| length > most) {
            return Err(FetchError::TooLarge { most });
        }
        let mut body = Vec::new();
        while let Some(octets) = response.chunk().await.map_err(|error| self.trouble(&error))? {
            if (body.len() + octets.len()) as u64 > most {
                return Err(FetchError::TooLarge { most });
            }
            body.extend_from_slice(&octets);
        }
        let answer = FetchAnswer { status, headers, body };
        if self.telling.iter().any(|word| repeats(&answer, word)) {
            return Err(self.refused("repeats the credentials that it was sent, so its answer is withheld"));
        }
        Ok(answer)
    }

    fn line_with(&self, method: FetchMethod) -> String {
        let all = [FetchMethod::Get, FetchMethod::Post];
        let named = all.into_iter().filter(|each| *each == method || self.methods.contains(each));
        let named: Vec<_> = named.map(|each| format!("\"{}\"", each.as_str().to_ascii_lowercase())).collect();
        format!("methods = [{}] of the target {}", named.join(", "), self.name)
    }

    fn unavailable(&self, problem: std::fmt::Arguments<'_>) -> FetchError {
        FetchError::Unavailable(format!("the target {} {problem}", self.name))
    }

    fn refused(&self, problem: &str) -> FetchError {
        FetchError::Refused(format!("the target {} {problem}", self.name))
    }

    /// Where it is stays in the log.
    fn forbidden(&self, forbidden: &Forbidden) -> FetchError {
        tracing::error!(fetch = self.name.as_str(), host = self.host, %forbidden, "a call was not let to this address");
        self.unavailable(format_args!("is at an address that plugins are not let to"))
    }

    /// In our own words: the texts beneath may quote URLs.
    fn trouble(&self, error: &reqwest::Error) -> FetchError {
        if let Some(forbidden) = beneath(error, |inner| inner.downcast_ref::<Forbidden>().copied()) {
            return self.forbidden(&forbidden);
        }
        let is_tls = beneath(error, |inner| inner.is::<rustls::Error>().then_some(())).is_some();
        self.unavailable(format_args!(
            "{}",
            if is_tls {
                "could not be trusted: its certificate or TLS was refused"
            } else if error.is_timeout() {
                "did not answer in time"
            } else if error.is_connect() {
                "could not be reached"
            } else {
                "broke the connection, or gave an answer that is no HTTP"
            }
        ))
    }
}

/// The fields with credentials, and the words of them that no answer may hold.
fn credentials(config: &FetchConfig, base: &Path) -> Result<(HeaderMap, Vec<Zeroizing<String>>), String> {
    let mut fields = HeaderMap::new();
    let mut telling = Vec::new();
    let read = |reference: &SecretRef| reference.read(base).map_err(|error| error.to_string());
    let mut add = |name: HeaderName, prefix: &str, secret: &Secret| {
        let text = Zeroizing::new(format!("{prefix}{}", secret.expose()));
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            format!("the secret for the header field {name} has characters that no field may have")
        })?;
        value.set_sensitive(true);
        fields.insert(name, value);
        let words = secret.expose().split_ascii_whitespace().filter(|word| word.len() >= TELLING);
        telling.extend(words.map(|word| Zeroizing::new(word.to_owned())));
        Ok::<(), String>(())
    };
    for (name, reference) in &config.headers {
        let field =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| "a header field has no name".to_owned())?;
        add(field, "", &read(reference)?)?;
    }
    if let Some(reference) = &config.bearer {
        add(AUTHORIZATION, "Bearer ", &read(reference)?)?;
    }
    Ok((fields, telling))
}

/// Whether an answer holds the word as it was sent. Another spelling of it is not found.
fn repeats(answer: &FetchAnswer, word: &str) -> bool {
    let word = word.as_bytes();
    answer.body.windows(word.len()).any(|window| window == word)
        || answer
            .headers
            .iter()
            .any(|(_, value)| value.as_bytes().windows(word.len()).any(|window| window == word))
}

/// What is found at any depth. IO errors wrap others, and their own `source` skips what they wrap.
fn beneath<T>(
    error: &(dyn std::error::Error + 'static),
    find: fn(&(dyn std::error::Error + 'static)) -> Option<T>,
) -> Option<T> {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    find(error)
        .or_else(|| wrapped.and_then(|inner| beneath(inner, find)))
        .or_else(|| error.source().and_then(|source| beneath(source, find)))
}
