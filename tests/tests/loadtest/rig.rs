//! A municipality in a store of its own, and the load tester let loose on the server that serves it.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use klokke_tests::{http, server};
use serde_json::Value;
use tempfile::TempDir;

/// The secret of `tests/real-parts.toml`.
const SECRET: &str = "a secret that only the tests know";

/// What a run told.
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    /// Standard output and error.
    pub(crate) text: String,
    /// The result, or null where there is none.
    pub(crate) result: Value,
    /// The report.
    pub(crate) html: String,
}

/// A folder with configuration, people and store.
pub(crate) struct Rig {
    folder: TempDir,
    people: PathBuf,
    tester: PathBuf,
}

impl Rig {
    /// Invents a municipality and imports it.
    pub(crate) fn new() -> Result<Self> {
        let tester = program("KLOKKE_LOAD_BIN")?;
        let folder = tempfile::tempdir()?;
        let all = folder.path().join("country");
        let made = Command::new(&tester)
            .args(["people", "--scale", "1/60", "--out"])
            .arg(&all)
            .output()?;
        ensure!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let people = folder.path().join("people");
        fs::create_dir(&people)?;
        let mut files: Vec<_> = all.read_dir()?.flatten().map(|it| it.path()).collect();
        files.sort();
        let municipality = files.first().context("a municipality")?;
        fs::copy(municipality, people.join("m.jsonl"))?;
        fs::write(
            folder.path().join("klokke.toml"),
            include_str!("../../real-parts.toml"),
        )?;
        fs::write(folder.path().join("secret"), SECRET)?;
        let rig = Self {
            folder,
            people,
            tester,
        };
        let imported = server::command()?
            .args(["import", "--apply", "--config"])
            .arg(rig.path("klokke.toml"))
            .args([
                "--set",
                &format!("store.path={}", rig.path("data").display()),
            ])
            .arg(rig.people.join("m.jsonl"))
            .output()?;
        ensure!(
            imported.status.success(),
            "{}",
            String::from_utf8_lossy(&imported.stderr)
        );
        Ok(rig)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command that serves a folder's store at a port, with some environment.
    fn serve(&self, program: &Path, data: &str, port: u16, environment: &str) -> String {
        format!(
            "env {environment} {} serve --config {} --set store.path={} --set listen.address=127.0.0.1:{port}",
            program.display(),
            self.path("klokke.toml").display(),
            self.path(data).display()
        )
    }

    fn command(
        &self,
        scenario: &str,
        serve: Option<&str>,
        port: u16,
        more: &[&str],
    ) -> Result<Command> {
        let file = self.path("scenario.toml");
        fs::write(&file, scenario)?;
        let mut command = Command::new(&self.tester);
        let has = |name: &str| more.contains(&name);
        command
            .arg("run")
            .arg(&file)
            .arg("--out")
            .arg(self.path("results"));
        if !has("--people") {
            command.arg("--people").arg(&self.people);
        }
        if !has("--server") {
            command.args(["--server", &format!("ws://127.0.0.1:{port}")]);
        }
        if !has("--token-secret-file") {
            command.arg("--token-secret-file").arg(self.path("secret"));
        }
        if let Some(serve) = serve.filter(|_| !has("--serve")) {
            command.args(["--serve", serve]);
        }
        // `--serve ""` says that there is none.
        let mut at = 0;
        while at < more.len() {
            if more[at] == "--serve" && more.get(at + 1) == Some(&"") {
                at += 2;
            } else {
                command.arg(more[at]);
                at += 1;
            }
        }
        without_settings(&mut command);
        Ok(command)
    }

    fn told(&self, mut command: Command) -> Result<Told> {
        let _ = fs::remove_dir_all(self.path("results")); // There may be none yet.
        let ran = command.stdin(Stdio::null()).output()?;
        let text = [ran.stdout, ran.stderr].concat();
        self.kept(ran.status.code(), &text)
    }

    fn kept(&self, code: Option<i32>, text: &[u8]) -> Result<Told> {
        let mut told = Told {
            code,
            text: String::from_utf8_lossy(text).into_owned(),
            result: Value::Null,
            html: String::new(),
        };
        for entry in self
            .path("results")
            .read_dir()
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            match path.extension().and_then(|it| it.to_str()) {
                Some("json") => told.result = serde_json::from_slice(&fs::read(path)?)?,
                Some("html") => told.html = fs::read_to_string(path)?,
                _ => {}
            }
        }
        Ok(told)
    }

