//! Names of figures (`delivery.message.p99_ms`) as people read them: words, unit, and which way is better.

use super::{number::Unit, text};

/// Which way a figure should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Better {
    /// Times, errors, what is used.
    Lower,
    /// What was carried.
    Higher,
    /// What says nothing by itself.
    Neither,
}

/// What is known of a figure from its name alone, so that new ones need no table here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Figure {
    /// In Danish.
    pub(super) da: String,
    /// In English.
    pub(super) en: String,
    /// What it is counted in.
    pub(super) unit: Unit,
    /// Which way is better.
    pub(super) better: Better,
}

/// Parts of names in both languages; a part that is not here is shown as it is.
const WORDS: &[(&str, &str, &str)] = &[
    ("delivery", "levering", "delivery"),
    ("deliveries", "leveringer", "deliveries"),
    ("ack", "kvittering", "acknowledgement"),
    ("acked", "kvitteret", "acknowledged"),
    ("connect", "forbindelse", "connect"),
    ("connects", "forbindelser givet", "connects"),
    ("connections", "forbindelser", "connections"),
    ("reconnect", "genforbindelse", "reconnect"),
    ("screen", "første skærm", "first screen"),
    ("all", "alle", "all"),
    ("message", "besked", "message"),
    ("direct", "besked til én", "direct message"),
    ("sensitive", "følsom besked", "sensitive message"),
    ("browse", "læsning af tråde", "reading threads"),
    ("post", "opslag", "post"),
    ("class_post", "klasseopslag", "class post"),
    ("notice", "opslag fra kommunen", "municipal notice"),
    ("check_in", "check-ind", "check-in"),
    ("staff", "personale", "staff"),
    ("guardian", "forældre", "guardians"),
    ("pupil", "elever", "pupils"),
    ("other", "andre", "others"),
    ("server", "server", "server"),
    ("agents", "agenter", "agents"),
    ("agent", "agent", "agent"),
    ("machine", "maskine", "machine"),
    ("cpu", "CPU", "CPU"),
    ("cores", "kerner", "cores"),
    ("memory", "hukommelse", "memory"),
    ("resident", "hukommelse", "resident memory"),
    ("connection", "forbindelse", "connection"),
    ("per_connection", "pr. forbindelse", "per connection"),
    (
        "bytes_per_connection",
        "hukommelse pr. forbindelse",
        "memory per connection",
    ),
    ("errors", "fejl", "errors"),
    ("violations", "brud", "violations"),
    ("online", "på", "online"),
    ("told_to_wait", "bedt om at vente", "told to wait"),
    ("behind_others", "bag de andre", "behind the others"),
    ("due", "skulle ske", "due"),
    ("late", "forsinkelse", "lateness"),
    ("back", "på igen", "back"),
    ("normal", "som før igen", "as before again"),
    ("back_50", "halvdelen på igen", "half back"),
    ("back_95", "95 % på igen", "95 % back"),
    ("back_100", "alle på igen", "all back"),
    ("missing", "mangler", "missing"),
    ("doubled", "kom to gange", "doubled"),
    ("out_of_order", "forkert rækkefølge", "out of order"),
    (
        "leaked",
        "vist til den forkerte",
        "shown to the wrong person",
    ),
    ("foreign_channel", "fremmed kanal", "foreign channel"),
    ("missing_channel", "mangler en kanal", "lacks a channel"),
    (
        "sensitive_in_full",
        "følsomt vist for lavt",
        "sensitive shown below its level",
    ),
    ("unknown_sender", "ukendt afsender", "unknown sender"),
    ("unanswered", "ubesvaret", "unanswered"),
    ("skipped", "ikke begyndt", "not begun"),
    ("never_in", "aldrig lukket ind", "never let in"),
    (
        "expected",
        "leveringer der skulle komme",
        "deliveries that had to come",
    ),
    (
        "unchecked",
        "personer der ikke kunne kontrolleres",
        "people who could not be checked",
    ),
    ("end", "til sidst", "at the end"),
    ("checked", "kontrolleret", "checked"),
    ("expected", "ventet", "expected"),
    ("count", "antal", "count"),
    ("total", "i alt", "in all"),
    ("rate", "andel", "share"),
    ("share", "andel", "share"),
    ("p50", "50 %", "50 %"),
    ("p90", "90 %", "90 %"),
    ("p95", "95 %", "95 %"),
    ("p99", "99 %", "99 %"),
    ("p999", "99,9 %", "99.9 %"),
    ("max", "mest", "most"),
    ("mean", "middel", "mean"),
];

