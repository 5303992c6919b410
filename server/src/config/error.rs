//! What can be wrong with a configuration, said so that it can be put right.

use std::fmt;

/// Where a mistake stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the file, at this line (from 1).
    File {
        /// The file's name.
        name: String,
        /// The line.
        line: usize,
    },
    /// In this environment variable.
    Environment(String),
    /// In a `--set` of the command line.
    CommandLine,
    /// Between several settings.
    Together,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line } => write!(f, "{name}:{line}: "),
            Self::Environment(name) => write!(f, "environment variable {name}: "),
            Self::CommandLine => f.write_str("--set: "),
            Self::Together => Ok(()),
        }
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// What, and what to write instead. Never the value of a secret.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.place, self.what)
    }
}

/// All mistakes of a configuration, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, mistake) in self.0.iter().enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
