//! The configuration as a file that explains itself.

use super::{
    Config, DEFAULT_PROFILE, PerspectiveSection, ProfileValidation, TrustSection, ZoneSection,
    section::{Section, quote},
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
        let mut text = about(Self::ABOUT) + HEAD;
        self.write(&mut text, all);
        add(&mut text, "directory", &self.directory, all);
        add(&mut text, "validation", &self.validation, all);
        for zone in &self.validation.zone {
            text.push_str(&format!("\n{}[[validation.zone]]\n", about(ZoneSection::ABOUT)));
            zone.write(&mut text, all);
        }
        for place in &self.validation.perspective {
            text.push_str(&format!("\n{}[[validation.perspective]]\n", about(PerspectiveSection::ABOUT)));
            place.write(&mut text, all);
        }
        add(&mut text, "ca", &self.ca, all);
        let default_profile = self.profiles.get(DEFAULT_PROFILE).cloned().unwrap_or_default();
        add(&mut text, "profiles.default", &default_profile, all);
        for (name, profile) in self.profiles.iter().filter(|(name, _)| *name != DEFAULT_PROFILE) {
            let name = format!("profiles.{}", quote(name));
            add(&mut text, &name, profile, all);
            if profile.validation != ProfileValidation::default() {
                add(&mut text, &format!("{name}.validation"), &profile.validation, all);
                for zone in profile.validation.zone.iter().flatten() {
                    text.push_str(&format!("\n[[{name}.validation.zone]]\n"));
                    zone.write(&mut text, all);
                }
            }
        }
        self.write_profile_validation(&mut text);
        text.push_str("\n# Every bound of the server.\n[limits]\n");
        self.limits.write(&mut text, all);
        add(&mut text, "rate_limits", &self.rate_limits, all);
        add(&mut text, "policy", &self.policy, all);
        add(&mut text, "policy.webhook", &self.policy.webhook, all);
        self.write_trust(&mut text, all);
        add(&mut text, "retention", &self.retention, all);
        add(&mut text, "sealing", &self.sealing, all);
        add(&mut text, "http", &self.http, all);
        add(&mut text, "perspective", &self.perspective, all);
        add(&mut text, "log", &self.log, all);
        text
    }

    /// As prose, as for whom it is for has to be said first.
    fn write_profile_validation(&self, text: &mut String) {
        let mut example = String::new();
        add(&mut example, "profiles.NAME.validation", &ProfileValidation::default(), true);
        text.push('\n');
        let lines = example.lines().filter(|line| !line.is_empty());
        lines.for_each(|line| text.push_str(&format!("# {}\n", line.trim_start_matches(['#', ' ']))));
    }

    fn write_trust(&self, text: &mut String, all: bool) {
        for (name, trust) in &self.policy.trust {
            add(text, &format!("policy.trust.{}", quote(name)), trust, all);
        }
        if self.policy.trust.is_empty() {
            let mut example = String::new();
            add(&mut example, "policy.trust.NAME", &TrustSection::default(), true);
            let lines = example.lines().filter(|line| !line.is_empty());
            text.push('\n');
            // As prose: it would be refused if it were put to use as it is.
            lines.for_each(|line| text.push_str(&format!("# {}\n", line.trim_start_matches("# "))));
        }
    }
}

fn add<S: Section>(text: &mut String, name: &str, section: &S, all: bool) {
    text.push_str(&format!("\n{}[{name}]\n", about(S::ABOUT)));
    section.write(text, all);
}

fn about(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("#{line}\n")).collect()
}
