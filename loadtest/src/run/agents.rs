//! The agents of a run: started here or joined from elsewhere, told what to do, listened to.

use std::io::BufReader;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::control::{FromAgent, ToAgent, VERSION, hear, say};
use crate::procfs::unix_us;

/// How long agents may take to come and to get ready: reading a large population takes most of it.
const READY_WITHIN: Duration = Duration::from_secs(180);

/// How long who joins may take to say who they are.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// Exchanges by which another machine's clock is found.
const CLOCK_ROUNDS: usize = 8;

/// What was heard of an agent.
pub(super) enum Heard {
    /// It said something.
    Said(FromAgent),
    /// Its connection ended.
    Gone,
}

struct Agent {
    out: TcpStream,
    sockets_max: u64,
    /// How far its clock is ahead of ours, in microseconds.
    ahead_us: i64,
}

/// All agents of a run.
pub(super) struct Agents {
    all: Vec<Agent>,
    children: Vec<Child>,
    heard: Receiver<(usize, Heard)>,
}

impl Agents {
    /// Starts `own` agents here, waits for `foreign` ones, and gets to know them.
    pub(super) fn gather(
        listen: &str,
        own: u32,
        foreign: u32,
        token_secret_file: &Path,
    ) -> Result<Self> {
        let listener =
            TcpListener::bind(listen).with_context(|| format!("agents cannot join at {listen}"))?;
        let address = listener.local_addr()?;
        let program =
            std::env::current_exe().context("this program cannot find itself to start agents")?;
        let mut children = Vec::new();
        for _ in 0..own {
            let mut command = Command::new(&program);
            command
                .args(["agent", "--join", &address.to_string()])
                .arg("--token-secret-file")
                .arg(token_secret_file)
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            children.push(command.spawn().context("an agent could not be started")?);
        }
        if foreign > 0 {
            super::progress::note(&format!(
                "waiting for {foreign} agent(s): klokke-load agent --join {address} --token-secret-file …"
            ));
        }
        let (tell, heard) = channel();
        let mut agents = Self {
            all: Vec::new(),
            children,
            heard,
        };
        listener.set_nonblocking(true)?;
        let deadline = Instant::now() + READY_WITHIN;
        while agents.all.len() < (own + foreign) as usize {
            match listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = agents.welcome(stream, &tell) {
                        super::progress::note(&format!(
                            "somebody joined who cannot take part: {error:#}"
                        ));
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    ensure!(
                        Instant::now() < deadline,
                        "{} of {} agents came in time",
                        agents.all.len(),
                        own + foreign
                    );
                    agents.must_live()?;
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(error).context("agents cannot join"),
            }
        }
        Ok(agents)
    }

    fn must_live(&mut self) -> Result<()> {
        for child in &mut self.children {
            if let Some(status) = child.try_wait()? {
                bail!("an agent ended before it began ({status})");
            }
        }
        Ok(())
    }