    /// Runs a scenario against the built server.
    pub(crate) fn run(&self, scenario: &str, more: &[&str], environment: &[&str]) -> Result<Told> {
        let port = free_port()?;
        let serve = self.serve(
            &program("KLOKKE_BIN")?,
            "data",
            port,
            &environment.join(" "),
        );
        self.told(self.command(scenario, Some(&serve), port, more)?)
    }

    /// Runs it against the server that breaks its promises in one way.
    pub(crate) fn run_broken(&self, scenario: &str, way: &str) -> Result<Told> {
        let port = free_port()?;
        let environment = format!("KLOKKE_BROKEN={way}");
        let serve = self.serve(&program("KLOKKE_BROKEN_BIN")?, "data", port, &environment);
        self.told(self.command(scenario, Some(&serve), port, &[])?)
    }

    /// Signs the tokens with another secret.
    pub(crate) fn run_with_secret(&self, scenario: &str, secret: &str) -> Result<Told> {
        let file = self.path("another-secret");
        fs::write(&file, secret)?;
        let file = file.display().to_string();
        self.run(scenario, &["--token-secret-file", &file], &[])
    }

    /// Runs against a server with an empty store.
    pub(crate) fn run_without_import(&self, scenario: &str) -> Result<Told> {
        let port = free_port()?;
        let serve = self.serve(&program("KLOKKE_BIN")?, "empty", port, "");
        self.told(self.command(scenario, Some(&serve), port, &[])?)
    }

    /// Lets the tester open only so many files.
    pub(crate) fn run_with_descriptors(&self, scenario: &str, most: u32) -> Result<Told> {
        let port = free_port()?;
        let serve = self.serve(&program("KLOKKE_BIN")?, "data", port, "");
        // The server keeps its own limit: only the tester's agents are held down.
        let inner = self.command(
            scenario,
            Some(&format!("sh -c 'ulimit -n 4000; exec {serve}'")),
            port,
            &["--agents", "1"],
        )?;
        let mut words: Vec<String> = vec![quoted(inner.get_program().to_string_lossy().as_ref())];
        words.extend(
            inner
                .get_args()
                .map(|it| quoted(it.to_string_lossy().as_ref())),
        );
        let mut limited = Command::new("sh");
        limited.args([
            "-c",
            &format!("ulimit -S -n {most}; exec {}", words.join(" ")),
        ]);
        without_settings(&mut limited);
        self.told(limited)
    }

    /// Runs over TLS, trusting the server's certificate or another; also gives what the server counted.
    pub(crate) fn run_over_tls(&self, scenario: &str, trusted: bool) -> Result<(Told, String)> {
        let certificate = || rcgen::generate_simple_self_signed(vec!["localhost".into()]);
        let made = certificate()?;
        fs::write(self.path("key.pem"), made.signing_key.serialize_pem())?;
        fs::write(self.path("certificate.pem"), made.cert.pem())?;
        fs::write(self.path("another.pem"), certificate()?.cert.pem())?;
        let port = free_port()?;
        let file = |name: &str| self.path(name).display().to_string();
        let mut server = server::Settings::new()
            .set("listen.tls_address", format!("127.0.0.1:{port}"))
            .set("listen.tls_certificate", file("certificate.pem"))
            .set("listen.tls_key", file("key.pem"))
            .start()?;
        server.terminate()?;
        let (imported, said) = server.import(&fs::read_to_string(self.people.join("m.jsonl"))?)?;
        ensure!(imported, "{said}");
        server.start_again()?;
        let url = format!("wss://localhost:{port}");
        let metrics = format!("http://{}/metrics", server.address());
        let authority = file(if trusted {
            "certificate.pem"
        } else {
            "another.pem"
        });
        let more = [
            "--server",
            &url,
            "--metrics",
            &metrics,
            "--tls-ca",
            &authority,
        ];
        let told = self.told(self.command(scenario, None, port, &more)?)?;
        let counted = http::request(server.address(), "GET", "/metrics", &[], "")?;
        Ok((told, counted.body))
    }

