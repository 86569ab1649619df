//! `acmed init`.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    path::Path,
};

use coyote_server::issue::CaFiles;

use crate::{
    acme,
    cli::Init,
    config::Config,
    data_dir::{self, Roles},
    failure::Failure,
    output::print,
};

/// Writes a configuration and makes a CA. What is there already it leaves alone, and says so.
pub(crate) fn run(init: Init) -> Result<(), Failure> {
    let mut config = Config::default();
    config.ca.domain = init.domain;
    let file = init.dir.join("acmed.toml");
    let config_text = config.to_text(false);
    config.data_dir = init.dir.join(config.data_dir);

    data_dir::create(&config.data_dir)?;
    let _claim = data_dir::claim(&config.data_dir, Roles::ALL)?;
    refuse_existing(&config.ca_files())?;
    write_new(&file, &config_text)?;
    if let Err(failure) = acme::ca(&config) {
        fs::remove_file(&file).ok(); // else it would keep the next init from trying again
        return Err(failure);
    }
    let root = config.ca_files().root;
    let domain = config.ca.domain.map(|domain| format!(" for {} alone", domain.as_str())).unwrap_or_default();
    print(&format!(
        "\
config       {file}
root         {root}: the CA's root{domain}; clients are to trust it

Start it with: acmed serve --config {file}
",
        file = file.display(),
        root = root.display(),
    ))
}

fn refuse_existing(files: &CaFiles) -> Result<(), Failure> {
    let CaFiles { root, root_key, intermediate, intermediate_key } = files;
    match [root, root_key, intermediate, intermediate_key].into_iter().find(|file| file.exists()) {
        Some(file) => Err(Failure::new(format!(
            "there is a CA already, with {}; use it, or choose another directory with --dir",
            file.display()
        ))),
        None => Ok(()),
    }
}

fn write_new(file: &Path, text: &str) -> Result<(), Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).open(file);
    match opened.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Failure::new(format!(
            "{} is there already; change it, or choose another directory with --dir",
            file.display()
        ))),
        Err(error) => Err(Failure::because(format!("{} cannot be written", file.display()))(error)),
    }
}
