//! Running other programs: their output is shown as it comes and kept for the summary.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail};

/// A program to run, with what to say when it fails.
pub(crate) struct Program {
    command: Command,
    shown: String,
}

/// What a program said and whether it ended well.
pub(crate) struct Said {
    /// Every line of both outputs; lines of one output are in order.
    pub(crate) lines: Vec<String>,
    /// Whether it ended with code 0.
    pub(crate) ok: bool,
}

impl Program {
    /// A program found on the path, run in a folder.
    pub(crate) fn new(name: impl AsRef<OsStr>, folder: &Path) -> Self {
        let name = name.as_ref();
        let mut command = Command::new(name);
        command.current_dir(folder).stdin(Stdio::null());
        Self {
            shown: Path::new(name)
                .file_name()
                .unwrap_or(name)
                .to_string_lossy()
                .into_owned(),
            command,
        }
    }

    /// Adds arguments.
    pub(crate) fn arguments<S: AsRef<OsStr>>(
        mut self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        for argument in arguments {
            self.shown.push(' ');
            self.shown.push_str(&argument.as_ref().to_string_lossy());
            self.command.arg(argument);
        }
        self
    }

    /// Sets an environment variable.
    pub(crate) fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it, shows its output line by line, and hands back what it said.
    pub(crate) fn run(mut self) -> Result<Said> {
        println!("  $ {}", self.shown);
        let mut child = self
            .command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start `{}`", self.shown))?;
        let errors = child.stderr.take().context("no error output")?;
        let errors = thread::spawn(move || show(errors));
        let mut lines = show(child.stdout.take().context("no output")?);
        lines.extend(errors.join().unwrap_or_default());
        let ok = child.wait()?.success();
        Ok(Said { lines, ok })
    }

    /// Runs it; an error when it does not end well.
    pub(crate) fn must(self) -> Result<Said> {
        let shown = self.shown.clone();
        let said = self.run()?;
        if !said.ok {
            bail!("`{shown}` failed; its output is above");
        }
        Ok(said)
    }

    /// Hands the terminal over to it until it ends.
    pub(crate) fn hand_over(mut self) -> Result<()> {
        println!("  $ {}", self.shown);
        let status = self
            .command
            .stdin(Stdio::inherit())
            .status()
            .with_context(|| format!("start `{}`", self.shown))?;
        if !status.success() {
            bail!("`{}` ended with {status}", self.shown);
        }
        Ok(())
    }
}

/// Whether a program is there at all.
pub(crate) fn exists(name: &str) -> bool {
    Command::new(name)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}

fn show(output: impl Read) -> Vec<String> {
    let mut lines = Vec::new();
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line)
            .trim_end_matches('\r')
            .to_owned();
        println!("    {line}");
        lines.push(line);
    }
    lines
}
