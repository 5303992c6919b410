//! One catalogue of metrics, and the set-up of logs. A leaf: names no other room.
//!
//! - [`catalogue`]: the table of every metric there is: name, kind, help, labels and the values
//!   these may take. Nothing else can be counted; dashboards and docs are made from it.
//! - [`Meters`]: where one thread counts. Its handles ([`Count`], [`Level`], [`Since`], [`Spread`]) are found
//!   once and then cost one atomic addition that no other core contends for.
//! - [`Table`]: handles found by small numbers, for what is counted at every message.
//! - [`Telemetry`]: all meters of the process; sums them when somebody looks.
//! - [`logs`]: structured logs.
//!
//! Rules for both: no message body, no name of a person, no token, no payload, no channel. Label
//! values come from bounded sets; what does not belong to one is counted as `other`.
//!
//! ```
//! use klokke::telemetry::{Telemetry, catalogue};
//!
//! let telemetry = Telemetry::new();
//! let meters = telemetry.meters(); // one for each thread
//! let commits = meters.counter(catalogue::LEDGER_COMMITS, &["domain"]); // find once ...
//! commits.add(3); // ... count often
//! assert!(telemetry.exposition().contains("klokke_ledger_commits_total{kind=\"domain\"} 3"));
//! ```

pub mod catalogue;
mod exposition;
mod figures;
pub mod logs;
mod memory;
mod meters;
mod metric;
mod process;
mod table;
#[cfg(test)]
mod tests;

pub use exposition::CONTENT_TYPE;
pub use figures::ProcessFigures;
pub use memory::memory_limit_bytes;
pub use meters::{Count, Level, Meters, SERIES_MAX, Since, Spread, Telemetry};
pub use metric::{
    Age, Counter, Gauge, Histogram, Kind, LabelSpec, MetricSpec, OTHER, Unit, Values,
};
pub use table::{Stopwatch, Table, now_us};
