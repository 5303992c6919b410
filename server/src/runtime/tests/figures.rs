//! What a node counts of its connections and of the way of a publication.

use super::*;
use crate::telemetry::now_us;

impl Server {
    /// What the series of a metric with these labels stand at together.
    fn counted(&self, metric: &str, labels: &[&str]) -> f64 {
        let text = self.telemetry.exposition();
        let lines = text.lines().filter(|line| {
            let rest = line.strip_prefix(metric);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        let lines = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
        let values = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        values.sum()
    }

    /// Waits until a shard has counted what it has seen.
    async fn until_counted(&self, metric: &str, labels: &[&str], expected: f64) {
        let counted = async {
            while (self.counted(metric, labels) - expected).abs() > 1e-9 {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), counted).await;
        waited.unwrap_or_else(|_| {
            let text = self.telemetry.exposition();
            panic!("{metric}{labels:?} is not {expected}:\n{text}")
        });
    }
}

#[tokio::test]
async fn a_connection_stands_where_its_life_has_brought_it() {
    let server = start();
    let connections = "klokke_connections";
    let opening = ["role=\"anonymous\"", "state=\"opening\""];
    let open = ["role=\"other\"", "state=\"open\""];
    let silent = Client::open(&server).await;
    server.until_counted(connections, &opening, 1.0).await;
    let known = Client::connect(&server, "somebody").await;
    server.until_counted(connections, &open, 1.0).await;
    assert_eq!(server.counted(connections, &[]), 2.0);
    let connects = ["role=\"other\"", "kind=\"new\""];
    assert_eq!(server.counted("klokke_connects_total", &connects), 1.0);
    let durations = "klokke_connect_duration_seconds_count";
    assert_eq!(server.counted(durations, &[]), 1.0);
    let held = server.counted("klokke_shard_memory_bytes", &["part=\"sessions\""]);
    assert!(held > 4_000.0, "two connections in {held} bytes");
    drop((silent, known));
    server.until_counted(connections, &[], 0.0).await;
    let sessions = ["part=\"sessions\""];
    let memory = "klokke_shard_memory_bytes";
    server.until_counted(memory, &sessions, 0.0).await;
    server.node.stop().await;
}

#[tokio::test]
async fn a_publication_is_timed_from_its_arrival_through_its_ledger_to_its_last_reader() {
    let server = start();
    let seconds = |part: &str| format!("klokke_publish_to_write_seconds_{part}");
    for (namespace, channel) in [("live", "live:a"), ("kept", "kept:a")] {
        // The call came before its reader had even connected.
        let (began, arrived_us) = (std::time::Instant::now(), now_us());
        let mut reader = Client::connect(&server, "reader").await;
        reader.ask("subscribe", json!({"channel": channel})).await;
        let publishing = Publishing {
            data: Bytes::from_static(b"{}"),
            arrived_us,
            ..Publishing::default()
        };
        let waited = began.elapsed().as_secs_f64();
        let name = ChannelName::parse(channel).unwrap();
        server.control.publish(&name, publishing).await.unwrap();
        reader.publication().await;
        let label = format!("channel_namespace=\"{namespace}\"");
        let labels = [&*label];
        server.until_counted(&seconds("count"), &labels, 1.0).await;
        let sum = server.counted(&seconds("sum"), &labels);
        let passed = began.elapsed().as_secs_f64();
        assert!(
            (waited - 0.001..passed + 0.001).contains(&sum),
            "{sum} of {waited} to {passed}"
        );
        let deliveries = "klokke_deliveries_total";
        server.until_counted(deliveries, &labels, 1.0).await;
    }
    server.node.stop().await;
}
