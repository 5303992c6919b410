//! The witness: a small file beside the database that says how far each ledger had come when its
//! commits were acknowledged, so that a loss of acknowledged commits is seen at the next start.
//!
//! # Why the database alone is not enough
//!
//! Read in fjall 3.1 (`journal/reader.rs`, `journal/batch_reader.rs`): a journal is replayed until
//! its first undecodable entry, and what follows is cut off the file, whether it is a torn write at
//! the end (rightly) or a flipped bit in the middle of acknowledged batches (a silent loss of
//! everything after it). A batch's sequence number stands outside its checksum. So after replay
//! the database may be an older, whole and plausible state. Its tables, on the other hand, carry a
//! checksum per block, and our rows carry their own.
//!
//! # What the witness does
//!
//! After each group's fsync and before its callers are answered, one frame per ledger (sequence
//! number, hash of the last commit) is appended. At the next start every frame must be found in
//! the database: the ledger's head at least there, the chain of commits whole down to the
//! checkpoint, and the rows derived from those commits as their last writer left them. What is
//! missing or different is named, and the ledger refuses to work until it was restored.
//!
//! The frame is written but not flushed for each group: it survives a kill at once, and a power
//! loss takes at most the last second of frames, which only makes the check weaker, never wrong;
//! the commits themselves were flushed before. So the witness costs one `write` a group, and no
//! second fsync.
//!
//! A checkpoint bounds the check: once all rows up to a moment lie in checksummed tables, a new
//! file begins with the heads of that moment.
//!
//! Bytes that are no frame (a torn write, or damage) are skipped and counted; a frame less only
//! makes the check weaker.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::ledger::{CommitHash, LedgerId};

/// How often frames are flushed to disk while they are being written.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// First bytes of the file: name and format version.
const MAGIC: &[u8; 8] = b"KLKWIT1\n";

/// What was witnessed of one ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Witnessed {
    /// Commits up to here were in tables at the checkpoint.
    pub(super) base: u64,
    /// The last acknowledged commit and its hash.
    pub(super) seq: u64,
    pub(super) hash: CommitHash,
}

pub(super) type Heads = HashMap<LedgerId, (u64, CommitHash)>;

/// The file being written.
pub(super) struct Witness {
    path: PathBuf,
    file: File,
    frames: u64,
    flushed: Instant,
}

impl Witness {
    /// Replaces the file by one that begins with `heads`.
    pub(super) fn begin(path: &Path, heads: &Heads) -> io::Result<Self> {
        let mut bytes = MAGIC.to_vec();
        for (ledger, (seq, hash)) in heads {
            put_frame(&mut bytes, FrameKind::Base, ledger, *seq, *hash);
        }
        let fresh = path.with_extension("new");
        let mut file = File::create(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        sync_folder(path)?;
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            frames: 0,
            flushed: Instant::now(),
        })
    }

    /// Goes on with the file of an earlier run.
    pub(super) fn resume(path: &Path, frames: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            frames,
            flushed: Instant::now(),
        })
    }

    /// Appends what one group committed.
    pub(super) fn append<'a>(
        &mut self,
        heads: impl Iterator<Item = (&'a LedgerId, u64, CommitHash)>,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (ledger, seq, hash) in heads {
            put_frame(&mut bytes, FrameKind::Head, ledger, seq, hash);
            self.frames += 1;
        }
        self.file.write_all(&bytes)?;
        if self.flushed.elapsed() >= FLUSH_EVERY {
            self.flush()?;
        }
        Ok(())
    }

    /// Flushes to disk.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.flushed = Instant::now();
        self.file.sync_data()
    }

    /// Frames since the checkpoint.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FrameKind {
    Base,
    Head,
}

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct Testimony {
    pub(super) found: HashMap<LedgerId, Witnessed>,
    /// Frames that check out.
    pub(super) frames: u64,
    /// Bytes that are no frame: a torn write at the end, or damage.
    pub(super) skipped: usize,
}

