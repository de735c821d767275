//! Owns one connection: a request is let in or not, answered rightly or as a fault says, and recorded.

use std::sync::Arc;

use tokio::net::TcpStream;

use super::fault::{Endpoint, RegistryFault};
use super::{Access, Proof, Pulled, Shared};
use crate::http::{self, Answer, Request};
use crate::wire::Wire;

/// What an answer without end is made of.
const PIECE: [u8; 16 * 1024] = [b' '; 16 * 1024];
/// The service that tokens are for.
const SERVICE: &str = "practice";

pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut wire = Wire::new(stream);
    if let Some(identity) = &shared.config.identity
        && wire.upgrade(identity).await.is_err()
    {
        return;
    }
    let Ok(Some(request)) = http::read(&mut wire).await else { return };
    let Some(endpoint) = endpoint(&shared, &request.path) else {
        let _ = wire.write(&wrong(404, "NAME_UNKNOWN").to_octets()).await;
        return wire.close().await;
    };
    let fault = shared.faults.take(|fault| fault.at(endpoint).then(|| fault.clone()));
    let answer = answer(&shared, endpoint, &request, fault.as_ref());
    let pulled = Pulled { endpoint, proof: proof(&request), status: answer.status };
    shared.count(|stats| stats.asked.push(pulled));
    match fault {
        Some(RegistryFault::Endless(_)) if answer.status == 200 => go_on(&mut wire, &shared).await,
        Some(RegistryFault::Announced(_, octets)) if answer.status == 200 => {
            let head = format!("HTTP/1.1 200 Practice\r\nContent-Length: {octets}\r\n\r\n");
            if wire.write(head.as_bytes()).await.is_ok() {
                wire.stay_silent().await;
            }
        }
        _ => {
            if wire.write(&answer.to_octets()).await.is_ok() {
                wire.close().await;
            }
        }
    }
}

async fn go_on(wire: &mut Wire, shared: &Shared) {
    let mut sent = wire.write(b"HTTP/1.1 200 Practice\r\nConnection: close\r\n\r\n").await;
    while sent.is_ok() {
        shared.count(|stats| stats.endless += PIECE.len() as u64);
        sent = wire.write(&PIECE).await;
    }
    shared.count(|stats| stats.broken_off += 1);
}

fn endpoint(shared: &Shared, path: &str) -> Option<Endpoint> {
    match path {
        "/v2/" => Some(Endpoint::Root),
        "/token" => Some(Endpoint::Token),
        _ => {
            let rest = path.strip_prefix("/v2/")?.strip_prefix(&shared.config.repository)?;
            match rest.strip_prefix('/')?.split_once("/sha256:")?.0 {
                "manifests" => Some(Endpoint::Manifest),
                "blobs" => Some(Endpoint::Blob),
                _ => None,
            }
        }
    }
}

fn proof(request: &Request) -> Proof {
    match (&request.basic, &request.bearer) {
        (Some(_), _) => Proof::Basic,
        (None, Some(_)) => Proof::Token,
        (None, None) => Proof::None,
    }
}

fn answer(shared: &Shared, endpoint: Endpoint, request: &Request, fault: Option<&RegistryFault>) -> Answer {
    match fault {
        Some(RegistryFault::Status(_, status)) => {
            return Answer { status: *status, headers: Vec::new(), body: b"<p>out of order</p>".to_vec() };
        }
        Some(RegistryFault::ShortToken) if request.bearer.as_deref() != Some(&newest(shared)) => {
            return challenge(shared);
        }
        _ => {}
    }
    if endpoint == Endpoint::Token {
        return token(shared, request, fault == Some(&RegistryFault::UselessToken));
    }
    if !is_let_in(shared, request, fault == Some(&RegistryFault::ShortToken)) {
        return challenge(shared);
    }
    if let Some(RegistryFault::Redirect(_, host)) = fault {
        let url = format!("https://{host}{}", request.path);
        return Answer { status: 307, headers: vec![("Location", url)], body: Vec::new() };
    }
    let mut answer = content(shared, endpoint, &request.path);
    match (fault, answer.body.first_mut()) {
        (Some(RegistryFault::Changed(_)), Some(octet)) => *octet ^= 1,
        (Some(RegistryFault::Longer(_)), _) => answer.body.push(b' '),
        _ => {}
    }
    answer
}

