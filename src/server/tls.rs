//! TLS on the listener: the service's certificate, the certificates of clients, and new files without a restart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection};
use tokio_util::sync::CancellationToken;

use crate::config::{ClientCertificates, TlsSettings};

/// What the URI in a client's certificate begins with that binds it to an application.
const APPLICATION_URI: &str = "deskledger://application/";

/// The certificates of the listener, as its files have them now.
#[derive(Clone)]
pub(super) struct Tls {
    config: watch::Receiver<Arc<ServerConfig>>,
}

/// The files, as they were read.
#[derive(PartialEq, Eq)]
struct Files {
    certificates: Vec<u8>,
    key: Vec<u8>,
    client_authorities: Option<Vec<u8>>,
}

impl Tls {
    /// Reads the files and keeps an eye on them until shutdown; `None` where there are none to read.
    pub(super) async fn start(settings: &TlsSettings, shutdown: CancellationToken) -> io::Result<Option<Self>> {
        let (Some(certificate), Some(key)) = (settings.tls_cert.clone(), settings.tls_key.clone()) else { return Ok(None) };
        let source = Source { certificate, key, settings: settings.clone() };
        let files = source.read().await?;
        let (sender, config) = watch::channel(Arc::new(source.config(&files)?));
        // Before it is said that the service listens, so that from then on the signal is safe to send.
        let hang_ups = signal(SignalKind::hangup())?;
        tokio::spawn(source.watch(files, sender, hang_ups, shutdown));
        Ok(Some(Self { config }))
    }

    /// What a new connection is accepted with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.borrow().clone())
    }
}

/// Where the files are.
struct Source {
    certificate: PathBuf,
    key: PathBuf,
    settings: TlsSettings,
}

impl Source {
    async fn read(&self) -> io::Result<Files> {
        let client_authorities = match &self.settings.tls_client_ca {
            Some(path) => Some(contents(path).await?),
            None => None,
        };
        Ok(Files { certificates: contents(&self.certificate).await?, key: contents(&self.key).await?, client_authorities })
    }

    /// Takes the files in, all of them or none: a key that is not the certificate's is told here, not to clients.
    fn config(&self, files: &Files) -> io::Result<ServerConfig> {
        let certificates = certificates(&files.certificates).map_err(|error| of(&self.certificate, error))?;
        let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|error| of(&self.key, error))?;
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let builder = match (&self.settings.tls_client_ca, &files.client_authorities) {
            (Some(path), Some(authorities)) => {
                let mut roots = RootCertStore::empty();
                for authority in self::certificates(authorities).map_err(|error| of(path, error))? {
                    roots.add(authority).map_err(|error| of(path, error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = match self.settings.tls_client_certificates {
                    ClientCertificates::Required => verifier,
                    ClientCertificates::Optional => verifier.allow_unauthenticated(),
                };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| of(path, error))?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(certificates, key).map_err(|error| of(&self.certificate, error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Takes the files in again whenever they have changed. What cannot be taken in is told, and the last good ones stay.
    async fn watch(
        self,
        mut known: Files,
        sender: watch::Sender<Arc<ServerConfig>>,
        mut hang_ups: tokio::signal::unix::Signal,
        shutdown: CancellationToken,
    ) {
        let mut ticks = interval(self.settings.reload_interval());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = None;
        loop {
            let asked = tokio::select! {
                _ = ticks.tick() => false,
                Some(()) = hang_ups.recv() => true,
                () = shutdown.cancelled() => return,
            };
            let outcome = match self.read().await {
                Ok(files) if files == known && !asked => continue,
                Ok(files) => {
                    let config = self.config(&files);
                    known = files;
                    config
                }
                Err(error) => Err(error),
            };
            let failure = match outcome {
                Ok(config) => {
                    // Sessions of the old one are not resumed: whom it let in is asked again.
                    sender.send_replace(Arc::new(config));
                    tracing::info!("the files of TLS are taken in anew");
                    None
                }
                Err(error) => Some(error.to_string()),
            };
            if let Some(error) = &failure
                && (asked || told != failure)
            {
                tracing::error!(error, "the files of TLS cannot be taken in: new connections get the last good ones");
            }
            told = failure;
        }
    }
}

async fn contents(path: &Path) -> io::Result<Vec<u8>> {
    tokio::fs::read(path).await.map_err(|error| of(path, error))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err("no certificate in it".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(error.to_string()),
    }
}

/// An error with the file that it is about.
fn of(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

/// The application that the client's certificate names, where there is a certificate and it names one.
///
/// # Errors
/// When it names several: whose calls these are cannot be told.
pub(super) fn application_id(connection: &ServerConnection) -> Result<Option<Arc<str>>, &'static str> {
    let Some(certificate) = connection.peer_certificates().and_then(<[_]>::first) else { return Ok(None) };
    let certificate = webpki::EndEntityCert::try_from(certificate).map_err(|_| "its certificate cannot be read")?;
    let mut named = certificate.valid_uri_names().filter_map(|uri| uri.strip_prefix(APPLICATION_URI));
    match (named.next(), named.next()) {
        (named, None) => Ok(named.map(Arc::from)),
        _ => Err("its certificate names several applications"),
    }
}
