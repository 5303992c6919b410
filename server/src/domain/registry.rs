//! The list of all operations. One line an operation; every door serves what stands here.

use std::sync::LazyLock;

use hashbrown::HashMap;

use super::Declared;
use super::{notifications, posts, sessions, threads, units};

static OPERATIONS: &[Declared] = &[
    Declared::of::<threads::Create>(),
    Declared::of::<threads::List>(),
    Declared::of::<threads::Get>(),
    Declared::of::<threads::Mute>(),
    Declared::of::<threads::Mark>(),
    Declared::of::<threads::Read>(),
    Declared::of::<threads::AddParticipants>(),
    Declared::of::<threads::Leave>(),
    Declared::of::<threads::SetSensitivity>(),
    Declared::of::<threads::Send>(),
    Declared::of::<threads::Reply>(),
    Declared::of::<threads::Edit>(),
    Declared::of::<threads::Withdraw>(),
    Declared::of::<threads::MessageList>(),
    Declared::of::<posts::Publish>(),
    Declared::of::<posts::Edit>(),
    Declared::of::<posts::Withdraw>(),
    Declared::of::<posts::Comment>(),
    Declared::of::<posts::See>(),
    Declared::of::<posts::List>(),
    Declared::of::<posts::PublishDue>(),
    Declared::of::<notifications::Create>(),
    Declared::of::<notifications::List>(),
    Declared::of::<notifications::Dismiss>(),
    Declared::of::<units::AddMember>(),
    Declared::of::<units::RemoveMember>(),
    Declared::of::<units::EndRelation>(),
    Declared::of::<units::SetInbox>(),
    Declared::of::<units::Block>(),
    Declared::of::<units::Unblock>(),
    Declared::of::<units::InheritBlock>(),
    Declared::of::<sessions::Start>(),
    Declared::of::<sessions::StepUp>(),
    Declared::of::<sessions::BadgeGet>(),
    Declared::of::<sessions::BadgeRecount>(),
    Declared::of::<sessions::AccessList>(),
];

/// Every operation, by area.
#[must_use]
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
