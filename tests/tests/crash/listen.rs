//! A pupil on the Rust SDK who listens through all kills and must hear everything once and in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use klokke_client::{Client, Config, Event};
use klokke_tests::token;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::CHANNELS;

/// The pupil's personal channel, which the server subscribes them to.
const OWN_CHANNEL: &str = "person:G1/p2";

/// What was heard so far.
#[derive(Default)]
struct Heard {
    entries: BTreeMap<String, Vec<Value>>,
    connects: usize,
    stands: BTreeMap<String, Stand>,
    /// What must never happen: an entry left out or doubled, a gap that could not be filled, a subscription lost, an end.
    failures: Vec<String>,
}

/// How a channel's subscription stands. With a gap it tells whether recovery or the live stream left something out.
#[derive(Clone, Copy, Debug, Default)]
struct Stand {
    /// How often it was made.
    times: usize,
    /// Whether the last time filled what was missed.
    recovered: bool,
    /// Entries heard since then, recovered ones first.
    heard: usize,
}

/// The listening client. It ends with its runtime.
pub(crate) struct Listener {
    heard: Arc<Mutex<Heard>>,
    _runtime: Runtime,
}

impl Listener {
    pub(crate) fn start(address: SocketAddr) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let heard = Arc::new(Mutex::new(Heard::default()));
        let into = Arc::clone(&heard);
        let mut config = Config::new(format!("ws://{address}/connection/websocket"));
        config.token = token::of("pupil");
        config.reconnect_wait = (Duration::from_millis(20), Duration::from_millis(200));
        let (ready, wait) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            let (client, mut events) = Client::start(config);
            for channel in CHANNELS {
                if let Err(error) = client.subscribe(channel).await {
                    keep(&into, |heard| {
                        heard.failures.push(format!("subscribe: {error}"));
                    });
                }
            }
            let mut ready = Some(ready);
            while let Some(event) = events.recv().await {
                let is_listening = keep(&into, |heard| {
                    heard.take(event);
                    heard.is_listening()
                });
                if is_listening == Some(true)
                    && let Some(ready) = ready.take()
                {
                    // Whoever gave up waiting says so.
                    let _ = ready.send(());
                }
            }
        });
        wait.recv_timeout(klokke_tests::raw::PATIENCE)
            .context("the listener did not subscribe")?;
        Ok(Self {
            heard,
            _runtime: runtime,
        })
    }

    /// How often it came back.
    pub(crate) fn reconnects(&self) -> usize {
        keep(&self.heard, |heard| heard.connects.saturating_sub(1)).unwrap_or(0)
    }

    /// Waits until it has heard all that is kept, and compares; returns how many entries that was.
    pub(crate) fn check(
        &self,
        kept: &BTreeMap<&'static str, Vec<Value>>,
        sent: &[Vec<String>],
        patience: Duration,
    ) -> Result<usize> {
        let deadline = Instant::now() + patience;
        let messages: usize = sent.iter().map(Vec::len).sum();
        loop {
            let counts = |heard: &mut Heard| {
                let count = |channel: &str| heard.entries.get(channel).map_or(0, Vec::len);
                let all = kept
                    .iter()
                    .all(|(channel, entries)| count(channel) >= entries.len());
                all && count(OWN_CHANNEL) >= messages
            };
            let has_failed = keep(&self.heard, |heard| !heard.failures.is_empty());
            if has_failed != Some(false) || keep(&self.heard, counts) != Some(false) {
                break;
            }
            if Instant::now() > deadline {
                let lengths = keep(&self.heard, |heard| {
                    let length = |(channel, entries): (&String, &Vec<Value>)| {
                        (channel.clone(), entries.len())
                    };
                    (
                        heard.entries.iter().map(length).collect::<Vec<_>>(),
                        heard.failures.clone(),
                    )
                });
                let offsets: Vec<_> = kept
                    .iter()
                    .map(|(channel, entries)| (*channel, entries.len() as u64))
                    .collect();
                let kept: Vec<_> = kept
                    .iter()
                    .map(|(channel, entries)| (channel, entries.len()))
                    .collect();
                // Whether it is the last one or one in the middle tells who lost it.
                let missing = keep(&self.heard, |heard| heard.missing(&offsets));
                bail!("heard {lengths:?} of {kept:?} and {messages} messages; missing {missing:?}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        keep(&self.heard, |heard| heard.compare(kept, sent)).context("the listener panicked")?
    }
}

impl Heard {
    fn take(&mut self, event: Event) {
        match event {
            Event::Connected { .. } => self.connects += 1,
            Event::Publication {
                channel,
                publication,
            } => {
                let mut entry =
                    serde_json::from_slice::<Value>(&publication.data).unwrap_or_default();
                entry["offset"] = publication.offset.into();
                let stand = self.stands.entry(channel.clone()).or_default();
                stand.heard += 1;
                let entries = self.entries.entry(channel.clone()).or_default();
                let last = entries.last().and_then(|it| it["offset"].as_u64());
                let (last, offset) = (last.unwrap_or(0), publication.offset);
                if offset != last + 1 {
                    self.failures
                        .push(format!("{channel}: {offset} came after {last}, {stand:?}"));
                }
                entries.push(entry);
            }
            Event::Subscribed {
                channel,
                recovered,
                was_recovering,
            } => {
                let stand = self.stands.entry(channel.clone()).or_default();
                stand.times += 1;
                stand.recovered = recovered;
                stand.heard = 0;
                // A client that forgot where it was asks for nothing, and that is a gap too.
                if !recovered && (was_recovering || stand.times > 1) {
                    self.failures
                        .push(format!("{channel} was not recovered, {stand:?}"));
                }
            }
            Event::Unsubscribed { channel, code, .. } => {
                self.failures.push(format!("{channel} ended with {code}"));
            }
            Event::Disconnected { code, .. } => {
                self.failures.push(format!("it gave up with {code}"));
            }
            _ => {}
        }
    }

    /// Whether everything that is said from now on must be heard. The server's own subscriptions are more than the one
    /// counted on here, and come before those this client asks for, so counting them would not do.
    fn is_listening(&self) -> bool {
        let mut channels = CHANNELS.iter().chain([&OWN_CHANNEL]);
        channels.all(|channel| self.stands.contains_key(*channel))
    }

    /// Offsets up to the top of each channel that were not heard; the first few.
    fn missing<'a>(&self, tops: &[(&'a str, u64)]) -> Vec<(&'a str, Vec<u64>)> {
        let of = |(channel, top): &(&'a str, u64)| {
            let heard = self.entries.get(*channel).into_iter().flatten();
            let heard: BTreeSet<u64> = heard.filter_map(|it| it["offset"].as_u64()).collect();
            let missing = (1..=*top).filter(|offset| !heard.contains(offset));
            (*channel, missing.take(5).collect())
        };
        tops.iter().map(of).collect()
    }

    fn compare(
        &self,
        kept: &BTreeMap<&'static str, Vec<Value>>,
        sent: &[Vec<String>],
    ) -> Result<usize> {
        ensure!(self.failures.is_empty(), "{:?}", self.failures);
        for (channel, entries) in kept {
            let heard = self.entries.get(*channel).context("nothing was heard")?;
            let numbers = |value: &Value| (value["publisher"].as_u64(), value["number"].as_u64());
            let same = heard
                .iter()
                .map(numbers)
                .eq(entries.iter().map(|entry| numbers(&entry["data"])));
            ensure!(
                same,
                "{channel}: heard {} of {}, or in another order",
                heard.len(),
                entries.len()
            );
        }
        let own = self
            .entries
            .get(OWN_CHANNEL)
            .context("no message was heard")?;
        let in_order = own.windows(2).all(|pair| {
            let offset = |value: &Value| value["offset"].as_u64();
            offset(&pair[0]).map(|offset| offset + 1) == offset(&pair[1])
        });
        ensure!(in_order, "a gap or a double in the personal channel");
        for (writer, texts) in sent.iter().enumerate() {
            let of_writer = format!("writer {writer} ");
            let heard = own
                .iter()
                .filter_map(|entry| entry["message"]["text"].as_str());
            ensure!(
                heard
                    .filter(|text| text.starts_with(&of_writer))
                    .eq(texts.iter()),
                "the messages of writer {writer} did not come once and in order"
            );
        }
        Ok(self.entries.values().map(Vec::len).sum())
    }
}

