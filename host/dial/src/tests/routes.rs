//! Direct ways over real sockets. The timing of the race is tested with virtual time in `race`.

use std::collections::BTreeMap;

use tokio::net::TcpListener;

use super::*;
use crate::{Answer, Pace, ResolveFailure, Resolver, Route, connect};

fn known(addresses: Vec<SocketAddr>) -> Route {
    let table = BTreeMap::from([("pop.example".to_owned(), Answer::Addresses(addresses))]);
    Route { resolver: Resolver::Table(table), ..Route::direct("pop.example", 995) }
}

/// A port on which nobody listens, kept from others as long as the socket lives.
fn deaf() -> (tokio::net::TcpSocket, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

#[tokio::test]
async fn a_broken_ipv6_address_first_does_not_keep_from_a_good_ipv4_one() {
    let server = Maildrop::start(MaildropConfig::new(Security::Plain)).await.unwrap();
    // Whether this machine has IPv6 (refused) or not (unreachable), nothing is there.
    let broken = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 1));
    let tcp = connect(&known(vec![broken, server.addr()])).await.unwrap();
    assert_eq!(tcp.peer_addr().unwrap(), server.addr());
    assert!(tcp.nodelay().unwrap());
    assert_eq!(greeting(tcp).await, b"+OK");
}

#[tokio::test]
async fn two_hundred_addresses_are_not_all_tried() {
    let (_held, addr) = deaf();
    let error = connect(&known(vec![addr; 200])).await.unwrap_err();
    match &error {
        Error::Connect { tried, known, reason, .. } => {
            assert_eq!((*tried, *known, reason.kind()), (16, 200, std::io::ErrorKind::ConnectionRefused));
        }
        other => panic!("{other:?}"),
    }
    assert!(error.to_string().contains("16 of its 200 addresses"), "{error}");
    assert!(!error.needs_a_person());
}

#[tokio::test]
async fn a_silent_first_address_loses_to_the_second_over_real_sockets() {
    // A listener that takes nobody, its queue filled: further attempts get no answer (or, on some systems, an accept
    // that comes to nothing, which this test would notice by the wrong winner).
    let full = tokio::net::TcpSocket::new_v4().unwrap();
    full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = full.listen(1).unwrap();
    let silent = full.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(silent)).await
    {
        queued.push(stream);
        assert!(queued.len() < 64, "the queue does not fill");
    }
    let server = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let good = server.local_addr().unwrap();
    let mut way = known(vec![silent, good]);
    way.pace = Pace { attempt_delay: Duration::from_millis(5), ..Pace::default() };
    assert_eq!(connect(&way).await.unwrap().peer_addr().unwrap(), good);
    let mut alone = known(vec![silent]);
    alone.pace = Pace { total: Duration::from_millis(50), ..Pace::default() };
    match connect(&alone).await {
        Err(Error::Connect { reason, .. }) => assert_eq!(reason.kind(), std::io::ErrorKind::TimedOut),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told_from_a_resolver_in_trouble() {
    let mut way = known(Vec::new());
    way.host = "gone.example".to_owned();
    let error = connect(&way).await.unwrap_err();
    assert!(matches!(&error, Error::Resolve { reason: ResolveFailure::NoSuchName, .. }), "{error}");
    assert!(error.hint().contains("gone.example"));
    way.resolver = Resolver::Table(BTreeMap::from([("gone.example".to_owned(), Answer::Temporary)]));
    let error = connect(&way).await.unwrap_err();
    assert!(matches!(&error, Error::Resolve { reason: ResolveFailure::Temporary(_), .. }), "{error}");
    assert!(error.hint().contains("name servers"));
}

#[tokio::test]
async fn the_systems_resolver_knows_localhost() {
    let server = Maildrop::start(MaildropConfig::new(Security::Plain)).await.unwrap();
    let tcp = connect(&Route::direct("localhost", server.addr().port())).await.unwrap();
    assert_eq!(greeting(tcp).await, b"+OK");
}
