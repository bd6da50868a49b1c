//! The certificate that clients see: whether its files hold one, and its key. Envoy would say so too, less clearly, and
//! only when it starts.

use std::fs;
use std::net::SocketAddr;

use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;
use weir::config::Tls;

/// A certificate, its key beside it.
#[derive(Debug)]
pub struct Certificate {
    /// The file that it stands in.
    pub file: String,
    /// The server's own.
    pub leaf: CertificateDer<'static>,
}

impl Certificate {
    /// Reads the files. The error names everything that is wrong with them, each with its field.
    pub fn read(tls: &Tls) -> Result<Certificate, String> {
        let chain = chain(&tls.cert_file).map_err(|problem| format!("tls.cert_file: {problem}"));
        let key = key(&tls.key_file).map_err(|problem| format!("tls.key_file: {problem}"));
        match (chain, key) {
            (Ok((leaf, chain)), Ok(key)) => {
                fit(chain, &key, tls).map_err(|problem| format!("tls.key_file: {problem}"))?;
                Ok(Certificate { file: tls.cert_file.clone(), leaf })
            }
            (chain, key) => Err([chain.err(), key.err()].into_iter().flatten().collect::<Vec<_>>().join("\n")),
        }
    }

    /// The host by which a client that verifies the certificate can reach this address: the address itself if the
    /// certificate is for it, else a name of the certificate.
    pub fn host(&self, door: SocketAddr) -> String {
        let for_address = ParsedCertificate::try_from(&self.leaf)
            .is_ok_and(|parsed| verify_server_name(&parsed, &door.ip().into()).is_ok());
        let names = EndEntityCert::try_from(&self.leaf);
        let name = names.iter().flat_map(|names| names.valid_dns_names()).next();
        match name {
            Some(name) if !for_address => name.replacen('*', "weir", 1),
            _ if door.is_ipv6() => format!("[{}]", door.ip()),
            _ => door.ip().to_string(),
        }
    }
}

/// The server's own certificate, and all of the file, which begins with it.
type Chain = (CertificateDer<'static>, Vec<CertificateDer<'static>>);

fn chain(path: &str) -> Result<Chain, String> {
    let pem = read(path)?;
    let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| format!("{path} is no good PEM: {error}"))?;
    let Some(leaf) = chain.first().cloned() else {
        return Err(match PrivateKeyDer::from_pem_slice(&pem) {
            Ok(_) => format!("{path} holds a private key and no certificate: are the two files exchanged?"),
            Err(_) => format!("{path} holds no certificate: it must be PEM, with -----BEGIN CERTIFICATE-----"),
        });
    };
    match ParsedCertificate::try_from(&leaf) {
        Ok(_) => Ok((leaf, chain)),
        Err(error) => Err(format!("the first certificate in {path} cannot be read: {error}")),
    }
}

fn key(path: &str) -> Result<PrivateKeyDer<'static>, String> {
    let pem = read(path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let has = |word: &[u8]| pem.windows(word.len()).any(|window| window == word);
        if has(b"ENCRYPTED") {
            format!("{path} is encrypted, and nobody is there to type the password: `openssl pkey -in {path}` opens it")
        } else if has(b"BEGIN CERTIFICATE") {
            format!("{path} holds a certificate and no private key: are the two files exchanged?")
        } else {
            format!("{path} holds no private key: it must be PEM, with -----BEGIN PRIVATE KEY-----")
        }
    })
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))
}

/// Whether the key is that of the first certificate.
fn fit(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'static>, tls: &Tls) -> Result<(), String> {
    let Tls { cert_file, key_file } = tls;
    let key = ring::sign::any_supported_type(key).map_err(|_| {
        format!("{key_file} holds a key that clients cannot be expected to know: take RSA of 2048 bits, or ECDSA P-256")
    })?;
    CertifiedKey::new(chain, key).keys_match().map_err(|_| {
        format!(
            "the key in {key_file} is not that of the first certificate in {cert_file}, which must be the server's own"
        )
    })
}
