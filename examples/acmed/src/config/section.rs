//! A section of the configuration: one table of keys, from which come the struct, its defaults, and the text that
//! `acmed config` prints.

use std::{fmt::Write as _, net::SocketAddr, path::PathBuf};

/// A key of a section.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// What it is for, a line to a line.
    pub(crate) about: &'static [&'static str],
    pub(crate) value: Shown,
}

/// The value of a key, as TOML.
#[derive(PartialEq, Eq)]
pub(crate) enum Shown {
    /// What it is.
    Is(String),
    /// It is not set, and this is an example.
    Unset(&'static str),
}

/// Something that a key can be set to.
pub(crate) trait Setting {
    /// As TOML; `None` if it is not set.
    fn show(&self) -> Option<String>;
}

/// A table of keys.
pub(crate) trait Section: Default {
    /// What it is for, a line to a line.
    const ABOUT: &'static [&'static str];

    /// Its keys and their values.
    fn keys(&self) -> Vec<Key>;

    /// Writes the keys with what they are for. Without `all`, those that have their default are commented out.
    fn write(&self, text: &mut String, all: bool) {
        for (key, default) in self.keys().iter().zip(Self::default().keys()) {
            key.write(text, all || key.value != default.value);
        }
    }
}

impl Key {
    fn write(&self, text: &mut String, active: bool) {
        for line in self.about {
            let _infallible = writeln!(text, "#{line}");
        }
        let (mark, value) = match &self.value {
            Shown::Is(value) if active => ("", value.as_str()),
            Shown::Is(value) => ("#", value.as_str()),
            Shown::Unset(example) => ("#", *example),
        };
        let _infallible = writeln!(text, "{mark}{} = {value}", self.name);
    }
}

/// Defines a section: `key: type = default`, and `, as in "example"` if the default is to be unset. The sections
/// below it follow, with their types.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:ident {
            $($(#[doc = $doc:literal])+ $key:ident: $kind:ty = $default:expr $(, as in $example:literal)?;)*
        }
        $($table:ident: $section:ty,)*
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[doc = $doc])+ pub(crate) $key: $kind,)*
            $(pub(crate) $table: $section,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* $($table: Default::default(),)* }
            }
        }

        impl crate::config::section::Section for $name {
            const ABOUT: &'static [&'static str] = &[$($about),+];

            fn keys(&self) -> Vec<crate::config::section::Key> {
                use crate::config::section::{Key, Setting, Shown};
                vec![$({
                    let example = concat!($($example)?);
                    let value = Setting::show(&self.$key).map_or(Shown::Unset(example), Shown::Is);
                    Key { name: stringify!($key), about: &[$($doc),+], value }
                },)*]
            }
        }
    };
}
pub(crate) use section;

/// Makes a type that is one string in a configuration out of its `FromStr` and `Display`.
macro_rules! string_setting {
    ($($name:ty),+) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'_, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl crate::config::section::Setting for $name {
            fn show(&self) -> Option<String> {
                Some(crate::config::section::quote(&self.to_string()))
            }
        }
    )+};
}
pub(crate) use string_setting;

/// A TOML string.
pub(crate) fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}

impl Setting for String {
    fn show(&self) -> Option<String> {
        Some(quote(self))
    }
}

impl Setting for PathBuf {
    fn show(&self) -> Option<String> {
        Some(quote(&self.to_string_lossy()))
    }
}

impl Setting for SocketAddr {
    fn show(&self) -> Option<String> {
        Some(quote(&self.to_string()))
    }
}

impl Setting for bool {
    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for u16 {
    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for u32 {
    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl<T: Setting> Setting for Option<T> {
    fn show(&self) -> Option<String> {
        self.as_ref()?.show()
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn show(&self) -> Option<String> {
        let items: Vec<_> = self.iter().filter_map(Setting::show).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}
