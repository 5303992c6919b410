//! As what logins came lately, so that a flood of them costs little to sort.
//!
//! A role decides who goes first when not all can, and nothing else: it gives no right. So what was found once is good
//! enough for an hour, and a login of whom nothing can be found just now comes last.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;

use crate::people::{LoginRole, SubjectId};

/// Logins in one of the two halves of a part. In all some 500,000 of 24 bytes: 12 MiB, more than any node has connections.
const HALF_MAX: usize = 16 * 1024;
/// Parts of the table, so that threads rarely wait for each other.
const PARTS: usize = 16;
/// How long a role is remembered: who becomes staff today goes first an hour later at the latest, or when they next connect
/// while there is room.
const REMEMBERED_MS: u64 = 3_600_000;

/// See the file. Logins are kept by a keyed hash: nobody can make two of them meet on purpose, and when two do, one of them
/// is let in as the other would be.
#[derive(Debug)]
pub(super) struct Roles {
    hasher: RandomState,
    parts: [Mutex<Halves>; PARTS],
}

/// When the young half is full, the old one is dropped and the young one becomes old.
#[derive(Debug, Default)]
struct Halves {
    young: HashMap<u64, (LoginRole, u64)>,
    old: HashMap<u64, (LoginRole, u64)>,
}

impl Default for Roles {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            parts: Default::default(),
        }
    }
}

impl Roles {
    /// The role of a login, when it was found lately.
    pub(super) fn find(&self, subject: &SubjectId, now_ms: u64) -> Option<LoginRole> {
        let hash = self.hasher.hash_one(subject);
        let halves = self.part(hash);
        let (role, since) = *halves.young.get(&hash).or_else(|| halves.old.get(&hash))?;
        (now_ms.saturating_sub(since) < REMEMBERED_MS).then_some(role)
    }

    /// Remembers a role.
    pub(super) fn keep(&self, subject: &SubjectId, role: LoginRole, now_ms: u64) {
        let hash = self.hasher.hash_one(subject);
        let mut halves = self.part(hash);
        if halves.young.len() >= HALF_MAX {
            halves.old = std::mem::take(&mut halves.young);
        }
        halves.young.insert(hash, (role, now_ms));
    }

    fn part(&self, hash: u64) -> std::sync::MutexGuard<'_, Halves> {
        // The top bits: the table inside looks at the others.
        let part = usize::try_from(hash >> 60).unwrap_or(0) % PARTS;
        self.parts[part]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(number: usize) -> SubjectId {
        format!("s{number}").parse().expect("a subject")
    }

    #[test]
    fn a_role_is_remembered_for_an_hour() {
        let roles = Roles::default();
        assert_eq!(roles.find(&subject(1), 0), None);
        roles.keep(&subject(1), LoginRole::Guardian, 0);
        assert_eq!(
            roles.find(&subject(1), REMEMBERED_MS - 1),
            Some(LoginRole::Guardian)
        );
        assert_eq!(roles.find(&subject(1), REMEMBERED_MS), None);
        roles.keep(&subject(1), LoginRole::Staff, REMEMBERED_MS);
        assert_eq!(
            roles.find(&subject(1), REMEMBERED_MS),
            Some(LoginRole::Staff)
        );
    }

    #[test]
    fn it_forgets_the_oldest_and_stays_bounded() {
        let roles = Roles::default();
        let many = 3 * PARTS * HALF_MAX;
        for number in 0..many {
            roles.keep(&subject(number), LoginRole::Pupil, 0);
        }
        assert_eq!(roles.find(&subject(many - 1), 0), Some(LoginRole::Pupil));
        assert_eq!(roles.find(&subject(0), 0), None);
        let kept = |part: &Mutex<Halves>| {
            let halves = part.lock().expect("whole");
            halves.young.len() + halves.old.len()
        };
        assert!(roles.parts.iter().map(kept).sum::<usize>() <= 2 * PARTS * HALF_MAX);
    }
}