/// Endings that say the unit, with what is left of the name's last part.
const ENDINGS: &[(&str, Unit)] = &[
    ("_per_second", Unit::PerSecond),
    ("_per_s", Unit::PerSecond),
    ("_ms", Unit::Millis),
    ("_us", Unit::Micros),
    ("_s", Unit::Seconds),
    ("_bytes", Unit::Bytes),
    ("_cores", Unit::Cores),
    ("_percent", Unit::Percent),
];

/// Parts that make more of a figure better.
const CARRIED: &[&str] = &[
    "online_share_end",
    "deliveries",
    "deliveries_checked",
    "deliveries_expected",
    "acked",
    "online",
    "online_max",
    "connects",
];

impl Figure {
    /// Reads a name.
    pub(super) fn named(name: &str) -> Self {
        let (stem, unit) = split_unit(name);
        let part = |english: bool| -> String {
            let words: Vec<&str> = stem
                .split('.')
                .filter(|part| !part.is_empty())
                .flat_map(|part| word(part, english))
                .collect();
            let mut text = words.join(", ");
            // A sentence's first letter is large; what is not a letter stays.
            if let Some(first) = text.get(..1).map(str::to_uppercase) {
                text.replace_range(..1, &first);
            }
            text
        };
        Self {
            da: part(false),
            en: part(true),
            unit,
            better: better(name, unit),
        }
    }
}

/// What a unit may be followed by: `server.cores_max`.
const AFTER_UNITS: &[&str] = &["_max", "_mean", "_end"];

fn split_unit(name: &str) -> (String, Unit) {
    if name.contains("bytes_per_") {
        return (name.to_owned(), Unit::Bytes);
    }
    let after = AFTER_UNITS
        .iter()
        .find(|after| name.ends_with(**after))
        .copied()
        .unwrap_or("");
    let bare = name.strip_suffix(after).unwrap_or(name);
    for (ending, unit) in ENDINGS {
        if let Some(stem) = bare.strip_suffix(ending) {
            return (format!("{stem}{after}"), *unit);
        }
    }
    match bare.rsplit('.').next() {
        Some("cores") => (name.to_owned(), Unit::Cores),
        Some(last) if last.ends_with("share") => (name.to_owned(), Unit::Part),
        _ => (name.to_owned(), Unit::Count),
    }
}

fn word(part: &str, english: bool) -> Vec<&str> {
    if let Some((_, da, en)) = WORDS.iter().find(|(name, _, _)| *name == part) {
        return vec![if english { en } else { da }];
    }
    // `cores_max`, `online_max`: the last word is looked up by itself.
    match part.rsplit_once('_') {
        Some((head, tail)) if WORDS.iter().any(|(name, _, _)| *name == tail) => {
            let mut words = word(head, english);
            words.extend(word(tail, english));
            words
        }
        _ => vec![part],
    }
}

fn better(name: &str, unit: Unit) -> Better {
    let carried = name
        .split('.')
        .any(|part| CARRIED.contains(&part) || part.contains("deliveries"));
    match unit {
        Unit::PerSecond => Better::Higher,
        Unit::Count | Unit::Part | Unit::Percent if carried => Better::Higher,
        Unit::Count => {
            let bad = [
                "errors",
                "violations",
                "told_to_wait",
                "unanswered",
                "unchecked",
            ];
            if name
                .split('.')
                .any(|part| bad.iter().any(|word| part.contains(word)))
            {
                Better::Lower
            } else {
                Better::Neither
            }
        }
        _ => Better::Lower,
    }
}

