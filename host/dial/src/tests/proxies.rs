//! Through a SOCKS5 proxy: the name goes to the proxy, and a failure says whose it is.

use std::collections::BTreeMap;

use postroom_practice::Times;
use postroom_practice::proxy::{Proxy, ProxyConfig, ProxyFault, ProxyStage, Requested};
use zeroize::Zeroizing;

use super::*;
use crate::{Answer, Pace, ProxyFailure, ProxyLogin, Resolver, Route, Socks5, Via, connect};

/// A way through `proxy` for which no name can be looked up here.
fn route(host: &str, port: u16, proxy: &Proxy, login: Option<(&str, &str)>) -> Route {
    let login = login.map(|(user, password)| ProxyLogin {
        user: user.to_owned(),
        password: Zeroizing::new(password.to_owned()),
    });
    let proxy = Socks5 { host: "127.0.0.1".to_owned(), port: proxy.addr().port(), login };
    Route { resolver: Resolver::Table(BTreeMap::new()), ..Route::direct(host, port).through(proxy) }
}

fn failure(outcome: Result<TcpStream, Error>) -> ProxyFailure {
    match outcome {
        Err(Error::Proxy { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_name_goes_to_the_proxy_and_is_not_looked_up_here_and_tls_works_through_it() {
    let world = World::new();
    let server = serve(&world.issue(CertificateKind::Good)).await;
    let proxy = Proxy::start(ProxyConfig::new().name("localhost", server.addr())).await.unwrap();
    let tcp = connect(&route("localhost", 995, &proxy, None)).await.unwrap();
    let client = world.trust().prepare().unwrap();
    let tls = handshake(&client, "localhost", tcp, PATIENT).await.unwrap();
    assert_eq!(greeting(tls).await, b"+OK");
    assert_eq!(proxy.stats().requests, [Requested::Name("localhost".into(), 995)]);
}

#[tokio::test]
async fn an_ip_literal_goes_as_an_address() {
    let server = Maildrop::start(MaildropConfig::new(Security::Plain)).await.unwrap();
    let proxy = Proxy::start(ProxyConfig::new()).await.unwrap();
    let tcp = connect(&route("127.0.0.1", server.addr().port(), &proxy, None)).await.unwrap();
    assert_eq!(greeting(tcp).await, b"+OK");
    let v6 = failure(connect(&route("[2001:db8::1]", 995, &proxy, None)).await);
    assert!(matches!(v6, ProxyFailure::NotAllowed), "{v6}");
    let v6 = Requested::Address("[2001:db8::1]:995".parse().unwrap());
    assert_eq!(proxy.stats().requests, [Requested::Address(server.addr()), v6]);
}

#[tokio::test]
async fn a_login_is_given_refused_or_missed() {
    let server = Maildrop::start(MaildropConfig::new(Security::Plain)).await.unwrap();
    let config = ProxyConfig::new().login("ann", "secret").name("pop.example", server.addr());
    let proxy = Proxy::start(config).await.unwrap();
    let with = async |login| connect(&route("pop.example", 110, &proxy, login)).await;
    assert_eq!(greeting(with(Some(("ann", "secret"))).await.unwrap()).await, b"+OK");
    let wrong = with(Some(("ann", "wrong-one"))).await;
    assert!(wrong.as_ref().is_err_and(Error::needs_a_person));
    assert!(!format!("{wrong:?}").contains("wrong-one"));
    assert!(matches!(failure(wrong), ProxyFailure::LoginRefused));
    assert!(matches!(failure(with(None).await), ProxyFailure::LoginRequired));
    assert!(matches!(failure(with(Some(("ann", ""))).await), ProxyFailure::LoginLength));
    let debug = format!("{:?}", route("pop.example", 110, &proxy, Some(("ann", "secret"))));
    assert!(debug.contains("ann") && !debug.contains("secret"), "{debug}");
}

#[tokio::test]
async fn every_refusal_says_whose_fault_it_is() {
    let proxy = Proxy::start(ProxyConfig::new()).await.unwrap();
    for (code, words, person) in [
        (1, "the proxy failed by itself (reply 1)", false),
        (2, "the proxy's rules do not allow it", true),
        (3, "the proxy could not reach the server: the network is unreachable", false),
        (4, "the proxy could not reach the server: the host is unreachable", false),
        (5, "the proxy could not reach the server: the server refused", false),
        (6, "the proxy could not reach the server: the server did not answer", false),
        (7, "the proxy failed by itself (reply 7)", false),
        (200, "the proxy failed by itself (reply 200)", false),
    ] {
        proxy.inject(ProxyFault::Reply(code), Times::Next(1));
        let error = connect(&route("pop.example", 995, &proxy, None)).await.unwrap_err();
        assert!(error.to_string().contains(words), "{code}: {error}");
        assert!(error.to_string().contains("pop.example:995"), "{error}");
        assert_eq!(error.needs_a_person(), person, "{code}");
    }
    let unknown = connect(&route("pop.example", 995, &proxy, None)).await.unwrap_err();
    assert!(unknown.to_string().contains("name unknown"), "{unknown}");
}

#[tokio::test]
async fn silent_cutting_and_babbling_proxies_are_told_apart_at_every_stage() {
    let proxy = Proxy::start(ProxyConfig::new().login("ann", "secret")).await.unwrap();
    let mut way = route("pop.example", 995, &proxy, Some(("ann", "secret")));
    for stage in [ProxyStage::Methods, ProxyStage::Login, ProxyStage::Request] {
        proxy.inject(ProxyFault::Drop(stage), Times::Next(1));
        let cut = failure(connect(&way).await);
        assert!(matches!(cut, ProxyFailure::Closed | ProxyFailure::Broken(_)), "{stage:?}: {cut}");
    }
    for stage in [ProxyStage::Methods, ProxyStage::Request] {
        proxy.inject(ProxyFault::Garbage(stage, b"HTTP/1.1 400 Bad Request\r\n".to_vec()), Times::Next(1));
        assert!(matches!(failure(connect(&way).await), ProxyFailure::NotSocks5), "{stage:?}");
    }
    proxy.inject(ProxyFault::Method(1), Times::Next(1));
    assert!(matches!(failure(connect(&way).await), ProxyFailure::NoCommonMethod));
    way.pace = Pace { total: Duration::from_millis(300), ..Pace::default() };
    for stage in [ProxyStage::Methods, ProxyStage::Login, ProxyStage::Request] {
        proxy.inject(ProxyFault::Silent(stage), Times::Next(1));
        let silent = failure(connect(&way).await);
        assert!(matches!(silent, ProxyFailure::Silent { .. }), "{stage:?}: {silent}");
    }
}

#[tokio::test]
async fn a_proxy_that_cannot_be_reached_is_not_mistaken_for_the_server() {
    let mut way = Route::direct("pop.example", 995).through(Socks5 {
        host: "proxy.example".to_owned(),
        port: 1080,
        login: None,
    });
    way.resolver = Resolver::Table(BTreeMap::from([("proxy.example".to_owned(), Answer::NoSuchName)]));
    let error = connect(&way).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the proxy proxy.example:1080 cannot be reached"), "{text}");
    assert!(
        matches!(&error, Error::ProxyUnreachable { reason, .. } if matches!(**reason, Error::Resolve { .. }))
    );
    assert!(matches!(way.via, Via::Socks5(_)) && !text.contains("pop.example"));
}
