use std::net::Ipv4Addr;

use coyote_storage::RequestId;
use tokio::net::TcpListener;

use super::*;
use crate::validate::{FixedResolver, Rule};

fn trace() -> Trace {
    Trace::new(RequestId::from_bytes([0; 16]), "a test")
}

fn name() -> Host {
    Host::Name(DnsName::parse("a.test").unwrap())
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A network whose every name has these addresses, and that has only 127.0.0.0/30.
fn network(texts: &[&str]) -> Network {
    let policy = AddressPolicy::public().allow("127.0.0.0/30".parse().unwrap());
    Network::new(Arc::new(FixedResolver::new(addresses(texts))), policy, NetworkLimits::default())
}

/// The addresses that were dialled, in order.
fn dialled(trace: &Trace) -> Vec<IpAddr> {
    let events = trace.events().into_iter();
    events
        .filter_map(|timed| match timed.event {
            TraceEvent::Connect { address } => Some(address.ip()),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_that_is_dialled() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let trace = trace();

    let stream = network(&["10.0.0.1", "127.0.0.1"]).connect(&name(), port, &trace).await.unwrap();

    assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
    assert_eq!(dialled(&trace), addresses(&["127.0.0.1"]));
}

#[tokio::test]
async fn if_no_address_is_allowed_none_is_dialled() {
    let trace = trace();

    let error = network(&["10.0.0.1", "::1"]).connect(&name(), 80, &trace).await.unwrap_err();

    assert!(matches!(error, ConnectError::NotAllowed(Refusal { rule: Rule::Private })), "{error:?}");
    assert!(dialled(&trace).is_empty(), "{trace}");
    assert!(trace.to_string().contains("refused    ::1: loopback address"), "{trace}");
}

#[tokio::test]
async fn an_address_is_checked_as_a_name_is() {
    let error = network(&[]).connect(&Host::Address([127, 0, 0, 9].into()), 80, &trace()).await.unwrap_err();
    assert!(matches!(error, ConnectError::NotAllowed(Refusal { rule: Rule::Loopback })), "{error:?}");
}

#[tokio::test]
async fn a_name_with_many_addresses_is_not_tried_at_all_of_them() {
    let many = ["127.0.0.1"; 50];
    let trace = trace();

    let error = network(&many).connect(&name(), 1, &trace).await.unwrap_err();

    assert!(matches!(error, ConnectError::Failed(_)), "{error:?}");
    assert_eq!(dialled(&trace).len(), NetworkLimits::default().max_addresses);
}

#[tokio::test]
async fn addresses_are_tried_in_the_order_of_the_answer() {
    let trace = trace();

    let error =
        network(&["127.0.0.2", "127.0.0.1", "127.0.0.3"]).connect(&name(), 1, &trace).await.unwrap_err();

    assert!(matches!(error, ConnectError::Failed(_)), "{error:?}");
    assert_eq!(dialled(&trace), addresses(&["127.0.0.2", "127.0.0.1", "127.0.0.3"]));
}

#[tokio::test]
async fn a_name_without_addresses_is_said_to_have_none() {
    let error = network(&[]).connect(&name(), 80, &trace()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Resolve(ResolveError::NoRecords)), "{error:?}");
}

#[test]
fn ipv6_and_ipv4_addresses_take_turns() {
    let mixed = addresses(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2"]);
    let expected = addresses(&["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"]);
    assert_eq!(in_turn(mixed), expected);
}

#[test]
fn a_user_agent_cannot_carry_another_header_field() {
    assert_eq!("acme CA/1.0 (+https://ca.test)".parse::<UserAgent>().unwrap().as_str().len(), 30);
    for text in ["", "x\r\nX-Y: z", "x\0", "é", &"x".repeat(257)] {
        assert_eq!(text.parse::<UserAgent>(), Err(InvalidUserAgent), "{text:?}");
    }
}
