//! Random operations on the hub and on a plain model, which must agree.
//!
//! The model keeps each channel's whole log and, for each subscription, how far the client has read. It
//! judges every write as it happens: nothing out of order, nothing twice, nothing a lens hides at that
//! moment; and when nothing waits any more, nothing is missing.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const CHANNELS: usize = 3;
const CONNECTIONS: u32 = 6;

#[derive(Debug, Clone)]
enum Step {
    Subscribe {
        conn: u32,
        channel: usize,
        follow: bool,
        audience: u16,
    },
    Read {
        conn: u32,
        channel: usize,
    },
    Activate {
        conn: u32,
        channel: usize,
    },
    Unsubscribe {
        conn: u32,
        channel: usize,
    },
    Leave {
        conn: u32,
    },
    Publish {
        channel: usize,
        streamed: bool,
        audience: u16,
        sensitive: bool,
        arrives: bool,
    },
    Lens {
        conn: u32,
        channel: usize,
        audience: u16,
        full: bool,
    },
    Refuse {
        conn: u32,
    },
    FanOut {
        budget: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let conn = 0..CONNECTIONS;
    let channel = 0..CHANNELS;
    let audience = prop_oneof![Just(u16::MAX), 1..4_u16];
    prop_oneof![
        4 => (conn.clone(), channel.clone(), any::<bool>(), audience.clone()).prop_map(
            |(conn, channel, follow, audience)| Step::Subscribe { conn, channel, follow, audience }
        ),
        3 => (conn.clone(), channel.clone()).prop_map(|(conn, channel)| Step::Read { conn, channel }),
        4 => (conn.clone(), channel.clone())
            .prop_map(|(conn, channel)| Step::Activate { conn, channel }),
        1 => (conn.clone(), channel.clone())
            .prop_map(|(conn, channel)| Step::Unsubscribe { conn, channel }),
        1 => conn.clone().prop_map(|conn| Step::Leave { conn }),
        8 => (
            channel.clone(),
            prop::bool::weighted(0.8),
            audience.clone(),
            prop::bool::weighted(0.3),
            prop::bool::weighted(0.95),
        )
            .prop_map(|(channel, streamed, audience, sensitive, arrives)| Step::Publish {
                channel,
                streamed,
                audience,
                sensitive,
                arrives,
            }),
        1 => (conn.clone(), channel, audience, any::<bool>()).prop_map(
            |(conn, channel, audience, full)| Step::Lens { conn, channel, audience, full }
        ),
        1 => conn.prop_map(|conn| Step::Refuse { conn }),
        6 => (1..8_usize).prop_map(|budget| Step::FanOut { budget }),
    ]
}

/// One publication in a channel's log.
struct Logged {
    publication: Arc<Publication>,
    says: u64,
    arrives: bool,
}

/// What the model knows of a subscription.
#[derive(Debug)]
struct Reader {
    follows: bool,
    is_active: bool,
    lens: Lens,
    /// Place in the log of what it may get next.
    next: usize,
    /// Streamed publications up to here are known to it.
    position: u64,
    /// The lens changed when the log was this long: what waited before may have been judged by either.
    changed_at: usize,
    backlog: Option<Backlog>,
    /// A streamed publication did not arrive and it is not told yet: nothing streamed may come before that.
    is_owed: bool,
    /// Refused a write or lost its position.
    is_cut: bool,
}

#[derive(Default)]
struct Model {
    logs: [Vec<Logged>; CHANNELS],
    tops: [u64; CHANNELS],
    readers: HashMap<(u32, usize), Reader>,
    refusing: Vec<u32>,
    says: u64,
    /// Publications taken, and those only as a signal.
    taken: [u64; 2],
    /// The same as the hub reports them.
    reported: [u64; 2],
}

fn name(channel: usize) -> String {
    format!("c{channel}")
}

fn number(channel: &str) -> usize {
    channel[1..].parse().expect("a channel of this test")
}

impl Reader {
    fn sees(&self, logged: &Logged) -> Measure {
        let content = &logged.publication.content;
        self.lens
            .measure(content.audience, content.is_sensitive(), 0)
    }

    /// Whether it follows offsets and this one never came.
    fn lacks(&self, logged: &Logged) -> bool {
        self.follows && logged.publication.offset > self.position && !logged.arrives
    }