/// A kind of violation, in words.
pub(super) fn violation(kind: &str) -> Option<text::Text> {
    Some(match kind {
        "missing" => text::MISSING,
        "doubled" => text::DOUBLED,
        "out_of_order" => text::OUT_OF_ORDER,
        "leaked" => text::LEAKED,
        "foreign_channel" => text::FOREIGN_CHANNEL,
        "missing_channel" => text::MISSING_CHANNEL,
        "sensitive_in_full" => text::SENSITIVE_IN_FULL,
        "unknown_sender" => text::UNKNOWN_SENDER,
        "let_in" => text::LET_IN,
        _ => return None,
    })
}

/// Something that happened, in words: what the tester itself says, in both languages.
pub(super) fn event(what: &str) -> Option<text::Text> {
    let known = [
        text::KILLED_EVENT,
        text::QUIET_EVENT,
        text::ROLL_CALL_EVENT,
        text::NOT_IN_TIME_EVENT,
    ];
    known.into_iter().find(|text| text.en == what)
}

/// A role, in words.
pub(super) fn role(name: &str) -> Option<text::Text> {
    Some(match name {
        "staff" => text::STAFF,
        "guardian" => text::GUARDIAN,
        "pupil" => text::PUPIL,
        "other" => text::OTHER_ROLE,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_are_and_which_way_is_better() {
        use Better::{Higher, Lower, Neither};
        for (name, da, en, unit, better) in [
            (
                "delivery.message.p99_ms",
                "Levering, besked, 99 %",
                "Delivery, message, 99 %",
                Unit::Millis,
                Lower,
            ),
            (
                "delivery.all.p99_ms",
                "Levering, alle, 99 %",
                "Delivery, all, 99 %",
                Unit::Millis,
                Lower,
            ),
            (
                "staff.back_95_s",
                "Personale, 95 % på igen",
                "Staff, 95 % back",
                Unit::Seconds,
                Lower,
            ),
            (
                "staff.connect.p95_ms",
                "Personale, forbindelse, 95 %",
                "Staff, connect, 95 %",
                Unit::Millis,
                Lower,
            ),
            (
                "server.bytes_per_connection",
                "Server, hukommelse pr. forbindelse",
                "Server, memory per connection",
                Unit::Bytes,
                Lower,
            ),
            (
                "server.resident_bytes_max",
                "Server, hukommelse, mest",
                "Server, resident memory, most",
                Unit::Bytes,
                Lower,
            ),
            (
                "server.cores_max",
                "Server, kerner, mest",
                "Server, cores, most",
                Unit::Cores,
                Lower,
            ),
            (
                "agents.late_p99_ms",
                "Agenter, forsinkelse, 99 %",
                "Agents, lateness, 99 %",
                Unit::Millis,
                Lower,
            ),
            (
                "errors_share",
                "Fejl, andel",
                "Errors, share",
                Unit::Part,
                Lower,
            ),
            (
                "online_share_end",
                "På, andel, til sidst",
                "Online, share, at the end",
                Unit::Part,
                Higher,
            ),
            ("unanswered", "Ubesvaret", "Unanswered", Unit::Count, Lower),
            (
                "deliveries",
                "Leveringer",
                "Deliveries",
                Unit::Count,
                Higher,
            ),
            (
                "deliveries_per_second",
                "Leveringer",
                "Deliveries",
                Unit::PerSecond,
                Higher,
            ),
            ("errors", "Fejl", "Errors", Unit::Count, Lower),
            (
                "something_new",
                "Something_new",
                "Something_new",
                Unit::Count,
                Neither,
            ),
            ("", "", "", Unit::Count, Neither),
            ("ækvator", "ækvator", "ækvator", Unit::Count, Neither),
        ] {
            let figure = Figure::named(name);
            assert_eq!(
                (
                    figure.da.as_str(),
                    figure.en.as_str(),
                    figure.unit,
                    figure.better
                ),
                (da, en, unit, better),
                "{name}"
            );
        }
    }
}
