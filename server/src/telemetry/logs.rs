//! Structured logs on standard error, as JSON lines or as text. Standard output is left to what a
//! command prints.
//!
//! What may be logged: ids of units and of connections, codes, counts, durations, addresses of
//! listeners. What may not: message bodies, names, tokens, payloads, channels of persons.

use std::io::IsTerminal;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, fmt};

use super::catalogue;
use super::meters::{Count, Meters};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, for collectors.
    Json,
    /// One readable line, coloured on a terminal.
    Text,
}

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The level is no filter.
    #[error("`{level}` is not a log level: write error, warn, info, debug or trace")]
    Level {
        /// What was written.
        level: String,
        /// Why it is none.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something else in this process logs already.
    #[error("logs are set up already")]
    Twice(#[from] TryInitError),
}

/// Whether `level` is one that [`set_up`] takes: a level (`info`), or levels by module
/// (`info,klokke::ledger=debug`).
///
/// # Errors
/// [`SetUpError::Level`].
pub fn parse_level(level: &str) -> Result<EnvFilter, SetUpError> {
    EnvFilter::builder()
        .parse(level)
        .map_err(|source| SetUpError::Level {
            level: level.to_owned(),
            source,
        })
}

/// Sends the process's logs to standard error, and counts errors and warnings.
///
/// # Errors
/// [`SetUpError`]; nothing is set up then.
pub fn set_up(format: Format, level: &str, meters: &Meters) -> Result<(), SetUpError> {
    let filter = parse_level(level)?;
    let lines: Box<dyn Layer<_> + Send + Sync> = match format {
        Format::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .boxed(),
        Format::Text => fmt::layer()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(Counted::new(meters))
        .try_init()?;
    Ok(())
}

/// Counts log lines by level, so that a dashboard shows what nobody reads.
#[derive(Debug)]
struct Counted {
    errors: Count,
    warnings: Count,
}

impl Counted {
    fn new(meters: &Meters) -> Self {
        Self {
            errors: meters.counter(catalogue::LOG_EVENTS, &["error"]),
            warnings: meters.counter(catalogue::LOG_EVENTS, &["warn"]),
        }
    }
}

impl<S: Subscriber> Layer<S> for Counted {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        match *event.metadata().level() {
            Level::ERROR => self.errors.add(1),
            Level::WARN => self.warnings.add(1),
            _ => {}
        }
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::WARN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_checked_before_it_is_used() {
        for good in [
            "info",
            "debug",
            "info,klokke::ledger=debug",
            "warn,hyper=error",
        ] {
            assert!(parse_level(good).is_ok(), "{good}");
        }
        for bad in ["=", "klokke=loud", "info,,klokke=9"] {
            assert!(parse_level(bad).is_err(), "{bad}");
        }
    }
}
