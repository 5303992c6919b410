//! The checker's last word: what everybody should have seen, by the tester's own account, against what they saw.
//!
//! Pure: actions and witnesses in, findings out. An action that was acknowledged must have been seen exactly once by everybody
//! concerned who was there before it was sent; one that was refused, or that nobody did, by nobody. In each channel, what was
//! acknowledged before something else was even sent comes before it.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::agent::user::Seen;
use crate::agent::watch::BARE;
use crate::control::{Deed, Fate, Findings, Target};
use crate::outcome::{EVIDENCE_MAX, Evidence};
use crate::town::{LoginIx, ProfileIx, Town};

/// Clocks of two machines may differ by this much, in microseconds, before an order can be judged.
const CLOCKS_MARGIN_US: u64 = 2_000;

/// Somebody with what they saw.
pub struct Witness<'a> {
    /// The login.
    pub login: LoginIx,
    /// Whether they wanted to come at all.
    pub was_wanted: bool,
    /// When they were first online; `None` for who never was.
    pub first_us: Option<u64>,
    /// Whether they were there at the end, so that everything they missed was recovered.
    pub is_back: bool,
    /// What they saw.
    pub seen: &'a [Seen],
    /// Offsets that were passed over and never came, by channel.
    pub gaps: &'a [(u32, u64)],
}

/// Judges.
pub fn verify<'a>(
    deeds: &[Deed],
    witnesses: impl Iterator<Item = Witness<'a>>,
    town: &Town,
    name_of: impl Fn(u32) -> &'a str,
) -> Findings {
    let register = Register::new(deeds, town);
    let expected = expectations(deeds, town);
    let mut judge = Judge {
        findings: Findings::default(),
        register: &register,
        town,
    };
    for witness in witnesses {
        let wanted = expected.get(&witness.login).map_or(&[][..], Vec::as_slice);
        judge.hear(&witness, wanted, &name_of);
    }
    judge.findings
}

/// Actions by their ids, and by the messages that the server made of them.
struct Register<'a> {
    by_id: HashMap<u64, &'a Deed>,
    by_message: HashMap<(&'a str, u32), &'a Deed>,
}

impl<'a> Register<'a> {
    fn new(deeds: &'a [Deed], town: &'a Town) -> Self {
        let by_id = deeds.iter().map(|deed| (deed.id, deed)).collect();
        let with_message = deeds.iter().filter(|deed| deed.message > 0);
        let by_message = with_message.map(|deed| {
            let unit = &*town.profiles[deed.by as usize].unit;
            ((unit, deed.message), deed)
        });
        Self {
            by_id,
            by_message: by_message.collect(),
        }
    }

    /// The action that was seen, in this channel.
    fn find(&self, seen: Seen, channel: &str) -> Option<&'a Deed> {
        if seen.action & BARE == 0 {
            return self.by_id.get(&seen.action).copied();
        }
        let unit = channel.strip_prefix("person:")?.split('/').next()?;
        let number = u32::try_from(seen.action & !BARE).ok()?;
        self.by_message.get(&(unit, number)).copied()
    }
}

/// What each login must have seen if it was acknowledged, and may see otherwise: (channel, action).
fn expectations<'a>(deeds: &'a [Deed], town: &Town) -> HashMap<LoginIx, Vec<(String, &'a Deed)>> {
    let mut walls: HashMap<&str, Vec<LoginIx>> = HashMap::new();
    for (nth, login) in (0u32..).zip(&town.logins) {
        for channel in login
            .channels
            .iter()
            .filter(|it| !it.starts_with("person:"))
        {
            walls.entry(channel).or_default().push(nth);
        }
    }
    let mut all: HashMap<LoginIx, Vec<(String, &Deed)>> = HashMap::new();
    for deed in deeds {
        let mut persons: HashSet<ProfileIx> = HashSet::new();
        let mut wall = None;
        match deed.to {
            Target::ThreadOf(group) => {
                persons.extend(&town.groups[group as usize].seen_by);
                persons.insert(deed.by);
            }
            Target::Adults { child, with_sender } => {
                persons.extend(&town.profiles[child as usize].adults);
                persons.extend(with_sender.then_some(deed.by));
            }
            Target::One(profile) => persons.extend([profile, deed.by]),
            Target::Wall(group) => wall = Some(town.wall(group)),
            Target::UnitOf(by) => wall = Some(format!("unit:{}", town.profiles[by as usize].unit)),
        }
        for person in persons {
            let profile = &town.profiles[person as usize];
            if let Some(login) = profile.login.filter(|_| profile.takes_part) {
                all.entry(login)
                    .or_default()
                    .push((town.personal(person), deed));
            }
        }
        if let Some(wall) = wall {
            for login in walls.get(&*wall).into_iter().flatten() {
                all.entry(*login).or_default().push((wall.clone(), deed));
            }
        }
    }
    all
}

