//! Opening: what must be true of the files before anything is written to them again.
//!
//! 1. The marker `FORMAT` says the store was made by us, in a format we know, and completely.
//! 2. The storage engine's own bookkeeping is as it wrote it, see `preflight`.
//! 3. The database opens, and has all its keyspaces. (fjall makes what it misses; a store that has
//!    lost its data must not come up empty.)
//! 4. Every ledger's head can be read.
//! 5. Everything witnessed is there, see `witness`.
//!
//! What fails 1 to 3 fails the opening. What fails 4 or 5 for one ledger stops that ledger only.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use async_trait::async_trait;
use fjall::Database;
use futures_util::FutureExt;
use hashbrown::HashMap;

use super::cache::CommitCache;
use super::fault::{at, plain};
use super::files::{Files, KEYSPACES};
use super::preflight::{self, Made};
use super::reader::Reader;
use super::status::Status;
use super::witness::{self, Heads, Testimony, Witness, Witnessed};
use super::writer::lost_from;
use super::{OpenError, Options};
use crate::ledger::derived::{DerivedRows, Expected};
use crate::ledger::{ChannelName, CommitHash, IndexKey, LedgerId, RecordKey};
use crate::store::{
    Anchor, ChannelHead, Damaged, EntryRow, Head, Place, Record, Remembered, StoreError,
};

/// The format that is written and read.
const FORMAT: u32 = 1;

/// Commits checked at once.
const PAGE: usize = 256;

/// A store that is open and checked.
pub(super) struct Opened {
    pub(super) files: Files,
    pub(super) heads: HashMap<LedgerId, (Head, Anchor)>,
    pub(super) witness: Witness,
    pub(super) lost: HashMap<LedgerId, Witnessed>,
}

/// Opens or makes a store.
pub(super) fn open(
    path: &Path,
    options: &Options,
    cache: &CommitCache,
    status: &Status,
) -> Result<Opened, OpenError> {
    let (marker, data) = (path.join("FORMAT"), path.join("data"));
    let made = check_marker(&marker)?;
    if !made && !options.make && !data.try_exists()? {
        return Err(OpenError::Missing);
    }
    std::fs::create_dir_all(path)?;
    preflight::check(&data, if made { Made::Wholly } else { Made::Perhaps })?;
    let db = open_database(&data, options)?;
    if made && let Some(name) = KEYSPACES.iter().find(|name| !db.keyspace_exists(name)) {
        return Err(OpenError::Damaged(
            format!("the keyspace {name} is missing").into(),
        ));
    }
    let files = guarded(|| Files::of(db))?;
    let heads = read_heads(&files, cache, status)?;
    if !made && !heads.is_empty() {
        return Err(OpenError::Damaged(
            "there is data, but the marker FORMAT is missing".into(),
        ));
    }
    let file = path.join("witness");
    let (witness, lost) = if made {
        let testimony = testimony(&file, status);
        let lost = testimony.as_ref().map_or_else(HashMap::new, |testimony| {
            check(&files, cache, status, &heads, &testimony.found)
        });
        (resume(&file, testimony.as_ref(), &heads)?, lost)
    } else {
        (Witness::begin(&file, &Heads::new())?, HashMap::new())
    };
    if !made {
        write_marker(&marker)?;
    }
    Ok(Opened {
        files,
        heads,
        witness,
        lost,
    })
}

