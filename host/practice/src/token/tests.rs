//! Owns the tests of the token server by hand-written requests. Must not use an OAuth library: that is what it tests.

use super::*;
use crate::testing::{Client, trusting};
use crate::{Authority, CertificateKind};

async fn server(authority: &Authority) -> TokenServer {
    let identity = authority.issue(CertificateKind::Good).unwrap();
    TokenServer::start(TokenServerConfig::new(identity, "client").lifetime(Duration::from_secs(60)))
        .await
        .unwrap()
}

async fn ask(server: &TokenServer, authority: &Authority, path: &str, body: &str) -> String {
    let mut client = Client::connect(server.addr()).await;
    client.upgrade(&trusting(authority), "localhost").await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send(format!("{head}{body}").as_bytes()).await;
    String::from_utf8(client.rest().await).unwrap()
}

fn field(answer: &str, name: &str) -> String {
    let (_, rest) =
        answer.split_once(&format!("\"{name}\":\"")).unwrap_or_else(|| panic!("{name}: {answer}"));
    rest.split('"').next().unwrap().to_owned()
}

async fn signed_in(server: &TokenServer, authority: &Authority) -> String {
    let device = field(&ask(server, authority, "/device", "client_id=client").await, "device_code");
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code";
    ask(server, authority, "/token", &format!("client_id=client&{grant}&device_code={device}")).await
}

async fn refresh(server: &TokenServer, authority: &Authority, token: &str) -> String {
    let body = format!("client_id=client&grant_type=refresh_token&refresh_token={token}");
    ask(server, authority, "/token", &body).await
}

#[tokio::test]
async fn an_access_token_is_accepted_until_its_time_or_its_revocation() {
    let authority = Authority::new().unwrap();
    let server = server(&authority).await;
    let access = field(&signed_in(&server, &authority).await, "access_token");
    assert!(server.accepts(&access) && !server.accepts("other"));
    server.advance(Duration::from_secs(59));
    assert!(server.accepts(&access));
    server.advance(Duration::from_secs(1));
    assert!(!server.accepts(&access));
    let access = field(&signed_in(&server, &authority).await, "access_token");
    server.revoke();
    assert!(!server.accepts(&access));
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_the_whole_sign_in() {
    let authority = Authority::new().unwrap();
    let server = server(&authority).await;
    let first = field(&signed_in(&server, &authority).await, "refresh_token");
    let second = field(&refresh(&server, &authority, &first).await, "refresh_token");
    assert_ne!(first, second);
    assert!(refresh(&server, &authority, &first).await.contains("invalid_grant"));
    assert!(refresh(&server, &authority, &second).await.contains("invalid_grant"));
    assert_eq!(server.stats().reused, 1);
}

#[tokio::test]
async fn a_code_without_its_verifier_is_worth_nothing() {
    let authority = Authority::new().unwrap();
    let server = server(&authority).await;
    // RFC 7636 appendix B.
    let path = "/authorize?response_type=code&client_id=client&redirect_uri=http%3A%2F%2F127.0.0.1%2F&state=s%20t&\
                code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";
    for (verifier, good) in [("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", true), ("wrong", false)] {
        let answer = ask(&server, &authority, path, "").await;
        assert!(answer.contains("&state=s%20t"), "{answer}");
        let code = answer.split_once("?code=").unwrap().1.split('&').next().unwrap().to_owned();
        let body = format!(
            "client_id=client&grant_type=authorization_code&code={code}&code_verifier={verifier}&\
             redirect_uri=http%3A%2F%2F127.0.0.1%2F"
        );
        let answer = ask(&server, &authority, "/token", &body).await;
        assert_eq!(answer.contains("access_token"), good, "{answer}");
    }
}

#[tokio::test]
async fn a_fault_is_committed_as_often_as_told() {
    let authority = Authority::new().unwrap();
    let server = server(&authority).await;
    server.inject(TokenFault::Status(Endpoint::Device, 503), Times::Next(1));
    assert!(ask(&server, &authority, "/device", "client_id=client").await.starts_with("HTTP/1.1 503"));
    assert!(ask(&server, &authority, "/device", "client_id=client").await.starts_with("HTTP/1.1 200"));
    assert!(ask(&server, &authority, "/device", "client_id=other").await.contains("invalid_client"));
    assert_eq!(server.stats().asked.len(), 3);
}
