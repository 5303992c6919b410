//! A few threads that read from the files, so that a shard's thread never waits for a disk.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::store::{Damaged, Place, StoreError};

/// Reading threads. Most reads hit the block cache; four keep a disk busy when they do not.
const READERS: usize = 4;

type Read = Box<dyn FnOnce() + Send>;

/// See the module. The threads end when the pool is dropped.
pub(super) struct ReaderPool {
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue {
    // Not bounded here: each waiting read is one awaiting caller, and those are bounded at the
    // ledgers' mailboxes and connections.
    reads: Mutex<(VecDeque<Read>, bool)>,
    wake: Condvar,
}

impl ReaderPool {
    pub(super) fn start() -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        for n in 0..READERS {
            let queue = Arc::clone(&queue);
            let name = format!("store-read-{n}");
            std::thread::Builder::new()
                .name(name)
                .spawn(move || queue.serve())?;
        }
        Ok(Self { queue })
    }

    /// Runs a read on one of the threads. A panic of the storage engine over damaged files is an
    /// error like any other damage.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue.push(Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(panicked()));
            // The asker may have gone; then nobody misses the answer.
            let _ = reply.send(result);
        }));
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("the store is closed".into())))
    }
}

fn panicked() -> StoreError {
    let what = "the storage engine failed over what it read".into();
    StoreError::Damaged(Damaged {
        ledger: "*".into(),
        place: Place::Files,
        what,
    })
}

impl Drop for ReaderPool {
    fn drop(&mut self) {
        let mut reads = self
            .queue
            .reads
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        reads.1 = true;
        self.queue.wake.notify_all();
    }
}

impl Queue {
    fn push(&self, read: Read) {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        reads.0.push_back(read);
        self.wake.notify_one();
    }

    fn serve(&self) {
        loop {
            let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
            let read = loop {
                if let Some(read) = reads.0.pop_front() {
                    break read;
                }
                if reads.1 {
                    return;
                }
                reads = self
                    .wake
                    .wait(reads)
                    .unwrap_or_else(PoisonError::into_inner);
            };
            drop(reads);
            read();
        }
    }
}
