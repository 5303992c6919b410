//! `klokke drain`: begins the drain of a running node and waits for its end.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full, Limited};
use serde::Deserialize;
use tokio::time::Instant;

use super::cli::Drain;
use super::remote::{self, RemoteClient};

/// How often the node is asked how far it is.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How often that is said when nothing moves, so that whoever waits knows that it goes on.
const SAY_INTERVAL: Duration = Duration::from_secs(10);
/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Largest answer of `/health`.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Answers that may fail one after the other before the node counts as gone: an attempt meets a full reserve of looks now and then.
const FAILED_MAX: u32 = 3;

/// What `/health` says of a drain.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Draining {
    connections: usize,
}

#[derive(Deserialize)]
struct Health {
    drain: Option<Draining>,
}

/// How the node is, by one look.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// So many connections are left.
    Left(usize),
    /// It answers, and is not being drained: somebody else is there now.
    Another,
    /// It does not answer.
    Nobody,
}

pub(super) async fn run(arguments: &Drain) -> Result<ExitCode> {
    let address = remote::address(&arguments.server)?;
    let key = remote::key(&arguments.api_key_file)?;
    let client: RemoteClient<Full<Bytes>> = remote::client()?;
    let begin = Request::post(format!("{address}/api/drain"))
        .header("x-api-key", &key)
        .body(Full::default())?;
    let answer = tokio::time::timeout(ANSWER_MAX, client.request(begin)).await;
    let answer = answer.ok().context("the server does not answer in time")?;
    let answer = answer.context("the server does not answer")?;
    match answer.status().as_u16() {
        200 => {}
        401 => bail!("the server does not know this API key"),
        404 => bail!(
            "the server has no door for this: it is older than `klokke drain`, send it SIGTERM"
        ),
        503 => say("the node is being drained already")?,
        other => bail!("the server answers with status {other}"),
    }
    wait(&client, &address, Duration::from_secs(arguments.wait)).await
}

/// Waits until nobody answers, and says how far it is.
async fn wait(
    client: &RemoteClient<Full<Bytes>>,
    address: &str,
    most: Duration,
) -> Result<ExitCode> {
    let begun = Instant::now();
    let (mut said, mut said_at, mut failed) = (None, begun, 0);
    loop {
        match look(client, address).await {
            Look::Left(count) => {
                failed = 0;
                if said != Some(count) || said_at.elapsed() >= SAY_INTERVAL {
                    say(&format!("{count} connections left"))?;
                    (said, said_at) = (Some(count), Instant::now());
                }
            }
            Look::Another => {
                say("the node has ended, and another one answers there")?;
                return Ok(ExitCode::SUCCESS);
            }
            Look::Nobody if failed + 1 >= FAILED_MAX => {
                say(&format!(
                    "the node has ended, after {} s",
                    begun.elapsed().as_secs()
                ))?;
                return Ok(ExitCode::SUCCESS);
            }
            Look::Nobody => failed += 1,
        }
        if begun.elapsed() >= most {
            bail!(
                "the node has not ended after {} s; it goes on to drain",
                most.as_secs()
            );
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

async fn look(client: &RemoteClient<Full<Bytes>>, address: &str) -> Look {
    let asked = async {
        let request = Request::get(format!("{address}/health"))
            .body(Full::default())
            .ok()?;
        let answer = client.request(request).await.ok()?;
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .ok()?;
        Some(body.to_bytes())
    };
    let answer = tokio::time::timeout(ANSWER_MAX, asked).await;
    answer
        .ok()
        .flatten()
        .map_or(Look::Nobody, |body| read(&body))
}

/// What an answer says. What cannot be read is said by somebody who is not there to answer, such as a full reserve.
fn read(body: &[u8]) -> Look {
    match serde_json::from_slice(body) {
        Ok(Health { drain: Some(drain) }) => Look::Left(drain.connections),
        Ok(Health { drain: None }) => Look::Another,
        Err(_) => Look::Nobody,
    }
}

fn say(what: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_far_it_is() {
        let rows = [
            (
                r#"{"status":"failing","drain":{"connections":3}}"#,
                Look::Left(3),
            ),
            (r#"{"status":"ok","reasons":[]}"#, Look::Another),
            ("no more connections are taken", Look::Nobody),
        ];
        for (body, expected) in rows {
            assert_eq!(read(body.as_bytes()), expected, "{body}");
        }
    }
}
