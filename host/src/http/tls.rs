//! The certificate that the server shows to clients of https, from two PEM files that are read again when they change.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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

/// The certificate as the files have it.
pub(super) struct Certificate {
    files: TlsFiles,
    known: Mutex<Known>,
}

struct Known {
    seen: [Seen; 2],
    acceptor: TlsAcceptor,
}

/// What tells a file from the one that was there before; none when it cannot be looked at.
type Seen = Option<(u64, u64, i64, i64, u64)>;

impl Certificate {
    /// # Errors
    /// As [`acceptor`].
    pub fn open(files: &TlsFiles) -> Result<Self, TlsError> {
        let known = Known { seen: files.seen(), acceptor: acceptor(files)? };
        Ok(Self { files: files.clone(), known: Mutex::new(known) })
    }

    /// For the next connection. Files that cannot be used are told once, and what was read before stays.
    pub fn acceptor(&self) -> TlsAcceptor {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = self.files.seen();
        if seen != known.seen {
            known.seen = seen;
            let file = self.files.certificate.display();
            match acceptor(&self.files) {
                Ok(acceptor) => {
                    known.acceptor = acceptor;
                    tracing::info!(%file, "read the new certificate");
                }
                Err(error) => tracing::error!(%error, "the certificate of before stays in use"),
            }
        }
        known.acceptor.clone()
    }
}

impl TlsFiles {
    fn seen(&self) -> [Seen; 2] {
        [&self.certificate, &self.key].map(|path| {
            let file = fs::metadata(path).ok()?;
            Some((file.dev(), file.ino(), file.mtime(), file.mtime_nsec(), file.len()))
        })
    }
}

/// # Errors
/// Names the file that cannot be read, or says why certificate and key do not fit.
fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
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
