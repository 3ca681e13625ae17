//! Who this gateway is at Central: its key, its certificate, whom to trust. Sealed on disk, replaced whole.
//!
//! ```text
//! identity/current   served last        identity/next   renewed, not yet tried
//! ```

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use ids::GatewayId;
use minicbor::{Decoder, Encoder};
use proto::enrolment::Credentials;
use url::Url;
use zeroize::Zeroizing;

use crate::sealing::SealingKey;

const CONTEXT: &str = "gateway identity at Central";
/// Format of what is sealed.
const FORMAT: u8 = 1;
const CURRENT: &str = "current";
const NEXT: &str = "next";

/// An identity. No `Debug`: it holds the private key.
pub(super) struct Identity {
    pub(super) gateway_id: GatewayId,
    pub(super) name: String,
    pub(super) address: Url,
    /// PKCS#8, DER.
    pub(super) key_der: Zeroizing<Vec<u8>>,
    /// Leaf first, DER.
    pub(super) chain_der: Vec<Vec<u8>>,
    /// Present and next CA of Central, DER.
    pub(super) ca_der: Vec<Vec<u8>>,
    pub(super) issued_ms: i64,
    pub(super) not_after_ms: i64,
    /// SHA-256 of the token's secret by which it was enrolled; such a token is used up.
    pub(super) token_digest: [u8; 32],
}

/// The identity cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file system refuses.
    #[error("identity at Central: {0}")]
    Io(#[from] io::Error),
    /// It does not open under the sealing key.
    #[error("identity at Central: {0}")]
    Sealed(#[from] crate::sealing::SealingError),
    /// It opens, and is not what this version writes.
    #[error("identity at Central: it is not in the format of this version")]
    Format,
}

impl Identity {
    /// The same gateway with a renewed certificate.
    pub(super) fn renewed(&self, key_der: Zeroizing<Vec<u8>>, credentials: &Credentials, now_ms: i64) -> Self {
        Self {
            gateway_id: self.gateway_id,
            name: self.name.clone(),
            address: self.address.clone(),
            key_der,
            chain_der: credentials.chain_der.iter().map(|der| der.to_vec()).collect(),
            ca_der: credentials.ca_der.iter().map(|der| der.to_vec()).collect(),
            issued_ms: now_ms,
            not_after_ms: credentials.not_after_ms,
            token_digest: self.token_digest,
        }
    }

    fn seal(&self, sealing: &SealingKey) -> Result<Vec<u8>, IdentityError> {
        // Large enough that it does not grow, which would leave a copy of the key behind.
        let mut plain = Zeroizing::new(Vec::with_capacity(4 * 1024 + self.size()));
        self.write(&mut Encoder::new(&mut *plain)).map_err(|_| IdentityError::Format)?;
        Ok(sealing.seal(CONTEXT, &plain)?)
    }

    fn write<W: minicbor::encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(10)?.u8(FORMAT)?.bytes(self.gateway_id.0.as_bytes())?.str(&self.name)?.str(self.address.as_str())?;
        e.bytes(&self.key_der)?;
        for list in [&self.chain_der, &self.ca_der] {
            e.array(list.len() as u64)?;
            for der in list {
                e.bytes(der)?;
            }
        }
        e.i64(self.issued_ms)?.i64(self.not_after_ms)?.bytes(&self.token_digest)?;
        Ok(())
    }

    fn size(&self) -> usize {
        self.key_der.len() + self.chain_der.iter().chain(&self.ca_der).map(|der| der.len() + 16).sum::<usize>()
    }

    fn open(sealed: &[u8], sealing: &SealingKey) -> Result<Self, IdentityError> {
        let plain = sealing.open(CONTEXT, sealed)?;
        Self::read(&mut Decoder::new(&plain)).ok_or(IdentityError::Format)
    }

    fn read(d: &mut Decoder<'_>) -> Option<Self> {
        let list = |d: &mut Decoder<'_>| -> Option<Vec<Vec<u8>>> {
            let count = usize::try_from(d.array().ok()??).ok().filter(|count| *count <= proto::limits::CERTIFICATES)?;
            (0..count).map(|_| d.bytes().ok().map(<[u8]>::to_vec)).collect()
        };
        if d.array().ok()?? != 10 || d.u8().ok()? != FORMAT {
            return None;
        }
        Some(Self {
            gateway_id: GatewayId(uuid::Uuid::from_slice(d.bytes().ok()?).ok()?),
            name: d.str().ok()?.to_owned(),
            address: Url::parse(d.str().ok()?).ok()?,
            key_der: Zeroizing::new(d.bytes().ok()?.to_vec()),
            chain_der: list(d)?,
            ca_der: list(d)?,
            issued_ms: d.i64().ok()?,
            not_after_ms: d.i64().ok()?,
            token_digest: d.bytes().ok()?.try_into().ok()?,
        })
    }
}

/// Reads the identity that served last, and one that was renewed and not yet tried.
pub(super) fn load(folder: &Path, sealing: &SealingKey) -> Result<(Option<Identity>, Option<Identity>), IdentityError> {
    let read = |name| match fs::read(folder.join(name)) {
        Ok(sealed) => Identity::open(&sealed, sealing).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    };
    Ok((read(CURRENT)?, read(NEXT)?))
}

/// Keeps an identity that has served, or was just enrolled; one that waits to be tried is dropped.
pub(super) fn keep(folder: &Path, identity: &Identity, sealing: &SealingKey) -> Result<(), IdentityError> {
    write(folder, CURRENT, &identity.seal(sealing)?)?;
    drop_next(folder)
}

/// Keeps a renewed identity beside the one that serves.
pub(super) fn keep_next(folder: &Path, identity: &Identity, sealing: &SealingKey) -> Result<(), IdentityError> {
    write(folder, NEXT, &identity.seal(sealing)?)?;
    Ok(())
}

/// Forgets a renewed identity that was not accepted.
pub(super) fn drop_next(folder: &Path) -> Result<(), IdentityError> {
    match fs::remove_file(folder.join(NEXT)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let temporary = folder.join(format!("{name}.new"));
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(name))?;
    File::open(folder)?.sync_all()
}
