//! The real server as a child process: started on a free port with a folder of its own, stopped by its process id.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// How long a start may take; a start after a crash reads the whole store first.
const START_MAX: Duration = Duration::from_secs(60);
/// How long a polite stop may take before it counts as hanging.
const STOP_MAX: Duration = Duration::from_secs(60);

/// How a server is started.
#[derive(Clone, Default)]
pub struct Settings {
    set: Vec<(String, String)>,
    extra: String,
    file_handles: Option<u32>,
}

impl Settings {
    /// The configuration of `tests/real-parts.toml` as it is.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Overrides one key, as `--set` does.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        self.set.push((key.to_owned(), value.into()));
        self
    }

    /// Adds sections to the configuration file.
    #[must_use]
    pub fn with(mut self, toml: &str) -> Self {
        self.extra.push_str(toml);
        self
    }

    /// Limits the file handles that it may have.
    #[must_use]
    pub fn file_handles(mut self, most: u32) -> Self {
        self.file_handles = Some(most);
        self
    }

    /// Starts a server.
    ///
    /// # Errors
    /// When it does not come up; what it logged is part of the error.
    pub fn start(self) -> Result<Server> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let text = include_str!("../real-parts.toml").to_owned() + "\n" + &self.extra;
        fs::write(folder.path().join("klokke.toml"), text)?;
        let running = Running::start(folder.path(), &self, "127.0.0.1:0")?;
        Ok(Server {
            settings: self,
            address: running.address,
            running: Some(running),
            folder,
        })
    }
}

/// A server process and its folder. Dropping it kills the process.
pub struct Server {
    settings: Settings,
    address: SocketAddr,
    running: Option<Running>,
    folder: TempDir,
}

impl Server {
    /// Where it listens; the same over restarts.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder of its store.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("klokke.toml")
    }

    /// Everything it has written to its log since its (last) start.
    #[must_use]
    pub fn log(&self) -> String {
        self.running.as_ref().map_or_else(String::new, Running::log)
    }

    /// Imports a file of people into its store, as the command line does. For a server that is not running. Says whether
    /// that was accepted, and what was printed.
    ///
    /// # Errors
    /// When the command cannot be run.
    pub fn import(&self, people: &str) -> Result<(bool, String)> {
        let file = self.folder.path().join("people.jsonl");
        fs::write(&file, people)?;
        let ran = command()?
            .arg("import")
            .arg("--config")
            .arg(self.config())
            .arg("--set")
            .arg(format!("store.path={}", self.data().display()))
            .arg("--apply")
            .arg(&file)
            .output()?;
        let said = [ran.stdout, ran.stderr].concat();
        Ok((
            ran.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        ))
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// SIGKILL: no goodbye, nothing flushed.
    ///
    /// # Errors
    /// When it was not running.
    pub fn kill(&mut self) -> Result<()> {
        let mut running = self.running.take().context("the server is not running")?;
        running.child.kill()?;
        running.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// When it was not running or does not end in time.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.last_words().map(|(status, _)| status)
    }

    /// Waits for its end, which somebody else has begun.
    ///
    /// # Errors
    /// When it was not running or does not end in time.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let running = self.running.take().context("the server is not running")?;
        running.end().map(|(status, _)| status)
    }

    /// SIGTERM, without waiting for anything.
    ///
    /// # Errors
    /// When it was not running.
    pub fn tell_to_stop(&self) -> Result<()> {
        let running = self.running.as_ref().context("the server is not running")?;
        let pid = running.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        Ok(())
    }

    /// As [`Server::terminate`], with everything it said on standard error.
    ///
    /// # Errors
    /// When it was not running or does not end in time.
    pub fn last_words(&mut self) -> Result<(ExitStatus, String)> {
        self.tell_to_stop()?;
        let running = self.running.take().context("the server is not running")?;
        running.end()
    }

    /// Starts it again on the same address with the same folder.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_again(&mut self) -> Result<()> {
        let address = self.address.to_string();
        self.running = Some(Running::start(
            self.folder.path(),
            &self.settings,
            &address,
        )?);
        Ok(())
    }
}

/// One life of the process.
struct Running {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(folder: &Path, settings: &Settings, listen: &str) -> Result<Self> {
        let data = folder.join("data");
        let mut command = command()?;
        command
            .arg("serve")
            .arg("--config")
            .arg(folder.join("klokke.toml"));
        command.arg("--set").arg(format!("listen.address={listen}"));
        command
            .arg("--set")
            .arg(format!("store.path={}", data.display()));
        for (key, value) in &settings.set {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        if let Some(most) = settings.file_handles {
            command = limited(&command, most);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start the server")?;
        let log = Arc::new(Mutex::new(String::new()));
        let (ready, wait) = mpsc::channel();
        watch(child.stdout.take(), Arc::clone(&log), ready.clone());
        watch(child.stderr.take(), Arc::clone(&log), ready);
        let address = wait.recv_timeout(START_MAX);
        let mut running = Self {
            child,
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            log,
        };
        match address {
            Ok(address) => {
                running.address = address;
                Ok(running)
            }
            Err(_) => {
                let ended = running.child.try_wait()?;
                bail!(
                    "the server did not say that it is ready (ended: {ended:?}); it said:\n{}",
                    running.log()
                )
            }
        }
    }

    /// Waits for its end; with everything it said.
    fn end(mut self) -> Result<(ExitStatus, String)> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok((status, self.log()));
            }
            if begun.elapsed() > STOP_MAX {
                bail!("it did not stop; it said:\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self) -> String {
        self.log
            .lock()
            .map_or_else(|_| String::new(), |log| log.clone())
    }
}

/// The same command with a limit of file handles. Its variables are those that were taken away.
fn limited(command: &Command, most: u32) -> Command {
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("ulimit -n {most} && exec \"$0\" \"$@\""))
        .arg(command.get_program())
        .args(command.get_args());
    for (name, _) in command.get_envs() {
        shell.env_remove(name);
    }
    shell
}

/// The built program, for tests of its command line.
///
/// # Errors
/// When it was not built and named.
pub fn command() -> Result<Command> {
    let program = std::env::var_os("KLOKKE_BIN").context(
        "KLOKKE_BIN does not name the built server: run `cargo xtask test`, or build it and set the variable",
    )?;
    let mut command = Command::new(program);
    // The server takes every variable with this prefix for a setting; those here speak to the tests.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KLOKKE_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// Keeps everything a server says, and reports the address it is ready on.
fn watch(
    output: Option<impl Read + Send + 'static>,
    log: Arc<Mutex<String>>,
    ready: mpsc::Sender<SocketAddr>,
) {
    let Some(output) = output else { return };
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(address) = ready_address(&line) {
                // Nobody waits any more after the first one.
                let _ = ready.send(address);
            }
            if let Ok(mut log) = log.lock() {
                log.push_str(&line);
                log.push('\n');
            }
        }
    });
}

/// `klokke: ready on 127.0.0.1:8000`, in a line that may say more.
fn ready_address(line: &str) -> Option<SocketAddr> {
    let after = line.split_once("ready on ")?.1;
    after
        .split(|c: char| c.is_whitespace() || c == '"' || c == ',')
        .next()?
        .parse()
        .ok()
}
