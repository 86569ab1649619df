//! Where a request came from.

use std::net::{IpAddr, SocketAddr};

use actix_web::{HttpRequest, web::Data};

use crate::validate::Cidr;

/// Proxies in front of the server, whose word is taken for where a request came from: they add the address of whoever
/// connected to them to `X-Forwarded-For`. Without this among the application's data, the client is who connected.
///
/// ```
/// # use actix_web::{App, web::Data};
/// # use coyote_server::http::TrustedProxies;
/// let proxies = TrustedProxies::new(["10.0.0.7/32".parse().unwrap()]);
/// let app = App::new().app_data(Data::new(proxies)); // .configure(routes(acme))
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<Cidr>);

impl TrustedProxies {
    /// Those in these networks.
    pub fn new(networks: impl IntoIterator<Item = Cidr>) -> Self {
        Self(networks.into_iter().collect())
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The last address on the way that is no proxy's: what is further left in the header, anybody may have written. None
    /// if the trail ends at a proxy: it must not be taken for the client, whom it may be trusted more than.
    fn origin<'a>(
        &self,
        peer: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
    ) -> Option<IpAddr> {
        let mut origin = peer.to_canonical();
        let mut before = forwarded.flat_map(|field| field.split(',')).map(str::trim).rev();
        while self.trust(origin) {
            origin = hop(before.next()?)?;
        }
        Some(origin)
    }
}

/// An address, to which some proxies add the port.
fn hop(text: &str) -> Option<IpAddr> {
    let address = text.parse().ok().or_else(|| text.parse().ok().map(|with_port: SocketAddr| with_port.ip()));
    address.map(|address| address.to_canonical())
}

/// The address that a request came from, if that is known.
pub(super) fn address(http: &HttpRequest) -> Option<IpAddr> {
    let peer = http.peer_addr()?.ip();
    let Some(proxies) = http.app_data::<Data<TrustedProxies>>() else { return Some(peer) };
    let fields: Vec<_> = http.headers().get_all("x-forwarded-for").map(|field| field.to_str()).collect();
    // What is not text is where the trail ends.
    let readable = fields.iter().rposition(Result::is_err).map_or(0, |at| at + 1);
    let fields = fields.iter().skip(readable).filter_map(|field| field.as_ref().ok().copied());
    proxies.origin(peer, fields.collect::<Vec<_>>().into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(peer: &str, fields: &[&str]) -> Option<String> {
        let proxies = TrustedProxies::new(["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        proxies.origin(peer.parse().unwrap(), fields.iter().copied()).map(|origin| origin.to_string())
    }

    #[test]
    fn the_client_is_the_last_address_before_the_proxies() {
        for (peer, fields, client) in [
            ("10.0.0.1", &["192.0.2.1"][..], "192.0.2.1"),
            ("10.0.0.1", &["192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.9, 192.0.2.1", "10.0.0.2"], "192.0.2.1"),
            ("::ffff:10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", &["192.0.2.1:40000, 10.0.0.2:443"], "192.0.2.1"),
            ("10.0.0.1", &["[2001:db8::1]:40000"], "2001:db8::1"),
        ] {
            assert_eq!(origin(peer, fields).as_deref(), Some(client), "{peer} {fields:?}");
        }
    }

    #[test]
    fn what_a_stranger_or_nobody_vouches_for_is_not_believed() {
        for (peer, fields, client) in [
            ("192.0.2.7", &["192.0.2.1"][..], Some("192.0.2.7")),
            ("10.0.0.1", &[], None),
            ("10.0.0.1", &["10.0.0.2"], None),
            ("10.0.0.1", &["192.0.2.1, unknown"], None),
            ("10.0.0.1", &["192.0.2.1, "], None),
            ("10.0.0.1", &["192.0.2.1, 192.0.2.9"], Some("192.0.2.9")),
        ] {
            assert_eq!(origin(peer, fields).as_deref(), client, "{peer} {fields:?}");
        }
    }
}
