//! Whatever happens to connections and subscriptions: each publication is told once and in order. The machine against a
//! model of a server that keeps its stream, dies with what it had on the way, and ends or refuses subscriptions.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Asked for by the client.
const ASKED: &str = "news";
/// Given by the server.
const GIVEN: &str = "person";
/// The model's epoch never changes.
const EPOCH: &str = "e";

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish {
        channel: &'static str,
        /// Sent live as a delta that fits nothing.
        is_spoiled: bool,
    },
    /// The server works on one command.
    Serve,
    /// The server refuses the next subscription for now.
    Refuse,
    /// So many messages arrive, as one frame.
    Deliver(usize),
    /// The server ends the subscription that was asked for, because it missed something.
    Lose,
    /// The server dies; so many messages still arrive.
    Kill(usize),
    /// The connection is closed in order, with a code that calls back.
    Goodbye,
    Pass(u64),
}

/// One connection as the server sees it.
#[derive(Default)]
struct Link {
    commands: VecDeque<Value>,
    messages: VecDeque<Value>,
    subscribed: Vec<&'static str>,
    refuses_next: bool,
}

struct World {
    pair: Pair,
    link: Option<Link>,
    /// Tops of the streams.
    tops: BTreeMap<&'static str, u64>,
    heard: BTreeMap<String, Vec<u64>>,
}

fn message(offset: u64) -> Value {
    json!({"data": offset.to_string(), "offset": offset})
}

impl World {
    fn new() -> Self {
        let mut pair = Pair::new();
        pair.session.subscribe_with(ASKED, "", true, pair.now);
        let mut new = Self {
            pair,
            link: None,
            tops: BTreeMap::from([(ASKED, 0), (GIVEN, 0)]),
            heard: BTreeMap::new(),
        };
        new.settle();
        new
    }

    /// Does what the client wants. A connection opens at once.
    fn settle(&mut self) {
        while let Some(output) = self.pair.session.poll_output() {
            match output {
                Output::Open => {
                    self.link = Some(Link::default());
                    self.pair.session.handle_opened(self.pair.now);
                }
                Output::Send(frame) => {
                    if let Some(link) = &mut self.link {
                        let lines = frame.split(|byte| *byte == b'\n');
                        let commands = lines.map(|it| serde_json::from_slice(it).expect("JSON"));
                        link.commands.extend(commands);
                    }
                }
                Output::Close => self.link = None,
                Output::Event(Event::Publication {
                    channel,
                    publication,
                }) => {
                    let heard = self.heard.entry(channel).or_default();
                    heard.push(publication.offset);
                }
                Output::Event(event) => assert!(
                    !matches!(
                        event,
                        Event::Unsubscribed { .. } | Event::Disconnected { .. }
                    ),
                    "{event:?}"
                ),
                Output::Answered(..) => {}
            }
        }
    }

    /// A subscription from the position that was told, or from the top.
    fn subscribed(&self, channel: &'static str, request: &Value) -> Value {
        let top = self.tops[channel];
        if request["recover"] != true {
            return json!({"recoverable": true, "positioned": true, "epoch": EPOCH, "offset": top, "delta": channel == ASKED});
        }
        assert_eq!(request["epoch"], EPOCH);
        let since = request["offset"].as_u64().unwrap_or(0);
        let publications: Vec<Value> = (since + 1..=top).map(message).collect();
        json!({"recoverable": true, "positioned": true, "epoch": EPOCH, "offset": since, "delta": channel == ASKED,
            "recovered": true, "was_recovering": true, "publications": publications})
    }

