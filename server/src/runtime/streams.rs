//! Streams of channels: where their history lies, and how it is read so that nothing leaves past
//! `people::disclose`.

use std::sync::Arc;

use klokke_protocol::{
    self as wire, ChannelName, ClientInfo, Epoch, ErrorCode, ErrorReply, StreamPosition,
};

use super::Services;
use super::publish::keeps_history;
use crate::domain;
use crate::hub::{self, Backlog, Lens};
use crate::ledger::{CallError, Content, Entries, LedgerId, Publisher};
use crate::people::{Disclosure, RECALL_MAX, SubjectId, Viewer, recall};
use crate::session::{BacklogWish, ChannelOptions, HistoryPage, Source};
use crate::store::{ChannelEntry, EntryRange, Order};
use crate::telemetry::catalogue;

/// Entries read at once in search of one that is not too old.
const AGED_PAGE: usize = 256;

/// Who reads a stream.
#[derive(Clone)]
pub(super) struct Reader {
    /// The login; `None` for a back end, which sees generic channels only.
    pub(super) subject: Option<SubjectId>,
    pub(super) lens: Lens,
}

impl Reader {
    /// A back end.
    pub(super) const SERVER: Self = Self {
        subject: None,
        lens: Lens::OPEN,
    };
}

/// A page to read.
#[derive(Debug, Clone)]
pub(super) struct PageWish {
    pub(super) channel: ChannelName,
    pub(super) limit: u32,
    pub(super) since: Option<StreamPosition>,
    pub(super) reverse: bool,
}

/// The ledger that holds a channel's stream.
pub(super) fn ledger_of(channel: &ChannelName) -> Result<LedgerId, ErrorReply> {
    LedgerId::of_channel(channel).map_err(|_| ErrorCode::UNKNOWN_CHANNEL.into())
}

/// The ledger of a channel that is no channel of the domain: what lies with a unit leaves and
/// comes by its operations alone, whatever a channel is called.
pub(super) fn generic_ledger_of(channel: &ChannelName) -> Result<LedgerId, ErrorReply> {
    let ledger = ledger_of(channel)?;
    match ledger.namespace() {
        Some(_) => Ok(ledger),
        None => Err(ErrorCode::PERMISSION_DENIED.into()),
    }
}

/// Whether who listens to a channel hears of some of what is said there only through its ledger: where there is a stream, and other nodes
/// write it too.
pub(super) fn hears_by_ledger(services: &Services, channel: &ChannelName) -> bool {
    services.domain.ledgers().has_other_writers()
        && matches!(keeps_history(services, channel), Ok(true))
}

/// Loads the ledger of a channel, so that what other nodes commit from here on is heard.
pub(super) async fn listen(services: Services, channel: ChannelName) -> Result<(), ErrorReply> {
    let ledger = ledger_of(&channel)?;
    let loaded = services.domain.ledgers().inspect(&ledger, |_| ()).await;
    loaded.map_err(|error| error_of(&error))
}

/// What a client is told when a ledger could not serve.
pub(super) fn error_of(error: &CallError) -> ErrorReply {
    match error {
        CallError::Busy | CallError::Contended => ErrorCode::TOO_MANY_REQUESTS.into(),
        CallError::IdempotencyConflict => {
            let refusal = domain::error::IDEMPOTENCY_CONFLICT.refuse("");
            ErrorReply {
                code: refusal.code,
                message: refusal.key.to_owned(),
                temporary: false,
            }
        }
        CallError::Refused(refusal) => ErrorReply {
            code: refusal.code,
            message: refusal.key.to_owned(),
            temporary: refusal.temporary,
        },
        _ => ErrorReply {
            temporary: error.is_temporary(),
            ..ErrorCode::INTERNAL.into()
        },
    }
}

/// Reads what a subscription needs before it becomes active.
pub(super) async fn backlog(
    services: Services,
    channel: ChannelName,
    wish: BacklogWish,
    reader: Reader,
) -> Result<(Backlog, Source), ErrorReply> {
    let (from, order, limit) = match &wish {
        BacklogWish::Top | BacklogWish::None => (1, Order::Descending, 0),
        BacklogWish::Latest => (1, Order::Descending, 1),
        BacklogWish::Since { since, limit } => {
            (since.offset.saturating_add(1), Order::Ascending, *limit)
        }
    };
    let range = EntryRange {
        from,
        to: u64::MAX,
        limit: limit as usize,
        order,
    };
    let read = read(&services, &channel, range, &reader).await?;
    let usable = match &wish {
        // Offsets of another stream say nothing about this one.
        BacklogWish::Since { since, .. } => {
            since.epoch.is_empty() || since.epoch == read.epoch.as_str()
        }
        _ => true,
    };
    let backlog = Backlog {
        epoch: read.epoch,
        top: read.top,
        publications: if usable {
            read.publications
        } else {
            Vec::new()
        },
    };
    let source = match (limit, read.from_store) {
        (0, _) => Source::None,
        (_, false) => Source::Memory,
        (_, true) => Source::Store,
    };
    Ok((backlog, source))
}

