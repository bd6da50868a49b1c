//! Whether the gateway answers: the one that was started, with the certificate that it was given.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};

use crate::certificate::Certificate;

/// How the door is tried.
pub enum Probe {
    /// Without TLS.
    Plain,
    /// With TLS.
    Tls(Arc<ClientConfig>),
}

impl Probe {
    /// For a door with this certificate, or with none.
    pub fn new(certificate: Option<&Certificate>) -> Result<Probe, String> {
        let Some(certificate) = certificate else { return Ok(Probe::Plain) };
        let provider = Arc::new(ring::default_provider());
        let exactly = Exactly { leaf: certificate.leaf.clone(), provider: Arc::clone(&provider) };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("cannot speak TLS: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(exactly))
            .with_no_client_auth();
        Ok(Probe::Tls(Arc::new(config)))
    }

    /// Whether `GET /health` at this address is answered with 200.
    pub fn answers(&self, door: SocketAddr) -> bool {
        let connect = || -> std::io::Result<bool> {
            let connection = TcpStream::connect_timeout(&door, ANSWER)?;
            connection.set_read_timeout(Some(ANSWER))?;
            match self {
                Probe::Plain => ask(connection, door),
                Probe::Tls(config) => {
                    let name = ServerName::from(door.ip());
                    let session = ClientConnection::new(Arc::clone(config), name).map_err(std::io::Error::other)?;
                    ask(StreamOwned::new(session, connection), door)
                }
            }
        };
        connect().unwrap_or(false)
    }
}

fn ask(mut connection: impl Read + Write, door: SocketAddr) -> std::io::Result<bool> {
    connection.write_all(format!("GET /health HTTP/1.1\r\nhost: {door}\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut status = [0; b"HTTP/1.1 200".len()];
    connection.read_exact(&mut status)?;
    Ok(status == *b"HTTP/1.1 200")
}

/// Takes one certificate and no other. Whoever has its key is the gateway; whether others trust it, and by which name, is
/// between it and them.
#[derive(Debug)]
struct Exactly {
    leaf: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *leaf == self.leaf {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A gateway on this machine that takes longer is not ready.
const ANSWER: Duration = Duration::from_secs(1);
