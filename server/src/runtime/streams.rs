//! Streams of channels: where their history lies, and how it is read so that nothing leaves past
//! `people::disclose`.

use std::sync::Arc;

use klokke_protocol::{
    self as wire, ChannelName, ClientInfo, Epoch, ErrorCode, ErrorReply, StreamPosition,
};

use super::Services;
use crate::hub::{self, Backlog, Lens};
use crate::ledger::{CallError, Content, Entries, LedgerId, Publisher, RecordKey};
use crate::people::{Disclosure, Roster, Subject, SubjectId, Viewer, disclose};
use crate::session::{BacklogWish, HistoryPage, Namespace};
use crate::store::{ChannelEntry, EntryRange, Order};

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

/// The ledger that holds a channel's stream. The mark of private channels is no part of the
/// namespace's name.
pub(super) fn ledger_of(
    services: &Services,
    channel: &ChannelName,
) -> Result<LedgerId, ErrorReply> {
    let rules = services.session.namespaces.rules();
    let prefix = &*rules.private_prefix;
    let unknown = || ErrorReply::from(ErrorCode::UNKNOWN_CHANNEL);
    match channel.as_str().strip_prefix(prefix) {
        Some(open) if !prefix.is_empty() => {
            let open = ChannelName::parse(open).map_err(|_| unknown())?;
            LedgerId::of_channel(&open).map_err(|_| unknown())
        }
        _ => LedgerId::of_channel(channel).map_err(|_| unknown()),
    }
}

/// What a client is told when a ledger could not serve.
pub(super) fn error_of(error: &CallError) -> ErrorReply {
    match error {
        CallError::Busy | CallError::Contended => ErrorCode::TOO_MANY_REQUESTS.into(),
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
) -> Result<Backlog, ErrorReply> {
    let (from, order, limit) = match &wish {
        BacklogWish::None | BacklogWish::Top => (1, Order::Descending, 0),
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
    let (ledger, read) = read(&services, &channel, range).await?;
    let usable = match &wish {
        // Offsets of another stream say nothing about this one.
        BacklogWish::Since { since, .. } => {
            since.epoch.is_empty() || since.epoch == read.epoch.as_str()
        }
        _ => true,
    };
    let entries = if usable { read.entries } else { Vec::new() };
    Ok(Backlog {
        epoch: read.epoch.clone(),
        top: read.head.top,
        publications: shown(&services, &ledger, &channel, &read.epoch, entries, &reader).await?,
    })
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
    let (ledger, read) = read(&services, &wish.channel, range).await?;
    let known = wish.since.as_ref().map(|since| since.epoch.as_str());
    if known.is_some_and(|epoch| !epoch.is_empty() && epoch != read.epoch.as_str()) {
        return Err(ErrorCode::UNRECOVERABLE_POSITION.into());
    }
    let channel = &wish.channel;
    let seen = shown(
        &services,
        &ledger,
        channel,
        &read.epoch,
        read.entries,
        &reader,
    )
    .await?;
    let seen = seen
        .iter()
        .filter(|it| it.content.audience != hub::Audience::NONE);
    Ok(HistoryPage {
        publications: seen.map(|it| to_wire(it)).collect(),
        epoch: read.epoch,
        offset: read.head.top,
    })
}

async fn read(
    services: &Services,
    channel: &ChannelName,
    range: EntryRange,
) -> Result<(LedgerId, Entries), ErrorReply> {
    let ledger = ledger_of(services, channel)?;
    let read = services
        .domain
        .ledgers()
        .read(&ledger, channel, range)
        .await;
    Ok((ledger, read.map_err(|error| error_of(&error))?))
}

/// Entries as the reader may see them now: what is hidden stands in the list for its offset.
async fn shown(
    services: &Services,
    ledger: &LedgerId,
    channel: &ChannelName,
    epoch: &Epoch,
    entries: Vec<ChannelEntry>,
    reader: &Reader,
) -> Result<Vec<Arc<hub::Publication>>, ErrorReply> {
    let namespace = services.session.namespaces.resolve(channel);
    let is_domain = matches!(namespace, Some(Namespace::Domain));
    let contents: Vec<hub::Content> = if is_domain && !entries.is_empty() {
        disclosed(services, ledger, &entries, reader).await?
    } else {
        entries
            .iter()
            .map(|it| content(&it.entry.content))
            .collect()
    };
    let shown = entries.iter().zip(contents).map(|(it, content)| {
        let stored = &it.entry.content;
        Arc::new(hub::Publication {
            channel: channel.clone(),
            offset: it.offset,
            epoch: epoch.clone(),
            content,
            info: stored.publisher.as_ref().map(|it| Arc::new(info(it))),
            time_ms: stored.time_ms,
            delta: false,
        })
    });
    Ok(shown.collect())
}

/// The one way out: each entry through `people::disclose`, with the record it speaks of as it is
/// now.
async fn disclosed(
    services: &Services,
    ledger: &LedgerId,
    entries: &[ChannelEntry],
    reader: &Reader,
) -> Result<Vec<hub::Content>, ErrorReply> {
    let denied = || ErrorReply::from(ErrorCode::PERMISSION_DENIED);
    let viewer = Viewer {
        subject: reader.subject.clone().ok_or_else(denied)?,
        profile: None,
        lens: reader.lens,
        now_ms: services.clock.now_ms(),
    };
    let mut judged = Vec::with_capacity(entries.len());
    for it in entries {
        let subject = match &it.entry.content.subject {
            Some(key) => present(services, ledger, key).await?,
            None => None,
        };
        judged.push((Arc::clone(&it.entry), subject));
    }
    let look = move |roster: &Roster| {
        let judge = |(entry, subject): &(Arc<crate::ledger::Entry>, Option<Subject>)| {
            let stored = &entry.content;
            match disclose(&viewer, roster, stored, subject.as_ref()) {
                Disclosure::Full(full) | Disclosure::Bare(full) => hub::Content {
                    full,
                    bare: None,
                    audience: hub::Audience::ALL,
                    tags: stored.tags.clone(),
                },
                Disclosure::Hidden => hub::Content {
                    audience: hub::Audience::NONE,
                    ..hub::Content::default()
                },
            }
        };
        judged.iter().map(judge).collect::<Vec<_>>()
    };
    let seen = services.domain.ledgers().inspect(ledger, look).await;
    seen.map_err(|error| error_of(&error))
}

async fn present(
    services: &Services,
    ledger: &LedgerId,
    key: &RecordKey,
) -> Result<Option<Subject>, ErrorReply> {
    let store = services.domain.ledgers().store();
    let record = store.get(ledger, key).await;
    let record = record.map_err(|error| error_of(&error.into()))?;
    Ok(record.map(|record| Subject::from_record(&record.value)))
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
