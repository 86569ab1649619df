use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use const_oid::db::rfc5280;
use der::Decode;
use openssl::nid::Nid;
use openssl::pkey::{PKey, PKeyRef, Private, Public};
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509PurposeId, X509StoreContext};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage as ExtKeyUsage, KeyUsage, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::{Certificate as Parsed, TbsCertificate};

use super::*;
use crate::entropy::SystemEntropy;
use crate::issue::authority::Authority;
use crate::issue::testing::{Draft, at, dns, ec, ip, order, p256, rsa2048};
use crate::issue::{CaRequest, ExtendedKeyUsage, KeySigner, Profile, SignatureAlgorithm};

const NOW: &str = "2026-11-25T12:00:00Z";

/// A root and an intermediate that signs.
fn ca_with(request: &CaRequest) -> LocalCa {
    let (root_key, key) = (KeySigner::new(p256()).unwrap(), KeySigner::new(p256()).unwrap());
    let root = Authority::root(request, &root_key, at(NOW), &SystemEntropy).unwrap();
    let root = X509::from_der(&root).unwrap();
    let intermediate =
        Authority::intermediate(request, &key, &root, &root_key, at(NOW), &SystemEntropy).unwrap();
    LocalCa::new(Arc::new(key), &[X509::from_der(&intermediate).unwrap(), root]).unwrap()
}

fn ca() -> LocalCa {
    ca_with(&CaRequest::new("Test"))
}

/// A root that signs.
fn single(key: PKey<Private>) -> LocalCa {
    let key = KeySigner::new(key).unwrap();
    let root = Authority::root(&CaRequest::new("Test"), &key, at(NOW), &SystemEntropy).unwrap();
    LocalCa::new(Arc::new(key), &[X509::from_der(&root).unwrap()]).unwrap()
}

fn csr(key: PKey<Private>, names: &[&str]) -> Vec<u8> {
    let name = |name: &&str| match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => ip(&address.octets()),
        Ok(IpAddr::V6(address)) => ip(&address.octets()),
        Err(_) => dns(name),
    };
    Draft::naming(key, &names.iter().map(name).collect::<Vec<_>>()).to_der()
}

async fn issue_at(
    ca: &LocalCa,
    profile: &Profile,
    key: PKey<Private>,
    names: &[&str],
    now: Timestamp,
) -> Result<IssuedCertificate, IssuanceFailure> {
    let order = order(names, csr(key, names), now);
    let ready = order.authorize_issuance(now, |_, _| true).unwrap();
    ca.issue(&IssuanceRequest { order: &ready, profile, now }).await
}

async fn issue(
    ca: &LocalCa,
    key: PKey<Private>,
    names: &[&str],
) -> Result<IssuedCertificate, IssuanceFailure> {
    issue_at(ca, &Profile::new("default"), key, names, at(NOW)).await
}

fn parse(der: &[u8]) -> TbsCertificate {
    Parsed::from_der(der).unwrap().tbs_certificate().clone()
}

fn extension<T: for<'a> Decode<'a, Error = der::Error> + const_oid::AssociatedOid>(
    certificate: &TbsCertificate,
) -> (bool, T) {
    certificate.get_extension().unwrap().expect("the extension is there")
}

