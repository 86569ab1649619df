//! TLS with strangers.

use std::pin::Pin;
use std::time::Instant;

use openssl::error::ErrorStack;
use openssl::ssl::{Error, Ssl, SslContext, SslMethod, SslVerifyMode, SslVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_openssl::SslStream;

use crate::trace::{Excerpt, Trace, TraceEvent, millis};

/// What the client says at the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hello<'a> {
    /// The name of the server that is wanted. RFC 6066 section 3.
    pub(super) server_name: Option<&'a str>,
    /// The protocol that is wanted. RFC 7301.
    pub(super) protocol: Option<&'a str>,
}

/// A TLS handshake, version 1.2 or later, with a server that may have any certificate.
pub(super) async fn handshake<S>(hello: Hello<'_>, stream: S, trace: &Trace) -> Result<SslStream<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    trace.record(TraceEvent::TlsStart { server_name: hello.server_name.map(Excerpt::new) });
    let started = Instant::now();
    let outcome = connect(hello, stream).await;
    let took_ms = millis(started.elapsed());
    trace.record(match &outcome {
        Ok(stream) => TraceEvent::TlsDone { version: Excerpt::new(stream.ssl().version_str()), took_ms },
        Err(error) => TraceEvent::TlsFailed { reason: Excerpt::new(error.to_string()), took_ms },
    });
    outcome
}

async fn connect<S>(hello: Hello<'_>, stream: S) -> Result<SslStream<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = SslStream::new(client(hello)?, stream)?;
    Pin::new(&mut stream).connect().await?;
    Ok(stream)
}

fn client(hello: Hello<'_>) -> Result<Ssl, ErrorStack> {
    let mut context = SslContext::builder(SslMethod::tls_client())?;
    context.set_verify(SslVerifyMode::NONE);
    context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    let mut ssl = Ssl::new(&context.build())?;
    if let Some(name) = hello.server_name {
        ssl.set_hostname(name)?;
    }
    if let Some(protocol) = hello.protocol {
        let length = u8::try_from(protocol.len()).unwrap_or(u8::MAX);
        ssl.set_alpn_protos(&[&[length], protocol.as_bytes()].concat())?;
    }
    Ok(ssl)
}