/// Reads what was witnessed, every frame that checks out.
///
/// # Errors
/// When the file cannot be read or is no witness at all.
pub(super) fn read(path: &Path) -> io::Result<Testimony> {
    let bytes = std::fs::read(path)?;
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "no witness file",
        ));
    };
    let mut found = HashMap::new();
    let (mut frames, mut skipped) = (0, 0);
    while !rest.is_empty() {
        let Some(((kind, ledger, seq, hash), after)) = frame(rest) else {
            rest = &rest[1..];
            skipped += 1;
            continue;
        };
        frames += 1;
        let base = if kind == FrameKind::Base { seq } else { 0 };
        let known = found.entry(ledger).or_insert(Witnessed { base, seq, hash });
        if seq >= known.seq {
            (known.seq, known.hash) = (seq, hash);
        }
        rest = after;
    }
    Ok(Testimony {
        found,
        frames,
        skipped,
    })
}

type Frame = (FrameKind, LedgerId, u64, CommitHash);

/// `crc32c | kind | length of name | name | seq | hash`
fn put_frame(bytes: &mut Vec<u8>, kind: FrameKind, ledger: &LedgerId, seq: u64, hash: CommitHash) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    bytes.push(if kind == FrameKind::Base { 1 } else { 2 });
    bytes.push(u8::try_from(ledger.as_str().len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(ledger.as_str().as_bytes());
    bytes.extend_from_slice(&seq.to_le_bytes());
    bytes.extend_from_slice(&hash.0);
    let sum = crc32c::crc32c(&bytes[start + 4..]);
    bytes[start..start + 4].copy_from_slice(&sum.to_le_bytes());
}

fn frame(bytes: &[u8]) -> Option<(Frame, &[u8])> {
    let name_len = usize::from(*bytes.get(5)?);
    let (whole, after) = bytes.split_at_checked(4 + 2 + name_len + 8 + 32)?;
    let (sum, rest) = whole.split_first_chunk::<4>()?;
    if crc32c::crc32c(rest).to_le_bytes() != *sum {
        return None;
    }
    let kind = match rest.first()? {
        1 => FrameKind::Base,
        2 => FrameKind::Head,
        _ => return None,
    };
    let (name, rest) = rest.get(2..)?.split_at_checked(name_len)?;
    let ledger = LedgerId::parse(std::str::from_utf8(name).ok()?).ok()?;
    let (seq, hash) = rest.split_first_chunk::<8>()?;
    let hash = CommitHash(hash.try_into().ok()?);
    Some(((kind, ledger, u64::from_le_bytes(*seq), hash), after))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> LedgerId {
        LedgerId::parse(name).expect("valid")
    }

    #[test]
    fn what_was_witnessed_reads_back_up_to_a_torn_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("witness");
        let (a, b) = (id("A"), id("B"));
        let hash = |n| CommitHash([n; 32]);
        let heads = Heads::from([(a.clone(), (3, hash(3)))]);
        let mut witness = Witness::begin(&path, &heads).expect("begin");
        witness
            .append([(&a, 4, hash(4)), (&b, 1, hash(1))].into_iter())
            .expect("append");
        assert_eq!(witness.frames(), 2);
        let testimony = read(&path).expect("read");
        assert_eq!((testimony.frames, testimony.skipped), (3, 0));
        assert_eq!(
            testimony.found[&a],
            Witnessed {
                base: 3,
                seq: 4,
                hash: hash(4)
            }
        );
        assert_eq!(
            testimony.found[&b],
            Witnessed {
                base: 0,
                seq: 1,
                hash: hash(1)
            }
        );
        let whole = std::fs::read(&path).expect("read");
        std::fs::write(&path, &whole[..whole.len() - 1]).expect("write");
        let torn = read(&path).expect("read");
        assert_eq!((torn.found[&a].seq, torn.found.get(&b)), (4, None));
        let mut flipped = whole;
        flipped[MAGIC.len() + 20] ^= 4;
        std::fs::write(&path, &flipped).expect("write");
        let flipped = read(&path).expect("read");
        assert_eq!(flipped.frames, 2, "only the frame that was hit is lost");
        assert!(flipped.skipped > 0);
        std::fs::write(&path, b"nonsense").expect("write");
        assert!(read(&path).is_err());
    }
}