fn keep<T>(heard: &Mutex<Heard>, action: impl FnOnce(&mut Heard) -> T) -> Option<T> {
    heard.lock().ok().map(|mut heard| action(&mut heard))
}

#[cfg(test)]
mod tests {
    use klokke_protocol::Publication;

    use super::*;

    fn subscribed(channel: &str, recovered: bool) -> Event {
        Event::Subscribed {
            channel: channel.to_owned(),
            recovered,
            was_recovering: recovered,
        }
    }

    fn published(channel: &str, offset: u64) -> Event {
        Event::Publication {
            channel: channel.to_owned(),
            publication: Publication {
                offset,
                ..Publication::default()
            },
        }
    }

    /// Publishers once began when the units' channels stood, and what they said first was heard or not as it happened.
    #[test]
    fn a_listener_is_ready_when_the_channels_it_asked_for_stand() {
        let mut heard = Heard::default();
        for channel in [OWN_CHANNEL, "unit:G1", "unit:M1", CHANNELS[0]] {
            heard.take(subscribed(channel, false));
            assert!(!heard.is_listening(), "{channel} is not all");
        }
        heard.take(subscribed(CHANNELS[1], false));
        assert!(heard.is_listening());
    }

    #[test]
    fn what_is_left_out_or_doubled_or_not_asked_for_is_noted_at_once() {
        let cases: [(&[(u64, bool)], usize); 6] = [
            (&[(1, false), (2, false), (3, true), (4, false)], 0),
            (&[(2, false)], 1),
            (&[(1, false), (3, false)], 1),
            (&[(1, false), (3, true), (4, false)], 1),
            (&[(1, false), (1, false)], 1),
            (&[(1, false), (2, true), (2, true)], 1),
        ];
        for (offsets, failures) in cases {
            let mut heard = Heard::default();
            heard.take(subscribed(CHANNELS[0], false));
            for (offset, is_after_return) in offsets {
                if *is_after_return {
                    heard.take(subscribed(CHANNELS[0], true));
                }
                heard.take(published(CHANNELS[0], *offset));
            }
            assert_eq!(heard.failures.len(), failures, "{offsets:?}");
        }
        let mut heard = Heard::default();
        heard.take(subscribed(CHANNELS[0], false));
        heard.take(subscribed(CHANNELS[0], false));
        assert_eq!(heard.failures.len(), 1, "it came back without a position");
    }
}
