//! The server as this run's own child: started, killed without warning, started again, ended.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::target::Address;

/// How long a server may take until it listens: a large store is read first.
const UP_WITHIN: Duration = Duration::from_secs(120);

/// A server that this run started.
pub(super) struct Server {
    command: String,
    child: Child,
}

impl Server {
    /// Starts it, and waits until it listens.
    pub(super) fn start(command: &str, address: &Address) -> Result<Self> {
        let mut server = Self {
            child: spawn(command)?,
            command: command.to_owned(),
        };
        server.wait(address)?;
        Ok(server)
    }

    /// Kills it without warning and starts it again at once; does not wait.
    pub(super) fn kill_and_start(&mut self) -> Result<()> {
        self.child
            .kill()
            .context("the server could not be killed")?;
        self.child
            .wait()
            .context("the server could not be waited for")?;
        self.child = spawn(&self.command)?;
        Ok(())
    }

    fn wait(&mut self, address: &Address) -> Result<()> {
        let deadline = Instant::now() + UP_WITHIN;
        while !answers(address) {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at once ({status}): {}", self.command);
            }
            if Instant::now() > deadline {
                bail!(
                    "the server does not listen at {}:{} after {UP_WITHIN:?}",
                    address.host,
                    address.port
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It may have ended by itself.
        let _ = self.child.wait();
    }
}

fn spawn(command: &str) -> Result<Child> {
    // `exec`, so that the process killed is the server and not a shell before it.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("exec {command}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    shell
        .spawn()
        .with_context(|| format!("cannot start the server: {command}"))
}

/// Whether something listens there.
pub(super) fn answers(address: &Address) -> bool {
    let found = (address.host.as_str(), address.port).to_socket_addrs();
    found.is_ok_and(|mut all| {
        all.any(|one| TcpStream::connect_timeout(&one, Duration::from_secs(2)).is_ok())
    })
}
