//! A CA in files: a root and an intermediate, which are made at the first start and read at each later one.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coyote_protocol::{DnsName, Timestamp};
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::X509;

use super::authority::Authority;
use super::ca_error::CaError;
use super::{KeySigner, LocalCa};
use crate::clock::Clock;
use crate::entropy::Entropy;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Where the CA is. All files are PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaFiles {
    /// The root's certificate: what clients are told to trust.
    pub root: PathBuf,
    /// The root's private key (PKCS#8). It is needed only to make an intermediate, and may be kept elsewhere after.
    pub root_key: PathBuf,
    /// The certificate that signs, followed by others between it and the root, if there are any.
    pub intermediate: PathBuf,
    /// The private key that signs.
    pub intermediate_key: PathBuf,
}

impl CaFiles {
    /// `root.pem`, `root.key`, `intermediate.pem` and `intermediate.key` in a directory.
    pub fn in_directory(directory: impl AsRef<Path>) -> Self {
        let file = |name| directory.as_ref().join(name);
        Self {
            root: file("root.pem"),
            root_key: file("root.key"),
            intermediate: file("intermediate.pem"),
            intermediate_key: file("intermediate.key"),
        }
    }

    /// Whether all is there that issuing needs. If not, [`LocalCa::load_or_create`] makes it.
    pub fn are_complete(&self) -> bool {
        self.root.exists() && self.intermediate.exists() && self.intermediate_key.exists()
    }

