//! A resolver that asks others to resolve.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use coyote_protocol::DnsName;
use hickory_resolver::proto::op::{Edns, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::exchange::{DATAGRAM, exchange};
use super::name_server::{Authorities, NameServer};
use super::{ResolveError, Resolver};
use crate::trace::{DnsRecord, Excerpt, Trace, TraceEvent, millis};
use crate::validate::CaaRecord;

/// How many aliases may lead from a name to its records.
const MAX_ALIASES: usize = 8;

/// How often each server is asked, if none answers.
const ROUNDS: usize = 2;

/// What to make of DNSSEC. Whether signatures are right is for the name servers to find out: they must validate, and the
/// way to them must be trusted, for one bit of the answer is all that tells.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Dnssec {
    /// Nothing. A name server that validates does not give out what is signed wrongly (it answers SERVFAIL).
    #[default]
    Ignore,
    /// An answer counts only if the server says that it is authentic (the AD bit): names in zones that are not signed
    /// cannot be looked up at all.
    Require,
}

/// Asks name servers.
///
/// They are asked in turn until one of them answers, each question on its own. Nothing is cached, and neither the hosts
/// file nor search domains matter: what counts is what DNS says now.
#[derive(Clone, Debug)]
pub struct DnsResolver {
    servers: Vec<NameServer>,
    /// None if nobody is asked over TLS: the system's are many.
    authorities: Option<Authorities>,
    dnssec: Dnssec,
    timeout: Duration,
}

