//! Where calls come from: the other end of a connection.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::domain::caller::{BadCredential, Flaw};
use crate::error::Error;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where it is; behind a proxy, where the proxy is.
    pub address: SocketAddr,
    /// The public id of the application that its certificate names. Its calls are then for no other.
    pub application_id: Option<Arc<str>>,
}

impl Peer {
    /// The application that a call of this peer is for, where it is known: by the certificate, by what the call itself names, or by both.
    ///
    /// # Errors
    /// [`Error::CredentialsInvalid`] when they name different ones.
    pub fn application_id<'a>(&'a self, named: Option<&'a str>) -> Result<Option<&'a str>, Error> {
        match (self.application_id.as_deref(), named) {
            (Some(certified), Some(named)) if !certified.eq_ignore_ascii_case(named) => {
                Err(Error::CredentialsInvalid(BadCredential { flaw: Flaw::OtherApplication, token_id: None }))
            }
            (certified, named) => Ok(certified.or(named)),
        }
    }
}

/// The network that one user of the internet has: an address, of IPv6 its first 64 bits.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_binds_the_calls_of_its_peer_to_its_application() {
        let address = SocketAddr::from(([192, 0, 2, 7], 1));
        let bound = Peer { address, application_id: Some("acme".into()) };
        assert_eq!(bound.application_id(None).expect("acme"), Some("acme"));
        assert_eq!(bound.application_id(Some("Acme")).expect("the same"), Some("acme"));
        assert!(matches!(bound.application_id(Some("globex")), Err(Error::CredentialsInvalid(_))));
        let free = Peer { address, application_id: None };
        assert_eq!(free.application_id(None).expect("any"), None);
        assert_eq!(free.application_id(Some("globex")).expect("as named"), Some("globex"));
    }

    #[test]
    fn a_network_of_ipv6_is_64_bits_and_one_of_ipv4_is_an_address() {
        let network_of = |address: &str| network(address.parse().expect("an address")).to_string();
        assert_eq!(network_of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network_of("192.0.2.7"), "192.0.2.7");
        assert_eq!(network_of("::ffff:192.0.2.7"), "192.0.2.7", "the same host by another name");
    }
}
