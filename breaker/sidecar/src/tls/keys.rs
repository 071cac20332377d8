//! Private keys. What a key is read from is overwritten as soon as there is a signer; aws-lc
//! overwrites the signer when it is dropped.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SigningKey;
use zeroize::Zeroizing;

/// Why a file is of no use as a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    #[error("no private key in PEM form without a password in it")]
    NoKey,
    #[error(transparent)]
    BadKey(#[from] rustls::Error),
}

/// What signs by the first key of a file in PEM form.
pub(crate) fn signer_of(file: &Path) -> Result<Arc<dyn SigningKey>, KeyError> {
    let key = PrivateKeyDer::from_pem_slice(&read(file)?);
    let key = key.map_err(|_error| KeyError::NoKey)?;
    Ok(signer(&Zeroizing::new(key))?)
}

/// What signs by a key. `KeyProvider::load_private_key` would drop the key as it is.
pub(super) fn signer(key: &PrivateKeyDer<'_>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
    any_supported_type(key)
}

/// What a file has in it, which may be a key.
pub(super) fn read(file: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    fs::read(file).map(Zeroizing::new)
}
