//! What breaks: for a while, one thing after the other, sometimes several at once.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::node::Node;
use super::world::World;
use crate::bus::Incoming;

/// Things that break in a run.
const ROUNDS: u64 = 10;
/// Longest time that something stays broken, in milliseconds.
const LASTS_MS: u64 = 6_000;

/// Breaks things, and leaves all of it mended, except that in some runs a node that dies stays dead.
pub(super) async fn reign(world: &Arc<World>, nodes: &Rc<Vec<Node>>) {
    let mortal = world.pick(2 * nodes.len());
    for _ in 0..ROUNDS {
        world.pause(4_000).await;
        world.fault();
        let nth = world.pick(nodes.len());
        let lasts = Duration::from_millis(world.draw(LASTS_MS));
        match world.draw(5) {
            0 => {
                nodes[nth].kill();
                tokio::time::sleep(lasts).await;
                if nth != mortal {
                    nodes[nth].start();
                }
            }
            1 => world.change(nth, |it| it.frozen_until = Instant::now() + lasts),
            2 => cut_store(world, nth, lasts),
            3 => cut_bus(world, nodes, nth, lasts),
            _ => {
                cut_store(world, nth, lasts);
                cut_bus(world, nodes, nth, lasts);
            }
        }
    }
}

fn cut_store(world: &Arc<World>, nth: usize, lasts: Duration) {
    world.change(nth, |it| it.store_cut = true);
    let world = Arc::clone(world);
    tokio::task::spawn_local(async move {
        tokio::time::sleep(lasts).await;
        world.change(nth, |it| it.store_cut = false);
    });
}

fn cut_bus(world: &Arc<World>, nodes: &Rc<Vec<Node>>, nth: usize, lasts: Duration) {
    world.change(nth, |it| it.bus_cut = true);
    // Sometimes nobody is told.
    let is_told = world.draw(2) == 0;
    if is_told {
        nodes[nth].say(Incoming::Down);
    }
    let (world, nodes) = (Arc::clone(world), Rc::clone(nodes));
    tokio::task::spawn_local(async move {
        tokio::time::sleep(lasts).await;
        world.change(nth, |it| it.bus_cut = false);
        if is_told {
            nodes[nth].say(Incoming::Up);
        }
    });
}