/// Reads a page of history.
pub(super) async fn page(
    services: Services,
    wish: PageWish,
    reader: Reader,
) -> Result<HistoryPage, ErrorReply> {
    let offset = wish.since.as_ref().map(|since| since.offset);
    let range = EntryRange {
        from: match offset {
            Some(offset) if !wish.reverse => offset.saturating_add(1),
            _ => 1,
        },
        to: match offset {
            Some(offset) if wish.reverse => offset.saturating_sub(1),
            _ => u64::MAX,
        },
        limit: wish.limit as usize,
        order: if wish.reverse {
            Order::Descending
        } else {
            Order::Ascending
        },
    };
    let read = read(&services, &wish.channel, range, &reader).await?;
    let known = wish.since.as_ref().map(|since| since.epoch.as_str());
    if known.is_some_and(|epoch| !epoch.is_empty() && epoch != read.epoch.as_str()) {
        return Err(ErrorCode::UNRECOVERABLE_POSITION.into());
    }
    let seen = read.publications.iter();
    let seen = seen.filter(|it| it.content.audience != hub::Audience::NONE);
    Ok(HistoryPage {
        publications: seen.map(|it| to_wire(it)).collect(),
        epoch: read.epoch,
        offset: read.top,
    })
}

/// A part of a stream, and where the stream stood.
struct Page {
    publications: Vec<Arc<hub::Publication>>,
    top: u64,
    epoch: Epoch,
    /// Whether the store had to be read.
    from_store: bool,
}

/// Entries as the reader may see them now: what is hidden stands among them for its offset. Those of
/// the domain leave by `people::recall` and no other way.
async fn read(
    services: &Services,
    channel: &ChannelName,
    mut range: EntryRange,
    reader: &Reader,
) -> Result<Page, ErrorReply> {
    let ledgers = services.domain.ledgers();
    if let Some(options) = services.session.namespaces.options(channel) {
        let kept = kept(services, channel, range, options).await?;
        let shown = kept.entries.iter();
        let shown =
            shown.map(|it| publication(channel, &kept.epoch, it, content(&it.entry.content)));
        return Ok(Page {
            publications: shown.collect(),
            top: kept.head.top,
            epoch: kept.epoch.clone(),
            from_store: kept.from_store,
        });
    }
    let ledger = ledger_of(channel)?;
    let denied = || ErrorReply::from(ErrorCode::PERMISSION_DENIED);
    let subject = reader.subject.clone().ok_or_else(denied)?;
    let now_ms = services.clock.now_ms();
    let withheld = services.meters.counter(catalogue::STEP_UP_REQUIRED, &[]);
    let mut publications = Vec::new();
    let mut from_store = false;
    // As many pages as it takes: how much is asked for is bounded by configuration.
    loop {
        let viewer = Viewer {
            withheld: withheld.clone(),
            ..Viewer::new(subject.clone(), reader.lens, now_ms)
        };
        let asked = EntryRange {
            limit: (range.limit - publications.len()).min(RECALL_MAX),
            ..range
        };
        let recalled = recall(ledgers, &ledger, channel, asked, viewer).await;
        let recalled = recalled.map_err(|error| error_of(&error))?;
        from_store |= recalled.from_store;
        let (found, last) = (recalled.entries.len(), recalled.entries.last());
        let last = last.map(|it| it.entry.offset);
        let shown = recalled.entries.into_iter().map(|it| {
            let content = disclosed(it.disclosure, &it.entry.entry.content.tags);
            publication(channel, &recalled.epoch, &it.entry, content)
        });
        publications.extend(shown);
        let is_over = found < asked.limit || publications.len() >= range.limit;
        match (last, range.order) {
            (Some(last), Order::Ascending) if !is_over => range.from = last.saturating_add(1),
            (Some(last), Order::Descending) if !is_over && last > 1 => range.to = last - 1,
            _ => {
                return Ok(Page {
                    publications,
                    top: recalled.head.top,
                    epoch: recalled.epoch.clone(),
                    from_store,
                });
            }
        }
    }
}

