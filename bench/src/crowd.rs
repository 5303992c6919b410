//! Subscribers by the ten thousand: more than one process may have open, so in processes of their own, which are told by lines on their
//! input and answer by lines on their output.

use std::{
    io::{BufRead, BufReader, Read, Write, stdin},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::{servers::Running, wire::Audience};

const READY: &str = "ready";
const COUNTING: &str = "counting";
const REACHED: &str = "reached";

/// What such a process is told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The server.
    #[arg(long)]
    address: SocketAddr,
    /// Subscribers.
    #[arg(long)]
    size: usize,
    /// What they subscribe to.
    #[arg(long)]
    channel: String,
}

/// Gathers them; then, for each line that comes, says when it begins to count, and when each has had one publication. Ends with its input.
#[allow(clippy::print_stdout)] // How it answers.
pub(crate) async fn hold(arguments: &Arguments) -> Result<()> {
    let server = Running::at(arguments.address);
    let audience = Audience::gather(&server, arguments.size, &arguments.channel).await?;
    println!("{READY}");
    let mut lines = lines(stdin());
    while lines.recv().await.is_some() {
        audience.start_counting();
        println!("{COUNTING}");
        audience.reached(arguments.size).await?;
        println!("{REACHED}");
    }
    Ok(())
}

/// Lines as they come, read on a thread.
fn lines(from: impl Read + Send + 'static) -> UnboundedReceiver<String> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        let all = BufReader::new(from).lines().map_while(Result::ok);
        for line in all {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// One such process, from the outside. Dropping it ends it.
pub(crate) struct Crowd {
    child: Child,
    input: ChildStdin,
    output: UnboundedReceiver<String>,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Crowd {
    /// Lets so many subscribe; [`Crowd::ready`] tells when they have.
    pub(crate) fn gather(server: &Running, size: usize, channel: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("crowd")
            .args(["--address", &server.address.to_string()])
            .args(["--size", &size.to_string()])
            .args(["--channel", channel])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().context("no input")?;
        let output = child.stdout.take().context("no output")?;
        Ok(Self {
            child,
            input,
            output: lines(output),
        })
    }

    async fn says(&mut self, wanted: &str) -> Result<()> {
        let said = self.output.recv().await;
        let said = said.context("the subscribers' process ended")?;
        ensure!(said == wanted, "it said {said:?}, not {wanted:?}");
        Ok(())
    }

    pub(crate) async fn ready(&mut self) -> Result<()> {
        self.says(READY).await
    }

    /// Counts from now on.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        self.input.write_all(b"\n")?;
        self.says(COUNTING).await
    }

    /// When each has had one.
    pub(crate) async fn reached(&mut self) -> Result<()> {
        self.says(REACHED).await
    }
}