/// What a strict TLS client says of the chain.
fn verify(ca: &LocalCa, issued: &IssuedCertificate, host: &str, now: Timestamp) -> Result<(), String> {
    let mut store = X509StoreBuilder::new().unwrap();
    store.add_cert(X509::from_der(&ca.roots()[0]).unwrap()).unwrap();
    store.set_purpose(X509PurposeId::SSL_SERVER).unwrap();
    let mut parameters = X509VerifyParam::new().unwrap();
    parameters.set_flags(X509VerifyFlags::X509_STRICT | X509VerifyFlags::CHECK_SS_SIGNATURE).unwrap();
    parameters.set_time(now.as_seconds());
    match host.parse() {
        Ok(address) => parameters.set_ip(address).unwrap(),
        Err(_) => parameters.set_host(host).unwrap(),
    }
    store.set_param(&parameters).unwrap();
    let mut chain = issued.chain.iter().map(|der| X509::from_der(der).unwrap());
    let leaf = chain.next().unwrap();
    let mut untrusted = Stack::new().unwrap();
    chain.for_each(|certificate| untrusted.push(certificate).unwrap());
    X509StoreContext::new()
        .unwrap()
        .init(&store.build(), &leaf, &untrusted, |context| {
            Ok(if context.verify_cert()? { Ok(()) } else { Err(context.error().to_string()) })
        })
        .unwrap()
}

#[track_caller]
fn assert_refused(outcome: Result<IssuedCertificate, IssuanceFailure>, kind: ProblemType) {
    match outcome {
        Err(IssuanceFailure::Refused(problem)) => assert_eq!(problem.kind, kind, "{problem}"),
        other => panic!("refused with {kind}, not {other:?}"),
    }
}

#[tokio::test]
async fn what_is_issued_satisfies_a_strict_client() {
    let ca = ca();
    for key in [p256(), ec(Nid::SECP384R1), rsa2048(), PKey::generate_ed25519().unwrap()] {
        let names = ["a.example", "*.b.example", "192.0.2.1", "2001:db8::1"];
        let issued = issue(&ca, key.clone(), &names).await.unwrap();

        assert_eq!(issued.chain.len(), 2, "the leaf and the intermediate, without the root");
        for host in ["a.example", "x.b.example", "192.0.2.1", "2001:db8::1"] {
            assert_eq!(verify(&ca, &issued, host, at(NOW)), Ok(()), "{host}, {:?}", key.id());
        }
        assert!(verify(&ca, &issued, "b.example", at(NOW)).is_err(), "a wildcard does not hold its base");
        let leaf = X509::from_der(&issued.chain[0]).unwrap();
        assert!(leaf.public_key().unwrap().public_eq(&key));
    }
}

#[tokio::test]
async fn a_root_of_any_type_can_sign() {
    let keys = [
        (p256(), SignatureAlgorithm::EcdsaSha256),
        (ec(Nid::SECP384R1), SignatureAlgorithm::EcdsaSha384),
        (ec(Nid::SECP521R1), SignatureAlgorithm::EcdsaSha512),
        (rsa2048(), SignatureAlgorithm::RsaSha256),
        (PKey::generate_ed25519().unwrap(), SignatureAlgorithm::Ed25519),
    ];
    for (key, algorithm) in keys {
        let ca = single(key);
        let issued = issue(&ca, p256(), &["a.example"]).await.unwrap();
        assert_eq!(ca.signer.algorithm(), algorithm);
        assert_eq!(issued.chain.len(), 1, "the root is not handed out");
        assert_eq!(verify(&ca, &issued, "a.example", at(NOW)), Ok(()), "{algorithm:?}");
    }
}

