//! One question to one name server, and its answer. RFC 1035 section 4.2, RFC 7858, RFC 8484.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;

use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::{Message, MessageType};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use openssl::error::ErrorStack;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio_openssl::SslStream;

use super::name_server::{Authorities, NameServer, Transport};
use crate::validate::http_01::while_driven;

/// The most bytes that a datagram may have. RFC 9715 section 3.2.
pub(super) const DATAGRAM: u16 = 1232;

/// The most bytes of the head of an HTTP response.
const HEAD: usize = 16 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    #[error("{0}")]
    Broken(#[from] io::Error),
    #[error("TLS: {0}")]
    Handshake(#[from] openssl::ssl::Error),
    #[error("TLS: {0}")]
    Tls(#[from] ErrorStack),
    #[error("TLS: nobody is trusted to vouch for the server")]
    NoAuthorities,
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("HTTP: the response has status {0}")]
    Status(u16),
    #[error("HTTP: the response is too long, or breaks off")]
    Body,
    #[error("HTTP: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("the message cannot be read: {0}")]
    Message(#[from] ProtoError),
    #[error("this is no answer to the question")]
    Unrelated,
    #[error("the answer is truncated where it need not be")]
    Truncated,
}

/// Asks, and waits for the answer; the caller bounds the time.
pub(super) async fn exchange(
    server: &NameServer,
    authorities: Option<&Authorities>,
    query: &Message,
) -> Result<Message, ExchangeError> {
    let bytes = query.to_vec()?;
    match &server.transport {
        Transport::Plain => match over_udp(server.address, query, &bytes).await? {
            Some(answer) => Ok(answer),
            None => over_stream(TcpStream::connect(server.address).await?, query, &bytes).await,
        },
        Transport::Tls { .. } => over_stream(secure(server, authorities, b"dot").await?, query, &bytes).await,
        Transport::Https { path, .. } => {
            let stream = secure(server, authorities, b"http/1.1").await?;
            over_http(stream, &server.authority(), path, query, bytes).await
        }
    }
}

/// The answer in one datagram; none if it is to be asked for over TCP, because it does not fit, or because the letters
/// of the name are not in the case of the question: whoever forges an answer has to guess that, too.
async fn over_udp(
    server: SocketAddr,
    query: &Message,
    bytes: &[u8],
) -> Result<Option<Message>, ExchangeError> {
    // A port for each question, which is one more thing to guess. Connected, it hears the server only.
    let own: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let message = buffer.get(..length).and_then(|bytes| Message::from_vec(bytes).ok());
        // What is not about the question may have been sent by anybody: the genuine answer may yet come.
        let Some(answer) = message.filter(|message| is_answer(message, query)) else { continue };
        let is_whole = !answer.metadata.truncation && keeps_case(&answer, query);
        return Ok(is_whole.then_some(answer));
    }
}

/// The answer over a connection, after its length.
async fn over_stream(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    query: &Message,
    bytes: &[u8],
) -> Result<Message, ExchangeError> {
    let length = u16::try_from(bytes.len()).map_err(|_| ExchangeError::Unrelated)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    stream.flush().await?;
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    whole(&answer, query)
}

/// The answer in a response.
async fn over_http(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    authority: &str,
    path: &str,
    query: &Message,
    bytes: Vec<u8>,
) -> Result<Message, ExchangeError> {
    let media_type = "application/dns-message";
    let request = Request::post(path)
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, media_type)
        .header(header::ACCEPT, media_type)
        .body(Full::new(Bytes::from(bytes)))?;
    let (mut sender, connection) = http1::Builder::new()
        .max_header_size(HEAD)
        .max_buf_size(HEAD)
        .handshake(TokioIo::new(stream))
        .await?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(ExchangeError::Status(status));
        }
        let body = Limited::new(response.into_body(), u16::MAX.into()).collect().await;
        Ok(body.map_err(|_| ExchangeError::Body)?.to_bytes())
    };
    whole(&while_driven(connection, answer).await?, query)
}

async fn secure(
    server: &NameServer,
    authorities: Option<&Authorities>,
    protocol: &[u8],
) -> Result<SslStream<TcpStream>, ExchangeError> {
    let ssl = authorities.ok_or(ExchangeError::NoAuthorities)?.client(server, protocol)?;
    let mut stream = SslStream::new(ssl, TcpStream::connect(server.address).await?)?;
    Pin::new(&mut stream).connect().await?;
    Ok(stream)
}

/// An answer for which there was room.
fn whole(bytes: &[u8], query: &Message) -> Result<Message, ExchangeError> {
    let answer = Message::from_vec(bytes).map_err(ProtoError::from)?;
    if !is_answer(&answer, query) {
        return Err(ExchangeError::Unrelated);
    }
    if answer.metadata.truncation { Err(ExchangeError::Truncated) } else { Ok(answer) }
}

fn is_answer(message: &Message, query: &Message) -> bool {
    message.metadata.message_type == MessageType::Response
        && message.metadata.id == query.metadata.id
        && message.queries == query.queries
}

fn keeps_case(answer: &Message, query: &Message) -> bool {
    answer.queries.iter().zip(&query.queries).all(|(ours, theirs)| ours.name.eq_case(&theirs.name))
}

#[cfg(test)]
mod tests;
