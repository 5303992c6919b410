//! Names of the figures that a run can give, so that a threshold on a misspelt one is refused and never passes unseen.

use super::Action;
use crate::town::Role;

/// For error texts.
pub(super) const EXAMPLES: &str = "delivery.message.p99_ms, ack.check_in.p95_ms, connect.p99_ms, reconnect.p95_ms, screen.p99_ms, \
    staff.connect.p99_ms, guardian.back_95_s, violations, errors, errors_share, online_share_end, server.cores_max, \
    server.bytes_per_connection (docs/load-testing.md has all)";

const SPREAD: [&str; 6] = ["p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms"];
const PLAIN: [&str; 21] = [
    "normal_s",
    "violations",
    "errors",
    "errors_share",
    "errors_but_reconnects",
    "online_max",
    "online_share_end",
    "deliveries",
    "skipped",
    "unanswered",
    "unchecked",
    "never_in",
    "expected",
    "staff.behind_others_ms",
    "server.cores_max",
    "server.cores_mean",
    "server.resident_bytes_max",
    "server.bytes_per_connection",
    "agents.late_p99_ms",
    "agents.bytes_per_person",
    "agents.cores_max",
];

/// Whether a run can give this figure.
#[must_use]
pub fn is_known(name: &str) -> bool {
    if PLAIN.contains(&name) {
        return true;
    }
    let parts: Vec<&str> = name.split('.').collect();
    let is_action = |it: &str| Action::ALL.iter().any(|action| action.name() == it) || it == "all";
    let is_role = |it: &str| Role::ALL.iter().any(|role| role.name() == it);
    match parts.as_slice() {
        ["connect" | "reconnect" | "screen", spread] => SPREAD.contains(spread),
        ["delivery" | "ack", action, spread] => is_action(action) && SPREAD.contains(spread),
        [role, "connect" | "ack", spread] => is_role(role) && SPREAD.contains(spread),
        [
            role,
            "back_50_s" | "back_95_s" | "back_100_s" | "told_to_wait",
        ] => is_role(role),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_known;

    #[test]
    fn known_and_misspelt() {
        for known in [
            "delivery.all.p99_ms",
            "staff.connect.p95_ms",
            "pupil.back_95_s",
            "violations",
        ] {
            assert!(is_known(known), "{known}");
        }
        for unknown in [
            "delivery.p99_ms",
            "delivery.mesage.p99_ms",
            "staff.p95_ms",
            "violation",
            "",
        ] {
            assert!(!is_known(unknown), "{unknown}");
        }
    }
}
