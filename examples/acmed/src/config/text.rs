//! The configuration as a file that explains itself.

use super::{
    Config, DEFAULT_PROFILE, DirectorySection, Http, Log, ProfileSection, Validation, ca::Ca,
    section::Section,
};

/// What stands above all.
const HEAD: &str = "\
#
# Keys that are commented out have the value shown. Flags of acmed (--listen) override its environment
# (ACMED_LISTEN), which overrides this file. Relative paths are relative to the directory of this file.
# `acmed config check FILE` says whether a file is right.

";

impl Config {
    /// The configuration with what each key is for. With `all`, each key that has a value is set to it; else those
    /// that have their default are commented out, and follow the defaults of later versions.
    pub(crate) fn to_text(&self, all: bool) -> String {
        let mut text = String::new();
        let about = Self::ABOUT.iter().map(|line| format!("#{line}\n"));
        text.extend(about);
        text.push_str(HEAD);
        self.write(&mut text, all);
        let sections: [(&str, &[&str], &dyn Fn(&mut String)); 7] = [
            ("directory", DirectorySection::ABOUT, &|text| self.directory.write(text, all)),
            ("validation", Validation::ABOUT, &|text| self.validation.write(text, all)),
            ("ca", Ca::ABOUT, &|text| self.ca.write(text, all)),
            ("profiles.default", ProfileSection::ABOUT, &|text| {
                self.profiles.get(DEFAULT_PROFILE).cloned().unwrap_or_default().write(text, all);
            }),
            ("limits", &[" Every bound of the server."], &|text| self.limits.write(text, all)),
            ("http", Http::ABOUT, &|text| self.http.write(text, all)),
            ("log", Log::ABOUT, &|text| self.log.write(text, all)),
        ];
        for (name, about, write) in sections {
            text.push('\n');
            text.extend(about.iter().map(|line| format!("#{line}\n")));
            text.push_str(&format!("[{name}]\n"));
            write(&mut text);
        }
        text
    }
}