/// Entries of a generic channel as far as its namespace still keeps them. What is past its size or time
/// is removed from the store some time later, and must not be seen until then.
async fn kept(
    services: &Services,
    channel: &ChannelName,
    mut range: EntryRange,
    options: &ChannelOptions,
) -> Result<Entries, ErrorReply> {
    let ledger = generic_ledger_of(channel)?;
    let limit = range.limit;
    let oldest_ms = match options.history_ttl_ms {
        0 => 0,
        ttl => services.clock.now_ms().saturating_sub(ttl),
    };
    loop {
        let ledgers = services.domain.ledgers();
        let read = ledgers.read(&ledger, channel, range).await;
        let mut read = read.map_err(|error| error_of(&error))?;
        let first = match options.history_size {
            0 => 1,
            size => read.head.top.saturating_sub(u64::from(size)) + 1,
        };
        let found = read.entries.len();
        let is_kept =
            |it: &ChannelEntry| it.offset >= first && it.entry.content.time_ms >= oldest_ms;
        if range.order == Order::Descending {
            let kept = read.entries.iter().take_while(|it| is_kept(it)).count();
            read.entries.truncate(kept);
            return Ok(read);
        }
        let last = read.entries.last().map(|it| it.offset);
        let gone = read.entries.iter().take_while(|it| !is_kept(it)).count();
        read.entries.drain(..gone);
        match last {
            // All that was asked for in place of what is gone stands further on.
            Some(last) if gone > 0 && found >= range.limit => {
                let next = read.entries.first().map_or(last + 1, |it| it.offset);
                range.from = next.max(first);
                range.limit = limit.max(AGED_PAGE);
            }
            _ => {
                read.entries.truncate(limit);
                return Ok(read);
            }
        }
    }
}

/// What was disclosed to one reader, as content that the hub passes on to them unchanged.
fn disclosed(disclosure: Disclosure, tags: &hub::Tags) -> hub::Content {
    match disclosure {
        Disclosure::Full(full) | Disclosure::Bare(full) => hub::Content {
            tags: tags.clone(),
            ..hub::Content::open(full)
        },
        Disclosure::Hidden => hub::Content {
            audience: hub::Audience::NONE,
            ..hub::Content::default()
        },
    }
}

fn publication(
    channel: &ChannelName,
    epoch: &Epoch,
    stored: &ChannelEntry,
    content: hub::Content,
) -> Arc<hub::Publication> {
    let said = &stored.entry.content;
    Arc::new(hub::Publication {
        channel: channel.clone(),
        offset: stored.offset,
        epoch: epoch.clone(),
        content,
        info: said.publisher.as_ref().map(|it| Arc::new(info(it))),
        time_ms: said.time_ms,
        delta: false,
        arrived_us: 0,
    })
}

/// Stored content as the hub takes it; the hub measures it for each subscriber.
pub(super) fn content(stored: &Content) -> hub::Content {
    hub::Content {
        full: stored.full.clone(),
        bare: stored.bare.clone(),
        audience: hub::Audience(stored.audience.0),
        tags: stored.tags.clone(),
    }
}

/// The publisher as clients see it.
pub(super) fn info(publisher: &Publisher) -> ClientInfo {
    ClientInfo {
        user: publisher.user.clone(),
        client: publisher.client.clone(),
        conn_info: publisher.conn_info.clone(),
        chan_info: publisher.chan_info.clone(),
    }
}

fn to_wire(publication: &hub::Publication) -> wire::Publication {
    wire::Publication {
        data: publication.content.full.clone(),
        info: publication.info.as_deref().cloned(),
        offset: publication.offset,
        tags: publication.content.tags.clone(),
        ..wire::Publication::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{ChannelRules, Namespaces};

    #[test]
    fn no_configured_mark_opens_the_domain() {
        let names = [
            "unit:M101",
            "person:G10001/p17",
            "group:K101/g3",
            "$unit:M101",
            "$$unit:M101",
            "!unit:M101",
            "!$unit:M101",
            "unit/M101",
            "unit",
            "chat/unit:M101",
            "room",
        ];
        for (boundary, prefix) in [(":", "$"), ("/", "$"), ("/", "!"), ("::", "!"), (".", "")] {
            let rules = ChannelRules {
                namespace_boundary: boundary.into(),
                private_prefix: prefix.into(),
                ..ChannelRules::default()
            };
            let open = ChannelOptions {
                allow_subscribe_for_client: true,
                ..ChannelOptions::default()
            };
            let named = [("chat".into(), open.clone())];
            let namespaces = Namespaces::new(rules, Some(open), named).expect("good names");
            for name in names {
                let channel = ChannelName::parse(name).expect("a name");
                let ledger = LedgerId::of_channel(&channel).expect("a ledger");
                let is_open = namespaces.options(&channel).is_some();
                assert!(
                    !is_open || ledger.namespace().is_some(),
                    "{name} with {boundary} and {prefix} is open and lies in the ledger {ledger}"
                );
            }
        }
    }
}
