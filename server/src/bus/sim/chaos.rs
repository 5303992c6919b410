//! What breaks: for a while, one thing after the other, sometimes several at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::node::Node;
use super::world::World;
use crate::bus::Incoming;

/// Things that break in a run.
const ROUNDS: u64 = 10;

/// Breaks things, and leaves all of it mended.
pub(super) async fn reign(world: &Arc<World>, nodes: &Arc<Vec<Node>>) {
    for _ in 0..ROUNDS {
        world.pause(2_500).await;
        world.fault();
        let nth = usize::try_from(world.draw(nodes.len() as u64)).unwrap_or(0);
        let lasts = Duration::from_millis(world.draw(4_000));
        let (shared, all) = (Arc::clone(world), Arc::clone(nodes));
        match world.draw(4) {
            0 => {
                nodes[nth].kill();
                tokio::time::sleep(lasts).await;
                nodes[nth].start();
            }
            1 => world.change(nth, |it| it.frozen_until = Instant::now() + lasts),
            2 => {
                world.change(nth, |it| it.store_cut = true);
                tokio::task::spawn_local(async move {
                    tokio::time::sleep(lasts).await;
                    shared.change(nth, |it| it.store_cut = false);
                });
            }
            _ => {
                world.change(nth, |it| it.bus_cut = true);
                // Sometimes nobody is told.
                let is_told = world.draw(2) == 0;
                if is_told {
                    nodes[nth].say(Incoming::Down);
                }
                tokio::task::spawn_local(async move {
                    tokio::time::sleep(lasts).await;
                    shared.change(nth, |it| it.bus_cut = false);
                    if is_told {
                        all[nth].say(Incoming::Up);
                    }
                });
            }
        }
    }
}
