//! The list of all operations. One line an operation; every door serves what stands here.

use std::sync::LazyLock;

use hashbrown::HashMap;

use super::Declared;
use super::threads;

/// Every operation, by area.
pub static OPERATIONS: &[Declared] = &[
    Declared::of::<threads::Create>(),
    Declared::of::<threads::List>(),
];

/// Most REST path parameters an operation has; a body may not name them again.
pub fn all() -> &'static [Declared] {
    OPERATIONS
}

static BY_NAME: LazyLock<HashMap<&'static str, &'static Declared>> = LazyLock::new(|| {
    OPERATIONS
        .iter()
        .map(|declared| (declared.declaration.name, declared))
        .collect()
});

/// The operation of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Declared> {
    BY_NAME.get(name).copied()
}