    /// Whether an entry of the log at `place` may be passed over without a word.
    fn may_skip(&self, place: usize, logged: &Logged) -> bool {
        let offset = logged.publication.offset;
        let is_known = self.follows && offset > 0 && offset <= self.position;
        let is_lost = !logged.arrives && (offset == 0 || !self.follows);
        is_known || is_lost || self.sees(logged) == Measure::Hidden || place < self.changed_at
    }
}

impl Sink for Model {
    fn write(&mut self, conn: ConnKey, frame: &Bytes, messages: u32) -> Written {
        let pushes = read(Wire::WebSocketJson, frame);
        assert_eq!(pushes.len(), messages as usize);
        let channel = number(&pushes[0].channel);
        let reader = self
            .readers
            .get_mut(&(conn.index, channel))
            .expect("a subscriber");
        assert!(
            reader.is_active && !reader.is_cut,
            "nothing before the reply or after a cut"
        );
        if self.refusing.contains(&conn.index) {
            reader.is_cut = true;
            return Written::Refused;
        }
        for push in pushes {
            let got = push.publication.expect("a publication");
            loop {
                let logged = self.logs[channel]
                    .get(reader.next)
                    .expect("only what was published");
                let is_bare = got.data.starts_with(b"{\"bare\"");
                let says = if is_bare {
                    logged.publication.content.bare.as_ref()
                } else {
                    Some(&logged.publication.content.full)
                };
                let is_it = says == Some(&got.data);
                if is_it {
                    let measure = reader.sees(logged);
                    assert_ne!(measure, Measure::Hidden, "a leak");
                    assert_eq!(is_bare, measure == Measure::Bare, "by the lens of now");
                    self.taken[0] += 1;
                    self.taken[1] += u64::from(is_bare);
                    let offset = logged.publication.offset;
                    if reader.follows && offset > 0 {
                        assert!(!reader.is_owed, "a silent gap");
                        reader.position = offset;
                    }
                    reader.next += 1;
                    break;
                }
                let place = reader.next;
                reader.next += 1;
                if reader.lacks(logged) {
                    reader.is_owed = true;
                    continue;
                }
                assert!(
                    reader.may_skip(place, logged),
                    "{} was passed over",
                    logged.says
                );
                assert!(
                    !reader.is_owed || logged.publication.offset == 0,
                    "a silent gap"
                );
                if reader.follows {
                    reader.position = reader.position.max(logged.publication.offset);
                }
            }
        }
        Written::Accepted
    }

    fn position_lost(&mut self, conn: ConnKey, channel: &ChannelName) {
        let channel = number(channel.as_str());
        let reader = self
            .readers
            .get_mut(&(conn.index, channel))
            .expect("a subscriber");
        assert!(reader.follows, "only who follows can lose its position");
        let is_true = self.logs[channel]
            .iter()
            .any(|logged| !logged.arrives && logged.publication.offset > reader.position);
        assert!(is_true, "reported without a loss");
        reader.is_cut = true;
    }

    fn inappropriate(&mut self, _: ConnKey) {
        panic!("every payload here is JSON");
    }

    fn delivered(&mut self, _: &ChannelName, _: Wire, told: &Told, subscribers: u32) {
        self.reported[0] += u64::from(told.publications * subscribers);
        self.reported[1] += u64::from(told.withheld * subscribers);
    }

    fn filtered(&mut self, _: &ChannelName, _: u64) {
        panic!("nobody here has a filter");
    }

    fn finished(&mut self, _: &ChannelName, _: impl Iterator<Item = Finished>) {}
}

impl Model {
    fn publish(
        &mut self,
        channel: usize,
        streamed: bool,
        audience: u16,
        sensitive: bool,
        arrives: bool,
    ) -> Arc<Publication> {
        self.says += 1;
        let offset = if streamed {
            self.tops[channel] += 1;
            self.tops[channel]
        } else {
            0
        };
        let mut publication = publication(&name(channel), offset, self.says);
        publication.content.audience = Audience(audience);
        let says = self.says;
        publication.content.bare = sensitive.then(|| Bytes::from(format!("{{\"bare\":{says}}}")));
        let publication = Arc::new(publication);
        self.logs[channel].push(Logged {
            publication: Arc::clone(&publication),
            says,
            arrives,
        });
        publication
    }

    /// The stream as a store would read it.
    fn read(&self, channel: usize) -> Backlog {
        let streamed = self.logs[channel]
            .iter()
            .filter(|it| it.publication.offset > 0);
        Backlog {
            epoch: Epoch::from("e"),
            top: self.tops[channel],
            publications: streamed.map(|it| Arc::clone(&it.publication)).collect(),
        }
    }

    /// Checks an activation against the log, and moves the reader there.
    fn activated(&mut self, conn: u32, channel: usize, activation: &Activation) {
        let reader = self
            .readers
            .get_mut(&(conn, channel))
            .expect("a subscriber");
        let run = self.logs[channel]
            .iter()
            .filter(|it| (1..=activation.top).contains(&it.publication.offset));
        let visible = run.filter(|it| reader.sees(it) != Measure::Hidden);
        let expected: Vec<_> = visible.map(|it| it.publication.offset).collect();
        let got: Vec<_> = activation.publications.iter().map(|it| it.offset).collect();
        assert_eq!(got, expected, "the whole run up to the top");
        reader.position = activation.top;
        reader.is_active = true;
    }

