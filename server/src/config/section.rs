//! How a section is declared: one macro makes the struct, its defaults and its table of fields.

use toml::Value;

/// One setting, as help and example show it.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its key inside the section.
    pub key: &'static str,
    /// What it is for, one line or more.
    pub help: &'static [&'static str],
    /// What may be written.
    pub expects: fn() -> String,
}

/// A value as a source gives it.
#[derive(Debug, Clone, Copy)]
pub enum Given<'v> {
    /// By the file.
    Value(&'v Value),
    /// By the environment or the command line.
    Text(&'v str),
}

/// Why a value was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// The section has no such key.
    Unknown,
    /// The value is not what this key expects.
    Expected(String),
}

/// A section of the configuration, seen through its table.
pub trait Section {
    /// What it is for.
    fn help(&self) -> &'static [&'static str];
    /// Its settings, in the order they are written.
    fn fields(&self) -> &'static [Field];
    /// Sets one.
    ///
    /// # Errors
    /// `NotTaken`; the section is unchanged then.
    fn set(&mut self, key: &str, given: Given<'_>) -> Result<(), NotTaken>;
    /// All values as TOML, in the order of the fields; secrets redacted.
    fn values(&self) -> Vec<String>;
}

/// Declares a section: struct, defaults, table.
macro_rules! section {
    ($( #[doc = $doc:literal] )* $name:ident {
        $( $( #[doc = $field_doc:literal] )* $field:ident : $type:ty = $default:expr ),* $(,)?
    }) => {
        $( #[doc = $doc] )*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $( #[doc = $field_doc] )* pub $field: $type ),*
        }
        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default ),* }
            }
        }
        impl $crate::config::section::Section for $name {
            fn help(&self) -> &'static [&'static str] {
                &[$($doc),*]
            }
            fn fields(&self) -> &'static [$crate::config::section::Field] {
                &[$( $crate::config::section::Field {
                    key: stringify!($field),
                    help: &[$($field_doc),*],
                    expects: <$type as $crate::config::Setting>::expects,
                } ),*]
            }
            fn set(
                &mut self,
                key: &str,
                given: $crate::config::section::Given<'_>,
            ) -> Result<(), $crate::config::section::NotTaken> {
                match key {
                    $( stringify!($field) => self.$field = $crate::config::section::take(given)?, )*
                    _ => return Err($crate::config::section::NotTaken::Unknown),
                }
                Ok(())
            }
            fn values(&self) -> Vec<String> {
                vec![$( $crate::config::Setting::to_toml(&self.$field) ),*]
            }
        }
    };
}
pub(super) use section;

/// Reads a value as its type.
pub(super) fn take<T: super::Setting>(given: Given<'_>) -> Result<T, NotTaken> {
    let taken = match given {
        Given::Value(value) => T::from_value(value),
        Given::Text(text) => T::from_text(text),
    };
    taken.ok_or_else(|| NotTaken::Expected(T::expects()))
}
