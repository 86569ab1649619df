//! URLs that are shown to clients.

use std::{fmt, str::FromStr};

use url::Url;

use super::section::string_setting;

/// The URL of a page, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebUrl(String);

/// It is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the URL of a page: write http:// or https://, a host, and no blanks or quotation marks"
)]
pub(crate) struct InvalidWebUrl(String);

impl FromStr for WebUrl {
    type Err = InvalidWebUrl;

    fn from_str(text: &str) -> Result<Self, InvalidWebUrl> {
        // It becomes part of a header field, between < and >.
        let is_plain = |c: char| c.is_ascii_graphic() && !"<>\"\\^`{|}".contains(c);
        let is_web = |url: &Url| ["http", "https"].contains(&url.scheme()) && url.has_host();
        match Url::parse(text) {
            Ok(url) if is_web(&url) && text.chars().all(is_plain) => Ok(Self(text.to_owned())),
            _ => Err(InvalidWebUrl(text.to_owned())),
        }
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

string_setting!(WebUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_on_the_web_and_fits_a_header_field() {
        for good in ["https://ca.example", "http://[::1]:8080/a?b=c#d", "https://ca.example/%C3%A4"] {
            assert_eq!(good.parse::<WebUrl>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "ca.example",
            "ftp://ca.example",
            "mailto:a@ca.example",
            "https://",
            "https://ca.example/a b",
        ] {
            assert!(bad.parse::<WebUrl>().is_err(), "{bad}");
        }
        for bad in
            ["https://ca.example/>", "https://ca.example/\r\nA:b", "https://ca.example/\t", "https://c\u{e4}"]
        {
            assert!(bad.parse::<WebUrl>().is_err(), "{bad:?}");
        }
    }
}
