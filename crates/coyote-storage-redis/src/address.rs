//! Where Redis is, read from a URL.

use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{
    Client, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError, TlsMode,
    cluster::ClusterClient,
};
use url::form_urlencoded;

use crate::{ConnectError, RedisOptions};

/// Where Redis is, and in which form.
pub(crate) enum Address {
    /// One server.
    Server(Client),
    /// Whichever server the sentinels say is the master.
    Sentinels(SentinelClient),
    /// A cluster.
    Cluster(Box<ClusterClient>),
}

impl Address {
    pub(crate) fn parse(url: &str, options: &RedisOptions) -> Result<Self, ConnectError> {
        if url.contains('#') {
            return Err(ConnectError::Url("it has a fragment")); // "#insecure" would accept any certificate
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(ConnectError::Url("there is no scheme"));
        };
        match scheme {
            "redis" | "rediss" | "redis+unix" => {
                Client::open(url).map(Self::Server).map_err(refused("it cannot be read"))
            }
            "redis+sentinel" => sentinels(&Parts::of("redis", rest)),
            "rediss+sentinel" => sentinels(&Parts::of("rediss", rest)),
            "redis+cluster" => cluster(&Parts::of("redis", rest), options),
            "rediss+cluster" => cluster(&Parts::of("rediss", rest), options),
            _ => Err(ConnectError::Url(
                "it begins with redis://, rediss://, redis+unix://, redis+sentinel://, rediss+sentinel://, \
                 redis+cluster:// or rediss+cluster://",
            )),
        }
    }
}

/// The parts of a URL with several hosts, which no general parser reads.
struct Parts<'a> {
    scheme: &'static str,
    user: &'a str,
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(scheme: &'static str, rest: &'a str) -> Self {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        Self { scheme, user, hosts, path, query }
    }

    /// Each host, as if it were alone.
    fn nodes(&self, port: u16, database: &str) -> Result<Vec<ConnectionInfo>, ConnectError> {
        let at = if self.user.is_empty() { "" } else { "@" };
        let node = |host: &str| {
            // The colons of an IPv6 address are in brackets.
            let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
            let port = if has_port { String::new() } else { format!(":{port}") };
            let url = format!("{}://{}{at}{host}{port}/{database}", self.scheme, self.user);
            url.into_connection_info().map_err(refused("a host or the database cannot be read"))
        };
        self.hosts.split(',').map(node).collect()
    }
}

/// `HOST,HOST/NAME/DATABASE?sentinel-username=…&sentinel-password=…`; the user before the hosts is Redis's.
fn sentinels(parts: &Parts<'_>) -> Result<Address, ConnectError> {
    let (name, database) = parts.path.split_once('/').unwrap_or((parts.path, ""));
    if name.is_empty() {
        return Err(ConnectError::Url("after the sentinels comes the name of the master"));
    }
    let nodes = parts.nodes(26379, database)?;
    let of_redis = nodes.first().map(|node| node.redis_settings().clone()).unwrap_or_default();
    let mut of_sentinels = RedisConnectionInfo::default();
    for (key, value) in form_urlencoded::parse(parts.query.as_bytes()) {
        of_sentinels = match key.as_ref() {
            "sentinel-username" => of_sentinels.set_username(value),
            "sentinel-password" => of_sentinels.set_password(value),
            _ => return Err(ConnectError::Url("there is an unknown parameter")),
        };
    }
    let nodes = nodes.into_iter().map(|node| node.set_redis_settings(of_sentinels.clone())).collect();
    let mut master = SentinelNodeConnectionInfo::default().set_redis_connection_info(of_redis);
    if parts.scheme == "rediss" {
        master = master.set_tls_mode(TlsMode::Secure);
    }
    let client = SentinelClient::build(nodes, name.to_owned(), Some(master), SentinelServerType::Master);
    client.map(Address::Sentinels).map_err(refused("the sentinels cannot be used"))
}

/// `HOST,HOST`.
fn cluster(parts: &Parts<'_>, options: &RedisOptions) -> Result<Address, ConnectError> {
    if !parts.query.is_empty() || !parts.path.is_empty() {
        return Err(ConnectError::Url("after a cluster's hosts comes nothing"));
    }
    let client = ClusterClient::builder(parts.nodes(6379, "")?)
        .retries(3)
        .max_retry_wait(100)
        .min_retry_wait(10)
        .connection_timeout(options.patience / 2)
        .response_timeout(options.patience / 2)
        .overall_response_timeout(Some(options.patience));
    client
        .build()
        .map(|client| Address::Cluster(Box::new(client)))
        .map_err(refused("the hosts cannot be used"))
}

/// Not with Redis's own words, which may have the password among them.
fn refused(why: &'static str) -> impl Fn(RedisError) -> ConnectError {
    move |_| ConnectError::Url(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_redis_has_a_url() {
        assert!(matches!(parse("redis://h"), Ok(Address::Server(_))));
        assert!(matches!(parse("rediss://user:p%40ss@h:1/2"), Ok(Address::Server(_))));
        assert!(matches!(parse("redis+unix:///run/redis.sock"), Ok(Address::Server(_))));
        assert!(matches!(parse("redis+sentinel://a,b:1,[::1]/main"), Ok(Address::Sentinels(_))));
        let all = "rediss+sentinel://u:p@a,b/main/3?sentinel-username=s&sentinel-password=%26";
        assert!(matches!(parse(all), Ok(Address::Sentinels(_))));
        assert!(matches!(parse("redis+cluster://a:1,b,[::1]:2"), Ok(Address::Cluster(_))));
        assert!(matches!(parse("rediss+cluster://u:p@a,b"), Ok(Address::Cluster(_))));
    }

    #[test]
    fn a_url_that_is_refused_is_not_repeated() {
        for url in [
            "secret",
            "http://secret",
            "redis://u:secret@",
            "rediss://u:secret@h#insecure",
            "redis://u:secret@h/x",
            "redis+sentinel://u:secret@h",
            "redis+sentinel://u:secret@h/main/x",
            "redis+sentinel://u:secret@h/main?password=secret",
            "redis+sentinel://u:secret@/main",
            "redis+cluster://u:secret@",
            "redis+cluster://u:secret@h/1",
        ] {
            let error = parse(url).err().unwrap_or_else(|| panic!("{url} was accepted"));
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn a_host_without_a_port_has_the_usual_one() {
        let nodes = Parts::of("redis", "u:p@a,[::1],b:1").nodes(26379, "5").unwrap();
        let told: Vec<_> = nodes.iter().map(|node| node.addr().to_string()).collect();
        assert_eq!(told, ["a:26379", "::1:26379", "b:1"]);
        assert_eq!(nodes[1].redis_settings().db(), 5);
        assert_eq!(nodes[2].redis_settings().password(), Some("p"));
    }

    fn parse(url: &str) -> Result<Address, ConnectError> {
        Address::parse(url, &RedisOptions::default())
    }
}
