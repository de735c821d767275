//! The client's half of SOCKS5: CONNECT (RFC 1928) and the user/password login (RFC 1929). Must not resolve names or
//! read an octet more than the proxy's answers: what follows belongs to the server.

use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use crate::error::ProxyFailure;
use crate::route::ProxyLogin;

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0x00;
const USER_PASSWORD: u8 = 0x02;
const NONE_ACCEPTABLE: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Asks the proxy behind `stream` for a connection to `host`; after `Ok` the stream is that connection. Has no time
/// limit of its own.
pub(crate) async fn ask<S>(
    stream: &mut S,
    host: &str,
    port: u16,
    login: Option<&ProxyLogin>,
) -> Result<(), ProxyFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Before anything is sent: a name that cannot be asked for is nobody's fault but the configuration's.
    let request = request(host, port)?;
    match choose_method(stream, login.is_some()).await? {
        Method::NoLogin => {}
        Method::UserPassword => log_in(stream, login.ok_or(ProxyFailure::LoginRequired)?).await?,
    }
    write(stream, &request).await?;
    read_reply(stream).await
}

enum Method {
    NoLogin,
    UserPassword,
}

/// RFC 1928 section 3.
async fn choose_method<S>(stream: &mut S, has_login: bool) -> Result<Method, ProxyFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let offer: &[u8] =
        if has_login { &[VERSION, 2, NO_LOGIN, USER_PASSWORD] } else { &[VERSION, 1, NO_LOGIN] };
    write(stream, offer).await?;
    let [version, method] = read(stream).await?;
    match (version, method) {
        (VERSION, NO_LOGIN) => Ok(Method::NoLogin),
        (VERSION, USER_PASSWORD) if has_login => Ok(Method::UserPassword),
        (VERSION, NONE_ACCEPTABLE) if has_login => Err(ProxyFailure::NoCommonMethod),
        (VERSION, NONE_ACCEPTABLE) => Err(ProxyFailure::LoginRequired),
        // A method that was not offered.
        (VERSION, _) => Err(ProxyFailure::NoCommonMethod),
        _ => Err(ProxyFailure::NotSocks5),
    }
}

/// RFC 1929 section 2.
async fn log_in<S>(stream: &mut S, login: &ProxyLogin) -> Result<(), ProxyFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut message = Zeroizing::new(vec![1]);
    for part in [login.user.as_str(), login.password.as_str()] {
        message.push(length(part).ok_or(ProxyFailure::LoginLength)?);
        message.extend_from_slice(part.as_bytes());
    }
    write(stream, &message).await?;
    let [_, status] = read(stream).await?;
    if status == 0 { Ok(()) } else { Err(ProxyFailure::LoginRefused) }
}

/// RFC 1928 section 4. The name goes as it is: the proxy looks it up.
fn request(host: &str, port: u16) -> Result<Vec<u8>, ProxyFailure> {
    let mut request = vec![VERSION, CONNECT, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend(address.octets());
        }
        Err(_) => {
            request.extend([NAME, length(host).ok_or(ProxyFailure::NameLength)?]);
            request.extend(host.as_bytes());
        }
    }
    request.extend(port.to_be_bytes());
    Ok(request)
}

/// RFC 1928 section 6. Which address the proxy used is read, because it is there, and not looked at.
async fn read_reply<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(), ProxyFailure> {
    let [version, code, _reserved, kind] = read(stream).await?;
    if version != VERSION {
        return Err(ProxyFailure::NotSocks5);
    }
    if code != 0 {
        return Err(refusal(code));
    }
    let address = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(read::<1, S>(stream).await?[0]),
        _ => return Err(ProxyFailure::NotSocks5),
    };
    let mut bound = vec![0; address + 2];
    stream.read_exact(&mut bound).await.map(drop).map_err(broken)
}

fn refusal(code: u8) -> ProxyFailure {
    match code {
        2 => ProxyFailure::NotAllowed,
        3 => ProxyFailure::ServerUnreachable("the network is unreachable"),
        4 => ProxyFailure::ServerUnreachable("the host is unreachable or its name unknown"),
        5 => ProxyFailure::ServerUnreachable("the server refused the connection"),
        6 => ProxyFailure::ServerUnreachable("the server did not answer in time"),
        code => ProxyFailure::Refused { code },
    }
}

/// The length of a text that has to be 1 to 255 octets.
fn length(text: &str) -> Option<u8> {
    u8::try_from(text.len()).ok().filter(|&octets| octets > 0)
}

async fn read<const N: usize, S: AsyncRead + Unpin>(stream: &mut S) -> Result<[u8; N], ProxyFailure> {
    let mut octets = [0; N];
    stream.read_exact(&mut octets).await.map_err(broken)?;
    Ok(octets)
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, octets: &[u8]) -> Result<(), ProxyFailure> {
    stream.write_all(octets).await.map_err(broken)?;
    stream.flush().await.map_err(broken)
}

fn broken(error: io::Error) -> ProxyFailure {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ProxyFailure::Closed,
        _ => ProxyFailure::Broken(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_server_says_right_behind_the_reply_is_left_in_the_stream() {
        let mut proxy = saying(b"\x05\x00\x05\x00\x00\x03\x01x\x00\x00+OK\r\n");
        ask(&mut proxy, "pop.example", 995, None).await.unwrap();
        let mut rest = [0; 5];
        proxy.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"+OK\r\n");
    }

    #[tokio::test]
    async fn names_go_as_names_and_literals_as_addresses() {
        assert_eq!(request("pop.example", 995).unwrap(), b"\x05\x01\x00\x03\x0bpop.example\x03\xe3");
        assert_eq!(request("192.0.2.1", 110).unwrap(), b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x6e");
        assert_eq!(request("::1", 1).unwrap()[3..5], [IPV6, 0]);
        assert!(matches!(request("", 1), Err(ProxyFailure::NameLength)));
        assert!(matches!(request(&"x".repeat(256), 1), Err(ProxyFailure::NameLength)));
    }

    #[tokio::test]
    async fn an_http_proxy_is_recognised_as_no_socks_proxy() {
        let outcome = ask(&mut saying(b"HTTP/1.1 400 Bad Request\r\n"), "x.example", 1, None).await;
        assert!(matches!(outcome, Err(ProxyFailure::NotSocks5)), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_method_that_was_not_offered_is_not_followed() {
        let outcome = ask(&mut saying(b"\x05\x02"), "x.example", 1, None).await;
        assert!(matches!(outcome, Err(ProxyFailure::NoCommonMethod)), "{outcome:?}");
    }

    /// A stream that says `answer` whatever is written to it.
    fn saying(answer: &'static [u8]) -> impl AsyncRead + AsyncWrite + Unpin {
        tokio::io::join(answer, tokio::io::sink())
    }
}
