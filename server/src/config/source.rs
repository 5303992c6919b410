//! Reading the sources: file, environment, command line, one over the other.

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::error::{Mistake, Mistakes, Place};
use super::nearest::nearest;
use super::section::{Given, NotTaken};
use super::{Config, NAMESPACE, check};

/// What environment variables of settings begin with.
pub const ENV_PREFIX: &str = "KLOKKE_";

/// Variables with our prefix that are no settings: read by the command line itself.
const ENV_OTHER: &[&str] = &[
    "KLOKKE_CONFIG",
    #[cfg(feature = "broken")]
    crate::broken::VARIABLE,
];

/// Where values come from, the later overriding the earlier.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file's name and text.
    pub file: Option<(String, String)>,
    /// The process's environment; only variables with [`ENV_PREFIX`] are looked at.
    pub environment: Vec<(String, String)>,
    /// `key=value` settings of the command line.
    pub overrides: Vec<String>,
}

impl Sources {
    /// The configuration they give together.
    ///
    /// # Errors
    /// Every mistake found, in the order of the sources.
    pub fn read(&self) -> Result<Config, Mistakes> {
        let mut reading = Reading::default();
        if let Some((name, text)) = &self.file {
            reading.file(name, text);
        }
        for (name, value) in &self.environment {
            reading.variable(name, value);
        }
        for setting in &self.overrides {
            reading.command_line(setting);
        }
        let Reading {
            config,
            mut mistakes,
        } = reading;
        if mistakes.is_empty() {
            mistakes = check::together(&config);
        }
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(Mistakes(mistakes))
        }
    }
}

/// A configuration being read, and what was wrong so far.
#[derive(Default)]
struct Reading {
    config: Config,
    mistakes: Vec<Mistake>,
}

impl Reading {
    fn mistake(&mut self, place: Place, what: String) {
        self.mistakes.push(Mistake { place, what });
    }

    fn file(&mut self, name: &str, text: &str) {
        let line_of = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
        let at = |offset: usize| Place::File {
            name: name.to_owned(),
            line: line_of(offset),
        };
        let (table, values) = match (DeTable::parse(text), text.parse::<toml::Table>()) {
            (Ok(table), Ok(values)) => (table, values),
            (Err(error), _) | (_, Err(error)) => {
                let offset = error.span().map_or(0, |span| span.start);
                return self.mistake(at(offset), error.message().to_owned());
            }
        };
        self.table("", table.get_ref(), &values, &at);
    }

    /// Takes a table of the file: settings when a section has its path, further tables otherwise.
    fn table(
        &mut self,
        path: &str,
        table: &DeTable<'_>,
        values: &toml::Table,
        at: &impl Fn(usize) -> Place,
    ) {
        // Each key with its place beside each value: the plain table has no places.
        let mut keys: Vec<_> = table.iter().collect();
        keys.sort_by_key(|(key, _)| key.span().start);
        for (key, spanned) in keys {
            let name = key.get_ref().as_ref();
            let Some(value) = values.get(name) else {
                continue;
            };
            let place = at(key.span().start);
            let inner = join(path, name);
            match (spanned.get_ref(), value) {
                (DeValue::Table(table), Value::Table(values)) if self.leads_on(path, &inner) => {
                    self.table(&inner, table, values, at);
                }
                (_, Value::Table(_)) if self.known_keys(path).contains(&name) => {
                    self.set(path, name, Given::Value(value), place);
                }
                (_, Value::Table(_)) => self.unknown_section(&inner, place),
                _ if path.is_empty() => {
                    let what = format!("`{name}` stands outside of any section");
                    self.mistake(place, what);
                }
                _ if path == NAMESPACE => {
                    let what = format!("`{name}` must be a section: write [{NAMESPACE}.{name}]");
                    self.mistake(place, what);
                }
                _ => self.set(path, name, Given::Value(value), place),
            }
        }
    }

