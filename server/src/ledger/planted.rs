//! Bugs that the simulation must find, each planted on demand, so that it is known to see them (`cargo xtask sim --planted`).
//!
//! Only tests can plant one: everywhere else [`planted`] is constant, and nothing of this is left in the program.

/// What can be planted.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "nobody plants them outside of tests")
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Who calls is answered before anything is durable.
    AcknowledgeEarly,
    /// A write whose outcome is unknown is taken for done.
    GuessUnknown,
    /// What another node tells is taken in whatever is missing before it.
    SkipGaps,
    /// What was said goes out before the change of rights in front of it.
    DeliverFirst,
    /// What only reads mixes an old roster with what is newer.
    MixTimes,
}

#[cfg(test)]
impl Bug {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::AcknowledgeEarly,
        Self::GuessUnknown,
        Self::SkipGaps,
        Self::DeliverFirst,
        Self::MixTimes,
    ];
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug for what this thread simulates from now on, or none.
#[cfg(test)]
pub(crate) fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this bug is planted.
#[cfg(test)]
pub(super) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this bug is planted: never.
#[cfg(not(test))]
pub(super) const fn planted(_: Bug) -> bool {
    false
}
