//! How clients come in: over TLS or not, from which pages of the web, through which proxies.

use std::net::IpAddr;
use std::time::Duration;

/// The certificate that clients see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// A PEM file with the certificate and those between it and a trusted authority, by its absolute path.
    pub cert_file: String,
    /// A PEM file with its private key, by its absolute path.
    pub key_file: String,
}

/// Which pages of the web may ask from a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Whose pages.
    pub origins: Origins,
    /// How long a browser may remember that.
    pub max_age: Duration,
}

impl Cors {
    /// Whether pages of this origin may ask, and read what they are told.
    pub fn admits(&self, origin: &str) -> bool {
        match &self.origins {
            Origins::All => true,
            Origins::Only(origins) => origins.iter().any(|known| known == origin),
        }
    }
}

/// Whose pages may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Everybody's. They still need a key.
    All,
    /// Those of these origins, spelled as browsers spell them.
    Only(Vec<String>),
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// Its first address.
    pub first: IpAddr,
    /// How many of the leading bits all of its addresses share.
    pub bits: u8,
}
