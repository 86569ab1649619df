//! The data directory: for its owner's eyes only, and for one acmed at a time.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    path::Path,
};

use crate::failure::Failure;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Roles {
    /// It serves HTTP.
    pub(crate) http: bool,
    /// It does the jobs that no request is there to do.
    pub(crate) worker: bool,
}

impl Roles {
    pub(crate) const ALL: Self = Self { http: true, worker: true };
}

/// The right to use a data directory in one's roles. It ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct Claim {
    _locks: Vec<File>,
}

/// Makes the directory if there is none, and claims it: it has at most one process in each role.
pub(crate) fn claim(directory: &Path, roles: Roles) -> Result<Claim, Failure> {
    create(directory)?;
    let files = [("acmed.lock", roles.http), ("worker.lock", roles.worker)];
    let locks = files.iter().filter(|(_, wanted)| *wanted).map(|(name, _)| lock(directory, name));
    Ok(Claim { _locks: locks.collect::<Result<_, _>>()? })
}

/// Makes a directory, readable to its owner only, unless it is there.
pub(crate) fn create(directory: &Path) -> Result<(), Failure> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(|error| {
        Failure::because(format!("the data directory {} cannot be made", directory.display()))(error)
            .hint("choose another with --data-dir")
    })?;
    warn_of_readers(directory);
    Ok(())
}

fn lock(directory: &Path, name: &str) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(directory.join(name)).map_err(|error| {
        Failure::because(format!("the data directory {} cannot be written to", directory.display()))(error)
            .hint("choose another with --data-dir")
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::new(format!(
            "another acmed is using the data directory {}; stop it, or choose another with --data-dir",
            directory.display()
        ))),
        Err(TryLockError::Error(error)) => Err(Failure::because(format!(
            "the data directory {} cannot be locked",
            directory.display()
        ))(error)),
    }
}

#[cfg(unix)]
fn warn_of_readers(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;

    if fs::metadata(directory).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        let path = directory.display();
        tracing::warn!("others may look into the data directory {path}; chmod 700 {path} keeps them out");
    }
}

#[cfg(not(unix))]
fn warn_of_readers(_: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_process_in_each_role() {
        let directory = tempfile::tempdir().unwrap();
        let [http, worker] = [Roles { http: true, worker: false }, Roles { http: false, worker: true }];

        let held = claim(directory.path(), http).unwrap();
        assert!(claim(directory.path(), http).is_err());
        assert!(claim(directory.path(), Roles::ALL).is_err());
        let _beside = claim(directory.path(), worker).expect("the other role is free");

        drop(held);
        claim(directory.path(), http).expect("the role is free again");
    }

    #[cfg(unix)]
    #[test]
    fn a_new_directory_is_its_owners_only() {
        use std::os::unix::fs::PermissionsExt;

        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a/b");
        create(&directory).unwrap();
        for path in [parent.path().join("a"), directory] {
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o700,
                "{}",
                path.display()
            );
        }
    }
}
