//! Namespaces of generic channels: their options, and which one a channel belongs to.

use std::collections::HashMap;
use std::sync::Arc;

use klokke_protocol::ChannelName;
use regex::Regex;

use crate::telemetry::OTHER;

/// Namespaces that belong to the domain: their channels are opened by the server alone.
pub const RESERVED: [&str; 3] = ["person", "group", "unit"];

/// All namespaces of a server.
#[derive(Debug, Clone, Default)]
pub struct Namespaces {
    rules: ChannelRules,
    without: Option<Arc<ChannelOptions>>,
    named: HashMap<Box<str>, (NamespaceId, Arc<ChannelOptions>)>,
}

/// A namespace as a small number, for what is counted by namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NamespaceId(u16);

impl NamespaceId {
    /// Of no channel, or of channels without a namespace.
    pub const NONE: Self = Self(0);
    /// Of channels in no namespace there is.
    pub const UNKNOWN: Self = Self(1);
    const RESERVED_FIRST: usize = 2;
    const NAMED_FIRST: usize = Self::RESERVED_FIRST + RESERVED.len();

    fn new(place: usize) -> Self {
        // Configuration names some dozens.
        Self(u16::try_from(place).unwrap_or(Self::UNKNOWN.0))
    }

    /// Its place in [`Namespaces::labels`].
    #[must_use]
    pub fn place(self) -> usize {
        usize::from(self.0)
    }
}

/// How channel names are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRules {
    /// Begins a channel that only a subscription token opens; empty for none.
    pub private_prefix: Box<str>,
    /// Ends the namespace.
    pub namespace_boundary: Box<str>,
    /// Begins the list of users; empty for none.
    pub user_boundary: Box<str>,
    /// Separates the users.
    pub user_separator: Box<str>,
    /// Longest name, in bytes.
    pub max_length: usize,
}

impl Default for ChannelRules {
    fn default() -> Self {
        Self {
            private_prefix: "$".into(),
            namespace_boundary: ":".into(),
            user_boundary: "#".into(),
            user_separator: ",".into(),
            max_length: klokke_protocol::limits::CHANNEL_BYTES_MAX,
        }
    }
}

/// Options of the channels of one namespace (`docs/protocol.md`, section 9).
#[derive(Debug, Clone, Default)]
pub struct ChannelOptions {
    /// Publications kept; 0 keeps none.
    pub history_size: u32,
    /// How long they are kept; 0 keeps none.
    pub history_ttl_ms: u64,
    /// Every subscription is positioned.
    pub force_positioning: bool,
    /// Subscriptions may ask to be positioned.
    pub allow_positioning: bool,
    /// Every subscription is recoverable.
    pub force_recovery: bool,
    /// Subscriptions may ask to be recoverable.
    pub allow_recovery: bool,
    /// What recovery gives.
    pub recovery_mode: RecoveryMode,
    /// In cache mode, the newest publication is given without asking.
    pub auto_cache_recover: bool,
    /// Who is in a channel can be asked.
    pub presence: bool,
    /// Coming and going is announced.
    pub join_leave: bool,
    /// ... also to subscriptions that did not ask.
    pub force_push_join_leave: bool,
    /// Named users may subscribe.
    pub allow_subscribe_for_client: bool,
    /// ... and anonymous ones.
    pub allow_subscribe_for_anonymous: bool,
    /// Subscribers may publish.
    pub allow_publish_for_subscriber: bool,
    /// Named users may publish.
    pub allow_publish_for_client: bool,
    /// ... and anonymous ones.
    pub allow_publish_for_anonymous: bool,
    /// Subscribers may ask for presence.
    pub allow_presence_for_subscriber: bool,
    /// Named users may ask for presence.
    pub allow_presence_for_client: bool,
    /// ... and anonymous ones.
    pub allow_presence_for_anonymous: bool,
    /// Subscribers may read history.
    pub allow_history_for_subscriber: bool,
    /// Named users may read history.
    pub allow_history_for_client: bool,
    /// ... and anonymous ones.
    pub allow_history_for_anonymous: bool,
    /// Channels that list their users are open to those.
    pub allow_user_limited_channels: bool,
    /// What follows the namespace must match; without it, names must be ASCII.
    pub channel_regex: Option<Regex>,
    /// What publications must be.
    pub publication_data_format: DataFormat,
    /// Subscriptions may ask for fossil deltas.
    pub allow_delta: bool,
    /// Publications may be sent as deltas.
    pub delta_publish: bool,
    /// Subscriptions may ask for a filter on tags.
    pub allow_tags_filter: bool,
}

/// What a subscription that comes back is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecoveryMode {
    /// All it missed.
    #[default]
    Stream,
    /// The newest publication only.
    Cache,
}

/// What payloads a namespace takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DataFormat {
    /// Anything but nothing.
    #[default]
    NotEmpty,
    /// Valid JSON.
    Json,
    /// A JSON object.
    JsonObject,
    /// Anything, also nothing.
    Binary,
}

/// Why namespaces cannot be as written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamespaceError {
    /// The name has other characters than letters, digits, `-`, `_`, `.`, or fewer than two.
    #[error("namespace {0:?}: a name is two or more of A-Z a-z 0-9 - _ .")]
    Name(Box<str>),
    /// The domain's own.
    #[error("namespace {0:?} is reserved")]
    Reserved(Box<str>),
    /// Twice.
    #[error("namespace {0:?} is there twice")]
    Duplicate(Box<str>),
    /// Only one of size and time to live is set.
    #[error("namespace {0:?}: set both history_size and history_ttl, or neither")]
    History(Box<str>),
    /// Recovery or positioning without a history.
    #[error("namespace {0:?}: force_recovery needs history_size and history_ttl")]
    Recovery(Box<str>),
}

