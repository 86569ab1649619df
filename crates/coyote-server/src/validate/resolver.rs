//! Asking DNS.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use coyote_protocol::DnsName;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::CaaRecord;
use crate::trace::{DnsRecord, Excerpt, Trace, TraceEvent, millis};

/// How many aliases may lead from a name to its records.
const MAX_ALIASES: usize = 8;

/// Why DNS did not say what was asked of it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The name does not exist: NXDOMAIN.
    #[error("the name does not exist")]
    NoSuchName,
    /// The name exists, and has no records of the type.
    #[error("the name has no such records")]
    NoRecords,
    /// A server answered, with an error: SERVFAIL, REFUSED and the like.
    #[error("the name server answered {0}")]
    Server(String),
    /// The name is an alias of an alias, and so on: in a circle, or too often.
    #[error("the name is an alias of too many others")]
    TooManyAliases,
    /// No answer came in time.
    #[error("no name server answered in time")]
    TimedOut,
    /// There was no way to ask, or the answer was not DNS.
    #[error("the name servers could not be asked")]
    Failed(#[source] NetError),
}

/// Asks DNS for what validation needs. Every question and every answer is to be told to the trace.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// The IPv6 and IPv4 addresses of a name; at least one.
    ///
    /// # Errors
    ///
    /// [`ResolveError::NoRecords`] if the name exists and has no addresses; else what went wrong. Addresses of one
    /// family are enough: then it does not matter what went wrong with the other.
    async fn addresses(&self, name: &DnsName, trace: &Trace) -> Result<Vec<IpAddr>, ResolveError>;

    /// The TXT records of a name, which need not be a host's: `_acme-challenge.example.org`, without a dot at the
    /// end. At least one; the strings of each are joined, and may be any bytes. Aliases are followed.
    ///
    /// # Errors
    ///
    /// [`ResolveError::NoRecords`] if the name exists and has none; else what went wrong.
    async fn texts(&self, name: &str, trace: &Trace) -> Result<Vec<Vec<u8>>, ResolveError>;

    /// The CAA records of this very name, or of what it is an alias of; at least one. Its parents are not asked.
    ///
    /// # Errors
    ///
    /// [`ResolveError::NoSuchName`] or [`ResolveError::NoRecords`] if DNS says that there are none, and only then; else
    /// what went wrong.
    async fn caa(&self, name: &DnsName, trace: &Trace) -> Result<Vec<CaaRecord>, ResolveError>;
}

/// Asks name servers.
///
/// Nothing is cached, and neither the hosts file nor search domains matter: what counts is what DNS says now.
#[derive(Clone, Debug)]
pub struct DnsResolver {
    resolver: TokioResolver,
    servers: Excerpt,
    timeout: Duration,
}

/// The name servers are not usable.
#[derive(Debug, thiserror::Error)]
#[error("the name servers of the configuration cannot be used")]
pub struct InvalidServers(#[source] NetError);

impl DnsResolver {
    /// How long an answer may take unless something else is said.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

    /// Asks these servers, over UDP, and over TCP what does not fit.
    ///
    /// # Errors
    ///
    /// [`InvalidServers`] if there are none.
    pub fn of_servers(servers: &[SocketAddr]) -> Result<Self, InvalidServers> {
        if servers.is_empty() {
            return Err(InvalidServers(NetError::NoConnections));
        }
        let names: Vec<_> = servers.iter().map(SocketAddr::to_string).collect();
        let configs = servers.iter().map(udp_and_tcp).collect();
        Self::build(ResolverConfig::from_parts(None, Vec::new(), configs), &names.join(", "))
    }

    /// Asks the servers that the operating system is configured to ask.
    ///
    /// # Errors
    ///
    /// [`InvalidServers`] if that configuration cannot be read or names no server.
    pub fn of_system() -> Result<Self, InvalidServers> {
        let (config, _) = hickory_resolver::system_conf::read_system_conf().map_err(InvalidServers)?;
        if config.name_servers().is_empty() {
            return Err(InvalidServers(NetError::NoConnections));
        }
        Self::build(config, "the system's name servers")
    }

    /// With another bound on the time that an answer may take.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    fn build(config: ResolverConfig, servers: &str) -> Result<Self, InvalidServers> {
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options();
        let resolver = builder.build().map_err(InvalidServers)?;
        Ok(Self { resolver, servers: Excerpt::new(servers), timeout: Self::DEFAULT_TIMEOUT })
    }

    /// Asks for the records of one type. Aliases have been followed.
    async fn lookup(
        &self,
        name: &str,
        record_type: RecordType,
        trace: &Trace,
    ) -> Result<Vec<RData>, ResolveError> {
        let answers = self.ask(name, record_type, trace).await?;
        let owner =
            Name::from_ascii(format!("{name}.")).map_err(|error| ResolveError::Failed(error.into()))?;
        let records = at_the_end_of_aliases(answers, owner, record_type);
        if let Err(error) = &records {
            trace.record(TraceEvent::note(format!("the answer is of no use: {error}")));
        }
        records
    }

    /// Asks, and tells the trace.
    async fn ask(
        &self,
        name: &str,
        record_type: RecordType,
        trace: &Trace,
    ) -> Result<Vec<Record>, ResolveError> {
        let (name, kind) = (Excerpt::new(name), Excerpt::new(record_type.to_string()));
        let server = self.servers.clone();
        trace.record(TraceEvent::DnsQuestion { name: name.clone(), record_type: kind.clone(), server });

        let started = Instant::now();
        // The dot at the end keeps search domains out.
        let answer = self.resolver.lookup(format!("{}.", name.as_str()), record_type);
        let outcome = match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(lookup)) => Ok(lookup.answers().to_vec()),
            Ok(Err(error)) => Err(ResolveError::from(error)),
            Err(_) => Err(ResolveError::TimedOut),
        };

        let took_ms = millis(started.elapsed());
        trace.record(match &outcome {
            Ok(records) => TraceEvent::DnsAnswer {
                name,
                record_type: kind,
                records: records.iter().map(told).collect(),
                took_ms,
            },
            Err(error) => TraceEvent::DnsFailed { name, record_type: kind, reason: reason(error), took_ms },
        });
        outcome
    }
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

