//! What a program that uses the crate instant-acme does: `instant-acme DOES [NAME…]`.

use std::{env, error::Error, fs, net::IpAddr, path::Path, process::Command, sync::Arc};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use instant_acme::{
    Account, AuthorizationStatus, AuthorizedIdentifier, CertificateIdentifier, ChallengeHandle,
    ChallengeType, ExternalAccountKey, Identifier, KeyAuthorization, NewAccount, NewOrder, OrderStatus,
    RetryPolicy, RevocationReason, RevocationRequest,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        sign::{CertifiedKey, SingleCertAndKey},
    },
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const CREDENTIALS: &str = "instant-acme.json";
const CHAIN: &str = "chain.pem";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (does, names) = arguments.split_first().ok_or("what is to be done?")?;
    let mut account = account().await?;
    match does.as_str() {
        "http-01" => issue(&account, ChallengeType::Http01, names, None).await,
        "dns-01" => issue(&account, ChallengeType::Dns01, names, None).await,
        "tls-alpn-01" => issue(&account, ChallengeType::TlsAlpn01, names, None).await,
        "profile" => {
            let (profile, names) = names.split_first().ok_or("which profile?")?;
            issue(&account, ChallengeType::Http01, names, Some(profile)).await
        }
        "renewal-info" => {
            let chain = CertificateDer::from_pem_file(CHAIN)?;
            let (info, _) = account.renewal_info(&CertificateIdentifier::try_from(&chain)?).await?;
            println!("{}", info.suggested_window.start.unix_timestamp());
            Ok(())
        }
        "revoke" => {
            let certificate = &CertificateDer::from_pem_file(CHAIN)?;
            let request = RevocationRequest { certificate, reason: Some(RevocationReason::Superseded) };
            Ok(account.revoke(&request).await?)
        }
        "rollover" => {
            let credentials = account.update_key().await?;
            fs::write(CREDENTIALS, serde_json::to_vec(&credentials)?)?;
            Ok(account.update_contacts(&["mailto:other@example.com"]).await?)
        }
        "deactivate" => Ok(account.deactivate().await?),
        other => Err(format!("no such thing: {other}").into()),
    }
}

/// The account of the last run, or a new one.
async fn account() -> Result<Account> {
    let builder = Account::builder_with_root(env::var("ROOT")?)?;
    if Path::new(CREDENTIALS).exists() {
        return Ok(builder.from_credentials(serde_json::from_slice(&fs::read(CREDENTIALS)?)?).await?);
    }
    let binding = match (env::var("KID"), env::var("MAC")) {
        (Ok(kid), Ok(mac)) => Some(ExternalAccountKey::new(kid, &BASE64_URL_SAFE_NO_PAD.decode(mac)?)),
        _ => None,
    };
    let new = NewAccount {
        contact: &["mailto:you@example.com"],
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let (account, credentials) = builder.create(&new, env::var("ACME")?, binding.as_ref()).await?;
    fs::write(CREDENTIALS, serde_json::to_vec(&credentials)?)?;
    Ok(account)
}

/// Orders a certificate; in place of the one that is there, if there is one for these names.
async fn issue(account: &Account, by: ChallengeType, names: &[String], profile: Option<&str>) -> Result<()> {
    let identifiers: Vec<_> = names.iter().map(|name| identifier(name)).collect();
    let mut new = NewOrder::new(&identifiers);
    if let Some(profile) = profile {
        new = new.profile(profile);
    }
    let replaced =
        if env::var("REPLACE").is_ok() { Some(CertificateDer::from_pem_file(CHAIN)?) } else { None };
    if let Some(replaced) = &replaced {
        new = new.replaces(CertificateIdentifier::try_from(replaced)?);
    }
    let mut order = account.new_order(&new).await?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = authorization.challenge(by.clone()).ok_or("there is no such challenge")?;
        meet(&by, &challenge).await?;
        challenge.set_ready().await?;
    }
    let status = order.poll_ready(&RetryPolicy::default()).await?;
    if status != OrderStatus::Ready {
        return Err(format!("the order is {status:?}").into());
    }
    order.finalize().await?;
    Ok(fs::write(CHAIN, order.poll_certificate(&RetryPolicy::default()).await?)?)
}

fn identifier(name: &str) -> Identifier {
    name.parse::<IpAddr>().map_or_else(|_| Identifier::Dns(name.to_owned()), Identifier::Ip)
}

async fn meet(by: &ChallengeType, challenge: &ChallengeHandle<'_>) -> Result<()> {
    let answer = challenge.key_authorization();
    match by {
        ChallengeType::Http01 => {
            let file = Path::new(&env::var("WEBROOT")?).join(&challenge.token);
            Ok(fs::write(file, answer.as_str())?)
        }
        ChallengeType::Dns01 => {
            let AuthorizedIdentifier { identifier: Identifier::Dns(name), .. } = challenge.identifier()
            else {
                return Err("this is not a name".into());
            };
            let (name, value) = (format!("_acme-challenge.{name}"), answer.dns_value());
            let added = Command::new(env::var("TXT")?).args(["add", &name, &value]).status()?;
            if added.success() { Ok(()) } else { Err("the record is not taken".into()) }
        }
        _ => serve(challenge.identifier().to_string(), &answer).await,
    }
}

/// Answers tls-alpn-01 until the program ends.
async fn serve(name: String, answer: &KeyAuthorization) -> Result<()> {
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new([name])?;
    parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(answer.digest().as_ref())];
    let certificate = parameters.self_signed(&key)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = ring::sign::any_ecdsa_type(&key.into())?;
    // Not with_single_cert: that knows no acmeIdentifier, which is critical.
    let certified = CertifiedKey::new(vec![certificate.der().clone()], key);
    let resolver = Arc::new(SingleCertAndKey::from(certified));
    let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", env::var("TLS")?.parse()?)).await?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let handshake = acceptor.accept(stream);
            tokio::spawn(async move { handshake.await.is_ok() });
        }
    });
    Ok(())
}
