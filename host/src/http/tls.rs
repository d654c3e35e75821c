//! The certificate that the server shows to clients of https, read once from two PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where the certificate lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, then those that lead from it to the root.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Why https is not possible.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {what} in {}: {}", path.display(), reason(source))]
    Pem { what: &'static str, path: PathBuf, source: pem::Error },
    #[error("the certificate in {} and the key in {} cannot be used: {source}", files.certificate.display(), files.key.display())]
    Unusable { files: TlsFiles, source: tokio_rustls::rustls::Error },
}

fn reason(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "there is none; a PEM file has it between BEGIN and END lines".to_owned(),
        other => other.to_string(),
    }
}

/// # Errors
/// Names the file that cannot be read, or says why certificate and key do not fit.
pub(super) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { what, path, source }
    };
    let unusable = |source| TlsError::Unusable { files: files.clone(), source };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(failed("the certificate", &files.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(failed("the private key", &files.key))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
