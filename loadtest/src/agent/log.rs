//! What everybody saw, in the order in which it came: one log for all, since a step to each person's own would be a step to cold memory.

use super::user::Seen;
use crate::town::LoginIx;

/// Lines of one piece: the log grows by a megabyte and a half at a time and is never copied while people play.
const PIECE: usize = 1 << 16;

/// See the file.
#[derive(Default)]
pub(super) struct Log {
    pieces: Vec<Vec<(LoginIx, Seen)>>,
}

impl Log {
    pub(super) fn note(&mut self, login: LoginIx, seen: Seen) {
        match self.pieces.last_mut() {
            Some(piece) if piece.len() < PIECE => piece.push((login, seen)),
            _ => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push((login, seen));
                self.pieces.push(piece);
            }
        }
    }

    /// The same by person; each one's in the order in which it came.
    pub(super) fn by_login(&self) -> ByLogin {
        let lines = || self.pieces.iter().flatten();
        let logins = lines()
            .map(|(login, _)| *login as usize + 1)
            .max()
            .unwrap_or(0);
        let mut ends = vec![0usize; logins];
        for (login, _) in lines() {
            ends[*login as usize] += 1;
        }
        let mut sum = 0;
        for end in &mut ends {
            // For now the beginning: writing moves it to the end.
            sum += std::mem::replace(end, sum);
        }
        let none = Seen {
            channel: 0,
            offset: 0,
            action: 0,
        };
        let mut all = vec![none; sum];
        for (login, seen) in lines() {
            let place = &mut ends[*login as usize];
            all[*place] = *seen;
            *place += 1;
        }
        ByLogin { ends, all }
    }
}

/// What each person saw.
pub(super) struct ByLogin {
    ends: Vec<usize>,
    all: Vec<Seen>,
}

impl ByLogin {
    pub(super) fn of(&self, login: LoginIx) -> &[Seen] {
        let login = login as usize;
        let Some(end) = self.ends.get(login) else {
            return &[];
        };
        let begin = login
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .unwrap_or(&0);
        &self.all[*begin..*end]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_sees_their_own_in_order(lines in proptest::collection::vec(0u32..9, 0..200)) {
            let mut log = Log::default();
            for (action, login) in (0u64..).zip(&lines) {
                log.note(*login, Seen { channel: 1, offset: 2, action });
            }
            let sorted = log.by_login();
            for login in 0..10 {
                let wanted: Vec<u64> = (0u64..).zip(&lines).filter(|(_, it)| **it == login).map(|(action, _)| action).collect();
                let found: Vec<u64> = sorted.of(login).iter().map(|seen| seen.action).collect();
                prop_assert_eq!(found, wanted);
            }
        }
    }

    #[test]
    fn pieces_join() {
        let mut log = Log::default();
        for action in 0..(2 * PIECE as u64 + 3) {
            log.note(
                u32::from(action % 2 == 0),
                Seen {
                    channel: 1,
                    offset: 2,
                    action,
                },
            );
        }
        let sorted = log.by_login();
        assert_eq!(sorted.of(0).len(), PIECE + 1);
        assert_eq!(
            sorted.of(1).last().map(|seen| seen.action),
            Some(2 * PIECE as u64 + 2)
        );
    }
}
