//! One POST and its answer.

use std::{future::Future, pin::Pin};

use coyote_storage::BoxError;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use openssl::ssl::SslConnector;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_openssl::SslStream;
use url::{Position, Url};

/// Posts JSON over a connection of its own, and reads the body of the answer, which has status 200.
/// `whom` is who is asked, for the operator.
pub(crate) async fn post(
    whom: &str,
    url: &Url,
    connector: Option<&SslConnector>,
    headers: &[(&str, String)],
    body: Vec<u8>,
    max_answer: usize,
) -> Result<Vec<u8>, BoxError> {
    let host = url.host_str().ok_or("the URL has no host")?;
    let port = url.port_or_known_default().ok_or("the URL has no port")?;
    let request = request(url, headers, body)?;
    // An IPv6 address has brackets in a URL, and none elsewhere.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, port)).await?;
    let Some(connector) = connector else { return converse(whom, stream, request, max_answer).await };
    let mut stream = SslStream::new(connector.configure()?.into_ssl(host)?, stream)?;
    Pin::new(&mut stream).connect().await?;
    converse(whom, stream, request, max_answer).await
}

fn request(
    url: &Url,
    headers: &[(&str, String)],
    body: Vec<u8>,
) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request = Request::post(&url[Position::BeforePath..Position::AfterQuery])
        .header(header::HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .header(header::CONNECTION, "close");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    request.body(Full::new(body.into()))
}

async fn converse<S>(
    whom: &str,
    stream: S,
    request: Request<Full<Bytes>>,
    max_answer: usize,
) -> Result<Vec<u8>, BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let talk = async {
        let answer = sender.send_request(request).await?;
        if answer.status() != StatusCode::OK {
            return Err(format!("{whom} answered {}", answer.status()).into());
        }
        let body = Limited::new(answer.into_body(), max_answer).collect().await?;
        Ok(body.to_bytes().to_vec())
    };
    beside(talk, connection).await
}

/// The first, while the second makes it go on.
async fn beside<T>(
    talk: impl Future<Output = Result<T, BoxError>>,
    connection: impl Future<Output = Result<(), hyper::Error>>,
) -> Result<T, BoxError> {
    tokio::pin!(talk, connection);
    tokio::select! {
        result = &mut talk => return result,
        ended = &mut connection => ended?,
    }
    talk.await
}
