//! What is counted of operations, whatever the door.

use std::time::Duration;

use super::{Door, OperationError, error, registry};
use crate::telemetry::{Count, Meters, catalogue};

/// Where operations are counted. Found by name at each call: next to a call's disk that is nothing.
#[derive(Clone)]
pub(super) struct Counts {
    meters: Meters,
    /// Content was kept from a reader until they step up.
    pub(super) withheld: Count,
}

impl Counts {
    pub(super) fn new(meters: Meters) -> Self {
        Self {
            withheld: meters.counter(catalogue::STEP_UP_REQUIRED, &[]),
            meters,
        }
    }

    /// A call ended.
    pub(super) fn called(
        &self,
        operation: &str,
        door: Door,
        took: Duration,
        refused: Option<&OperationError>,
    ) {
        // What nobody declared is the caller's own words, and not for a label.
        let name = registry::find(operation).map_or("unknown", |it| it.declaration.name);
        let labels = [name, door.as_str()];
        let spread = self.meters.histogram(catalogue::OPERATION_SECONDS, &labels);
        spread.observe_duration(took);
        let Some(refused) = refused else { return };
        if refused.code == error::STEP_UP_REQUIRED.code {
            self.withheld.add(1);
        }
        let code = refused.code.to_string();
        let labels = [name, door.as_str(), &code];
        self.meters.count(catalogue::OPERATION_REFUSALS, &labels);
    }
}