/// The name servers are not usable.
#[derive(Debug, thiserror::Error)]
#[error("the name servers of the configuration cannot be used")]
pub struct InvalidServers(#[source] Box<dyn Error + Send + Sync>);

impl DnsResolver {
    /// How long an answer may take unless something else is said.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

    /// Asks these servers, over UDP, and over TCP what does not fit.
    ///
    /// # Errors
    ///
    /// [`InvalidServers`] if there are none.
    pub fn of_servers(servers: &[SocketAddr]) -> Result<Self, InvalidServers> {
        Self::of_name_servers(servers.iter().copied().map(NameServer::from))
    }

    /// Asks these servers, each in its own way.
    ///
    /// # Errors
    ///
    /// [`InvalidServers`] if there are none.
    pub fn of_name_servers(servers: impl IntoIterator<Item = NameServer>) -> Result<Self, InvalidServers> {
        let servers: Vec<_> = servers.into_iter().collect();
        if servers.is_empty() {
            return Err(InvalidServers("there are none".into()));
        }
        let authorities = match servers.iter().any(NameServer::is_asked_over_tls) {
            true => Some(Authorities::of_system().map_err(|error| InvalidServers(error.into()))?),
            false => None,
        };
        Ok(Self { servers, authorities, dnssec: Dnssec::default(), timeout: Self::DEFAULT_TIMEOUT })
    }

    /// Asks the servers that the operating system is configured to ask.
    ///
    /// # Errors
    ///
    /// [`InvalidServers`] if that configuration cannot be read or names no server.
    pub fn of_system() -> Result<Self, InvalidServers> {
        let read = hickory_resolver::system_conf::read_system_conf();
        let (config, _) = read.map_err(|error| InvalidServers(error.into()))?;
        let address = |server: &hickory_resolver::config::NameServerConfig| {
            let port = server.connections.first().map_or(53, |connection| connection.port);
            SocketAddr::new(server.ip, port)
        };
        Self::of_servers(&config.name_servers().iter().map(address).collect::<Vec<_>>())
    }

    /// With another bound on the time that an answer may take.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// With others to vouch for servers that are asked over TLS than those that the system trusts.
    #[must_use]
    pub fn trusting(self, authorities: Authorities) -> Self {
        Self { authorities: Some(authorities), ..self }
    }

    /// With this to be made of DNSSEC.
    #[must_use]
    pub fn dnssec(self, dnssec: Dnssec) -> Self {
        Self { dnssec, ..self }
    }

    /// Asks for the records of one type, at least one, and follows aliases.
    async fn lookup(
        &self,
        name: &str,
        record_type: RecordType,
        trace: &Trace,
    ) -> Result<Vec<RData>, ResolveError> {
        let (started, looking) = (Instant::now(), self.follow(name, record_type, trace));
        let outcome = tokio::time::timeout(self.timeout, looking).await;
        match &outcome {
            Ok(Err(error @ ResolveError::TooManyAliases)) => {
                trace.record(TraceEvent::note(format!("the answer is of no use: {error}")));
            }
            Ok(_) => {}
            Err(_) => trace.record(TraceEvent::DnsFailed {
                name: Excerpt::new(name),
                record_type: Excerpt::new(record_type.to_string()),
                reason: reason(&ResolveError::TimedOut),
                took_ms: millis(started.elapsed()),
            }),
        }
        outcome.unwrap_or(Err(ResolveError::TimedOut))
    }

    async fn follow(
        &self,
        name: &str,
        record_type: RecordType,
        trace: &Trace,
    ) -> Result<Vec<RData>, ResolveError> {
        let mut owner = Name::from_ascii(format!("{name}.")).map_err(ResolveError::failed)?;
        let mut aliases = 0;
        loop {
            let answer = self.ask(&owner, record_type, trace).await?;
            let before = aliases;
            // What else a server saw fit to send is not about the name that was asked for.
            while let Some(target) = answer.answers.iter().find_map(|record| alias(record, &owner)) {
                owner = target.to_lowercase();
                aliases += 1;
                if aliases > MAX_ALIASES {
                    return Err(ResolveError::TooManyAliases);
                }
            }
            let is_wanted = |record: &Record| record.name == owner && record.record_type() == record_type;
            let wanted = answer.answers.into_iter().filter(is_wanted);
            let records: Vec<_> = wanted.map(|record| record.data).collect();
            if !records.is_empty() {
                return Ok(records);
            }
            if answer.metadata.response_code == ResponseCode::NXDomain {
                return Err(ResolveError::NoSuchName);
            }
            // A server that does not resolve for others leaves it at the alias.
            if aliases == before {
                return Err(ResolveError::NoRecords);
            }
        }
    }

    /// Asks the servers in turn, until one has an answer: records, none, or no such name.
    async fn ask(
        &self,
        owner: &Name,
        record_type: RecordType,
        trace: &Trace,
    ) -> Result<Message, ResolveError> {
        let mut failure = ResolveError::TimedOut;
        for _ in 0..ROUNDS {
            for server in &self.servers {
                match self.ask_server(server, owner, record_type, trace).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => failure = error,
                }
            }
            // Who has said no will say so again.
            if !matches!(failure, ResolveError::TimedOut) {
                break;
            }
        }
        Err(failure)
    }

    async fn ask_server(
        &self,
        server: &NameServer,
        owner: &Name,
        record_type: RecordType,
        trace: &Trace,
    ) -> Result<Message, ResolveError> {
        let name = Excerpt::new(owner.to_ascii().trim_end_matches('.'));
        let kind = Excerpt::new(record_type.to_string());
        let told = Excerpt::new(server.to_string());
        trace.record(TraceEvent::DnsQuestion { name: name.clone(), record_type: kind.clone(), server: told });
        let started = Instant::now();
        let question = question(owner, record_type, self.dnssec);
        let asking = exchange(server, self.authorities.as_ref(), &question);
        let answer = match tokio::time::timeout(self.timeout / 3, asking).await {
            Ok(answer) => answer.map_err(ResolveError::failed).and_then(|answer| self.accept(answer)),
            Err(_) => Err(ResolveError::TimedOut),
        };
        let took_ms = millis(started.elapsed());
        trace.record(match &answer {
            Ok(answer)
                if answer.metadata.response_code == ResponseCode::NXDomain && answer.answers.is_empty() =>
            {
                let reason = reason(&ResolveError::NoSuchName);
                TraceEvent::DnsFailed { name, record_type: kind, reason, took_ms }
            }
            Ok(answer) => {
                let records = answer.answers.iter().map(told_record).collect();
                TraceEvent::DnsAnswer { name, record_type: kind, records, took_ms }
            }
            Err(error) => TraceEvent::DnsFailed { name, record_type: kind, reason: reason(error), took_ms },
        });
        answer
    }

    fn accept(&self, answer: Message) -> Result<Message, ResolveError> {
        let metadata = &answer.metadata;
        match metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            code => return Err(ResolveError::Server(mnemonic(code))),
        }
        // It knows nothing about the name, and finds nothing out: that there are no records is not what it says.
        let is_referral = !metadata.authoritative && !metadata.recursion_available;
        if is_referral && answer.answers.is_empty() && metadata.response_code == ResponseCode::NoError {
            return Err(ResolveError::Server("with a referral to others".to_owned()));
        }
        if self.dnssec == Dnssec::Require && !metadata.authentic_data {
            return Err(ResolveError::NotAuthenticated);
        }
        Ok(answer)
    }
}