fn content(shared: &Shared, endpoint: Endpoint, path: &str) -> Answer {
    let digest = path.rsplit_once(':').map_or("", |(_, digest)| digest);
    let kind = match endpoint {
        Endpoint::Root | Endpoint::Token => return Answer::json(200, "{}"),
        Endpoint::Manifest => "application/vnd.oci.image.manifest.v1+json",
        Endpoint::Blob => "application/octet-stream",
    };
    let is_digest = digest.len() == 64 && digest.bytes().all(|octet| octet.is_ascii_hexdigit());
    let read = is_digest.then(|| std::fs::read(shared.config.layout.join("blobs/sha256").join(digest)).ok());
    match read.flatten() {
        Some(body) => Answer { status: 200, headers: vec![("Content-Type", kind.to_owned())], body },
        None if endpoint == Endpoint::Manifest => wrong(404, "MANIFEST_UNKNOWN"),
        None => wrong(404, "BLOB_UNKNOWN"),
    }
}

fn is_let_in(shared: &Shared, request: &Request, runs_out: bool) -> bool {
    match &shared.config.access {
        Access::Open => true,
        Access::Basic { user, password } => {
            request.basic.as_ref().is_some_and(|(name, word)| (name, word) == (user, password))
        }
        Access::Token { .. } => {
            let token = request.bearer.as_deref().unwrap_or_default();
            let good = token.strip_prefix("token-").and_then(|number| number.parse::<u64>().ok());
            let is_good = good.is_some_and(|number| number >= 1 && number <= given(shared));
            if is_good && runs_out {
                // The next one to ask for a token gets another number, which alone is good.
                shared.count(|stats| stats.tokens += 1);
            }
            is_good
        }
    }
}

fn given(shared: &Shared) -> u64 {
    shared.stats.borrow().tokens
}

fn newest(shared: &Shared) -> String {
    format!("token-{}", given(shared))
}

fn challenge(shared: &Shared) -> Answer {
    let repository = &shared.config.repository;
    let field = match shared.config.access {
        Access::Open | Access::Basic { .. } => "Basic realm=\"practice\"".to_owned(),
        Access::Token { .. } => format!(
            "Bearer realm=\"{}/token\",service=\"{SERVICE}\",scope=\"repository:{repository}:pull\"",
            shared.url()
        ),
    };
    let mut answer = wrong(401, "UNAUTHORIZED");
    answer.headers.push(("WWW-Authenticate", field));
    answer
}

fn token(shared: &Shared, request: &Request, useless: bool) -> Answer {
    let given =
        |name: &str| request.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let scope = format!("repository:{}:pull", shared.config.repository);
    let Access::Token { user, password } = &shared.config.access else { return wrong(404, "UNSUPPORTED") };
    if request.basic.as_ref().is_none_or(|(name, word)| (name, word) != (user, password)) {
        return wrong(401, "UNAUTHORIZED");
    }
    if given("service") != Some(SERVICE) || given("scope") != Some(&scope) {
        return wrong(400, "DENIED");
    }
    if useless {
        return Answer::json(200, "{\"token\":\"useless\"}");
    }
    shared.count(|stats| stats.tokens += 1);
    Answer::json(200, format!("{{\"token\":\"{}\",\"expires_in\":60}}", newest(shared)))
}

/// An error of the specification.
fn wrong(status: u16, code: &str) -> Answer {
    Answer::json(
        status,
        format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"says the registry\"}}]}}"),
    )
}
