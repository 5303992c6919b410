//! Where lines go: files by municipality, one stream, or nowhere; counted, digested and, when asked for, checked on the way.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::audit::Audit;
use super::line::{Code, Line};

/// Bytes written at once.
const WRITE_BYTES: usize = 1024 * 1024;
/// What `klokke import` takes at most in one file.
pub(super) const FILE_LINES_MAX: u64 = 2_000_000;
pub(super) const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Where lines go.
pub(super) enum Target {
    /// Nowhere: they are only counted.
    Nowhere,
    /// One stream.
    Stream(Box<dyn Write>),
    /// A file a municipality.
    Folder(PathBuf),
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

/// Takes lines.
pub(super) struct Sink {
    target: Target,
    open: Option<BufWriter<Box<dyn Write>>>,
    file: Written,
    all: Written,
    begun: bool,
    line: Vec<u8>,
    digest: blake3::Hasher,
    pub(super) audit: Option<Audit>,
}

impl Sink {
    pub(super) fn new(target: Target, audit: Option<Audit>) -> Self {
        Self {
            target,
            open: None,
            file: Written::default(),
            all: Written::default(),
            begun: false,
            line: Vec::with_capacity(512),
            digest: blake3::Hasher::new(),
            audit,
        }
    }

    /// What was written so far.
    pub(super) const fn written(&self) -> Written {
        self.all
    }

    /// Whether everything goes into one stream, in which nothing may be said twice.
    pub(super) const fn is_one_stream(&self) -> bool {
        matches!(self.target, Target::Stream(_))
    }

    /// Begins a municipality. Whether a file begins with it, which then needs what stands above a municipality.
    pub(super) fn begin(&mut self, municipality: Code) -> io::Result<bool> {
        let is_first = !std::mem::replace(&mut self.begun, true);
        match &mut self.target {
            Target::Nowhere => {}
            Target::Stream(stream) => {
                if !is_first {
                    return Ok(false);
                }
                let stream = std::mem::replace(stream, Box::new(io::sink()));
                self.open = Some(BufWriter::with_capacity(WRITE_BYTES, stream));
            }
            Target::Folder(folder) => {
                let path = folder.join(format!("{municipality}.jsonl"));
                self.close()?;
                let file: Box<dyn Write> = Box::new(File::create(path)?);
                self.open = Some(BufWriter::with_capacity(WRITE_BYTES, file));
            }
        }
        self.file = Written::default();
        if let Some(audit) = &mut self.audit {
            audit.begin_file();
        }
        Ok(true)
    }

    /// Takes a line.
    pub(super) fn put(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.digest.update(&self.line);
        for written in [&mut self.file, &mut self.all] {
            written.lines += 1;
            written.bytes += self.line.len() as u64;
        }
        let file = self.file;
        if matches!(self.target, Target::Folder(_))
            && (file.lines > FILE_LINES_MAX || file.bytes > FILE_BYTES_MAX)
        {
            return Err(io::Error::other(
                "a municipality is larger than an import file may be",
            ));
        }
        if let Some(audit) = &mut self.audit {
            audit.take(&self.line);
        }
        match &mut self.open {
            Some(open) => open.write_all(&self.line),
            None => Ok(()),
        }
    }

    fn close(&mut self) -> io::Result<()> {
        match self.open.take() {
            Some(mut open) => open.flush(),
            None => Ok(()),
        }
    }

    /// Ends; what was written, its digest, and what was found.
    pub(super) fn finish(mut self) -> io::Result<(Written, String, Option<Audit>)> {
        self.close()?;
        if let Some(audit) = &mut self.audit {
            audit.finish();
        }
        let digest = self.digest.finalize().to_hex()[..16].to_owned();
        Ok((self.all, digest, self.audit))
    }
}

/// A folder to write files into.
pub(super) fn folder(path: &Path) -> io::Result<Target> {
    std::fs::create_dir_all(path)?;
    Ok(Target::Folder(path.to_path_buf()))
}
