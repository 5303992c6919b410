//! What is counted of operations, whatever the door.

use std::time::Duration;

use super::notifications::record::NOTES;
use super::{Answer, Door, OperationError, error, registry};
use crate::admission::Work;
use crate::ledger::Commit;
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

    /// Work was put off.
    pub(super) fn put_off(&self, work: Work, why: &str) {
        let labels = [work.name(), why];
        self.meters.count(catalogue::ADMISSION_REFUSED, &labels);
    }

    /// A call ended.
    pub(super) fn called(
        &self,
        operation: &str,
        door: Door,
        took: Duration,
        outcome: &Result<Answer, OperationError>,
    ) {
        // What nobody declared is the caller's own words, and not for a label.
        let name = registry::find(operation).map_or("unknown", |it| it.declaration.name);
        let labels = [name, door.as_str()];
        let spread = self.meters.histogram(catalogue::OPERATION_SECONDS, &labels);
        spread.observe_duration(took);
        let refused = match outcome {
            Ok(answer) => return self.done(name, answer),
            Err(refused) => refused,
        };
        if refused.code == error::STEP_UP_REQUIRED.code {
            self.withheld.add(1);
        }
        let code = refused.code.to_string();
        let labels = [name, door.as_str(), &code];
        self.meters.count(catalogue::OPERATION_REFUSALS, &labels);
        if let Some(reason) = denial(refused) {
            self.meters.count(catalogue::RIGHTS_DENIED, &[reason]);
        }
    }

    /// Counts what an operation said, by what it committed: an answer from before said nothing new.
    pub(super) fn done(&self, operation: &str, answer: &Answer) {
        let Some(commit) = answer.commit.as_deref().filter(|_| !answer.replayed) else {
            return;
        };
        match operation {
            "thread.create" => self.meters.count(catalogue::MESSAGES, &["thread"]),
            "message.send" => self.meters.count(catalogue::MESSAGES, &["message"]),
            "message.reply" => self.meters.count(catalogue::MESSAGES, &["reply"]),
            "post.publish" => self.meters.count(catalogue::POSTS, &[]),
            _ => {}
        }
        let notes = notes_in(commit);
        if notes > 0 {
            let made = self.meters.counter(catalogue::NOTIFICATIONS, &[]);
            made.add(notes);
        }
    }
}

/// The reason under which a refusal is counted that is about rights.
fn denial(refused: &OperationError) -> Option<&'static str> {
    let reason = refused.key.strip_prefix("error.")?;
    catalogue::DENIALS.contains(&reason).then_some(reason)
}

/// How many notifications a commit makes, or makes anew.
fn notes_in(commit: &Commit) -> u64 {
    let is_note = |key: &str| key.starts_with(NOTES);
    let made = commit.records.iter();
    made.filter(|it| it.value.is_some() && is_note(it.key.as_str()))
        .count() as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_error_about_rights_is_a_reason() {
        let forbidden = error::ALL.iter().filter(|row| row.status == 403);
        let told: BTreeSet<_> = forbidden
            .filter_map(|row| denial(&row.refuse("").into()))
            .collect();
        let reasons: BTreeSet<_> = catalogue::DENIALS.iter().copied().collect();
        let beside: Vec<_> = reasons.difference(&told).collect();
        assert_eq!(beside, [&"channel"], "of the protocol, not of operations");
        assert_eq!(denial(&error::NOT_FOUND.refuse("").into()), None);
    }

    #[test]
    fn what_is_counted_by_name_is_an_operation() {
        for name in [
            "thread.create",
            "message.send",
            "message.reply",
            "post.publish",
        ] {
            assert!(registry::find(name).is_some(), "{name}");
        }
    }
}
