//! The way through an HTTP proxy. RFC 9110 section 9.3.6.

use std::io::{self, ErrorKind};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Host;

/// Has the proxy at the other end connect to this port, and reads the head of its answer, of `most` bytes at most. What comes
/// after it is the other's.
///
/// # Errors
///
/// If it does not, or says something else than HTTP.
pub(super) async fn tunnel(
    stream: &mut TcpStream,
    host: &Host,
    port: u16,
    agent: &str,
    most: usize,
) -> io::Result<()> {
    let request =
        format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: {agent}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    // Byte by byte, so that nothing is taken from what comes after it; it is short.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= most {
            return Err(refused("the proxy answers with too much"));
        }
        head.push(stream.read_u8().await?);
    }
    let status = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let status = String::from_utf8_lossy(status).into_owned();
    let code = status.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    match code {
        Some(code) if code.len() == 3 && code.starts_with('2') => Ok(()),
        _ => Err(refused(&format!("the proxy does not connect: {status}"))),
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::new(ErrorKind::ConnectionAborted, why)
}
