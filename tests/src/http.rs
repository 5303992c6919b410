//! One HTTP/1.1 request at a time, written by hand: enough for the server API, REST and metrics.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The key of `tests/real-parts.toml`.
pub const API_KEY: &str = "the back end's key";
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head, as it came, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }
}

/// Sends a request with any headers and reads the whole answer.
///
/// # Errors
/// When the server does not answer.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).context("read the answer")?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> Result<Answer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .context("an answer without an end of its head")?;
    let status = head
        .get(9..12)
        .and_then(|code| code.parse().ok())
        .context("no status")?;
    let head = head.to_lowercase();
    let body = if head.contains("transfer-encoding: chunked") {
        unchunked(body)?
    } else {
        body.to_owned()
    };
    Ok(Answer { status, head, body })
}

fn unchunked(mut rest: &str) -> Result<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").context("a chunk without a size")?;
        let size = usize::from_str_radix(size.trim(), 16)?;
        if size == 0 {
            return Ok(body);
        }
        body.push_str(after.get(..size).context("a chunk cut short")?);
        rest = after.get(size + 2..).context("a chunk without an end")?;
    }
}

/// A call of the server API; the `result`, or an error that holds the whole answer.
///
/// # Errors
/// When the server does not answer 200 with a result.
pub fn api(address: SocketAddr, method: &str, body: &Value) -> Result<Value> {
    let path = format!("/api/{method}");
    let headers = [("X-API-Key", API_KEY), ("Content-Type", "application/json")];
    let answer = request(address, "POST", &path, &headers, &body.to_string())?;
    ensure!(
        answer.status == 200,
        "{method} answered {}: {}",
        answer.status,
        answer.body
    );
    let mut json = answer.json()?;
    ensure!(json.get("error").is_none(), "{method} answered {json}");
    Ok(json["result"].take())
}

/// The sum of a metric's samples whose line holds all the given label parts; 0 when there is none.
///
/// # Errors
/// When the server does not show its metrics.
pub fn metric(address: SocketAddr, name: &str, labels: &[&str]) -> Result<f64> {
    let answer = request(address, "GET", "/metrics", &[], "")?;
    ensure!(answer.status == 200, "/metrics answered {}", answer.status);
    let of_name = answer.body.lines().filter(|line| {
        line.strip_prefix(name)
            .is_some_and(|after| after.starts_with(['{', ' ']))
    });
    let samples = of_name
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(samples.sum())
}