#[tokio::test]
async fn a_leaf_has_what_the_profile_says_and_nothing_else() {
    let ca = ca();
    let issued = issue(&ca, p256(), &["a.example", "192.0.2.1"]).await.unwrap();
    let (leaf, issuer) = (parse(&issued.chain[0]), parse(&issued.chain[1]));

    assert_eq!(leaf.version(), x509_cert::certificate::Version::V3);
    assert_eq!(leaf.serial_number().as_bytes(), issued.serial.as_bytes());
    assert_eq!(leaf.issuer(), issuer.subject());
    assert!(leaf.subject().is_empty());
    assert!(leaf.issuer_unique_id().is_none() && leaf.subject_unique_id().is_none());

    let (critical, names) = extension::<SubjectAltName>(&leaf);
    assert!(critical, "as the subject is empty");
    assert_eq!(names.0.len(), 2);
    assert!(matches!(&names.0[0], GeneralName::DnsName(name) if name.as_str() == "a.example"));
    assert!(matches!(&names.0[1], GeneralName::IpAddress(address) if address.as_bytes() == [192, 0, 2, 1]));
    let (critical, usage) = extension::<KeyUsage>(&leaf);
    assert!(critical && usage == KeyUsage(x509_cert::ext::pkix::KeyUsages::DigitalSignature.into()));
    let (critical, purposes) = extension::<ExtKeyUsage>(&leaf);
    assert!(!critical && purposes.0 == [rfc5280::ID_KP_SERVER_AUTH]);
    let (critical, constraints) = extension::<BasicConstraints>(&leaf);
    assert!(critical && constraints == BasicConstraints { ca: false, path_len_constraint: None });
    let (_, authority) = extension::<AuthorityKeyIdentifier>(&leaf);
    assert_eq!(authority.key_identifier, Some(extension::<SubjectKeyIdentifier>(&issuer).1.0));
    assert!(authority.authority_cert_issuer.is_none() && authority.authority_cert_serial_number.is_none());
    assert_eq!(extension::<SubjectKeyIdentifier>(&leaf).1.0.as_bytes().len(), 20);
    assert_eq!(leaf.extensions().unwrap().len(), 6);
}

#[tokio::test]
async fn an_rsa_key_may_also_be_encrypted_to() {
    let issued = issue(&ca(), rsa2048(), &["a.example"]).await.unwrap();
    let (_, usage) = extension::<KeyUsage>(&parse(&issued.chain[0]));
    assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
}

#[tokio::test]
async fn a_profile_may_want_a_common_name_and_client_certificates() {
    let profile = Profile {
        common_name: true,
        extended_key_usages: vec![ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::ClientAuth],
        ..Profile::new("old")
    };
    let long = format!("{}.example", "x".repeat(60));
    let names = ["192.0.2.1", long.as_str(), "a.example"];
    let issued = issue_at(&ca(), &profile, p256(), &names, at(NOW)).await.unwrap();
    let leaf = parse(&issued.chain[0]);

    assert_eq!(leaf.subject().to_string(), "CN=a.example", "the first that is a DNS name and not too long");
    assert!(!extension::<SubjectAltName>(&leaf).0, "not critical, as there is a subject");
    assert_eq!(extension::<ExtKeyUsage>(&leaf).1.0, [rfc5280::ID_KP_SERVER_AUTH, rfc5280::ID_KP_CLIENT_AUTH]);
}

#[tokio::test]
async fn urls_are_in_the_certificate_if_there_are_any() {
    let ca = ca().with_certificate_url("http://ca.example/ca.der").with_crl_url("http://ca.example/ca.crl");
    let issued = issue(&ca, p256(), &["a.example"]).await.unwrap();
    assert_eq!(verify(&ca, &issued, "a.example", at(NOW)), Ok(()));

    let leaf = X509::from_der(&issued.chain[0]).unwrap();
    let access = leaf.authority_info().unwrap();
    assert_eq!(access[0].location().uri(), Some("http://ca.example/ca.der"));
    let points = leaf.crl_distribution_points().unwrap();
    let name = points[0].distpoint().unwrap().fullname().unwrap();
    assert_eq!(name[0].uri(), Some("http://ca.example/ca.crl"));
}