struct Judge<'a> {
    findings: Findings,
    register: &'a Register<'a>,
    town: &'a Town,
}

impl Judge<'_> {
    fn hear<'n>(
        &mut self,
        witness: &Witness<'_>,
        wanted: &[(String, &Deed)],
        name_of: &impl Fn(u32) -> &'n str,
    ) {
        let Some(first_us) = witness.first_us else {
            self.findings.never_in += u64::from(witness.was_wanted);
            return;
        };
        let allowed: HashSet<(&str, u64)> = wanted
            .iter()
            .map(|(channel, deed)| (channel.as_str(), deed.id))
            .collect();
        let mut seen: HashSet<(&str, u64)> = HashSet::new();
        let mut by_channel: BTreeMap<u32, Vec<(u32, &Deed)>> = BTreeMap::new();
        for one in witness.seen {
            self.findings.seen += 1;
            let channel = name_of(one.channel);
            let Some(deed) = self.register.find(*one, channel) else {
                if one.action & BARE == 0 {
                    self.accuse("unknown_sender", witness, channel, || {
                        format!("action {:x} was done by nobody", one.action)
                    });
                }
                continue;
            };
            if deed.fate == Fate::Refused {
                self.accuse("unknown_sender", witness, channel, || {
                    format!("action {:x} was refused, and seen", deed.id)
                });
            }
            if deed.fate != Fate::Refused && !allowed.contains(&(channel, deed.id)) {
                self.accuse("leaked", witness, channel, || {
                    format!("action {:x} is not for this person here", deed.id)
                });
            }
            if !seen.insert((channel, deed.id)) {
                self.accuse("doubled", witness, channel, || {
                    format!("action {:x} came twice", deed.id)
                });
            }
            by_channel
                .entry(one.channel)
                .or_default()
                .push((one.offset, deed));
        }
        for (channel, in_it) in &mut by_channel {
            in_it.sort_by_key(|(offset, _)| *offset);
            self.in_order(witness, name_of(*channel), in_it);
        }
        if !witness.is_back {
            self.findings.unchecked += 1;
            return;
        }
        for (channel, deed) in wanted
            .iter()
            .filter(|(_, deed)| deed.fate == Fate::Acked && deed.sent_us > first_us)
        {
            self.findings.expected += 1;
            if !seen.contains(&(channel.as_str(), deed.id)) {
                let at = deed.acked_us as f64 / 1e6;
                self.accuse("missing", witness, channel, || {
                    format!(
                        "{} {:x}, acknowledged at {at:.3} s",
                        deed.action.name(),
                        deed.id
                    )
                });
            }
        }
        // On walls an offset may belong to something meant for others; in a personal channel everything is for its person.
        for (channel, offset) in witness.gaps {
            let channel = name_of(*channel);
            if channel.starts_with("person:") {
                self.accuse("missing", witness, channel, || {
                    format!("offset {offset} was passed over")
                });
            }
        }
    }

    fn in_order(&mut self, witness: &Witness<'_>, channel: &str, in_it: &[(u32, &Deed)]) {
        let mut latest: Option<&Deed> = None;
        for (_, deed) in in_it {
            if let Some(before) = latest.filter(|before| {
                deed.fate == Fate::Acked && deed.acked_us + CLOCKS_MARGIN_US < before.sent_us
            }) {
                self.accuse("out_of_order", witness, channel, || {
                    format!(
                        "action {:x} was acknowledged before {:x} was sent, and comes after it",
                        deed.id, before.id
                    )
                });
            }
            if latest.is_none_or(|before| before.sent_us < deed.sent_us) {
                latest = Some(deed);
            }
        }
    }

    fn accuse(
        &mut self,
        kind: &str,
        witness: &Witness<'_>,
        channel: &str,
        what: impl FnOnce() -> String,
    ) {
        let count = self.findings.violations.entry(kind.to_owned()).or_default();
        *count += 1;
        if *count <= EVIDENCE_MAX as u64 {
            self.findings.evidence.push(Evidence {
                kind: kind.to_owned(),
                at_s: 0.0,
                login: self.town.logins[witness.login as usize].subject.to_string(),
                channel: channel.to_owned(),
                what: what(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Action;
    use std::io::Write as _;

    const LINES: &str = r#"{"type":"unit","code":"G1","name":"S","kind":"school"}
{"type":"person","id":"P1","name":"A"}
{"type":"person","id":"P2","name":"B"}
{"type":"person","id":"P3","name":"C"}
{"type":"account","subject":"a-child","person":"P1"}
{"type":"account","subject":"b-mother","person":"P2"}
{"type":"account","subject":"c-teacher","person":"P3"}
{"type":"profile","id":"G1.p1","person":"P1","kind":"pupil"}
{"type":"profile","id":"G1.p2","person":"P2","kind":"guardian"}
{"type":"profile","id":"G1.p3","person":"P3","kind":"pedagogical_staff"}
{"type":"group","id":"G1.g1","name":"2.A","kind":"class"}
{"type":"membership","group":"G1.g1","profile":"G1.p1","kind":"member"}
{"type":"membership","group":"G1.g1","profile":"G1.p3","kind":"member"}
{"type":"relation","adult":"G1.p2","child":"G1.p1","kind":"guardian","custody":true}
"#;
    const NAMES: [&str; 2] = ["person:G1/p2", "group:G1/g1"];
    const MOTHER: LoginIx = 1;

    fn town() -> Town {
        let mut file = tempfile::NamedTempFile::with_suffix(".jsonl").expect("a file");
        file.write_all(LINES.as_bytes()).expect("written");
        crate::town::read(&[file.path().to_owned()], jiff::civil::date(2026, 11, 27))
            .expect("sound")
    }

    fn deed(id: u64, to: Target, sent_us: u64, acked_us: u64) -> Deed {
        Deed {
            id,
            action: Action::Message,
            by: 2,
            login: 2,
            to,
            sensitive: false,
            sent_us,
            acked_us,
            fate: Fate::Acked,
            message: u32::try_from(id).expect("small"),
        }
    }

    fn two() -> Vec<Deed> {
        vec![
            deed(1, Target::ThreadOf(0), 10_000, 20_000),
            deed(2, Target::ThreadOf(0), 30_000, 40_000),
        ]
    }

    fn judged(deeds: &[Deed], seen: &[(u32, u32, u64)]) -> BTreeMap<String, u64> {
        let seen: Vec<Seen> = seen
            .iter()
            .map(|(channel, offset, action)| Seen {
                channel: *channel,
                offset: *offset,
                action: *action,
            })
            .collect();
        let witness = Witness {
            login: MOTHER,
            was_wanted: true,
            first_us: Some(1),
            is_back: true,
            seen: &seen,
            gaps: &[],
        };
        verify(deeds, std::iter::once(witness), &town(), |number| {
            NAMES[number as usize]
        })
        .violations
    }

    fn one(kind: &str) -> BTreeMap<String, u64> {
        BTreeMap::from([(kind.to_owned(), 1)])
    }

    #[test]
    fn all_once_and_in_order_is_no_violation() {
        assert_eq!(judged(&two(), &[(0, 1, 1), (0, 2, 2)]), BTreeMap::new());
    }

    #[test]
    fn a_bare_signal_counts_by_its_message() {
        assert_eq!(
            judged(&two(), &[(0, 1, BARE | 1), (0, 2, 2)]),
            BTreeMap::new()
        );
    }

    #[test]
    fn each_way_of_breaking_is_found() {
        assert_eq!(judged(&two(), &[(0, 1, 1)]), one("missing"));
        assert_eq!(
            judged(&two(), &[(0, 1, 1), (0, 2, 2), (0, 3, 2)]),
            one("doubled")
        );
        assert_eq!(judged(&two(), &[(0, 1, 2), (0, 2, 1)]), one("out_of_order"));
        assert_eq!(
            judged(&two(), &[(0, 1, 1), (0, 2, 2), (0, 3, 9)]),
            one("unknown_sender")
        );
        // On the wrong channel it did not come where it should have, and came where it should not.
        let mut both = one("missing");
        both.extend(one("leaked"));
        assert_eq!(judged(&two(), &[(1, 1, 1), (0, 2, 2)]), both);
        // A bare signal of what is not for the person is one too many.
        let other = deed(3, Target::One(0), 50_000, 60_000);
        let deeds = [two(), vec![other]].concat();
        let seen = [(0, 1, 1), (0, 2, 2), (0, 3, BARE | 3)];
        assert_eq!(judged(&deeds, &seen), one("leaked"));
    }

    #[test]
    fn what_was_refused_may_not_be_seen_and_what_is_unknown_may() {
        let mut deeds = two();
        deeds[1].fate = Fate::Unknown;
        assert_eq!(judged(&deeds, &[(0, 1, 1)]), BTreeMap::new());
        assert_eq!(judged(&deeds, &[(0, 1, 1), (0, 2, 2)]), BTreeMap::new());
        deeds[1].fate = Fate::Refused;
        assert_eq!(
            judged(&deeds, &[(0, 1, 1), (0, 2, 2)]),
            one("unknown_sender")
        );
    }

    #[test]
    fn a_wall_is_seen_by_all_who_see_the_group() {
        let deeds = [deed(1, Target::Wall(0), 10_000, 20_000)];
        assert_eq!(judged(&deeds, &[(1, 1, 1)]), BTreeMap::new());
        assert_eq!(judged(&deeds, &[]), one("missing"));
    }
}
