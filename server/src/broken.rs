//! Promises broken on purpose, one at a time, so that the load tester's checker can be shown to find each way a server may
//! fail people. A build without the feature `broken` (every build but that test's) holds nothing of it.
//!
//! Which way is told once at the start by `KLOKKE_BROKEN`. When it strikes is counted, not drawn, so that two runs fail alike.

use std::cell::Cell;
use std::sync::OnceLock;

/// The environment variable that says which way.
pub const VARIABLE: &str = "KLOKKE_BROKEN";

/// Every so many deliveries (or entries) it strikes: a few in a hundred, as a real fault would.
const EVERY: u64 = 31;
/// The same for what is sensitive, of which there is little.
const EVERY_SENSITIVE: u64 = 2;
/// Every so many profiles see what is not theirs.
const EVERY_PROFILE: u32 = 7;

/// A way to break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A publication does not reach one of its subscribers.
    Drop,
    /// A publication is left out of one of its channels before it gets an offset there: no gap shows it.
    DropQuietly,
    /// A publication reaches one of its subscribers twice.
    Double,
    /// Two publications of a channel reach one of its subscribers the other way round.
    Reorder,
    /// A publication reaches a connection that has nothing to do with its channel.
    Leak,
    /// A person is counted among those who see a channel that is somebody else's.
    LeakRights,
    /// What is sensitive is shown in full to a session below its level.
    Bare,
}

const WAYS: &[(&str, Way)] = &[
    ("drop", Way::Drop),
    ("drop_quietly", Way::DropQuietly),
    ("double", Way::Double),
    ("reorder", Way::Reorder),
    ("leak", Way::Leak),
    ("leak_rights", Way::LeakRights),
    ("bare", Way::Bare),
];

static CHOSEN: OnceLock<Option<Way>> = OnceLock::new();

thread_local! {
    /// As chosen at the start; a test chooses for its own thread.
    static WAY: Cell<Option<Way>> = Cell::new(CHOSEN.get().copied().flatten());
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// `KLOKKE_BROKEN` names no way to break.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "KLOKKE_BROKEN must be one of drop, drop_quietly, double, reorder, leak, leak_rights, bare"
)]
pub struct UnknownWay;

impl std::str::FromStr for Way {
    type Err = UnknownWay;
    fn from_str(name: &str) -> Result<Self, UnknownWay> {
        let known = WAYS.iter().find(|(known, _)| *known == name);
        known.map(|(_, way)| *way).ok_or(UnknownWay)
    }
}

/// Reads the environment, before anything is served; without the variable the server is a whole one.
///
/// # Errors
/// [`UnknownWay`].
pub fn begin() -> Result<(), UnknownWay> {
    let way = match std::env::var(VARIABLE) {
        Ok(name) => Some(name.parse()?),
        Err(_) => None,
    };
    let way = *CHOSEN.get_or_init(|| way);
    if let Some(way) = way {
        tracing::error!(?way, "this server is broken on purpose");
    }
    Ok(())
}

/// Counts one thing that could go wrong this way; whether this is the one that does.
#[must_use]
pub fn strikes(way: Way) -> bool {
    if WAY.get() != Some(way) {
        return false;
    }
    let every = match way {
        Way::Bare => EVERY_SENSITIVE,
        _ => EVERY,
    };
    let count = COUNT.get() + 1;
    COUNT.set(count);
    count.is_multiple_of(every)
}

/// Whether the profile of this number sees what is not theirs: the same at every look.
#[must_use]
pub fn strays(profile: u32) -> bool {
    WAY.get() == Some(Way::LeakRights) && profile.is_multiple_of(EVERY_PROFILE)
}

/// Breaks this thread alone.
#[cfg(test)]
pub(crate) fn choose(way: Way) {
    WAY.set(Some(way));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_strikes_by_count_and_only_the_chosen_way() {
        assert!(!strikes(Way::Drop), "nothing is chosen");
        choose(Way::Drop);
        let struck: Vec<u64> = (1..=3 * EVERY).filter(|_| strikes(Way::Drop)).collect();
        assert_eq!(struck, [EVERY, 2 * EVERY, 3 * EVERY]);
        assert!((0..2 * EVERY).all(|_| !strikes(Way::Double)));
        assert!(!strays(EVERY_PROFILE));
        choose(Way::LeakRights);
        assert!(strays(EVERY_PROFILE) && !strays(EVERY_PROFILE + 1));
    }

    #[test]
    fn ways_have_names() {
        for (name, way) in WAYS {
            assert_eq!(name.parse(), Ok(*way));
            assert!(UnknownWay.to_string().contains(name));
        }
        assert_eq!("dropp".parse::<Way>(), Err(UnknownWay));
    }
}