    /// Runs with one agent of its own and one that joins.
    pub(crate) fn run_with_foreign_agent(&self, scenario: &str) -> Result<Told> {
        let port = free_port()?;
        let control = format!("127.0.0.1:{}", free_port()?);
        let serve = self.serve(&program("KLOKKE_BIN")?, "data", port, "");
        let more = ["--agents", "1", "--expect", "1", "--listen", &control];
        let (mut run, lines) = self.begin(&self.command(scenario, Some(&serve), port, &more)?)?;
        let mut agent = None;
        let mut text = String::new();
        for line in lines {
            if line.contains("waiting for 1 agent") {
                let mut command = Command::new(&self.tester);
                command
                    .args(["agent", "--join", &control, "--people"])
                    .arg(&self.people)
                    .arg("--token-secret-file")
                    .arg(self.path("secret"));
                agent = Some(command.spawn()?);
            }
            text.push_str(&line);
            text.push('\n');
        }
        let code = run.wait()?.code();
        let mut agent = agent.context("the coordinator did not say that it waits")?;
        ensure!(agent.wait()?.success(), "the agent that joined failed");
        self.kept(code, text.as_bytes())
    }

    /// Kills the agent when the run is under way.
    pub(crate) fn run_and_kill_agent(&self, scenario: &str) -> Result<Told> {
        let port = free_port()?;
        let serve = self.serve(&program("KLOKKE_BIN")?, "data", port, "");
        let long = scenario.replace("9s", "40s");
        let (mut run, lines) = self.begin(&self.command(&long, Some(&serve), port, &[])?)?;
        let mut text = String::new();
        for line in lines {
            // A line of progress: people are online.
            if line.contains("online")
                && let Some(agent) = agent_of(run.id())?
            {
                let killed = Command::new("kill")
                    .args(["-9", &agent.to_string()])
                    .status()?;
                ensure!(killed.success(), "the agent could not be killed");
            }
            text.push_str(&line);
            text.push('\n');
        }
        let code = run.wait()?.code();
        self.kept(code, text.as_bytes())
    }

    /// Starts a run whose standard error is read line by line; its standard output comes to the same place.
    fn begin(&self, command: &Command) -> Result<(Child, impl Iterator<Item = String> + use<>)> {
        let _ = fs::remove_dir_all(self.path("results")); // There may be none yet.
        let mut words = vec![quoted(command.get_program().to_string_lossy().as_ref())];
        words.extend(
            command
                .get_args()
                .map(|it| quoted(it.to_string_lossy().as_ref())),
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {} 1>&2", words.join(" "))]);
        without_settings(&mut shell);
        let mut child = shell.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let out = child.stderr.take().context("standard error")?;
        Ok((
            child,
            BufReader::new(out)
                .lines()
                .map_while(std::result::Result::ok),
        ))
    }
}

/// The server takes every variable with this prefix for a setting; those here speak to the tests.
fn without_settings(command: &mut Command) {
    let all = env::vars_os().map(|(name, _)| name);
    for name in all.filter(|name| name.to_string_lossy().starts_with("KLOKKE_")) {
        command.env_remove(name);
    }
}

/// The process of the agent that a run started.
fn agent_of(run: u32) -> Result<Option<u32>> {
    let children = fs::read_to_string(format!("/proc/{run}/task/{run}/children"))?;
    let is_agent = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|word| word == b"agent")
    };
    Ok(children
        .split_whitespace()
        .filter_map(|it| it.parse().ok())
        .find(is_agent))
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn program(variable: &str) -> Result<PathBuf> {
    let path = env::var_os(variable).with_context(|| {
        format!("{variable} does not name a built program: run `cargo xtask test --only loadtest`, which builds it")
    })?;
    Ok(PathBuf::from(path))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
