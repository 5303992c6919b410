//! Somebody who does everything right while others do not: their messages still come, and the log holds no content.

use anyhow::{Context, Result, ensure};
use klokke_tests::{
    client::Client,
    http,
    server::{Server, Settings},
    token,
};
use serde_json::json;

/// Stands in every payload, name and token of these cases, and must stand in no log line.
pub(crate) const SECRET_WORD: &str = "hemmeligtord";

/// A server with somebody well-behaved on it.
pub(crate) struct Witness {
    pub(crate) server: Server,
    client: Client,
}

impl Witness {
    pub(crate) fn start(settings: Settings) -> Result<Self> {
        Self::on(settings.start()?)
    }

    pub(crate) fn on(server: Server) -> Result<Self> {
        let mut client = Client::connect(server.address(), &token::of("vidne"))?;
        client.must("subscribe", &json!({"channel": "open:witness"}))?;
        Ok(Self { server, client })
    }

    /// Runs what goes wrong; then this metric must have grown, the witness must be well, and the log must be clean.
    pub(crate) fn sees(
        &mut self,
        metric: &str,
        labels: &[&str],
        wrong: impl FnOnce(&Server) -> Result<()>,
    ) -> Result<()> {
        let before = http::metric(self.server.address(), metric, labels)?;
        wrong(&self.server)?;
        // Threads count each for themselves and are read when somebody looks, so the count is there at once.
        let after = http::metric(self.server.address(), metric, labels)?;
        ensure!(
            after > before,
            "{metric}{labels:?} did not count it ({before} before, {after} after)"
        );
        self.is_well()
    }

    /// The witness still says and hears what it should, on the connection it has had all the time.
    pub(crate) fn is_well(&mut self) -> Result<()> {
        let text = format!("{SECRET_WORD} of the witness");
        self.client
            .must("publish", &json!({"channel": "open:witness", "data": text}))
            .context("the witness was disturbed")?;
        let push = self
            .client
            .push("open:witness")
            .context("the witness was disturbed")?;
        ensure!(
            push["pub"]["data"] == text.as_str(),
            "the witness heard {push}"
        );
        let log = self.server.log();
        ensure!(
            !log.contains(SECRET_WORD),
            "content stands in the log:\n{log}"
        );
        ensure!(!log.contains("panicked"), "the server panicked:\n{log}");
        Ok(())
    }
}

/// A witness on a server with the usual configuration.
pub(crate) fn usual() -> Result<Witness> {
    Witness::start(Settings::new())
}
