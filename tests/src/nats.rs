//! A real NATS server, on a port of its own. `cargo xtask` starts its own with the same code.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

/// How long a start may take.
const START_MAX: Duration = Duration::from_secs(30);

/// A server. Dropping it kills it.
pub struct Nats {
    program: PathBuf,
    address: SocketAddr,
    child: Option<Child>,
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Nats {
    /// Starts the one that `KLOKKE_NATS` names.
    ///
    /// # Errors
    /// When it names none, or it does not come up.
    pub fn start() -> Result<Self> {
        let program = std::env::var_os("KLOKKE_NATS").context(
            "KLOKKE_NATS does not name the program: run `cargo xtask test --only cluster`",
        )?;
        Self::of(Path::new(&program))
    }

    /// Starts a program.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn of(program: &Path) -> Result<Self> {
        let probe = TcpListener::bind("127.0.0.1:0")?;
        let address = probe.local_addr()?;
        drop(probe);
        let mut nats = Self {
            program: program.to_owned(),
            address,
            child: None,
        };
        nats.start_again()?;
        Ok(nats)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill(); // Already gone is as good as killed.
            let _ = child.wait();
        }
    }

    /// Starts it again at the same port.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_again(&mut self) -> Result<()> {
        let child = Command::new(&self.program)
            .args(["--addr", &self.address.ip().to_string()])
            .args(["--port", &self.address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start NATS")?;
        self.child = Some(child);
        let deadline = Instant::now() + START_MAX;
        while TcpStream::connect(self.address).is_err() {
            ensure!(Instant::now() < deadline, "NATS does not come up");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}