    fn welcome(&mut self, stream: TcpStream, tell: &Sender<(usize, Heard)>) -> Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        let mut from = BufReader::with_capacity(1 << 16, stream.try_clone()?);
        // Whoever connects and says nothing must not hold up the run.
        stream.set_read_timeout(Some(HELLO_WITHIN))?;
        let hello = hear::<FromAgent>(&mut from).context("what joined is no agent")?;
        let Some(FromAgent::Hello {
            version,
            sockets_max,
            pid: _,
        }) = hello
        else {
            bail!("what joined is no agent");
        };
        ensure!(
            version == VERSION,
            "an agent speaks version {version}, this coordinator {VERSION}; use the same klokke-load"
        );
        let mut out = stream;
        let ahead_us = clock_of(&mut out, &mut from)?;
        out.set_read_timeout(None)?;
        let nth = self.all.len();
        self.all.push(Agent {
            out,
            sockets_max,
            ahead_us,
        });
        let tell = tell.clone();
        std::thread::spawn(move || {
            while let Ok(Some(said)) = hear(&mut from) {
                if tell.send((nth, Heard::Said(said))).is_err() {
                    return;
                }
            }
            let _ = tell.send((nth, Heard::Gone)); // The run may be over.
        });
        Ok(())
    }

    pub(super) const fn count(&self) -> usize {
        self.all.len()
    }

    /// Connections that the `nth` agent can hold.
    pub(super) fn sockets_max(&self, nth: usize) -> u64 {
        self.all.get(nth).map_or(0, |agent| agent.sockets_max)
    }

    /// Says something to one.
    pub(super) fn tell(&mut self, nth: usize, message: &ToAgent) -> Result<()> {
        let agent = self.all.get_mut(nth).context("there is no such agent")?;
        say(message, &mut agent.out).with_context(|| format!("agent {nth} is gone"))
    }

    /// Says something to all.
    pub(super) fn tell_all(&mut self, message: impl Fn() -> ToAgent) -> Result<()> {
        (0..self.all.len()).try_for_each(|nth| self.tell(nth, &message()))
    }

    /// Lets all begin at the same moment, by each one's own clock.
    pub(super) fn start(&mut self, ahead: Duration) -> Result<Instant> {
        let epoch_us = unix_us() + i64::try_from(ahead.as_micros()).unwrap_or(0);
        for nth in 0..self.all.len() {
            let epoch_us = epoch_us + self.all[nth].ahead_us;
            self.tell(nth, &ToAgent::Start { epoch_us })?;
        }
        Ok(Instant::now() + ahead)
    }

    /// The next thing heard within a time.
    pub(super) fn listen(&self, within: Duration) -> Result<Option<(usize, Heard)>> {
        match self.heard.recv_timeout(within) {
            Ok(heard) => Ok(Some(heard)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("no agent is left"),
        }
    }

    /// One answer of each, in order; whatever else is heard goes to `other`.
    pub(super) fn answers<T>(
        &self,
        within: Duration,
        mut wanted: impl FnMut(FromAgent) -> std::result::Result<T, FromAgent>,
        mut other: impl FnMut(FromAgent),
    ) -> Result<Vec<T>> {
        let deadline = Instant::now() + within;
        let mut answers: Vec<Option<T>> = self.all.iter().map(|_| None).collect();
        while answers.iter().any(Option::is_none) {
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "agents did not answer in time");
            match self.listen(left)? {
                Some((nth, Heard::Gone)) => bail!("agent {nth} died"),
                Some((nth, Heard::Said(FromAgent::Failed { why }))) => bail!("agent {nth}: {why}"),
                Some((nth, Heard::Said(said))) => match wanted(said) {
                    Ok(answer) => answers[nth] = Some(answer),
                    Err(said) => other(said),
                },
                None => {}
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// All ready, as they say it themselves.
    pub(super) fn ready(&self) -> Result<Vec<(String, [u64; 4])>> {
        self.answers(
            READY_WITHIN,
            |said| match said {
                FromAgent::Ready {
                    digest,
                    taking_part,
                } => Ok((digest, taking_part)),
                other => Err(other),
            },
            |_| {},
        )
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        for agent in &mut self.all {
            let _ = say(&ToAgent::End, &mut agent.out); // Who is gone need not be told.
        }
        let deadline = Instant::now() + Duration::from_secs(2);
        for child in &mut self.children {
            while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill(); // It has ended by itself as a rule.
            let _ = child.wait();
        }
    }
}

fn clock_of(out: &mut TcpStream, from: &mut BufReader<TcpStream>) -> Result<i64> {
    let mut best: Option<(i64, i64)> = None;
    for _ in 0..CLOCK_ROUNDS {
        let asked_us = unix_us();
        say(&ToAgent::Clock, out)?;
        let Some(FromAgent::Clock { now_us }) = hear(from)? else {
            bail!("an agent does not know the time");
        };
        let answered_us = unix_us();
        let took_us = answered_us - asked_us;
        if best.is_none_or(|(took, _)| took_us < took) {
            best = Some((took_us, now_us - (asked_us + took_us / 2)));
        }
    }
    // On one machine the clocks are one; what was measured is the way of the message.
    let (took_us, ahead_us) = best.unwrap_or_default();
    Ok(if ahead_us.abs() <= took_us {
        0
    } else {
        ahead_us
    })
}
