//! The servers as this run's own children, where it was given their commands: started, killed, stopped, rolled and started again; and the
//! commands that a scenario runs beside them.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::scenario::{Event, Happening};
use crate::target::Address;

/// How long a server may take until it listens: a large store is read first.
const UP_WITHIN: Duration = Duration::from_secs(120);

/// All servers that people connect to, and those of them that this run started.
pub(super) struct Servers {
    addresses: Vec<Address>,
    own: Vec<Server>,
    /// Commands of the scenario that have not ended yet.
    commands: Vec<(String, Child)>,
}

/// A server that this run started.
struct Server {
    command: String,
    child: Child,
    /// It was asked to end, and is started again when it has.
    is_rolling: bool,
    /// It stands still until then.
    stands_until: Option<Instant>,
}

impl Servers {
    /// Starts those whose command is given, each to listen at the address of the same place, and waits until all listen.
    pub(super) fn start(addresses: Vec<Address>, commands: &[String]) -> Result<Self> {
        let mut servers = Self {
            addresses,
            own: Vec::new(),
            commands: Vec::new(),
        };
        for command in commands {
            servers.own.push(Server {
                child: spawn(command)?,
                command: command.clone(),
                is_rolling: false,
                stands_until: None,
            });
        }
        for nth in 0..servers.addresses.len() {
            servers.wait(nth)?;
        }
        Ok(servers)
    }

    fn wait(&mut self, nth: usize) -> Result<()> {
        let (address, own) = (&self.addresses[nth], self.own.get_mut(nth));
        let (host, port) = (&address.host, address.port);
        let Some(server) = own else {
            ensure!(
                answers(address),
                "no server answers at {host}:{port}; start it, or give its command with --serve"
            );
            return Ok(());
        };
        let deadline = Instant::now() + UP_WITHIN;
        while !answers(address) {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended at once ({status}): {}", server.command);
            }
            ensure!(
                Instant::now() < deadline,
                "the server does not listen at {host}:{port} after {UP_WITHIN:?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn name(&self, nth: usize) -> String {
        if self.addresses.len() > 1 {
            format!("server {}", nth + 1)
        } else {
            "server".to_owned()
        }
    }

    /// Lets something happen; does not wait for what comes of it. Gives what to note.
    pub(super) fn happen(&mut self, event: &Event) -> Result<String> {
        let nth = event.server - 1;
        let name = self.name(nth);
        let own = self.own.get_mut(nth);
        let own = own.with_context(|| format!("{name} is not this run's own: give its --serve"));
        Ok(match &event.what {
            Happening::KillServer => {
                own?.kill_and_start()?;
                format!("{name} killed, and started again")
            }
            Happening::PauseServer => {
                let lasts = event.lasts.context("a pause lasts some time")?;
                own?.pause(lasts)?;
                format!("{name} stands still for {} s", lasts.as_secs())
            }
            Happening::RollServer => {
                let server = own?;
                signal(&server.child, "-TERM")?;
                server.is_rolling = true;
                format!("{name} asked to leave, to be started again")
            }
            Happening::Run => {
                let command = event.command.clone().unwrap_or_default();
                let child = spawn(&command)?;
                let said = format!("run: {command}");
                self.commands.push((command, child));
                said
            }
        })
    }

    /// Goes on with what was begun: starts again who has left, lets go on who stood long enough. Gives what to note.
    pub(super) fn go_on(&mut self) -> Result<Vec<String>> {
        let mut said = Vec::new();
        let names: Vec<String> = (0..self.own.len()).map(|nth| self.name(nth)).collect();
        for (name, server) in names.iter().zip(&mut self.own) {
            if server
                .stands_until
                .is_some_and(|until| until <= Instant::now())
            {
                server.stands_until = None;
                signal(&server.child, "-CONT")?;
                said.push(format!("{name} goes on"));
            }
            if server.is_rolling
                && let Some(status) = server.child.try_wait()?
            {
                server.is_rolling = false;
                server.child = spawn(&server.command)?;
                said.push(format!(
                    "{name} left ({}), and is started again",
                    ended(status)
                ));
            }
        }
        let mut left = Vec::new();
        for (command, mut child) in self.commands.drain(..) {
            match child.try_wait()? {
                Some(status) if status.success() => {}
                Some(status) => said.push(format!("failed ({}): {command}", ended(status))),
                None => left.push((command, child)),
            }
        }
        self.commands = left;
        Ok(said)
    }
}

impl Server {
    fn kill_and_start(&mut self) -> Result<()> {
        self.child
            .kill()
            .context("the server could not be killed")?;
        self.child
            .wait()
            .context("the server could not be waited for")?;
        self.child = spawn(&self.command)?;
        (self.is_rolling, self.stands_until) = (false, None);
        Ok(())
    }

    fn pause(&mut self, lasts: Duration) -> Result<()> {
        signal(&self.child, "-STOP")?;
        self.stands_until = Some(Instant::now() + lasts);
        Ok(())
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let servers = self.own.iter_mut().map(|server| &mut server.child);
        let commands = self.commands.iter_mut().map(|(_, child)| child);
        for child in servers.chain(commands) {
            let _ = child.kill(); // It may have ended by itself.
            let _ = child.wait();
        }
    }
}

fn ended(status: ExitStatus) -> String {
    status
        .code()
        .map_or_else(|| "killed".to_owned(), |code| format!("exit code {code}"))
}

fn signal(child: &Child, name: &str) -> Result<()> {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .context("cannot send a signal to the server")?;
    ensure!(sent.success(), "the server is not there to be sent {name}");
    Ok(())
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
        .with_context(|| format!("cannot start: {command}"))
}

/// Whether something listens there.
fn answers(address: &Address) -> bool {
    let found = (address.host.as_str(), address.port).to_socket_addrs();
    found.is_ok_and(|mut all| {
        all.any(|one| TcpStream::connect_timeout(&one, Duration::from_secs(2)).is_ok())
    })
}
