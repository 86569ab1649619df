//! The resolver against a name server of a few lines.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use coyote_storage::RequestId;
use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType, rdata};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

use super::*;

/// A name server at a loopback port, over UDP and TCP.
struct NameServer {
    address: SocketAddr,
    questions: Arc<Mutex<Vec<String>>>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl NameServer {
    /// One that completes the answer to each query; `None` is silence. The flag says whether it goes by UDP.
    async fn new(
        answer: impl Fn(&mut Message, RecordType, bool) -> Option<()> + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        let questions = Arc::<Mutex<Vec<String>>>::default();
        let (tcp, udp) = bind().await;
        let address = tcp.local_addr().unwrap();

        let (answer_udp, log) = (answer.clone(), questions.clone());
        let over_udp = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                if let Some(response) = respond(&buffer[..length], &*answer_udp, true, &log) {
                    udp.send_to(&response, from).await.unwrap();
                }
            }
        });
        let log = questions.clone();
        let over_tcp = tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let length = stream.read_u16().await.unwrap();
                let mut query = vec![0; length.into()];
                stream.read_exact(&mut query).await.unwrap();
                if let Some(response) = respond(&query, &*answer, false, &log) {
                    stream.write_u16(u16::try_from(response.len()).unwrap()).await.unwrap();
                    stream.write_all(&response).await.unwrap();
                }
            }
        });
        Self { address, questions, tasks: [over_udp, over_tcp] }
    }

    /// Answers everything with this code.
    async fn failing(code: ResponseCode) -> Self {
        Self::new(move |response, _, _| {
            response.metadata.response_code = code;
            Some(())
        })
        .await
    }

    fn resolver(&self) -> DnsResolver {
        DnsResolver::of_servers(&[self.address]).unwrap().timeout(Duration::from_secs(3))
    }

    async fn addresses(&self) -> (Result<Vec<IpAddr>, ResolveError>, Trace) {
        let trace = Trace::new(RequestId::from_bytes([0; 16]), "a test");
        let name = DnsName::parse("a.test").unwrap();
        (self.resolver().addresses(&name, &trace).await, trace)
    }

    async fn texts(&self) -> (Result<Vec<Vec<u8>>, ResolveError>, Trace) {
        let trace = Trace::new(RequestId::from_bytes([0; 16]), "a test");
        (self.resolver().texts("_acme-challenge.a.test", &trace).await, trace)
    }

    fn questions(&self) -> Vec<String> {
        let mut questions = self.questions.lock().unwrap().clone();
        questions.sort();
        questions
    }
}

/// The same port over both protocols, which takes a try or two if others are busy taking ports.
async fn bind() -> (TcpListener, UdpSocket) {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (tcp, udp);
        }
    }
}

fn respond(
    query: &[u8],
    answer: &(impl Fn(&mut Message, RecordType, bool) -> Option<()> + ?Sized),
    is_udp: bool,
    log: &Mutex<Vec<String>>,
) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).unwrap();
    let question = query.queries[0].clone();
    log.lock().unwrap().push(format!("{} {}", question.name().to_lowercase(), question.query_type()));
    let mut response = Message::response(query.metadata.id, OpCode::Query);
    response.add_query(question.clone());
    response.metadata.recursion_available = true;
    answer(&mut response, question.query_type(), is_udp)?;
    Some(response.to_vec().unwrap())
}

fn record(name: &str, data: RData) -> Record {
    Record::from_rdata(Name::from_ascii(name).unwrap(), 60, data)
}

fn v4(last: u8) -> RData {
    RData::A(rdata::A::new(192, 0, 2, last))
}

fn v6() -> RData {
    RData::AAAA("2001:db8::1".parse().unwrap())
}

fn txt(strings: &[&[u8]]) -> RData {
    RData::TXT(rdata::TXT::from_bytes(strings.to_vec()))
}

fn cname(target: &str) -> RData {
    RData::CNAME(rdata::CNAME(Name::from_ascii(target).unwrap()))
}

/// The name that texts are asked for.
const OWNER: &str = "_acme-challenge.a.test.";

fn sorted(addresses: Result<Vec<IpAddr>, ResolveError>) -> Vec<String> {
    let mut texts: Vec<_> = addresses.unwrap().iter().map(IpAddr::to_string).collect();
    texts.sort();
    texts
}

