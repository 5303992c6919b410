//! A node's figures as nodes tell them each other: protobuf, field numbers frozen.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use crate::http::api::{NodeInfo, NodeMetrics, NodeProcess};

#[derive(Clone, PartialEq, Message)]
struct Row {
    #[prost(string, tag = "1")]
    uid: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    version: String,
    #[prost(uint32, tag = "4")]
    clients: u32,
    #[prost(uint32, tag = "5")]
    users: u32,
    #[prost(uint32, tag = "6")]
    channels: u32,
    #[prost(uint32, tag = "7")]
    subscriptions: u32,
    #[prost(uint64, tag = "8")]
    uptime_seconds: u64,
    #[prost(double, tag = "9")]
    interval_seconds: f64,
    #[prost(btree_map = "string, double", tag = "10")]
    metrics: BTreeMap<String, f64>,
    #[prost(double, tag = "11")]
    cpu: f64,
    #[prost(uint64, tag = "12")]
    resident_bytes: u64,
}

pub(super) fn write(info: NodeInfo) -> Bytes {
    let row = Row {
        uid: info.uid,
        name: info.name,
        version: info.version,
        clients: info.num_clients,
        users: info.num_users,
        channels: info.num_channels,
        subscriptions: info.num_subs,
        uptime_seconds: info.uptime,
        interval_seconds: info.metrics.interval,
        metrics: info.metrics.items,
        cpu: info.process.cpu,
        resident_bytes: info.process.rss,
    };
    row.encode_to_vec().into()
}

pub(super) fn read(bytes: Bytes) -> Option<NodeInfo> {
    let row = Row::decode(bytes).ok()?;
    Some(NodeInfo {
        uid: row.uid,
        name: row.name,
        version: row.version,
        num_clients: row.clients,
        num_users: row.users,
        num_channels: row.channels,
        num_subs: row.subscriptions,
        uptime: row.uptime_seconds,
        metrics: NodeMetrics {
            interval: row.interval_seconds,
            items: row.metrics,
        },
        process: NodeProcess {
            cpu: row.cpu,
            rss: row.resident_bytes,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_as_they_were_told() {
        let info = NodeInfo {
            uid: "7".to_owned(),
            name: "one".to_owned(),
            version: "1.2.3".to_owned(),
            num_clients: 1,
            num_users: 2,
            num_channels: 3,
            num_subs: 4,
            uptime: 5,
            metrics: NodeMetrics {
                interval: 6.5,
                items: [("a".to_owned(), 7.0), ("b".to_owned(), 0.25)].into(),
            },
            process: NodeProcess { cpu: 8.5, rss: 9 },
        };
        assert_eq!(read(write(info.clone())), Some(info));
        assert_eq!(read(Bytes::from_static(b"\xff")), None);
    }
}