/// Whether the store was made before; an error if by something we do not know.
fn check_marker(marker: &Path) -> Result<bool, OpenError> {
    match std::fs::read_to_string(marker) {
        Ok(text) if text == marker_text(FORMAT) => Ok(true),
        Ok(text) => Err(unknown_format(marker, &text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Err(unknown_format(marker, ""))
        }
        Err(error) => Err(error.into()),
    }
}

fn marker_text(format: u32) -> String {
    format!("klokke store, format {format}\n")
}

/// A marker that another version wrote says so in the same words; anything else is damage.
fn unknown_format(marker: &Path, text: &str) -> OpenError {
    let number = text.trim_end().rsplit(' ').next().unwrap_or_default();
    match number.parse() {
        Ok(found) if text == marker_text(found) => OpenError::Format {
            found,
            known: FORMAT,
        },
        _ => OpenError::DamagedFile {
            file: marker.to_owned(),
            what: "it cannot be read",
        },
    }
}

fn write_marker(marker: &Path) -> std::io::Result<()> {
    let fresh = marker.with_extension("new");
    let mut file = std::fs::File::create(&fresh)?;
    file.write_all(marker_text(FORMAT).as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, marker)?;
    std::fs::File::open(marker.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn open_database(data: &Path, options: &Options) -> Result<Database, OpenError> {
    guarded(|| {
        Database::builder(data)
            .cache_size(options.cache_bytes)
            .worker_threads(options.worker_threads.max(1))
            .manual_journal_persist(true)
            .open()
    })
}

/// The storage engine panics over some kinds of damaged files; to us that is damage.
fn guarded<T>(open: impl FnOnce() -> fjall::Result<T>) -> Result<T, OpenError> {
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(fjall::Error::Locked)) => Err(OpenError::Locked),
        Ok(Err(fjall::Error::Io(error))) => Err(error.into()),
        Ok(Err(error)) => Err(OpenError::Damaged(plain(&error))),
        Err(_) => Err(OpenError::Damaged(
            "the storage engine failed over its files".into(),
        )),
    }
}

type AllHeads = HashMap<LedgerId, (Head, Anchor)>;

/// All heads. One that cannot be read stops its ledger; if not even its name can, everything.
fn read_heads(files: &Files, cache: &CommitCache, status: &Status) -> Result<AllHeads, OpenError> {
    let read = catch_unwind(AssertUnwindSafe(|| {
        let reader = Reader::new(files, cache);
        let mut heads = HashMap::new();
        for id in reader.ledger_names()? {
            match reader.head(&id) {
                Ok(Some(head)) => drop(heads.insert(id, head)),
                Ok(None) => {}
                Err(StoreError::Damaged(damaged)) => status.refuse(&id, damaged),
                Err(error) => return Err(error),
            }
        }
        Ok(heads)
    }));
    let read = read.map_err(|_| OpenError::Damaged("the heads cannot be read".into()))?;
    read.map_err(|error| OpenError::Damaged(error.to_string().into()))
}

fn testimony(file: &Path, status: &Status) -> Option<Testimony> {
    match witness::read(file) {
        Ok(testimony) => {
            if testimony.skipped > 0 {
                let skipped = testimony.skipped;
                tracing::warn!(skipped, "the witness has bytes that are no frame");
            }
            Some(testimony)
        }
        Err(error) => {
            let what = format!("the witness cannot be read: {error}").into();
            status.note(&Damaged {
                ledger: "*".into(),
                place: Place::Files,
                what,
            });
            None
        }
    }
}

/// Goes on with the witness file, or begins another one where it is no more.
fn resume(
    file: &Path,
    testimony: Option<&Testimony>,
    heads: &AllHeads,
) -> std::io::Result<Witness> {
    if let Some(testimony) = testimony
        && let Ok(witness) = Witness::resume(file, testimony.frames)
    {
        return Ok(witness);
    }
    let heads = heads
        .iter()
        .map(|(id, (head, _))| (id.clone(), (head.seq, head.hash)))
        .collect();
    Witness::begin(file, &heads)
}

/// Compares the database with what was witnessed; stops ledgers that differ.
fn check(
    files: &Files,
    cache: &CommitCache,
    status: &Status,
    heads: &AllHeads,
    witnessed: &HashMap<LedgerId, Witnessed>,
) -> HashMap<LedgerId, Witnessed> {
    let mut lost = HashMap::new();
    for (id, witnessed) in witnessed {
        let checked = catch_unwind(AssertUnwindSafe(|| {
            check_ledger(&Reader::new(files, cache), id, heads.get(id), witnessed)
        }));
        let damaged = match checked {
            Ok(Ok(())) => continue,
            Ok(Err(StoreError::Damaged(damaged))) => damaged,
            Ok(Err(StoreError::Unavailable(what))) => files_damaged(id, &what),
            Err(_) => files_damaged(id, "the storage engine failed over what it read"),
        };
        status.refuse(id, damaged);
        lost.insert(id.clone(), *witnessed);
    }
    lost
}

fn files_damaged(id: &LedgerId, what: &str) -> Damaged {
    Damaged {
        ledger: id.as_str().into(),
        place: Place::Files,
        what: what.into(),
    }
}

fn check_ledger(
    reader: &Reader<'_>,
    id: &LedgerId,
    head: Option<&(Head, Anchor)>,
    witnessed: &Witnessed,
) -> Result<(), StoreError> {
    let there = head.map_or(0, |(head, _)| head.seq);
    if there < witnessed.seq {
        return Err(lost_from(id, there, witnessed.seq));
    }
    let Some((head, anchor)) = head else {
        return Ok(());
    };
    let forgotten = anchor.forgotten_before_ms;
    let mut after = witnessed.base.max(anchor.seq);
    let mut expected = Expected::default();
    if witnessed.seq == after && after > anchor.seq {
        return same(id, witnessed, after, reader.commit(id, after)?.hash);
    }
    while after < head.seq {
        for sealed in reader.commits_since(id, after, PAGE)? {
            after = sealed.commit.seq;
            same(id, witnessed, after, sealed.hash)?;
            expected.add(&sealed.commit);
        }
        // Reading the files directly never waits, so each comparison is ready at the first poll.
        let found = expected
            .settle(id, &Direct(reader), forgotten)
            .now_or_never();
        first(found.unwrap_or_default())?;
    }
    let found = expected
        .compare(id, &Direct(reader), forgotten)
        .now_or_never();
    first(found.unwrap_or_default())
}

fn first(found: Vec<Damaged>) -> Result<(), StoreError> {
    found
        .into_iter()
        .next()
        .map_or(Ok(()), |damaged| Err(StoreError::Damaged(damaged)))
}

fn same(
    id: &LedgerId,
    witnessed: &Witnessed,
    seq: u64,
    hash: CommitHash,
) -> Result<(), StoreError> {
    if seq == witnessed.seq && hash != witnessed.hash {
        let what = "the commit is not the one that was acknowledged";
        return Err(at(id, seq, what));
    }
    Ok(())
}

/// The rows, read in this thread.
struct Direct<'a>(&'a Reader<'a>);

#[async_trait]
impl DerivedRows for Direct<'_> {
    async fn record(&self, id: &LedgerId, key: &RecordKey) -> Result<Option<Record>, StoreError> {
        self.0.record(id, key)
    }

    async fn channel_head(
        &self,
        id: &LedgerId,
        name: &ChannelName,
    ) -> Result<ChannelHead, StoreError> {
        self.0.channel_head(id, name)
    }

    async fn entry_rows(
        &self,
        id: &LedgerId,
        name: &ChannelName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<EntryRow>, StoreError> {
        self.0.entry_rows(id, name, after, limit)
    }

    async fn lookup(
        &self,
        index: &IndexKey,
        after: Option<&(LedgerId, RecordKey)>,
        limit: usize,
    ) -> Result<Vec<(LedgerId, RecordKey)>, StoreError> {
        self.0.lookup(index, after, limit)
    }

    async fn idempotent(
        &self,
        id: &LedgerId,
        subject: &str,
        key: &str,
    ) -> Result<Option<Remembered>, StoreError> {
        self.0.idempotent(id, subject, key)
    }
}
