//! What was written, turned into what is meant: typed, checked, secrets redacted. A leaf: names no
//! other room, so that every room may take its own section.
//!
//! One table says everything ([`sections`]): key, type, default and help. Files, environment, help,
//! `klokke config print` and `klokke config example` all follow it.
//!
//! Where a value comes from, the later winning: default, file (TOML), environment
//! (`KLOKKE_CLIENT_PING_INTERVAL=10s` for `client.ping_interval`), `--set client.ping_interval=10s`.
//! Nothing is ignored: an unknown key or variable is an error that names the nearest known one and
//! the line. All mistakes are reported at once.
//!
//! ```
//! use klokke::config::Config;
//!
//! let config = Config::parse("[client]\nping_interval = \"10s\"\n").expect("a good file");
//! assert_eq!(config.client.ping_interval.as_secs(), 10);
//!
//! let mistakes = Config::parse("[client]\nping_intervall = \"10s\"\n").expect_err("a typo");
//! assert!(mistakes.to_string().contains("did you mean `ping_interval`"));
//! ```

mod check;
mod error;
mod example;
mod nearest;
mod section;
pub mod sections;
mod setting;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub(crate) use check::translated;
pub use error::{Mistake, Mistakes, Place};
pub use example::{example, print};
pub use section::{Field, Section};
pub use sections::{
    Admission, Api, Backend, Channel, Client, Cluster, DataFormat, Drain, ErrorMode, Import,
    Listen, Log, LogFormat, Metrics, Namespace, Node, PersonalChannel, RecoveryMode, Retention,
    Store, StoreScylla, SubscriptionToken, Token, Transport, Web,
};
pub use setting::{Network, Period, Secret, Setting};
pub use source::{ENV_PREFIX, Sources};

/// The whole configuration, checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// `[node]`
    pub node: Node,
    /// `[listen]`
    pub listen: Listen,
    /// `[transport]`
    pub transport: Transport,
    /// `[admission]`
    pub admission: Admission,
    /// `[client]`
    pub client: Client,
    /// `[client.subscribe_to_user_personal_channel]`
    pub personal_channel: PersonalChannel,
    /// `[client.token]`
    pub token: Token,
    /// `[client.subscription_token]`
    pub subscription_token: SubscriptionToken,
    /// `[channel]`
    pub channel: Channel,
    /// `[channel.without_namespace]`
    pub without_namespace: Namespace,
    /// `[namespace.NAME]`
    pub namespaces: BTreeMap<String, Namespace>,
    /// `[retention]`
    pub retention: Retention,
    /// `[api]`
    pub api: Api,
    /// `[import]`
    pub import: Import,
    /// `[store]`
    pub store: Store,
    /// `[store.scylla]`
    pub store_scylla: StoreScylla,
    /// The other nodes.
    pub cluster: Cluster,
    /// `[drain]`
    pub drain: Drain,
    /// `[log]`
    pub log: Log,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[web]`
    pub web: Web,
}

/// Path under which namespaces stand.
const NAMESPACE: &str = "namespace";

impl Config {
    /// A configuration from the text of a file alone.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        Sources {
            file: Some(("configuration".to_owned(), text.to_owned())),
            ..Sources::default()
        }
        .read()
    }

    /// The sections with a fixed name, in the order they are written.
    fn sections(&self) -> [(&'static str, &dyn Section); 20] {
        [
            ("node", &self.node),
            ("listen", &self.listen),
            ("transport", &self.transport),
            ("admission", &self.admission),
            ("client", &self.client),
            (
                "client.subscribe_to_user_personal_channel",
                &self.personal_channel,
            ),
            ("client.token", &self.token),
            ("client.subscription_token", &self.subscription_token),
            ("channel", &self.channel),
            ("channel.without_namespace", &self.without_namespace),
            ("retention", &self.retention),
            ("api", &self.api),
            ("import", &self.import),
            ("store", &self.store),
            ("store.scylla", &self.store_scylla),
            ("cluster", &self.cluster),
            ("drain", &self.drain),
            ("log", &self.log),
            ("metrics", &self.metrics),
            ("web", &self.web),
        ]
    }

    /// The section of that path, to be written to; a namespace is made when it is named first.
    fn section_mut(&mut self, path: &str) -> Option<&mut dyn Section> {
        Some(match path {
            "node" => &mut self.node,
            "listen" => &mut self.listen,
            "transport" => &mut self.transport,
            "admission" => &mut self.admission,
            "client" => &mut self.client,
            "client.subscribe_to_user_personal_channel" => &mut self.personal_channel,
            "client.token" => &mut self.token,
            "client.subscription_token" => &mut self.subscription_token,
            "channel" => &mut self.channel,
            "channel.without_namespace" => &mut self.without_namespace,
            "retention" => &mut self.retention,
            "api" => &mut self.api,
            "import" => &mut self.import,
            "store" => &mut self.store,
            "store.scylla" => &mut self.store_scylla,
            "cluster" => &mut self.cluster,
            "drain" => &mut self.drain,
            "log" => &mut self.log,
            "metrics" => &mut self.metrics,
            "web" => &mut self.web,
            _ => {
                let name = path.strip_prefix(NAMESPACE)?.strip_prefix('.')?;
                self.namespaces.entry(name.to_owned()).or_default()
            }
        })
    }
}