#[tokio::test]
async fn a_name_has_the_addresses_of_both_families() {
    let server = NameServer::new(|response, kind, _| {
        match kind {
            RecordType::A => response.add_answers([record("a.test.", v4(1)), record("a.test.", v4(2))]),
            _ => response.add_answer(record("a.test.", v6())),
        };
        Some(())
    })
    .await;

    let (addresses, trace) = server.addresses().await;

    assert_eq!(sorted(addresses), ["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    assert_eq!(
        server.questions(),
        ["a.test. A", "a.test. AAAA"],
        "each is asked once, without search domains"
    );
    let text = trace.to_string();
    assert!(text.contains(&format!("a.test A? to {}", server.address)), "{text}");
    assert!(text.contains("192.0.2.1 (ttl 60)"), "{text}");
}

#[tokio::test]
async fn nothing_is_cached() {
    let server = NameServer::new(|response, kind, _| {
        if kind == RecordType::A {
            response.add_answer(record("a.test.", v4(1)));
        }
        Some(())
    })
    .await;
    let resolver = server.resolver();
    let trace = Trace::new(RequestId::from_bytes([0; 16]), "a test");
    let name = DnsName::parse("a.test").unwrap();

    for _ in 0..2 {
        resolver.addresses(&name, &trace).await.unwrap();
    }

    assert_eq!(server.questions(), ["a.test. A", "a.test. A", "a.test. AAAA", "a.test. AAAA"]);
}

#[tokio::test]
async fn aliases_are_followed_and_are_not_addresses() {
    let server = NameServer::new(|response, kind, _| {
        let alias = Name::from_ascii("b.test.").unwrap();
        response.add_answer(record("a.test.", RData::CNAME(rdata::CNAME(alias))));
        if kind == RecordType::A {
            response.add_answer(record("b.test.", v4(1)));
        }
        Some(())
    })
    .await;

    let (addresses, trace) = server.addresses().await;

    assert_eq!(sorted(addresses), ["192.0.2.1"]);
    assert!(trace.to_string().contains("alias of b.test."), "{trace}");
}

#[tokio::test]
async fn one_family_is_enough_whatever_happens_to_the_other() {
    for code in [ResponseCode::NoError, ResponseCode::ServFail, ResponseCode::NXDomain] {
        let server = NameServer::new(move |response, kind, _| {
            match kind {
                RecordType::A => _ = response.add_answer(record("a.test.", v4(1))),
                _ => response.metadata.response_code = code,
            }
            Some(())
        })
        .await;
        assert_eq!(sorted(server.addresses().await.0), ["192.0.2.1"], "{code}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_not_looked_for_elsewhere() {
    let server = NameServer::failing(ResponseCode::NXDomain).await;
    server.addresses().await.0.unwrap_err();
    assert_eq!(server.questions(), ["a.test. A", "a.test. AAAA"]);
}

#[tokio::test]
async fn no_name_no_records_and_no_answer_are_told_apart() {
    let failure = async |code| NameServer::failing(code).await.addresses().await.0.unwrap_err();

    let error = failure(ResponseCode::NXDomain).await;
    assert!(matches!(error, ResolveError::NoSuchName), "{error:?}");
    let error = failure(ResponseCode::NoError).await;
    assert!(matches!(error, ResolveError::NoRecords), "{error:?}");
    let error = failure(ResponseCode::ServFail).await;
    assert!(matches!(&error, ResolveError::Server(code) if code == "SERVFAIL"), "{error:?}");
    let error = failure(ResponseCode::Refused).await;
    assert!(matches!(&error, ResolveError::Server(code) if code == "REFUSED"), "{error:?}");
}

#[tokio::test]
async fn silence_ends_in_time() {
    let server = NameServer::new(|_, _, _| None).await;
    let resolver = server.resolver().timeout(Duration::from_millis(200));
    let trace = Trace::new(RequestId::from_bytes([0; 16]), "a test");
    let started = Instant::now();

    let error = resolver.addresses(&DnsName::parse("a.test").unwrap(), &trace).await.unwrap_err();

    assert!(matches!(error, ResolveError::TimedOut), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(trace.to_string().contains("failed: no name server answered in time"), "{trace}");
}

#[tokio::test]
async fn what_does_not_fit_into_a_datagram_is_asked_for_over_tcp() {
    let server = NameServer::new(|response, kind, is_udp| {
        response.metadata.truncation = is_udp;
        if !is_udp && kind == RecordType::A {
            response.add_answer(record("a.test.", v4(1)));
        }
        Some(())
    })
    .await;

    assert_eq!(sorted(server.addresses().await.0), ["192.0.2.1"]);
}

#[tokio::test]
async fn the_next_server_is_asked_if_the_first_is_not_there() {
    let server = NameServer::new(|response, kind, _| {
        if kind == RecordType::A {
            response.add_answer(record("a.test.", v4(1)));
        }
        Some(())
    })
    .await;
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let resolver = DnsResolver::of_servers(&[nobody, server.address]).unwrap();
    let trace = Trace::new(RequestId::from_bytes([0; 16]), "a test");

    let addresses = resolver.addresses(&DnsName::parse("a.test").unwrap(), &trace).await;

    assert_eq!(sorted(addresses), ["192.0.2.1"]);
}

#[test]
fn without_servers_there_is_no_resolver() {
    assert!(DnsResolver::of_servers(&[]).is_err());
}

#[tokio::test]
async fn the_strings_of_a_text_are_joined_and_its_bytes_kept() {
    let server = NameServer::new(|response, _, _| {
        let records = [txt(&[b"one", b"two"]), txt(&[b"", &[0, 0xff, b' ']]), txt(&[b""])];
        response.add_answers(records.map(|data| record(OWNER, data)));
        Some(())
    })
    .await;

    let (texts, trace) = server.texts().await;

    let mut texts = texts.unwrap();
    texts.sort();
    assert_eq!(texts, [b"".to_vec(), vec![0, 0xff, b' '], b"onetwo".to_vec()]);
    assert_eq!(server.questions(), ["_acme-challenge.a.test. TXT"], "without search domains");
    let text = trace.to_string();
    assert!(text.contains(&format!("_acme-challenge.a.test TXT? to {}", server.address)), "{text}");
    assert!(text.contains("onetwo"), "{text}");
}

#[tokio::test]
async fn a_text_is_followed_to_where_an_alias_points_in_one_answer_or_several() {
    let in_one = NameServer::new(|response, _, _| {
        response.add_answer(record(OWNER, cname("b.test.")));
        response.add_answer(record("b.test.", txt(&[b"there"])));
        Some(())
    })
    .await;
    assert_eq!(in_one.texts().await.0.unwrap(), [b"there"]);

    let in_several = NameServer::new(|response, _, _| {
        let name = response.queries[0].name().to_lowercase();
        let data = match name.to_string().as_str() {
            OWNER => cname("b.test."),
            "b.test." => cname("c.test."),
            _ => txt(&[b"there"]),
        };
        response.add_answer(Record::from_rdata(name, 60, data));
        Some(())
    })
    .await;
    let (texts, trace) = in_several.texts().await;
    assert_eq!(texts.unwrap(), [b"there"]);
    assert!(trace.to_string().contains("alias of b.test."), "{trace}");
    assert!(trace.to_string().contains("alias of c.test."), "{trace}");
}

#[tokio::test]
async fn v30_texts_of_other_names_that_come_along_are_not_those_of_the_name() {
    let server = NameServer::new(|response, _, _| {
        response.add_answer(record(OWNER, txt(&[b"right"])));
        response.add_answer(record("a.test.", txt(&[b"wrong"])));
        response.add_answer(record("_acme-challenge.b.test.", txt(&[b"wrong"])));
        response.add_additional(record("_acme-challenge.c.test.", txt(&[b"wrong"])));
        Some(())
    })
    .await;
    assert_eq!(server.texts().await.0.unwrap(), [b"right"]);

    let server = NameServer::new(|response, _, _| {
        response.add_answer(record("a.test.", txt(&[b"wrong"])));
        Some(())
    })
    .await;
    let error = server.texts().await.0.unwrap_err();
    assert!(matches!(error, ResolveError::NoRecords), "{error:?}");
}

#[tokio::test]
async fn v30_addresses_of_other_names_are_not_those_of_the_name() {
    let server = NameServer::new(|response, kind, _| {
        if kind == RecordType::A {
            response.add_answers([record("a.test.", v4(1)), record("b.test.", v4(2))]);
        }
        Some(())
    })
    .await;
    assert_eq!(sorted(server.addresses().await.0), ["192.0.2.1"]);
}

#[tokio::test]
async fn v33_texts_that_are_not_there_are_told_apart() {
    let failure = async |code| NameServer::failing(code).await.texts().await.0.unwrap_err();

    let error = failure(ResponseCode::NXDomain).await;
    assert!(matches!(error, ResolveError::NoSuchName), "{error:?}");
    let error = failure(ResponseCode::NoError).await;
    assert!(matches!(error, ResolveError::NoRecords), "{error:?}");
    let error = failure(ResponseCode::ServFail).await;
    assert!(matches!(&error, ResolveError::Server(code) if code == "SERVFAIL"), "{error:?}");

    let silent = NameServer::new(|_, _, _| None).await;
    let trace = Trace::new(RequestId::from_bytes([0; 16]), "a test");
    let resolver = silent.resolver().timeout(Duration::from_millis(200));
    let error = resolver.texts("_acme-challenge.a.test", &trace).await.unwrap_err();
    assert!(matches!(error, ResolveError::TimedOut), "{error:?}");
}

#[tokio::test]
async fn v34_aliases_in_a_circle_and_long_chains_of_them_are_errors() {
    let circle = NameServer::new(|response, _, _| {
        response.add_answer(record(OWNER, cname("b.test.")));
        response.add_answer(record("b.test.", cname(OWNER)));
        response.add_answer(record("b.test.", txt(&[b"there"])));
        Some(())
    })
    .await;
    circle.texts().await.0.unwrap_err();
    assert!(circle.questions().len() <= 10, "it is not asked for ever: {:?}", circle.questions());

    let step_by_step = NameServer::new(|response, _, _| {
        let name = response.queries[0].name().to_lowercase();
        let next = Name::from_ascii("x").unwrap().append_name(&name).unwrap();
        response.add_answer(Record::from_rdata(name, 60, RData::CNAME(rdata::CNAME(next))));
        Some(())
    })
    .await;
    step_by_step.texts().await.0.unwrap_err();
    assert!(step_by_step.questions().len() <= 10, "{:?}", step_by_step.questions());

    let at_once = NameServer::new(|response, _, is_udp| {
        response.metadata.truncation = is_udp;
        let names: Vec<_> = (0..50).map(|at| format!("n{at}.test.")).collect();
        response.add_answer(record(OWNER, cname(&names[0])));
        for pair in names.windows(2) {
            response.add_answer(record(&pair[0], cname(&pair[1])));
        }
        response.add_answer(record("n49.test.", txt(&[b"there"])));
        Some(())
    })
    .await;
    let (texts, trace) = at_once.texts().await;
    let error = texts.unwrap_err();
    assert!(matches!(error, ResolveError::TooManyAliases), "{error:?}");
    assert!(trace.to_string().contains("alias of too many others"), "{trace}");
}

/// What an injector can do who sees the question, but for knowing the server's address: the genuine answer decides.
#[tokio::test]
async fn v35_forged_answers_are_ignored() {
    let (server, stranger) =
        (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = server.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut buffer = [0; 4096];
        let (length, from) = server.recv_from(&mut buffer).await.unwrap();
        let query = Message::from_vec(&buffer[..length]).unwrap();
        let answer = |id: u16, name: &str, text: &[u8]| {
            let mut response = Message::response(id, OpCode::Query);
            let mut question = query.queries[0].clone();
            question.set_name(Name::from_ascii(name).unwrap());
            response.add_query(question);
            response.add_answer(record(OWNER, txt(&[text])));
            response.to_vec().unwrap()
        };
        let id = query.metadata.id;
        let asked = query.queries[0].name().to_ascii();
        server.send_to(&answer(id.wrapping_add(1), &asked, b"wrong id"), from).await.unwrap();
        server.send_to(&answer(id, "b.test.", b"wrong question"), from).await.unwrap();
        stranger.send_to(&answer(id, &asked, b"wrong port"), from).await.unwrap();
        server.send_to(b"rubbish", from).await.unwrap();
        server.send_to(&answer(id, &asked, b"genuine"), from).await.unwrap();
    });
    let trace = Trace::new(RequestId::from_bytes([0; 16]), "a test");

    let texts = DnsResolver::of_servers(&[address]).unwrap().texts("_acme-challenge.a.test", &trace).await;

    assert_eq!(texts.unwrap(), [b"genuine"], "{trace}");
    serving.await.unwrap();
}

#[tokio::test]
async fn v35_an_answer_that_does_not_keep_the_case_of_the_question_is_not_taken_over_udp() {
    let server = NameServer::new(|response, _, is_udp| {
        let name = response.queries[0].name().to_lowercase();
        response.queries[0].set_name(name);
        response.add_answer(record(OWNER, txt(&[if is_udp { b"forged" } else { b"genuine" }])));
        Some(())
    })
    .await;
    assert_eq!(server.texts().await.0.unwrap(), [b"genuine".as_slice()]);
}

#[tokio::test]
async fn v36_an_answer_as_large_as_dns_allows_is_taken_over_tcp() {
    let server = NameServer::new(|response, _, is_udp| {
        response.metadata.truncation = is_udp;
        if !is_udp {
            response.add_answers((0..800).map(|_| record(OWNER, txt(&[&[b'x'; 43]]))));
        }
        Some(())
    })
    .await;

    let (texts, trace) = server.texts().await;

    assert_eq!(texts.unwrap().len(), 800);
    assert!(trace.to_string().len() < 64 * 1024, "the trace keeps some of it");
}

#[tokio::test]
async fn a_referral_does_not_say_that_there_are_no_records() {
    let server = NameServer::new(|response, _, _| {
        response.metadata.recursion_available = false;
        Some(())
    })
    .await;
    let error = server.texts().await.0.unwrap_err();
    assert!(matches!(error, ResolveError::Server(_)), "{error:?}");
}

#[tokio::test]
async fn where_dnssec_is_required_what_is_not_authenticated_does_not_count_not_even_that_there_is_nothing() {
    for (is_authentic, is_there) in [(true, true), (true, false), (false, true), (false, false)] {
        let server = NameServer::new(move |response, _, _| {
            response.metadata.authentic_data = is_authentic;
            if is_there {
                response.add_answer(record(OWNER, txt(&[b"there"])));
            }
            Some(())
        })
        .await;
        let trace = Trace::new(RequestId::from_bytes([0; 16]), "a test");
        let resolver = server.resolver().dnssec(Dnssec::Require);
        let texts = resolver.texts("_acme-challenge.a.test", &trace).await;
        let as_expected = match (is_authentic, is_there) {
            (true, true) => texts.is_ok(),
            (true, false) => matches!(texts, Err(ResolveError::NoRecords)),
            (false, _) => matches!(texts, Err(ResolveError::NotAuthenticated)),
        };
        assert!(as_expected, "{is_authentic} {is_there}: {texts:?}");
        assert_eq!(server.texts().await.0.is_ok(), is_there, "unless it is required");
    }
}

#[tokio::test]
async fn caa_records_are_those_of_the_name_and_keep_their_bytes() {
    let server = NameServer::new(|response, _, _| {
        let mut caa = rdata::CAA::new_issue(true, None, Vec::new());
        caa.value = b"us.test; x=\xff".to_vec();
        response.add_answer(record("a.test.", RData::CAA(caa)));
        Some(())
    })
    .await;
    let trace = Trace::new(RequestId::from_bytes([0; 16]), "a test");
    let records = server.resolver().caa(&DnsName::parse("a.test").unwrap(), &trace).await.unwrap();
    let value = b"us.test; x=\xff".to_vec();
    assert_eq!(records, [CaaRecord { critical: true, tag: "issue".into(), value }]);
    assert_eq!(server.questions(), ["a.test. CAA"], "parents are for others to ask for");
}

#[tokio::test]
async fn a_fixed_resolver_has_no_texts_but_those_of_another() {
    let trace = Trace::new(RequestId::from_bytes([0; 16]), "a test");
    let fixed = FixedResolver::new([Ipv4Addr::LOCALHOST.into()]);
    let error = fixed.texts("_acme-challenge.a.test", &trace).await.unwrap_err();
    assert!(matches!(error, ResolveError::NoRecords), "{error:?}");

    let server = NameServer::new(|response, _, _| {
        response.add_answer(record(OWNER, txt(&[b"there"])));
        Some(())
    })
    .await;
    let fixed = fixed.with_rest(Arc::new(server.resolver()));
    assert_eq!(fixed.texts("_acme-challenge.a.test", &trace).await.unwrap(), [b"there"]);
    let addresses = fixed.addresses(&DnsName::parse("a.test").unwrap(), &trace).await;
    assert_eq!(sorted(addresses), ["127.0.0.1"]);
    assert_eq!(server.questions(), ["_acme-challenge.a.test. TXT"], "addresses are nobody's business");
}