/// What a channel's name says.
#[derive(Debug, Clone)]
pub enum Namespace<'a> {
    /// A generic channel with its options.
    Generic(&'a Arc<ChannelOptions>),
    /// A channel of the domain.
    Domain,
}

impl ChannelOptions {
    /// Whether the channels keep a stream.
    #[must_use]
    pub const fn has_history(&self) -> bool {
        self.history_size > 0 && self.history_ttl_ms > 0
    }
}

impl Namespaces {
    /// Namespaces as configured.
    ///
    /// # Errors
    /// [`NamespaceError`], naming the namespace.
    pub fn new(
        rules: ChannelRules,
        without: Option<ChannelOptions>,
        named: impl IntoIterator<Item = (Box<str>, ChannelOptions)>,
    ) -> Result<Self, NamespaceError> {
        let mut all = Self {
            rules,
            without: without.map(Arc::new),
            named: HashMap::new(),
        };
        if let Some(options) = &all.without {
            check_history("", options)?;
        }
        for (name, options) in named {
            check_name(&name)?;
            check_history(&name, &options)?;
            let id = NamespaceId::new(NamespaceId::NAMED_FIRST + all.named.len());
            let described = (id, Arc::new(options));
            if all.named.insert(name.clone(), described).is_some() {
                return Err(NamespaceError::Duplicate(name));
            }
        }
        Ok(all)
    }

    /// How names are read.
    #[must_use]
    pub fn rules(&self) -> &ChannelRules {
        &self.rules
    }

    /// The namespace of a channel; `None` if there is no such.
    #[must_use]
    pub fn resolve(&self, channel: &ChannelName) -> Option<Namespace<'_>> {
        // Ledgers know the domain's channels by these names, whatever boundary is configured here.
        if RESERVED.contains(&channel.namespace()) {
            return Some(Namespace::Domain);
        }
        let name = self.rules.without_private(channel.as_str());
        match name.split_once(&*self.rules.namespace_boundary) {
            Some((namespace, _)) if RESERVED.contains(&namespace) => Some(Namespace::Domain),
            Some((namespace, _)) => {
                let (_, options) = self.named.get(namespace)?;
                Some(Namespace::Generic(options))
            }
            None => self.without.as_ref().map(Namespace::Generic),
        }
    }

    /// The number of a channel's namespace. A name that is no channel's is in one that is unknown.
    #[must_use]
    pub fn id_of(&self, channel: &str) -> NamespaceId {
        let name = self.rules.without_private(channel);
        let Some((namespace, _)) = name.split_once(&*self.rules.namespace_boundary) else {
            return NamespaceId::NONE;
        };
        if let Some((id, _)) = self.named.get(namespace) {
            return *id;
        }
        let reserved = RESERVED.iter().position(|it| *it == namespace);
        reserved.map_or(NamespaceId::UNKNOWN, |nth| {
            NamespaceId::new(NamespaceId::RESERVED_FIRST + nth)
        })
    }

    /// What namespaces are called in metrics, by number.
    #[must_use]
    pub fn labels(&self) -> Arc<[Box<str>]> {
        let mut labels: Vec<Box<str>> = vec!["".into(), OTHER.into()];
        labels.extend(RESERVED.map(Box::from));
        let mut named: Vec<_> = self.named.iter().collect();
        named.sort_unstable_by_key(|(_, (id, _))| id.place());
        labels.extend(named.into_iter().map(|(name, _)| name.clone()));
        labels.into()
    }

    /// The options of a generic channel, for whoever publishes or reads outside of a session.
    #[must_use]
    pub fn options(&self, channel: &ChannelName) -> Option<&Arc<ChannelOptions>> {
        match self.resolve(channel)? {
            Namespace::Generic(options) => Some(options),
            Namespace::Domain => None,
        }
    }
}

impl ChannelRules {
    fn without_private<'a>(&self, name: &'a str) -> &'a str {
        if self.private_prefix.is_empty() {
            return name;
        }
        name.strip_prefix(&*self.private_prefix).unwrap_or(name)
    }

    /// Whether only a subscription token opens the channel.
    #[must_use]
    pub fn is_private(&self, name: &str) -> bool {
        !self.private_prefix.is_empty() && name.starts_with(&*self.private_prefix)
    }

    /// What follows the namespace.
    #[must_use]
    pub fn local<'a>(&self, name: &'a str) -> &'a str {
        let name = self.without_private(name);
        name.split_once(&*self.namespace_boundary)
            .map_or(name, |(_, local)| local)
    }

    /// The users a channel lists; `None` if it lists none.
    pub fn users<'a>(&'a self, name: &'a str) -> Option<impl Iterator<Item = &'a str>> {
        if self.user_boundary.is_empty() {
            return None;
        }
        let (_, users) = name.rsplit_once(&*self.user_boundary)?;
        Some(users.split(&*self.user_separator))
    }
}

fn check_name(name: &str) -> Result<(), NamespaceError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.len() < 2 || !name.chars().all(fits) {
        return Err(NamespaceError::Name(name.into()));
    }
    if RESERVED.contains(&name) {
        return Err(NamespaceError::Reserved(name.into()));
    }
    Ok(())
}

fn check_history(name: &str, options: &ChannelOptions) -> Result<(), NamespaceError> {
    if (options.history_size > 0) != (options.history_ttl_ms > 0) {
        return Err(NamespaceError::History(name.into()));
    }
    if options.force_recovery && !options.has_history() {
        return Err(NamespaceError::Recovery(name.into()));
    }
    Ok(())
}