    /// Whether the table `inner` of the table `path` is a section or has sections below it.
    fn leads_on(&mut self, path: &str, inner: &str) -> bool {
        if path == NAMESPACE {
            // It exists even with every setting at its default.
            self.config.section_mut(inner);
            return true;
        }
        let below = format!("{inner}.");
        let sections = self.config.sections();
        let named = |name: &str| name == inner || name.starts_with(&below);
        inner == NAMESPACE || sections.iter().any(|(name, _)| named(name))
    }

    fn known_keys(&mut self, path: &str) -> Vec<&'static str> {
        let fields = self
            .config
            .section_mut(path)
            .map(|section| section.fields());
        fields
            .unwrap_or_default()
            .iter()
            .map(|field| field.key)
            .collect()
    }

    fn unknown_section(&mut self, path: &str, place: Place) {
        let sections = self.config.sections();
        let known = sections.iter().map(|(name, _)| *name).chain([NAMESPACE]);
        let hint = meant(nearest(path, known));
        self.mistake(place, format!("unknown section [{path}]{hint}"));
    }

    fn set(&mut self, path: &str, key: &str, given: Given<'_>, place: Place) {
        let Some(section) = self.config.section_mut(path) else {
            return self.unknown_section(path, place);
        };
        match section.set(key, given) {
            Ok(()) => {}
            Err(NotTaken::Unknown) => {
                let known = section.fields().iter().map(|field| field.key);
                let hint = meant(nearest(key, known));
                self.mistake(place, format!("unknown key `{key}` in [{path}]{hint}"));
            }
            Err(NotTaken::Expected(expected)) => {
                self.mistake(place, format!("`{path}.{key}` must be {expected}"));
            }
        }
    }

    fn variable(&mut self, name: &str, value: &str) {
        let Some(rest) = name.strip_prefix(ENV_PREFIX) else {
            return;
        };
        if ENV_OTHER.contains(&name) {
            return;
        }
        let place = Place::Environment(name.to_owned());
        match self.path_of_variable(rest) {
            Some((path, key)) => self.set(&path, key, Given::Text(value), place),
            None => {
                let known = self.variables();
                let hint = meant(nearest(name, known.iter().map(String::as_str)));
                self.mistake(place, format!("no such setting{hint}"));
            }
        }
    }

    /// The setting that `CLIENT_PING_INTERVAL` or `NAMESPACE_CHAT_HISTORY_SIZE` names.
    fn path_of_variable(&mut self, name: &str) -> Option<(String, &'static str)> {
        for (path, section) in self.config.sections() {
            for field in section.fields() {
                if variable(path, field.key) == name {
                    return Some((path.to_owned(), field.key));
                }
            }
        }
        let rest = name.strip_prefix("NAMESPACE_")?;
        let fields = super::Section::fields(&self.config.without_namespace);
        // The longest key that ends the name, since one key can end another.
        let key = fields
            .iter()
            .map(|field| field.key)
            .filter(|key| rest.ends_with(&format!("_{}", key.to_uppercase())))
            .max_by_key(|key| key.len())?;
        let namespace = rest[..rest.len() - key.len() - 1].to_lowercase();
        Some((format!("{NAMESPACE}.{namespace}"), key))
    }

    fn variables(&self) -> Vec<String> {
        let all = |(path, section): (&str, &dyn super::Section)| {
            let named = section.fields().iter();
            named
                .map(|field| format!("{ENV_PREFIX}{}", variable(path, field.key)))
                .collect::<Vec<_>>()
        };
        self.config.sections().into_iter().flat_map(all).collect()
    }

    fn command_line(&mut self, setting: &str) {
        let parsed = setting
            .split_once('=')
            .and_then(|(path, value)| Some((path.trim().rsplit_once('.')?, value)));
        match parsed {
            Some(((path, key), value)) => {
                self.set(path, key, Given::Text(value), Place::CommandLine);
            }
            None => {
                let what = "write section.key=value, such as client.ping_interval=10s".to_owned();
                self.mistake(Place::CommandLine, what);
            }
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// The part of a variable's name after the prefix.
fn variable(path: &str, key: &str) -> String {
    format!("{path}_{key}").replace('.', "_").to_uppercase()
}

fn meant(nearest: Option<&str>) -> String {
    nearest
        .map(|known| format!("; did you mean `{known}`?"))
        .unwrap_or_default()
}
