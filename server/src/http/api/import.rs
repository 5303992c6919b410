//! `POST /api/import`: master data into the running server. The body is a file of JSON Lines, streamed; the answer is the
//! diff, or, for a plan that was shown before, its application.
//!
//! - Without parameters: the diff, one JSON object a line, last `{"plan": ..}` with the plan's digest. Nothing changes.
//! - `?plan=DIGEST` with the same file: applies it if the same people would still change in the same way (409
//!   otherwise), and says how far it has come, last `{"done": ..}` or `{"error": ..}`.
//! - `allow_mass_end=true`, and `override_local=ID` as often as needed, mean what they mean on the command line.
//!
//! The server keeps nothing between the two. Reading, comparing and writing have a thread of their own; the shard that
//! holds the connection only passes bytes. An upload that breaks off is an error, never a short file.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use bytes::{Buf as _, Bytes};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use klokke_protocol::ErrorCode;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::domain::Door;
use crate::http::Edge;
use crate::ledger::Actor;
use crate::people::day::day_at;
use crate::people::import::{
    self, FILE_BYTES_MAX, Failed, Override, Plan, PlanDigest, PlanError, ReadError, Report,
};
use crate::telemetry::catalogue;

/// How long the client may send nothing before the upload counts as broken off.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Pieces of the upload, or of the answer, under way between the shard and the import's thread. Pieces are some 16 KiB.
const PIECES: usize = 16;
/// From how many bytes on lines of the answer are sent together.
const PIECE_BYTES: usize = 16 * 1024;

/// One import at a time: it holds a whole file in memory, and two could not promise each other that nothing changes.
pub(in crate::http) struct Importing(Arc<Semaphore>);

impl Default for Importing {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// What the query asks.
#[derive(Debug, Default)]
struct Asked {
    plan: Option<PlanDigest>,
    allow_mass_end: bool,
    over: Override,
}

impl Asked {
    fn read(query: Option<&str>) -> Result<Self, Refused> {
        let bad = |why: &str| Refused::bad(StatusCode::BAD_REQUEST, why);
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query.unwrap_or_default())
            .map_err(|_| bad("the query cannot be read"))?;
        let mut asked = Self::default();
        let mut over = Vec::new();
        for (name, value) in pairs {
            match name.as_str() {
                "plan" => {
                    let digest = value
                        .parse()
                        .map_err(|_| bad("`plan` is no digest of a plan"))?;
                    asked.plan = Some(digest);
                }
                "allow_mass_end" => {
                    asked.allow_mass_end = value
                        .parse()
                        .map_err(|_| bad("`allow_mass_end` is true or false"))?;
                }
                "override_local" => over.push(value),
                // The guard's.
                "api_key" => {}
                _ => {
                    return Err(bad(
                        "the query has a parameter that an import does not know",
                    ));
                }
            }
        }
        asked.over = Override::of(over);
        Ok(asked)
    }
}

/// Why nothing was changed.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    failed: Failed,
}

impl Refused {
    fn of(status: StatusCode, code: ErrorCode, message: String) -> Self {
        let failed = Failed {
            code: code.number(),
            message,
            line: None,
        };
        Self { status, failed }
    }

    fn bad(status: StatusCode, message: &str) -> Self {
        Self::of(status, ErrorCode::BAD_REQUEST, message.to_owned())
    }

    fn internal() -> Self {
        let text = ErrorCode::INTERNAL.text().to_owned();
        Self::of(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::INTERNAL, text)
    }
}

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Self {
        let status = match &error {
            ReadError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        let mut refused = Self::bad(status, &error.to_string());
        if let ReadError::Line { line, .. } = error {
            refused.failed.line = Some(line);
        }
        refused
    }
}