/// A question, with a random id and random case of each letter.
fn question(owner: &Name, record_type: RecordType, dnssec: Dnssec) -> Message {
    let mut name = owner.clone();
    name.set_fqdn(true);
    name.randomize_label_case();
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    // Says that the bit of the answer is of use to us. RFC 6840 section 5.7.
    message.metadata.authentic_data = dnssec == Dnssec::Require;
    let mut edns = Edns::new();
    edns.set_max_payload(DATAGRAM);
    message.set_edns(edns);
    message.add_query(Query::query(name, record_type));
    message
}

#[async_trait]
impl Resolver for DnsResolver {
    async fn addresses(&self, name: &DnsName, trace: &Trace) -> Result<Vec<IpAddr>, ResolveError> {
        let (v6, v4) = tokio::join!(
            self.lookup(name.as_str(), RecordType::AAAA, trace),
            self.lookup(name.as_str(), RecordType::A, trace)
        );
        let addresses: Vec<IpAddr> = [&v6, &v4].into_iter().flatten().flatten().filter_map(address).collect();
        if !addresses.is_empty() {
            return Ok(addresses);
        }
        match (v6, v4) {
            (Err(ResolveError::NoSuchName), _) | (_, Err(ResolveError::NoSuchName)) => {
                Err(ResolveError::NoSuchName)
            }
            (Ok(_) | Err(ResolveError::NoRecords), Ok(_) | Err(ResolveError::NoRecords)) => {
                Err(ResolveError::NoRecords)
            }
            (Ok(_) | Err(ResolveError::NoRecords), Err(error)) | (Err(error), _) => Err(error),
        }
    }

    async fn texts(&self, name: &str, trace: &Trace) -> Result<Vec<Vec<u8>>, ResolveError> {
        let records = self.lookup(name, RecordType::TXT, trace).await?;
        Ok(records.iter().filter_map(text).collect())
    }

    async fn caa(&self, name: &DnsName, trace: &Trace) -> Result<Vec<CaaRecord>, ResolveError> {
        let records = self.lookup(name.as_str(), RecordType::CAA, trace).await?;
        Ok(records.into_iter().filter_map(caa).collect())
    }
}

/// What `owner` is an alias of, if this record says so.
fn alias<'a>(record: &'a Record, owner: &Name) -> Option<&'a Name> {
    match &record.data {
        RData::CNAME(target) if record.name == *owner => Some(&target.0),
        _ => None,
    }
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }
}

fn text(data: &RData) -> Option<Vec<u8>> {
    match data {
        RData::TXT(text) => Some(text.txt_data.concat()),
        _ => None,
    }
}

fn caa(data: RData) -> Option<CaaRecord> {
    match data {
        RData::CAA(caa) => Some(CaaRecord { critical: caa.issuer_critical, tag: caa.tag, value: caa.value }),
        _ => None,
    }
}

fn told_record(record: &Record) -> DnsRecord {
    let data = match &record.data {
        // The random case of the question may have come back in it.
        RData::CNAME(target) => format!("alias of {}", target.0.to_lowercase()),
        data => data.to_string(),
    };
    DnsRecord { data: Excerpt::new(data), ttl: Some(record.ttl) }
}

/// For the operator, with the cause.
fn reason(error: &ResolveError) -> Excerpt {
    match error {
        ResolveError::Failed(cause) => Excerpt::new(format!("{error}: {cause}")),
        _ => Excerpt::new(error.to_string()),
    }
}

/// The code as the DNS parameters registry writes it.
fn mnemonic(code: ResponseCode) -> String {
    match code {
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        code => format!("error code {}", u16::from(code)),
    }
}
