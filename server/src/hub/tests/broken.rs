//! Each way to break does to deliveries what it says, and nothing else.

use super::*;
use crate::broken::{Way, choose};

/// Publications of one run: enough that each way strikes several times.
const SAID: u64 = 100;
/// Subscribers of the channel.
const HERE: [u32; 3] = [1, 2, 3];
/// A connection that is not in the channel.
const STRANGER: u32 = 9;

/// A sink that knows a stranger.
#[derive(Default)]
struct Shard(Kept);

impl Sink for Shard {
    fn write(&mut self, conn: ConnKey, frame: &Bytes, messages: u32) -> Written {
        self.0.write(conn, frame, messages)
    }

    fn position_lost(&mut self, conn: ConnKey, channel: &ChannelName) {
        self.0.position_lost(conn, channel);
    }

    fn inappropriate(&mut self, conn: ConnKey) {
        self.0.inappropriate(conn);
    }

    fn delivered(&mut self, channel: &ChannelName, wire: Wire, told: &Told, subscribers: u32) {
        self.0.delivered(channel, wire, told, subscribers);
    }

    fn filtered(&mut self, channel: &ChannelName, publications: u64) {
        self.0.filtered(channel, publications);
    }

    fn stranger(&self, _: ConnKey, _: &ChannelName) -> Option<ConnKey> {
        Some(conn(STRANGER))
    }

    fn finished(&mut self, channel: &ChannelName, items: impl Iterator<Item = Finished>) {
        self.0.finished(channel, items);
    }
}

/// The offsets that each of these and the stranger got while broken this way, and how many were told in full.
fn run(way: Option<Way>) -> (Vec<Vec<u64>>, usize) {
    if let Some(way) = way {
        choose(way);
    }
    let mut hub = Hub::new();
    let name = channel("person:G1/p1");
    let below = Lens {
        full_until_ms: 0,
        ..Lens::OPEN
    };
    for index in HERE {
        let options = SubOptions {
            lens: below,
            ..SubOptions::live(Wire::WebSocketJson)
        };
        hub.subscribe(conn(index), &name, options, 0)
            .expect("subscribed");
    }
    let mut sink = Shard::default();
    for offset in 1..=SAID {
        let mut said = publication(name.as_str(), offset, offset);
        said.content.bare = Some(Bytes::from_static(b"{\"bare\":true}"));
        hub.publish(&Arc::new(said), 0);
        drain(&mut hub, &mut sink);
    }
    assert!(sink.0.lost.is_empty(), "the server itself sees no gap");
    let mut full = 0;
    let mut got = Vec::new();
    for index in HERE.into_iter().chain([STRANGER]) {
        let pushes = sink.0.pushes(conn(index), Wire::WebSocketJson);
        let publications = pushes.into_iter().filter_map(|push| push.publication);
        let mut offsets = Vec::new();
        for publication in publications {
            full += usize::from(*publication.data != *b"{\"bare\":true}");
            offsets.push(publication.offset);
        }
        got.push(offsets);
    }
    (got, full)
}

fn whole() -> Vec<u64> {
    (1..=SAID).collect()
}

/// How many offsets stand beside the next lower one's place.
fn steps_back(offsets: &[u64]) -> usize {
    offsets.windows(2).filter(|pair| pair[1] < pair[0]).count()
}

#[test]
fn without_a_way_everything_is_delivered_once_in_order() {
    let (got, full) = run(None);
    assert_eq!(got, [whole(), whole(), whole(), Vec::new()]);
    assert_eq!(full, 0);
}

#[test]
fn drops() {
    let (got, _) = run(Some(Way::Drop));
    let missing: usize = got[..3].iter().map(|it| whole().len() - it.len()).sum();
    assert_eq!(missing, 9, "every 31st of 300");
    for offsets in &got[..3] {
        assert!(offsets.is_sorted_by(|a, b| a < b), "what comes is in order");
    }
    assert!(got[3].is_empty());
}

#[test]
fn doubles() {
    let (got, _) = run(Some(Way::Double));
    let more: usize = got[..3].iter().map(|it| it.len() - whole().len()).sum();
    assert_eq!(more, 9);
    for mut offsets in got.into_iter().take(3) {
        assert_eq!(steps_back(&offsets), 0);
        offsets.dedup();
        assert_eq!(offsets, whole());
    }
}

#[test]
fn reorders() {
    let (got, _) = run(Some(Way::Reorder));
    let swapped: usize = got[..3].iter().map(|it| steps_back(it)).sum();
    assert!(swapped >= 8, "{swapped} of every 31st of 300");
    for mut offsets in got.into_iter().take(3) {
        offsets.sort_unstable();
        // The very last may still wait to be passed.
        assert!(whole().starts_with(&offsets) && offsets.len() >= 99);
    }
}

#[test]
fn leaks() {
    let (got, full) = run(Some(Way::Leak));
    assert_eq!(got[..3], [whole(), whole(), whole()]);
    assert_eq!(got[3].len(), 9);
    assert_eq!(full, 0);
}

#[test]
fn bares() {
    let (got, full) = run(Some(Way::Bare));
    assert_eq!(got, [whole(), whole(), whole(), Vec::new()]);
    assert_eq!(full, 150, "every other of 300");
}
