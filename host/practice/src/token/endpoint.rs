//! Owns one connection: a request is recorded, done, and answered, rightly or as a fault says. Must not keep tokens.

use std::sync::Arc;

use tokio::net::TcpStream;

use super::fault::{Endpoint, TokenFault};
use super::issued::Pair;
use super::{Asked, Shared};
use crate::http::{self, Answer, Request, encode};
use crate::wire::Wire;

pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    shared.count(|stats| stats.connections += 1);
    let mut wire = Wire::new(stream);
    if wire.upgrade(&shared.config.identity).await.is_err() {
        return;
    }
    let Ok(Some(request)) = http::read(&mut wire).await else { return };
    let Some(endpoint) = Endpoint::of(&request.path) else {
        let _ = wire.write(&Answer { status: 404, headers: Vec::new(), body: Vec::new() }.to_octets()).await;
        return;
    };
    let fault = shared.faults.take(|fault| fault.at(endpoint).then(|| fault.clone()));
    let answer = answer(&shared, endpoint, &request, fault.as_ref());
    let asked = Asked { endpoint, parameters: request.parameters, basic: request.basic.is_some() };
    shared.count(|stats| stats.asked.push(asked));
    match fault {
        Some(TokenFault::Silent(_)) => return wire.stay_silent().await,
        Some(TokenFault::Drop(_)) => return,
        Some(TokenFault::Hold(_)) => {
            // The sender is in `shared`, so it cannot be gone.
            let _ = shared.released.subscribe().wait_for(|released| *released).await;
        }
        _ => {}
    }
    if wire.write(&answer.to_octets()).await.is_ok() {
        wire.close().await;
    }
}

fn answer(shared: &Shared, endpoint: Endpoint, request: &Request, fault: Option<&TokenFault>) -> Answer {
    let bare = |status| Answer { status, headers: Vec::new(), body: b"<p>out of order</p>".to_vec() };
    match fault {
        Some(TokenFault::Status(_, status)) => bare(*status),
        Some(TokenFault::RetryAfter(_, status, seconds)) => {
            let mut answer = bare(*status);
            answer.headers.push(("Retry-After", seconds.to_string()));
            answer
        }
        Some(TokenFault::Error(_, code, said)) => {
            let all: Vec<_> = request.parameters.iter().map(|(_, value)| value.as_str()).collect();
            refused(shared, code, &said.replace("{secrets}", &all.join(" ")))
        }
        Some(TokenFault::Garbage(_, body)) => Answer::json(200, body.clone()),
        Some(TokenFault::Huge(_, octets)) => Answer::json(200, vec![b' '; *octets]),
        Some(TokenFault::Redirect(_, url)) => {
            Answer { status: 307, headers: vec![("Location", url.clone())], body: Vec::new() }
        }
        Some(TokenFault::Silent(_)) => bare(500),
        None | Some(TokenFault::Drop(_) | TokenFault::Hold(_) | TokenFault::WrongState) => match endpoint {
            Endpoint::Authorize => authorize(shared, request, fault.is_some()),
            Endpoint::Device => device(shared, request),
            Endpoint::Token => token(shared, request),
        },
    }
}

fn authorize(shared: &Shared, request: &Request, wrong_state: bool) -> Answer {
    let (Some(redirect), Some(challenge), Some("S256"), Some("code")) = (
        parameter(request, "redirect_uri"),
        parameter(request, "code_challenge"),
        parameter(request, "code_challenge_method"),
        parameter(request, "response_type"),
    ) else {
        return refused(
            shared,
            "invalid_request",
            "redirect_uri, code_challenge with S256 and code are needed",
        );
    };
    if parameter(request, "client_id") != Some(&shared.config.client_id) {
        return refused(shared, "invalid_client", "unknown client");
    }
    let code = shared.issued().code(challenge, redirect, parameter(request, "scope").unwrap_or(""));
    let state = if wrong_state { "another" } else { parameter(request, "state").unwrap_or("") };
    let location = format!("{redirect}?code={}&state={}", encode(&code), encode(state));
    Answer { status: 302, headers: vec![("Location", location)], body: Vec::new() }
}

fn device(shared: &Shared, request: &Request) -> Answer {
    if !known_client(shared, request) {
        return refused(shared, "invalid_client", "unknown client");
    }
    let code = shared.issued().device();
    Answer::json(
        200,
        format!(
            "{{\"device_code\":\"{code}\",\"user_code\":\"PRAC-TICE\",\"verification_uri\":\
             \"https://sign-in.example/device\",\"expires_in\":900,\"interval\":5}}"
        ),
    )
}

fn token(shared: &Shared, request: &Request) -> Answer {
    if !known_client(shared, request) {
        return refused(shared, "invalid_client", "unknown client or wrong secret");
    }
    let lifetime = shared.config.lifetime;
    let given = |name| parameter(request, name).unwrap_or("");
    let pair = match given("grant_type") {
        "authorization_code" => {
            shared.issued().redeem(given("code"), given("code_verifier"), given("redirect_uri"), lifetime)
        }
        "urn:ietf:params:oauth:grant-type:device_code" => {
            shared.issued().redeem_device(given("device_code"), lifetime)
        }
        "client_credentials" if shared.config.client_secret.is_none() => {
            return refused(shared, "unauthorized_client", "a public client has no credentials");
        }
        "client_credentials" => Some(shared.issued().application(given("scope"), lifetime)),
        "refresh_token" => {
            let result = shared.issued().refresh(given("refresh_token"), shared.config.rotate, lifetime);
            if let Err(true) = result {
                shared.count(|stats| stats.reused += 1);
            }
            result.ok()
        }
        _ => return refused(shared, "unsupported_grant_type", "unknown grant type"),
    };
    match pair {
        Some(pair) => granted(shared, &pair),
        None => refused(shared, "invalid_grant", "unknown, expired, revoked or used before"),
    }
}

fn granted(shared: &Shared, pair: &Pair) -> Answer {
    shared.count(|stats| stats.issued += 1);
    let refresh =
        pair.refresh.as_ref().map(|token| format!(",\"refresh_token\":\"{token}\"")).unwrap_or_default();
    let scope: String = pair.scope.chars().filter(|char| !matches!(char, '"' | '\\')).collect();
    Answer::json(
        200,
        format!(
            "{{\"access_token\":\"{}\",\"token_type\":\"Bearer\",\"expires_in\":{},\"scope\":\"{scope}\"{refresh}}}",
            pair.access,
            shared.config.lifetime.as_secs()
        ),
    )
}

/// RFC 6749 section 5.2.
fn refused(shared: &Shared, code: &str, said: &str) -> Answer {
    shared.count(|stats| stats.refused += 1);
    let said: String =
        said.chars().filter(|char| !matches!(char, '"' | '\\') && !char.is_control()).collect();
    Answer::json(400, format!("{{\"error\":\"{code}\",\"error_description\":\"{said}\"}}"))
}

fn known_client(shared: &Shared, request: &Request) -> bool {
    let (id, secret) = match &request.basic {
        Some((id, secret)) => (Some(id.as_str()), Some(secret.as_str())),
        None => (parameter(request, "client_id"), parameter(request, "client_secret")),
    };
    id == Some(&shared.config.client_id)
        && shared.config.client_secret.as_ref().is_none_or(|expected| secret == Some(expected))
}

fn parameter<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
