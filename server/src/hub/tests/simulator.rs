//! Many clients that come, go, lose what is on the way and recover by offset, from one seed.
//!
//! What must hold whatever happens: a client sees each publication meant for it exactly once, in order; and
//! never one that is not.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const CLIENTS: u32 = 40;
const ROUNDS: usize = 1500;
const CHANNEL: &str = "unit:G1";

/// A client as an SDK is: knows its position, and comes back with it.
struct Client {
    generation: u32,
    is_connected: bool,
    lens: Lens,
    /// Offset of the last publication it knows of.
    position: u64,
    /// What it has shown, by number.
    shown: Vec<u64>,
}

struct World {
    hub: Hub,
    clients: Vec<Client>,
    /// The store's stream: everything published.
    stream: Vec<Arc<Publication>>,
    /// Connections whose next write fails.
    broken: Vec<u32>,
}

struct Net<'a> {
    clients: &'a mut [Client],
    broken: &'a [u32],
    dropped: Vec<u32>,
}

impl Sink for Net<'_> {
    fn write(&mut self, conn: ConnKey, frame: &Bytes, _: u32) -> Written {
        let client = &mut self.clients[conn.index as usize];
        assert!(
            client.is_connected && client.generation == conn.generation,
            "a write to nobody"
        );
        if self.broken.contains(&conn.index) {
            self.dropped.push(conn.index);
            return Written::Refused;
        }
        for push in read(Wire::WebSocketJson, frame) {
            client.take(&push.publication.expect("a publication"));
        }
        Written::Accepted
    }

    fn position_lost(&mut self, conn: ConnKey, _: &ChannelName) {
        self.dropped.push(conn.index);
    }

    fn inappropriate(&mut self, _: ConnKey) {
        panic!("every payload here is JSON");
    }

    fn delivered(&mut self, _: &ChannelName, _: Wire, _: &Told, _: u32) {}

    fn filtered(&mut self, _: &ChannelName, _: u64) {}

    fn finished(&mut self, _: &ChannelName, _: impl Iterator<Item = Finished>) {}
}

impl Client {
    fn take(&mut self, publication: &klokke_protocol::Publication) {
        assert!(publication.offset > self.position, "twice or out of order");
        self.position = publication.offset;
        let text = std::str::from_utf8(&publication.data).expect("text");
        let digits = text.trim_matches(|c: char| !c.is_ascii_digit());
        self.shown.push(digits.parse().expect("a number"));
    }
}

impl World {
    fn publish(&mut self, rng: &mut StdRng, reaches_us: bool) {
        let offset = self.stream.len() as u64 + 1;
        let mut it = publication(CHANNEL, offset, offset);
        it.content.audience = Audience(rng.random_range(1..4));
        let it = Arc::new(it);
        self.stream.push(Arc::clone(&it));
        if reaches_us {
            self.hub.publish(&it, 0);
        }
    }

    fn disconnect(&mut self, index: u32) {
        let client = &mut self.clients[index as usize];
        client.is_connected = false;
        let key = ConnKey {
            index,
            generation: client.generation,
        };
        self.hub.remove(key);
        self.broken.retain(|it| *it != index);
    }

    /// Subscribes, lets time pass, and recovers from the position the client has.
    fn connect(&mut self, index: u32, rng: &mut StdRng) {
        let client = &mut self.clients[index as usize];
        client.generation += 1;
        client.is_connected = true;
        let key = ConnKey {
            index,
            generation: client.generation,
        };
        let options = SubOptions {
            lens: client.lens,
            ..positioned(Wire::WebSocketJson)
        };
        self.hub
            .subscribe(key, &channel(CHANNEL), options, 0)
            .expect("not subscribed before");
        let since = usize::try_from(self.clients[index as usize].position).expect("small");
        let read = Backlog {
            publications: self.stream[since..].to_vec(),
            ..backlog(self.stream.len() as u64)
        };
        for _ in 0..rng.random_range(0..4) {
            self.publish(rng, true);
            self.fan_out(rng);
        }
        let client = &mut self.clients[index as usize];
        if !client.is_connected {
            return;
        }
        let Ok(activation) = self.hub.activate(key, &channel(CHANNEL), read, 0) else {
            return self.disconnect(index);
        };
        assert!(
            activation.unbroken_from <= client.position + 1,
            "all it missed"
        );
        for publication in &activation.publications {
            client.take(publication);
        }
        client.position = activation.top;
    }

    fn fan_out(&mut self, rng: &mut StdRng) {
        let mut net = Net {
            clients: &mut self.clients,
            broken: &self.broken,
            dropped: Vec::new(),
        };
        self.hub.fan_out(0, rng.random_range(1..20), &mut net);
        for index in net.dropped {
            self.disconnect(index);
        }
    }
}

fn simulate(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let clients = (0..CLIENTS).map(|index| Client {
        generation: 0,
        is_connected: false,
        lens: Lens {
            audience: Audience(u16::try_from(1 + index % 2).expect("1 or 2")),
            full_until_ms: 0,
        },
        position: 0,
        shown: Vec::new(),
    });
    let mut world = World {
        hub: Hub::new(),
        clients: clients.collect(),
        stream: Vec::new(),
        broken: Vec::new(),
    };
    for _ in 0..ROUNDS {
        let index = rng.random_range(0..CLIENTS);
        let is_connected = world.clients[index as usize].is_connected;
        match rng.random_range(0..20) {
            0..6 => {
                let reaches_us = rng.random_bool(0.97);
                world.publish(&mut rng, reaches_us);
            }
            6..9 if !is_connected => world.connect(index, &mut rng),
            9 if is_connected => world.disconnect(index),
            10 if is_connected => world.broken.push(index),
            _ => world.fan_out(&mut rng),
        }
    }
    // Everybody comes back once more, and the last losses are found by the position check.
    for index in 0..CLIENTS {
        if world.clients[index as usize].is_connected {
            world.disconnect(index);
        }
        world.connect(index, &mut rng);
    }
    while world.hub.has_work() {
        world.fan_out(&mut rng);
    }
    for index in 0..CLIENTS {
        let client = &world.clients[index as usize];
        assert!(client.is_connected, "seed {seed}");
        let meant = world
            .stream
            .iter()
            .filter(|it| it.content.audience.meets(client.lens.audience));
        let expected: Vec<_> = meant.map(|it| it.offset).collect();
        assert_eq!(client.shown, expected, "seed {seed}, client {index}");
    }
}

#[test]
fn nothing_lost_nothing_twice_nothing_leaked() {
    for seed in 0..20 {
        simulate(seed);
    }
}
