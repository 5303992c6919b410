//! Asks each server for its own figures once a second, in a thread of its own: a slow answer must not slow the run.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::outcome::ServerPoint;

/// Between two askings.
const EVERY: Duration = Duration::from_secs(1);
/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(3);

/// What the server told and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Which server, from 0.
    pub(super) server: usize,
    pub(super) at: Instant,
    pub(super) point: ServerPoint,
}

/// Begins asking; ends when the receiver is dropped. Nothing for no address.
pub(super) fn start(urls: Vec<String>) -> Option<Receiver<Sample>> {
    let (tell, samples) = channel();
    let has_some = !urls.is_empty();
    for (server, url) in urls.into_iter().enumerate() {
        let tell = tell.clone();
        std::thread::spawn(move || ask(server, &url, &tell));
    }
    has_some.then_some(samples)
}

fn ask(server: usize, url: &str, tell: &Sender<Sample>) {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(WITHIN))
        .build();
    let agent: ureq::Agent = config.into();
    let mut before: Option<(Instant, f64)> = None;
    loop {
        let at = Instant::now();
        let text = agent
            .get(url)
            .call()
            .ok()
            .and_then(|mut it| it.body_mut().read_to_string().ok());
        if let Some(text) = text {
            let cpu = sum(&text, "process_cpu_seconds_total");
            let point = ServerPoint {
                cores: before.map_or(0.0, |(then, used)| {
                    // A server that was started again counts from nothing.
                    ((cpu - used) / (at - then).as_secs_f64()).max(0.0)
                }),
                resident_bytes: whole(sum(&text, "process_resident_memory_bytes")),
                connections: whole(sum(&text, "centrifugo_node_num_clients")),
            };
            let is_first = before.replace((at, cpu)).is_none();
            let sample = Sample { server, at, point };
            if !is_first && tell.send(sample).is_err() {
                return;
            }
        } else {
            before = None;
        }
        std::thread::sleep(EVERY.saturating_sub(at.elapsed()));
    }
}

/// The sum of a metric's series in the text format of Prometheus.
fn sum(text: &str, name: &str) -> f64 {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let values = lines.filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = match rest.strip_prefix('{') {
            Some(labels) => labels.rsplit_once('}')?.1,
            None => rest.strip_prefix(' ')?,
        };
        value.split_whitespace().next()?.parse::<f64>().ok()
    });
    values.sum()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and bytes, far below 2^53"
)]
fn whole(value: f64) -> u64 {
    value.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn series_are_summed_and_longer_names_are_others() {
        let text = "# HELP a b\na 1.5\na{x=\"}\"} 2\na_total 7\n";
        assert!((sum(text, "a") - 3.5).abs() < f64::EPSILON);
        assert!(sum(text, "b").abs() < f64::EPSILON);
    }
}