#[tokio::test]
async fn times_are_written_as_rfc_5280_wants_them() {
    let request =
        CaRequest { root_lifetime: Duration::from_secs(50 * 365 * 86400), ..CaRequest::new("Test") };
    let request = CaRequest { intermediate_lifetime: request.root_lifetime, ..request };
    let ca = ca_with(&request);
    for (now, formats) in [
        ("2049-06-01T00:00:00Z", [&b"\x17\x0d490531235500Z"[..], b"\x17\x0d490829235459Z"]),
        ("2049-12-01T00:00:00Z", [b"\x17\x0d491130235500Z", b"\x18\x0f20500228235459Z"]),
        ("2052-02-29T00:00:00Z", [b"\x18\x0f20520228235500Z", b"\x18\x0f20520528235459Z"]),
    ] {
        let issued = issue_at(&ca, &Profile::new("default"), p256(), &["a.example"], at(now)).await.unwrap();
        let times = formats.concat();
        let found = issued.chain[0].windows(times.len()).any(|window| window == times);
        assert!(found, "signed at {now}: {}", String::from_utf8_lossy(&times));
        assert_eq!(verify(&ca, &issued, "a.example", at(now)), Ok(()));
    }
}

#[tokio::test]
async fn nothing_is_signed_while_the_ca_is_not_valid() {
    let ca = ca();
    for now in ["2026-11-25T10:59:59Z", "2040-01-01T00:00:00Z"] {
        let outcome = issue_at(&ca, &Profile::new("default"), p256(), &["a.example"], at(now)).await;
        assert!(matches!(outcome, Err(IssuanceFailure::Transient(_))), "{now}: {outcome:?}");
    }
}

#[tokio::test]
async fn validity_begins_no_earlier_than_the_issuers() {
    let now = at("2026-11-25T11:02:00Z"); // the CA's begins at 11:00:00
    let issued = issue_at(&ca(), &Profile::new("default"), p256(), &["a.example"], now).await.unwrap();
    assert_eq!(issued.not_before, at("2026-11-25T11:00:00Z"));
}

#[tokio::test]
async fn a_csr_that_does_not_fit_the_order_is_refused() {
    let ca = ca();
    let other = order(&["a.example"], csr(p256(), &["a.example", "victim.example"]), at(NOW));
    let ready = other.authorize_issuance(at(NOW), |_, _| true).unwrap();
    let request = IssuanceRequest { order: &ready, profile: &Profile::new("default"), now: at(NOW) };

    assert_refused(ca.issue(&request).await, ProblemType::BadCsr);
}

#[tokio::test]
async fn the_cas_own_keys_are_not_certified() {
    let key = p256();
    assert_refused(issue(&single(key.clone()), key, &["a.example"]).await, ProblemType::BadCsr);
}

#[tokio::test]
async fn a_constrained_ca_certifies_its_domain_only() {
    let request = CaRequest { domain: Some("corp.example".parse().unwrap()), ..CaRequest::new("Test") };
    let ca = ca_with(&request);
    for names in [&["corp.example"][..], &["a.b.corp.example", "*.corp.example"]] {
        let issued = issue(&ca, p256(), names).await.unwrap();
        let host = names[0];
        assert_eq!(verify(&ca, &issued, host, at(NOW)), Ok(()), "{host}");
    }
    for names in
        [&["a.example"][..], &["corp.example", "notcorp.example"], &["*.example"], &["10.0.0.1"], &["::1"]]
    {
        assert_refused(issue(&ca, p256(), names).await, ProblemType::RejectedIdentifier);
    }
}

#[tokio::test]
async fn clients_refuse_what_a_stolen_constrained_key_signs() {
    let request = CaRequest { domain: Some("corp.example".parse().unwrap()), ..CaRequest::new("Test") };
    let mut ca = ca_with(&request);
    ca.chain.constraints = Default::default();
    for name in ["a.example", "10.0.0.1", "::1"] {
        let issued = issue(&ca, p256(), &[name]).await.unwrap();
        let verdict = verify(&ca, &issued, name, at(NOW)).expect_err("beyond the constraints");
        assert!(verdict.contains("subtree"), "{verdict}");
    }
}

/// Signs something other than it is asked to.
struct Liar(KeySigner, Mutex<usize>);

