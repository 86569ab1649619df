//! A site that gets its certificate with the crate rustls-acme: `rustls-acme http-01|tls-alpn-01 NAME`.

use std::{env, error::Error, net::Ipv4Addr, sync::Arc};

use rustls_acme::{
    AcmeConfig, ResolvesServerCertAcme, UseChallenge, caches::DirCache, is_tls_alpn_challenge,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    LazyConfigAcceptor,
    rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring},
};
use tokio_stream::StreamExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    ring::default_provider().install_default().map_err(|_| "there is a provider")?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [challenge, name] = arguments.as_slice() else { return Err("which challenge, which name?".into()) };
    let challenge = match challenge.as_str() {
        "http-01" => UseChallenge::Http01,
        _ => UseChallenge::TlsAlpn01,
    };
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(env::var("ROOT")?)?)?;
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut state = AcmeConfig::new_with_client_config([name], Arc::new(client))
        .directory(env::var("ACME")?)
        .contact(["mailto:you@example.com"])
        .cache(DirCache::new("rustls-acme"))
        .challenge_type(challenge)
        .state();
    let (challenges, site) = (state.challenge_rustls_config(), state.default_rustls_config());
    let web = TcpListener::bind((Ipv4Addr::LOCALHOST, env::var("HTTP")?.parse()?)).await?;
    let tls = TcpListener::bind((Ipv4Addr::LOCALHOST, env::var("TLS")?.parse()?)).await?;
    tokio::spawn(answer_http(web, state.resolver()));
    tokio::spawn(async move {
        while let Some(event) = state.next().await {
            println!("{event:?}");
        }
    });
    loop {
        let (stream, _) = tls.accept().await?;
        let (challenges, site) = (challenges.clone(), site.clone());
        tokio::spawn(async move { greet(stream, challenges, site).await });
    }
}

async fn greet(
    stream: TcpStream,
    challenges: Arc<ServerConfig>,
    site: Arc<ServerConfig>,
) -> std::io::Result<()> {
    let hello = LazyConfigAcceptor::new(Default::default(), stream).await?;
    let config = if is_tls_alpn_challenge(&hello.client_hello()) { challenges } else { site };
    hello.into_stream(config).await?.shutdown().await
}

async fn answer_http(listener: TcpListener, resolver: Arc<ResolvesServerCertAcme>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut head = vec![0; 4096];
        let length = stream.read(&mut head).await.unwrap_or_default();
        let head = String::from_utf8_lossy(&head[..length]).into_owned();
        let token = head.split_whitespace().nth(1).and_then(|path| path.rsplit('/').next());
        let answer = token.and_then(|token| resolver.get_http_01_key_auth(token));
        let (status, body) = answer.map_or(("404 Not Found", String::new()), |answer| ("200 OK", answer));
        let length = body.len();
        let reply =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        stream.write_all(reply.as_bytes()).await.ok();
    }
}
