//! Certificates and the authority that issues them, in a directory of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tempfile::{TempDir, tempdir};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// An authority. Its files go with it.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// A certificate and its key, in files.
#[derive(Clone)]
pub struct Issued {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let authority = Self { issuer, directory: tempdir().expect("a directory") };
        fs::write(authority.file(), authority.issuer.pem()).expect("the authority's file");
        authority
    }

    /// The file of the authority's own certificate.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A certificate of the service, for `localhost`.
    pub fn service(&self, name: &str) -> Issued {
        self.issue(name, &CertificateParams::new(vec!["localhost".to_owned()]).expect("a name"))
    }

    /// A certificate of a client, with these URIs.
    pub fn client(&self, name: &str, uris: &[&str]) -> Issued {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("a URI"))).collect();
        self.issue(name, &params)
    }

    fn issue(&self, name: &str, params: &CertificateParams) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let issued = Issued {
            certificate: self.directory.path().join(format!("{name}.pem")),
            key: self.directory.path().join(format!("{name}.key")),
        };
        fs::write(&issued.certificate, certificate.pem()).expect("the certificate's file");
        fs::write(&issued.key, key.serialize_pem()).expect("the key's file");
        issued
    }

    /// Connects to services with certificates of this authority, with a certificate of one's own or none, and speaks this protocol.
    pub fn connector(&self, own: Option<&Issued>, protocol: &str) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
        let mut config = match own {
            Some(Issued { certificate, key }) => {
                let certificates =
                    CertificateDer::pem_file_iter(certificate).expect("a file").map(|one| one.expect("a certificate"));
                let key = PrivateKeyDer::from_pem_file(key).expect("a key");
                builder.with_client_auth_cert(certificates.collect(), key).expect("a pair")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}