#[async_trait]
impl Signer for Liar {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }

    fn public_key(&self) -> &PKeyRef<Public> {
        self.0.public_key()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BoxError> {
        *self.1.lock().unwrap() += 1;
        self.0.sign(&[message, b"!"].concat()).await
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_is_not_handed_out() {
    let ca = single(p256());
    let key = KeySigner::new(p256()).unwrap();
    let root = Authority::root(&CaRequest::new("Test"), &key, at(NOW), &SystemEntropy).unwrap();
    let liar = Arc::new(Liar(key, Mutex::new(0)));
    let lying = LocalCa::new(liar.clone(), &[X509::from_der(&root).unwrap()]).unwrap();

    let outcome = issue(&lying, p256(), &["a.example"]).await;

    assert!(matches!(outcome, Err(IssuanceFailure::Transient(_))), "{outcome:?}");
    assert_eq!(*liar.1.lock().unwrap(), 1, "it is not asked again for the same serial number");
    assert!(issue(&ca, p256(), &["a.example"]).await.is_ok());
}

#[test]
fn a_chain_holds_together() {
    let request = CaRequest::new("Test");
    let (key, other) = (KeySigner::new(p256()).unwrap(), KeySigner::new(p256()).unwrap());
    let root = |key: &KeySigner| {
        X509::from_der(&Authority::root(&request, key, at(NOW), &SystemEntropy).unwrap()).unwrap()
    };
    let (good, stranger) = (root(&key), root(&other));
    let leaf_key = KeySigner::new(p256()).unwrap();
    let intermediate =
        Authority::intermediate(&request, &leaf_key, &good, &key, at(NOW), &SystemEntropy).unwrap();
    let intermediate = X509::from_der(&intermediate).unwrap();
    let signer = |key: &KeySigner| Arc::new(key.clone());

    assert!(LocalCa::new(signer(&key), &[]).is_err(), "no certificate");
    assert!(LocalCa::new(signer(&other), std::slice::from_ref(&good)).is_err(), "another key");
    assert!(LocalCa::new(signer(&leaf_key), &[intermediate.clone(), stranger]).is_err(), "another root");
    assert!(
        LocalCa::new(signer(&leaf_key), &[good.clone(), intermediate.clone()]).is_err(),
        "the wrong order"
    );
    let rootless = LocalCa::new(signer(&leaf_key), std::slice::from_ref(&intermediate)).unwrap();
    assert!(rootless.roots().is_empty() && rootless.root_fingerprint().is_none());
    let ca = LocalCa::new(signer(&leaf_key), &[intermediate, good.clone()]).unwrap();
    assert_eq!(ca.root_fingerprint().unwrap(), sha256(&good.to_der().unwrap()));
}

#[test]
fn there_are_no_more_cas_in_a_chain_than_it_allows() {
    let request = CaRequest::new("Test");
    let keys = [(); 3].map(|()| KeySigner::new(p256()).unwrap());
    let root =
        X509::from_der(&Authority::root(&request, &keys[0], at(NOW), &SystemEntropy).unwrap()).unwrap();
    let below = |issuer: &X509, issuer_key, key| {
        let der = Authority::intermediate(&request, key, issuer, issuer_key, at(NOW), &SystemEntropy);
        X509::from_der(&der.unwrap()).unwrap()
    };
    let first = below(&root, &keys[0], &keys[1]);
    let second = below(&first, &keys[1], &keys[2]);

    let error = LocalCa::new(Arc::new(keys[2].clone()), &[second, first, root]).unwrap_err();

    assert!(error.to_string().contains("fewer CAs"), "{error}");
}

#[tokio::test]
async fn a_leaf_is_no_ca() {
    let key = p256();
    let issued = issue(&ca(), key.clone(), &["a.example"]).await.unwrap();
    let leaf = X509::from_der(&issued.chain[0]).unwrap();
    let error = LocalCa::new(Arc::new(KeySigner::new(key).unwrap()), &[leaf]).unwrap_err();
    assert!(error.to_string().contains("is not a CA's"), "{error}");
}