    /// Of the files in the order in which they are made, those that are missing must be the last ones; else somebody
    /// has lost one, and what would be made in its place would not fit.
    fn check_order(&self) -> Result<(), CaError> {
        let mut missing: Option<&Path> = None;
        for file in [&self.root_key, &self.root, &self.intermediate_key, &self.intermediate] {
            match missing {
                None if !file.exists() => missing = Some(file),
                Some(missing) if file.exists() => {
                    return Err(CaError::Unfit(format!(
                        "{} is missing, although {} is there: put it back, or move the CA's other files away to have a \
                         new CA made",
                        missing.display(),
                        file.display()
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What a new CA is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaRequest {
    /// Whose CA it is: 1 to 40 characters.
    pub organization: String,
    /// The domain beyond which the CA's certificates are worthless to everybody, even in a thief's hands: they may
    /// then name this domain and what is below it, and no IP addresses. No constraint without.
    pub domain: Option<DnsName>,
    /// For how long the root is valid; 20 years by default, as it has to be installed everywhere by hand.
    pub root_lifetime: Duration,
    /// For how long the intermediate is valid; 10 years by default, or as long as the root if that ends before.
    pub intermediate_lifetime: Duration,
}

impl CaRequest {
    /// A CA of that organization, with the defaults.
    pub fn new(organization: impl Into<String>) -> Self {
        Self {
            organization: organization.into(),
            domain: None,
            root_lifetime: 20 * YEAR,
            intermediate_lifetime: 10 * YEAR,
        }
    }

    fn check(&self) -> Result<(), CaError> {
        let length = self.organization.chars().count();
        if !(1..=40).contains(&length) || self.organization.chars().any(char::is_control) {
            return Err(CaError::unfit(
                "the CA's organization must have 1 to 40 characters, none of them for control",
            ));
        }
        Ok(())
    }
}

impl LocalCa {
    /// The CA in these files.
    ///
    /// # Errors
    ///
    /// [`CaError`], if a file is missing or damaged, the key is not the certificate's, the chain does not verify, or
    /// one of its certificates is not valid `now`.
    pub fn load(files: &CaFiles, now: Timestamp) -> Result<Self, CaError> {
        let signer = Arc::new(signer(&files.intermediate_key)?);
        let mut chain = certificates(&files.intermediate)?;
        chain.extend(certificates(&files.root)?);
        let ca = Self::new(signer, &chain)?;
        ca.check_validity(now).map_err(CaError::Unfit)?;
        Ok(ca)
    }

    /// The CA in these files, which is made if there is none: a P-256 root, and an intermediate that signs.
    ///
    /// Each file appears whole or not at all, keys (readable to their owner only) before certificates. If the program
    /// is stopped half way, the next start goes on from there; if two are started at once, one waits for the other.
    /// No file that exists is ever written to; and a CA that exists stays as it is, whatever `request` says.
    ///
    /// # Errors
    ///
    /// Those of [`LocalCa::load`]; and [`CaError`] if a file in the middle is missing, or the files cannot be written.
    pub fn load_or_create(
        files: &CaFiles,
        request: &CaRequest,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<Self, CaError> {
        let now = clock.now();
        if !files.are_complete() {
            create(files, request, now, entropy)?;
        }
        Self::load(files, now)
    }
}

fn create(
    files: &CaFiles,
    request: &CaRequest,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<(), CaError> {
    request.check()?;
    for file in [&files.root_key, &files.root, &files.intermediate_key, &files.intermediate] {
        create_directory(directory(file))?;
    }
    let _lock = lock(directory(&files.root_key))?;
    if files.are_complete() {
        return Ok(()); // somebody else was faster
    }
    files.check_order()?;

    let root_key = key(&files.root_key)?;
    if !files.root.exists() {
        let root = Authority::root(request, &root_key, now, entropy)?;
        publish(&files.root, &X509::from_der(&root)?.to_pem()?, Readers::All)?;
    }
    let root = certificates(&files.root)?;
    LocalCa::new(Arc::new(root_key.clone()), &root)?.check_validity(now).map_err(CaError::Unfit)?;

    let intermediate_key = key(&files.intermediate_key)?;
    let root = root.first().ok_or_else(|| CaError::unfit("the root file has no certificate"))?;
    let intermediate = Authority::intermediate(request, &intermediate_key, root, &root_key, now, entropy)?;
    publish(&files.intermediate, &X509::from_der(&intermediate)?.to_pem()?, Readers::All)
}

/// The key in a file; a new one if there is no file.
fn key(path: &Path) -> Result<KeySigner, CaError> {
    if !path.exists() {
        let key = PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?)?)?;
        publish(path, &key.private_key_to_pem_pkcs8()?, Readers::Owner)?;
    }
    signer(path)
}

fn signer(path: &Path) -> Result<KeySigner, CaError> {
    warn_of_readers(path);
    KeySigner::from_pem(&read(path)?).map_err(|source| CaError::Key { path: path.to_owned(), source })
}

fn certificates(path: &Path) -> Result<Vec<X509>, CaError> {
    match X509::stack_from_pem(&read(path)?) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(CaError::Unfit(format!("{} has no certificate in PEM, or a damaged one", path.display()))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CaError> {
    fs::read(path).map_err(CaError::file("reading", path))
}

fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

fn create_directory(path: &Path) -> Result<(), CaError> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(CaError::file("creating the directory", path))
}

/// Keeps others out until it is dropped, or the program ends in whatever way.
fn lock(directory: &Path) -> Result<Option<File>, CaError> {
    if !cfg!(unix) {
        return Ok(None); // elsewhere a directory cannot be opened
    }
    let handle = File::open(directory).map_err(CaError::file("opening", directory))?;
    match handle.lock() {
        Ok(()) => Ok(Some(handle)),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(CaError::file("locking", directory)(error)),
    }
}

#[derive(Clone, Copy)]
enum Readers {
    Owner,
    All,
}

/// Writes a new file, which appears under its name once all of it is on the disk.
fn publish(path: &Path, contents: &[u8], readers: Readers) -> Result<(), CaError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.new"));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(CaError::file("removing", &temporary)(error));
        }
        _ => {} // what a crash has left
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(
        &mut options,
        match readers {
            Readers::Owner => 0o600,
            Readers::All => 0o644,
        },
    );
    let write = || {
        let mut file = options.open(&temporary)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync(directory(path))
    };
    write().map_err(CaError::file("writing", path))
}

/// Makes a file's new name durable, where that takes an effort.
fn sync(directory: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

#[cfg(unix)]
fn warn_of_readers(path: &Path) {
    use std::os::unix::fs::PermissionsExt;

    let exposed = fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
    if exposed {
        tracing::warn!(path = %path.display(), "others than its owner may read the CA's private key");
    }
}

#[cfg(not(unix))]
fn warn_of_readers(_: &Path) {}

#[cfg(test)]
mod tests;
