//! `acmed dns-persist`: the record for a zone file.

use coyote_server::validate::DnsPersistRecord;

use crate::{cli::DnsPersist, failure::Failure, output::print};

pub(crate) fn run(wanted: DnsPersist) -> Result<(), Failure> {
    let config = wanted.beside.config()?;
    let issuer = config.persist_identities().first().ok_or_else(|| {
        Failure::new("no name means this CA; set validation.persist_identities or directory.caa_identities")
    })?;
    let base = config.base_url(config.listen);
    if !wanted.account.starts_with(&base) {
        return Err(Failure::new(format!("the account {} is not one of {base}", wanted.account)));
    }
    let record = DnsPersistRecord {
        name: wanted.name,
        issuer: issuer.clone(),
        account_url: wanted.account,
        wildcard: wanted.wildcard,
        until: wanted.until.map(|moment| moment.0),
    };
    print(&format!("{record}\n"))
}