    /// Nothing waits any more: everybody has what they may have.
    fn assert_nothing_is_missing(&self) {
        for ((conn, channel), reader) in &self.readers {
            if !reader.is_active || reader.is_cut {
                continue;
            }
            let mut is_past_loss = reader.is_owed;
            for (place, logged) in self.logs[*channel].iter().enumerate().skip(reader.next) {
                let offset = logged.publication.offset;
                if reader.lacks(logged) {
                    is_past_loss = true;
                    continue;
                }
                let is_streamed = reader.follows && offset > reader.position;
                assert!(!(is_past_loss && is_streamed), "a gap passed in silence");
                assert!(
                    reader.may_skip(place, logged),
                    "{conn} misses {}",
                    logged.says
                );
            }
        }
    }
}

fn run(steps: Vec<Step>) {
    let mut hub = Hub::new();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Subscribe {
                conn: index,
                channel: c,
                follow,
                audience,
            } => {
                let lens = Lens {
                    audience: Audience(audience),
                    full_until_ms: 0,
                };
                let base = if follow {
                    positioned(Wire::WebSocketJson)
                } else {
                    SubOptions::live(Wire::WebSocketJson)
                };
                let options = SubOptions { lens, ..base };
                let outcome = hub.subscribe(conn(index), &channel(&name(c)), options, 0);
                let is_new = !model.readers.contains_key(&(index, c));
                assert_eq!(outcome.is_ok(), is_new);
                let next = model.logs[c].len();
                model.readers.entry((index, c)).or_insert(Reader {
                    follows: follow,
                    is_active: !follow,
                    lens,
                    next,
                    position: 0,
                    changed_at: 0,
                    backlog: None,
                    is_owed: false,
                    is_cut: false,
                });
            }
            Step::Read { conn, channel } => {
                let backlog = model.read(channel);
                if let Some(reader) = model.readers.get_mut(&(conn, channel)) {
                    reader.backlog = Some(backlog);
                }
            }
            Step::Activate {
                conn: index,
                channel: c,
            } => {
                let reader = model.readers.get_mut(&(index, c));
                let Some(backlog) = reader
                    .filter(|it| !it.is_active)
                    .and_then(|it| it.backlog.take())
                else {
                    continue;
                };
                let top = backlog.top;
                match hub.activate(conn(index), &channel(&name(c)), backlog, 0) {
                    Ok(activation) => model.activated(index, c, &activation),
                    Err(error) => {
                        assert_eq!(error, ActivateError::Insufficient);
                        let is_true = model.logs[c]
                            .iter()
                            .any(|it| !it.arrives && it.publication.offset > top);
                        assert!(is_true, "refused without a loss");
                        hub.unsubscribe(conn(index), &channel(&name(c)));
                        model.readers.remove(&(index, c));
                    }
                }
            }
            Step::Unsubscribe {
                conn: index,
                channel: c,
            } => {
                let was = hub.unsubscribe(conn(index), &channel(&name(c))).is_some();
                assert_eq!(was, model.readers.remove(&(index, c)).is_some());
            }
            Step::Leave { conn: index } => {
                let before = model.readers.len();
                model.readers.retain(|(it, _), _| *it != index);
                assert_eq!(hub.remove(conn(index)).len(), before - model.readers.len());
                model.refusing.retain(|it| *it != index);
            }
            Step::Publish {
                channel,
                streamed,
                audience,
                sensitive,
                arrives,
            } => {
                let publication = model.publish(channel, streamed, audience, sensitive, arrives);
                if arrives {
                    hub.publish(&publication, 0);
                }
            }
            Step::Lens {
                conn: index,
                channel: c,
                audience,
                full,
            } => {
                let lens = Lens {
                    audience: Audience(audience),
                    full_until_ms: if full { u64::MAX } else { 0 },
                };
                hub.set_lens(conn(index), &channel(&name(c)), lens);
                let length = model.logs[c].len();
                if let Some(reader) = model.readers.get_mut(&(index, c)) {
                    reader.lens = lens;
                    reader.changed_at = length;
                }
            }
            Step::Refuse { conn } => model.refusing.push(conn),
            Step::FanOut { budget } => {
                hub.fan_out(0, budget, &mut model);
            }
        }
        assert_eq!(hub.subscription_count(), model.readers.len());
        assert_eq!(model.reported, model.taken, "the figures");
    }
    drain(&mut hub, &mut model);
    model.assert_nothing_is_missing();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn the_hub_does_what_the_model_says(steps in prop::collection::vec(step(), 1..120)) {
        run(steps);
    }
}