impl From<PlanError> for Refused {
    fn from(error: PlanError) -> Self {
        let text = error.to_string();
        match error {
            PlanError::LoginTaken { line, .. } => {
                let mut refused = Self::bad(StatusCode::BAD_REQUEST, &text);
                refused.failed.line = Some(line);
                refused
            }
            PlanError::MassEnd(_) => Self::bad(StatusCode::CONFLICT, &text),
            _ => Self::of(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::INTERNAL, text),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = Report::Error(self.failed).to_line();
        (self.status, lines(), body).into_response()
    }
}

fn lines() -> [(http::HeaderName, HeaderValue); 1] {
    [(CONTENT_TYPE, HeaderValue::from_static("application/jsonl"))]
}

/// `POST /api/import`.
pub(super) async fn import(
    State(edge): State<Edge>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Response {
    let started = Instant::now();
    let outcome = begin(&edge, query.as_deref(), body).await;
    let spread = edge
        .meters
        .histogram(catalogue::API_COMMAND_SECONDS, &["http", "import"]);
    spread.observe_duration(started.elapsed());
    outcome.unwrap_or_else(|refused| {
        let code = refused.failed.code.to_string();
        edge.meters
            .count(catalogue::API_COMMAND_ERRORS, &["http", "import", &code]);
        refused.into_response()
    })
}

async fn begin(edge: &Edge, query: Option<&str>, body: Body) -> Result<Response, Refused> {
    let asked = Asked::read(query)?;
    let permit = Arc::clone(&edge.importing.0)
        .try_acquire_owned()
        .map_err(|_| {
            let why = "another import is under way; come again when it is done".to_owned();
            Refused::of(
                StatusCode::TOO_MANY_REQUESTS,
                ErrorCode::TOO_MANY_REQUESTS,
                why,
            )
        })?;
    let (feed, upload) = mpsc::channel(PIECES);
    let (say, said) = mpsc::channel(PIECES);
    let (verdict, planned) = oneshot::channel();
    let work = Work {
        edge: edge.clone(),
        asked,
        runtime: Handle::current(),
        say,
    };
    tokio::task::spawn_blocking(move || work.run(Upload::new(upload), verdict, permit));
    send_on(body, feed).await?;
    planned.await.map_err(|_| Refused::internal())??;
    let pieces = stream::unfold(said, |mut said| async move {
        let piece: Bytes = said.recv().await?;
        Some((Ok::<_, io::Error>(piece), said))
    });
    Ok((lines(), Body::from_stream(pieces)).into_response())
}

/// Passes the body to the import's thread. When that has seen enough, the rest is read and dropped: a client that is still
/// sending would not see an answer.
async fn send_on(mut body: Body, feed: mpsc::Sender<Option<Bytes>>) -> Result<(), Refused> {
    let broken = || {
        Refused::bad(
            StatusCode::BAD_REQUEST,
            "the upload broke off; nothing was changed",
        )
    };
    let mut bytes = 0;
    loop {
        let frame = tokio::time::timeout(SILENCE_MAX, body.frame()).await;
        let Some(frame) = frame.map_err(|_| broken())? else {
            // It has an end only if this is said.
            let _ = feed.send(None).await;
            return Ok(());
        };
        let Ok(piece) = frame.map_err(|_| broken())?.into_data() else {
            continue;
        };
        bytes += piece.len() as u64;
        if bytes > FILE_BYTES_MAX {
            return Err(ReadError::TooLarge.into());
        }
        // Whoever reads may have seen a wrong line.
        let _ = feed.send(Some(piece)).await;
    }
}

/// What the import's own thread does.
struct Work {
    edge: Edge,
    asked: Asked,
    runtime: Handle,
    say: mpsc::Sender<Bytes>,
}

impl Work {
    /// Whoever hears the last word may come with the next import at once, so the place is given back before it is said.
    fn run(
        self,
        upload: Upload,
        verdict: oneshot::Sender<Result<(), Refused>>,
        permit: OwnedSemaphorePermit,
    ) {
        let plan = match self.plan(upload) {
            Ok(plan) => plan,
            Err(refused) => {
                drop(permit);
                // The client may be gone, and then nobody wants to know.
                let _ = verdict.send(Err(refused));
                return;
            }
        };
        // Who is gone after this point is gone while a diff is shown, or while it is applied, which goes on.
        let _ = verdict.send(Ok(()));
        let last = match self.asked.plan {
            None => self.show(&plan),
            Some(_) => self.apply(plan),
        };
        drop(permit);
        let _ = self.say.blocking_send(last.into());
    }

    /// The plan of the file; for one that is to be applied, only if it may be.
    fn plan(&self, upload: Upload) -> Result<Plan, Refused> {
        let wanted = import::read(upload, |_| {})?;
        let today = day_at(self.edge.clock.now_ms());
        let ledgers = self.edge.domain.ledgers();
        let plan = import::plan(ledgers, wanted, today, &self.asked.over);
        let plan = self.runtime.block_on(plan)?;
        if self.asked.plan.is_some_and(|shown| shown != plan.digest) {
            let why = "this is not the plan that was shown: the file or the people of its units changed since";
            return Err(Refused::bad(StatusCode::CONFLICT, why));
        }
        if self.asked.plan.is_some() && !self.asked.allow_mass_end {
            plan.check_ends(self.edge.limits.import_ended_percent)?;
        }
        Ok(plan)
    }

    /// Shows the units; gives what is said last.
    fn show(&self, plan: &Plan) -> Vec<u8> {
        let mut piece = Vec::with_capacity(2 * PIECE_BYTES);
        for unit in plan.reports() {
            piece.extend(Report::Unit(unit).to_line());
            if piece.len() > PIECE_BYTES
                && self
                    .say
                    .blocking_send(std::mem::take(&mut piece).into())
                    .is_err()
            {
                break;
            }
        }
        let summary = plan.summary(self.edge.limits.import_ended_percent);
        piece.extend(Report::Plan(summary).to_line());
        piece
    }

    /// Applies the plan; gives what is said last.
    fn apply(&self, plan: Plan) -> Vec<u8> {
        let units = plan.units.len();
        let actor = Actor {
            door: Door::Api.as_str().into(),
            ..Actor::default()
        };
        let progress = |at| {
            // A client that reads slowly sees fewer of these, and holds nothing up.
            let _ = self.say.try_send(Report::Progress(at).to_line().into());
        };
        let applied = import::apply(self.edge.domain.ledgers(), plan, actor, progress);
        let last = match self.runtime.block_on(applied) {
            Ok(records) => {
                tracing::info!(units, records, "master data was imported");
                Report::Done { records }
            }
            Err(error) => {
                let cause: &dyn std::error::Error = &error.source;
                tracing::error!(%error, cause, "an import stopped half way");
                Report::Error(Failed {
                    code: ErrorCode::INTERNAL.number(),
                    message: format!("{error}: {}", error.source),
                    line: None,
                })
            }
        };
        last.to_line()
    }
}

/// The upload as a file to read; blocks until more comes.
struct Upload {
    pieces: mpsc::Receiver<Option<Bytes>>,
    piece: Bytes,
    ended: bool,
}

impl Upload {
    fn new(pieces: mpsc::Receiver<Option<Bytes>>) -> Self {
        Self {
            pieces,
            piece: Bytes::new(),
            ended: false,
        }
    }
}

impl BufRead for Upload {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Some(piece)) => self.piece = piece,
                Some(None) => self.ended = true,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, amount: usize) {
        self.piece.advance(amount);
    }
}

impl Read for Upload {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
