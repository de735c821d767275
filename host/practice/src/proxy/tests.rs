//! The practice proxy as a raw client sees it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::{Maildrop, MaildropConfig, Security};

async fn exchange(stream: &mut TcpStream, send: &[u8], answer: usize) -> Vec<u8> {
    stream.write_all(send).await.unwrap();
    let mut octets = vec![0; answer];
    stream.read_exact(&mut octets).await.unwrap();
    octets
}

#[tokio::test]
async fn a_name_is_relayed_to_its_server_and_recorded() {
    let maildrop = Maildrop::start(MaildropConfig::new(Security::Plain)).await.unwrap();
    let config = ProxyConfig::new().login("ann", "secret").name("pop.example", maildrop.addr());
    let proxy = Proxy::start(config).await.unwrap();
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(exchange(&mut client, &[5, 2, 0, 2], 2).await, [5, 2]);
    assert_eq!(exchange(&mut client, b"\x01\x03ann\x06secret", 2).await, [1, 0]);
    let reply = exchange(&mut client, b"\x05\x01\x00\x03\x0bpop.example\x03\xe3", 10).await;
    assert_eq!(reply[..2], [5, 0]);
    assert_eq!(exchange(&mut client, b"", 3).await, b"+OK");
    let stats = proxy.stats();
    assert_eq!(stats.requests, [Requested::Name("pop.example".into(), 995)]);
    assert_eq!((stats.logins, stats.relayed), (1, 1));
}

#[tokio::test]
async fn another_machine_is_never_connected_to_and_an_unknown_name_never_looked_up() {
    let proxy = Proxy::start(ProxyConfig::new()).await.unwrap();
    for (request, code) in
        [(&b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x6e"[..], 2), (b"\x05\x01\x00\x03\x09x.example\x00\x6e", 4)]
    {
        let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
        assert_eq!(exchange(&mut client, &[5, 1, 0], 2).await, [5, 0]);
        assert_eq!(exchange(&mut client, request, 10).await[1], code);
    }
    assert_eq!(proxy.stats().relayed, 0);
}

#[tokio::test]
async fn without_the_login_nobody_gets_in_and_a_fault_is_committed_as_often_as_told() {
    let proxy = Proxy::start(ProxyConfig::new().login("ann", "secret")).await.unwrap();
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(exchange(&mut client, &[5, 1, 0], 2).await, [5, 0xff]);
    proxy.inject(ProxyFault::Method(1), Times::Next(1));
    for method in [1, 2] {
        let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
        assert_eq!(exchange(&mut client, &[5, 2, 0, 2], 2).await, [5, method]);
    }
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    exchange(&mut client, &[5, 1, 2], 2).await;
    assert_eq!(exchange(&mut client, b"\x01\x03ann\x05wrong", 2).await, [1, 1]);
    assert_eq!(proxy.stats().refused_logins, 1);
}