/// The data of the records of this type at the end of the aliases that begin at `owner`; at least one. What else a
/// server saw fit to send is not about the name that was asked for.
fn at_the_end_of_aliases(
    answers: Vec<Record>,
    mut owner: Name,
    record_type: RecordType,
) -> Result<Vec<RData>, ResolveError> {
    let mut aliases = 0;
    while let Some(target) = answers.iter().find_map(|record| alias(record, &owner)) {
        owner = target.clone();
        aliases += 1;
        if aliases > MAX_ALIASES {
            return Err(ResolveError::TooManyAliases);
        }
    }
    let is_wanted = |record: &Record| record.name == owner && record.record_type() == record_type;
    let records: Vec<_> = answers.into_iter().filter(is_wanted).map(|record| record.data).collect();
    if records.is_empty() { Err(ResolveError::NoRecords) } else { Ok(records) }
}

/// What `owner` is an alias of, if this record says so.
fn alias<'a>(record: &'a Record, owner: &Name) -> Option<&'a Name> {
    match &record.data {
        RData::CNAME(target) if record.name == *owner => Some(&target.0),
        _ => None,
    }
}

fn udp_and_tcp(server: &SocketAddr) -> NameServerConfig {
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    for connection in &mut config.connections {
        connection.port = server.port();
    }
    config
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.ndots = 0;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = Duration::from_secs(2);
    options.attempts = 1;
    // Whoever forges an answer must guess the case of each letter, too. A server that does not keep it is asked
    // again over TCP.
    options.case_randomization = true;
    options
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

fn told(record: &Record) -> DnsRecord {
    let data = match &record.data {
        RData::CNAME(target) => format!("alias of {}", target.0),
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

impl From<NetError> for ResolveError {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Timeout => Self::TimedOut,
            NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, .. })) => match response_code {
                ResponseCode::NXDomain => Self::NoSuchName,
                ResponseCode::NoError => Self::NoRecords,
                code => Self::Server(mnemonic(code)),
            },
            NetError::Dns(DnsError::ResponseCode(code)) => Self::Server(mnemonic(code)),
            error => Self::Failed(error),
        }
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

/// Says of every name that it has the same addresses: for trying things out on one machine.
#[derive(Clone)]
pub struct FixedResolver {
    addresses: Vec<IpAddr>,
    rest: Option<Arc<dyn Resolver>>,
}

impl FixedResolver {
    /// Gives these addresses to every name, and no name anything else.
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self { addresses: addresses.into_iter().collect(), rest: None }
    }

    /// Asks this resolver for everything but addresses.
    #[must_use]
    pub fn with_rest(self, resolver: Arc<dyn Resolver>) -> Self {
        Self { rest: Some(resolver), ..self }
    }
}

impl fmt::Debug for FixedResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { addresses, rest: _ } = self;
        f.debug_struct("FixedResolver").field("addresses", addresses).finish_non_exhaustive()
    }
}

#[async_trait]
impl Resolver for FixedResolver {
    async fn addresses(&self, name: &DnsName, trace: &Trace) -> Result<Vec<IpAddr>, ResolveError> {
        let records = self.addresses.iter();
        let records = records.map(|a| DnsRecord { data: Excerpt::new(a.to_string()), ttl: None }).collect();
        trace.record(fixed(name.as_str(), "address", records));
        if self.addresses.is_empty() { Err(ResolveError::NoRecords) } else { Ok(self.addresses.clone()) }
    }

    async fn texts(&self, name: &str, trace: &Trace) -> Result<Vec<Vec<u8>>, ResolveError> {
        if let Some(rest) = &self.rest {
            return rest.texts(name, trace).await;
        }
        trace.record(fixed(name, "TXT", Vec::new()));
        Err(ResolveError::NoRecords)
    }

    async fn caa(&self, name: &DnsName, trace: &Trace) -> Result<Vec<CaaRecord>, ResolveError> {
        if let Some(rest) = &self.rest {
            return rest.caa(name, trace).await;
        }
        trace.record(fixed(name.as_str(), "CAA", Vec::new()));
        Err(ResolveError::NoRecords)
    }
}

/// An answer that nobody was asked for.
fn fixed(name: &str, record_type: &str, records: Vec<DnsRecord>) -> TraceEvent {
    let record_type = Excerpt::new(format!("{record_type} (fixed)"));
    TraceEvent::DnsAnswer { name: Excerpt::new(name), record_type, records, took_ms: 0 }
}

#[cfg(test)]
mod tests;