    fn serve(&mut self) {
        let Some(mut link) = self.link.take() else {
            return;
        };
        if let Some(command) = link.commands.pop_front() {
            let mut answer = json!({"id": command["id"]});
            if command["connect"].is_object() {
                let given = self.subscribed(GIVEN, &command["connect"]["subs"][GIVEN]);
                link.subscribed.push(GIVEN);
                answer["connect"] = json!({"client": "c", "subs": {GIVEN: given}});
            } else if command["subscribe"].is_object() {
                if link.subscribed.contains(&ASKED) {
                    answer["error"] = json!({"code": 105, "message": "already subscribed"});
                } else if std::mem::take(&mut link.refuses_next) {
                    answer["error"] =
                        json!({"code": 100, "message": "internal", "temporary": true});
                } else {
                    answer["subscribe"] = self.subscribed(ASKED, &command["subscribe"]);
                    link.subscribed.push(ASKED);
                }
            } else {
                link.subscribed.retain(|channel| *channel != ASKED);
                answer["unsubscribe"] = json!({});
            }
            link.messages.push_back(answer);
        }
        self.link = Some(link);
    }

    fn deliver(&mut self, count: usize) {
        let Some(link) = &mut self.link else { return };
        let count = count.min(link.messages.len());
        let frame: Vec<String> = link
            .messages
            .drain(..count)
            .map(|it| it.to_string())
            .collect();
        if !frame.is_empty() {
            let frame = frame.join("\n");
            self.pair
                .session
                .handle_frame(frame.as_bytes(), self.pair.now, CHANCE);
        }
    }

    fn end(&mut self, code: u32) {
        if self.link.take().is_some() {
            self.pair
                .session
                .handle_closed(code, "", self.pair.now, CHANCE);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Publish {
                channel,
                is_spoiled,
            } => {
                let top = self.tops.get_mut(channel).expect("a stream");
                *top += 1;
                let mut publication = message(*top);
                if is_spoiled && channel == ASKED {
                    publication["data"] = json!("no delta of anything");
                    publication["delta"] = json!(true);
                }
                let link = self.link.as_mut();
                if let Some(link) = link.filter(|link| link.subscribed.contains(&channel)) {
                    let push = json!({"push": {"channel": channel, "pub": publication}});
                    link.messages.push_back(push);
                }
            }
            Step::Serve => self.serve(),
            Step::Refuse => {
                if let Some(link) = &mut self.link {
                    link.refuses_next = true;
                }
            }
            Step::Deliver(count) => self.deliver(count),
            Step::Lose => {
                let link = self.link.as_mut();
                if let Some(link) = link.filter(|link| link.subscribed.contains(&ASKED)) {
                    link.subscribed.retain(|channel| *channel != ASKED);
                    let push = json!({"push": {"channel": ASKED, "unsubscribe": {"code": 2500}}});
                    link.messages.push_back(push);
                }
            }
            Step::Kill(count) => {
                self.deliver(count);
                self.settle();
                self.end(1006);
            }
            Step::Goodbye => self.end(3010),
            Step::Pass(seconds) => self.pair.pass(seconds),
        }
        self.settle();
    }

    /// Nothing bad happens any more, for longer than any wait of the client.
    fn calm_down(&mut self) {
        for _ in 0..20 {
            self.step(Step::Pass(4));
            for _ in 0..8 {
                self.step(Step::Serve);
                self.step(Step::Deliver(usize::MAX));
            }
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (prop::sample::select(vec![ASKED, GIVEN]), prop::bool::weighted(0.1))
            .prop_map(|(channel, is_spoiled)| Step::Publish { channel, is_spoiled }),
        12 => Just(Step::Serve),
        1 => Just(Step::Refuse),
        12 => (1..6_usize).prop_map(Step::Deliver),
        1 => Just(Step::Lose),
        1 => (0..6_usize).prop_map(Step::Kill),
        1 => Just(Step::Goodbye),
        3 => (0..7_u64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn each_publication_is_told_once_and_in_order(steps in steps()) {
        let mut world = World::new();
        // From the beginning of both streams, so that all of them must be told.
        for _ in 0..2 {
            world.step(Step::Serve);
            world.step(Step::Deliver(1));
        }
        for step in steps {
            world.step(step);
        }
        world.calm_down();
        for (channel, top) in &world.tops {
            let heard = world.heard.get(*channel).cloned().unwrap_or_default();
            prop_assert_eq!(heard, (1..=*top).collect::<Vec<_>>(), "{}", channel);
        }
    }
}
