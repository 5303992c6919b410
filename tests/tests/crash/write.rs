//! Those who write while the server dies: publishers that never repeat, and writers that repeat under a key until they are
//! answered.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use klokke_tests::{client::Client, token};
use serde_json::{Value, json};

use crate::CHANNELS;

/// Between attempts to reach a server that is down.
const RETRY_AFTER: Duration = Duration::from_millis(20);
/// Between writes: a load that leaves the other core to the server.
const PACE: Duration = Duration::from_millis(1);
/// Messages in one thread before the next is begun; a thread has a limit of its own.
const THREAD_MESSAGES: u64 = 100;

/// Publishes numbers, each once, and remembers which were acknowledged.
pub(crate) struct Publisher {
    address: SocketAddr,
    number: u64,
}

impl Publisher {
    pub(crate) fn new(address: SocketAddr, number: u64) -> Self {
        Self { address, number }
    }

    /// Says once through `begun` that something was acknowledged.
    pub(crate) fn start(
        self,
        stop: Arc<AtomicBool>,
        begun: mpsc::Sender<()>,
    ) -> JoinHandle<Result<Vec<u64>>> {
        thread::spawn(move || Ok(self.run(&stop, begun)))
    }

    fn run(&self, stop: &AtomicBool, begun: mpsc::Sender<()>) -> Vec<u64> {
        let channel = CHANNELS[usize::try_from(self.number).unwrap_or(0) % CHANNELS.len()];
        let mut acknowledged = Vec::new();
        let mut begun = Some(begun);
        let mut client = None;
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            let Some(open) = &mut client else {
                client = Client::connect(self.address, &token::of("publisher")).ok();
                if client.is_none() {
                    thread::sleep(RETRY_AFTER);
                }
                continue;
            };
            number += 1;
            let data = json!({"publisher": self.number, "number": number});
            match open.must("publish", &json!({"channel": channel, "data": data})) {
                Ok(_) => {
                    acknowledged.push(number);
                    if let Some(begun) = begun.take() {
                        // Whoever gave up waiting says so.
                        let _ = begun.send(());
                    }
                }
                // Whether it was done is not known: it is never repeated, so it may stand there once or not at all.
                Err(_) => client = None,
            }
            thread::sleep(PACE);
        }
        acknowledged
    }
}

/// Sends messages to a pupil, each until it is answered, under one idempotency key.
pub(crate) struct Writer {
    address: SocketAddr,
    number: u64,
    client: Option<Client>,
}

impl Writer {
    pub(crate) fn new(address: SocketAddr, number: u64) -> Self {
        Self {
            address,
            number,
            client: None,
        }
    }

    pub(crate) fn start(mut self, stop: Arc<AtomicBool>) -> JoinHandle<Result<Vec<String>>> {
        thread::spawn(move || self.run(&stop))
    }

    fn run(&mut self, stop: &AtomicBool) -> Result<Vec<String>> {
        let mut sent = Vec::new();
        let mut thread = Value::Null;
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            let text = format!("writer {} message {number}", self.number);
            let mut input = json!({"profile": "G1.p1", "text": text, "idempotency_key": text.replace(' ', "-")});
            if number % THREAD_MESSAGES == 0 {
                input["subject"] = json!(subject(&text));
                input["recipients"] = json!([{"profile": "G1.p2"}]);
                thread = self.until_answered("thread.create", &input)?["thread"]["id"].take();
            } else {
                input["thread"] = thread.clone();
                self.until_answered("message.send", &input)?;
            }
            sent.push(text);
            number += 1;
            thread::sleep(PACE);
        }
        Ok(sent)
    }

    fn until_answered(&mut self, operation: &str, input: &Value) -> Result<Value> {
        const ATTEMPTS_MAX: usize = 3000;
        for _ in 0..ATTEMPTS_MAX {
            match self.attempt(operation, input) {
                Ok(mut reply) if reply.get("error").is_none() => {
                    return Ok(reply["rpc"]["data"].take());
                }
                Ok(reply) if reply["error"]["temporary"] != true => bail!("{operation}: {reply}"),
                Ok(_) | Err(_) => thread::sleep(RETRY_AFTER),
            }
        }
        bail!("{operation} was never answered")
    }

    fn attempt(&mut self, operation: &str, input: &Value) -> Result<Value> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(self.address, &token::of("teacher"))?,
        };
        let reply = client.call("rpc", &json!({"method": operation, "data": input}))?;
        self.client = Some(client);
        Ok(reply)
    }
}

/// A thread's subject says by which message it was begun.
fn subject(first: &str) -> String {
    format!("begun by {first}")
}

/// The threads that hold these messages, in the order they were begun.
pub(crate) fn threads_of(client: &mut Client, texts: &[String]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut request = json!({"profile": "G1.p1", "limit": 100});
    loop {
        let mut page = call(client, "thread.list", &request)?;
        found.extend(page["threads"].as_array().cloned().unwrap_or_default());
        if page["cursor"].is_null() {
            break;
        }
        request["cursor"] = page["cursor"].take();
    }
    let mut threads = Vec::new();
    for text in texts.iter().step_by(usize::try_from(THREAD_MESSAGES)?) {
        let begun: Vec<&Value> = found
            .iter()
            .filter(|thread| thread["subject"] == subject(text))
            .collect();
        ensure!(begun.len() == 1, "{} threads begun by {text}", begun.len());
        threads.push(begun[0]["id"].as_str().context("an id")?.to_owned());
    }
    Ok(threads)
}

/// The texts of a thread, oldest first.
pub(crate) fn texts_of(client: &mut Client, thread: &str) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    let mut request = json!({"profile": "G1.p1", "thread": thread, "limit": 100});
    loop {
        let mut page = call(client, "message.list", &request)?;
        let messages = page["messages"].as_array().cloned().unwrap_or_default();
        texts.extend(
            messages
                .iter()
                .filter_map(|message| Some(message["text"].as_str()?.to_owned())),
        );
        if page["cursor"].is_null() {
            break;
        }
        request["cursor"] = page["cursor"].take();
    }
    texts.reverse();
    Ok(texts)
}

fn call(client: &mut Client, operation: &str, input: &Value) -> Result<Value> {
    Ok(client.must("rpc", &json!({"method": operation, "data": input}))?["data"].take())
}
