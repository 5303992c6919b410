//! An import into a running server, through its API: the file goes up as a stream, the diff comes back; to apply it, the file
//! goes up once more with the digest of what was shown.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Uri};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::show::Show;
use super::{of_file, say};
use crate::app::cli::Import;
use crate::app::remote::{self, RemoteClient};
use crate::people::import::{Report, Summary};

/// Bytes read of the file at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Bytes sent between two lines of progress.
const PROGRESS_BYTES: u64 = 16 * 1024 * 1024;
/// Longest line of an answer: the ids of the largest unit.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

type Reading = stream::BoxStream<'static, std::io::Result<Frame<Bytes>>>;

pub(super) async fn run(arguments: &Import, server: &Uri) -> Result<()> {
    let stdin = arguments.files.iter().any(|file| file == Path::new("-"));
    ensure!(
        !arguments.apply || !stdin,
        "to apply an import to a server the file is sent twice: give a file instead of -"
    );
    let door = Door::new(arguments, server)?;
    for file in &arguments.files {
        of_file(take(&door, file).await, file, arguments)?;
    }
    Ok(())
}

/// Shows what one file would change, and changes it when asked to.
async fn take(door: &Door<'_>, file: &Path) -> Result<()> {
    let arguments = door.arguments;
    let mut show = Show::new(arguments.json, arguments.ids);
    if let Some(shown) = arguments.plan {
        door.send(file, Some(&shown.to_string()), &mut show).await?;
        return Ok(());
    }
    let Some(summary) = door.send(file, None, &mut show).await? else {
        bail!("the server broke its answer off");
    };
    if arguments.apply {
        door.send(file, Some(&summary.plan), &mut show).await?;
    }
    Ok(())
}

/// The way to the server.
struct Door<'a> {
    arguments: &'a Import,
    address: String,
    key: HeaderValue,
    client: RemoteClient<StreamBody<Reading>>,
}

impl<'a> Door<'a> {
    fn new(arguments: &'a Import, server: &Uri) -> Result<Self> {
        let file = arguments
            .api_key_file
            .as_deref()
            .context("--api-key-file is not given")?;
        Ok(Self {
            arguments,
            address: remote::address(server)?,
            key: remote::key(file)?,
            client: remote::client()?,
        })
    }

    /// Sends the file, to be shown or, with a plan, to be applied. Gives what the diff said last.
    async fn send(
        &self,
        file: &Path,
        plan: Option<&str>,
        show: &mut Show,
    ) -> Result<Option<Summary>> {
        let request = Request::post(self.target(plan)?)
            .header("x-api-key", &self.key)
            .header(CONTENT_TYPE, "application/jsonl")
            .body(StreamBody::new(reading(file).await?))?;
        let answer = self.client.request(request).await;
        let answer = answer.context("the server does not answer")?;
        match answer.status().as_u16() {
            401 => bail!("the server does not know this API key"),
            404 => bail!("the server has no door for imports"),
            _ => {}
        }
        let mut lines = Lines::of(answer.into_body());
        let mut summary = None;
        while let Some(report) = lines.next().await? {
            show.report(&report)?;
            match report {
                Report::Unit(_) => {}
                Report::Plan(last) => summary = Some(last),
                Report::Progress(at) => {
                    say(&format!("{}: {} of {} records", at.unit, at.done, at.total))?;
                }
                Report::Done { records } => {
                    say(&format!("{records} records changed"))?;
                    return Ok(summary);
                }
                Report::Error(failed) => bail!("{}", failed.message),
            }
        }
        ensure!(
            plan.is_none(),
            "the server broke its answer off; run the same file again"
        );
        Ok(summary)
    }

    fn target(&self, plan: Option<&str>) -> Result<String> {
        let mut query: Vec<(&str, &str)> = plan.iter().map(|plan| ("plan", *plan)).collect();
        if self.arguments.allow_mass_end {
            query.push(("allow_mass_end", "true"));
        }
        let over = self.arguments.override_local.iter();
        query.extend(over.map(|id| ("override_local", id.as_str())));
        let query = serde_urlencoded::to_string(query)?;
        Ok(format!("{}/api/import?{query}", self.address))
    }
}

/// A file, or standard input, as a body that tells how much of it went out.
async fn reading(path: &Path) -> Result<Reading> {
    let path = if path == Path::new("-") {
        Path::new("/dev/stdin")
    } else {
        path
    };
    let file = File::open(path).await;
    let file = file.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(frames(file).boxed())
}

fn frames(file: File) -> impl stream::Stream<Item = std::io::Result<Frame<Bytes>>> + Send {
    stream::try_unfold((file, 0), |(mut file, sent)| async move {
        let mut piece = bytes::BytesMut::with_capacity(PIECE_BYTES);
        let count = file.read_buf(&mut piece).await? as u64;
        if count == 0 {
            return Ok(None);
        }
        if sent / PROGRESS_BYTES != (sent + count) / PROGRESS_BYTES {
            // Progress that nobody can see changes nothing.
            let _ = say(&format!("{} MiB sent", (sent + count) >> 20));
        }
        Ok(Some((Frame::data(piece.freeze()), (file, sent + count))))
    })
}

/// The lines of an answer.
struct Lines {
    body: Incoming,
    read: Vec<u8>,
}

impl Lines {
    const fn of(body: Incoming) -> Self {
        Self {
            body,
            read: Vec::new(),
        }
    }

    async fn next(&mut self) -> Result<Option<Report>> {
        let mut looked = 0;
        loop {
            if let Some(end) = memchr_newline(&self.read[looked..]) {
                let line: Vec<u8> = self.read.drain(..=looked + end).collect();
                let report = serde_json::from_slice(&line);
                return Ok(Some(
                    report.context("the server's answer is not one of an import")?,
                ));
            }
            looked = self.read.len();
            ensure!(
                looked <= LINE_BYTES_MAX,
                "the server's answer has a line without end"
            );
            let Some(frame) = self.body.frame().await else {
                ensure!(self.read.is_empty(), "the server broke its answer off");
                return Ok(None);
            };
            let frame = frame.context("the server broke its answer off")?;
            if let Ok(piece) = frame.into_data() {
                self.read.extend_from_slice(&piece);
            }
        }
    }
}

fn memchr_newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}
