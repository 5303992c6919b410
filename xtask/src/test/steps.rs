//! The steps of `cargo xtask test`, in their order.
//!
//! Real-part tests find the server through `KLOKKE_BIN`; that and the other variables set here are the whole interface
//! between this command and the suites, so that each suite also runs by hand.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Counts, Outcome, Step, Workshop};
use crate::{
    bench, cassandra, dashboards,
    house::House,
    process::{Program, exists},
    setup, tidy,
};

/// The crate whose integration tests need the built server.
const REAL_PARTS: &str = "klokke-tests";

/// The suite that needs a cluster, which the step for that gives it.
const ON_CASSANDRA: &str = "cassandra";

/// The suite that needs the load tester too, and a server that is broken on purpose.
const LOAD_TESTER: &str = "loadtest";
/// The test that gives each example to the program that reads it.
const EXAMPLES: &str = "examples";
/// The test of several nodes, which needs what lies under and between them.
const CLUSTER: &str = "cluster";

/// All steps, the cheap ones first.
pub(crate) fn all(house: &House) -> Result<Vec<Step>> {
    let (unit, real) = test_targets(house)?;
    let mut steps = vec![
        Step::new("fmt", "the code is formatted", |workshop| {
            cargo(workshop, &["fmt", "--all", "--", "--check"]).must()?;
            Ok(Outcome::Held)
        }),
        Step::new("tidy", "the house rules hold", |workshop| {
            tidy::run(workshop.house)?;
            Ok(Outcome::Held)
        }),
        Step::new(
            "deny",
            "licences, sources and versions of dependencies",
            deny,
        ),
        Step::new("clippy", "no lint complains", |workshop| {
            let arguments = [
                "clippy",
                "--quiet",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ];
            cargo(workshop, &arguments).must()?;
            Ok(Outcome::Held)
        }),
        Step::new(
            "unit",
            "unit, property and contract tests",
            move |workshop| {
                let mut arguments =
                    vec!["test", "--workspace", "--no-fail-fast", "--lib", "--bins"];
                for target in &unit {
                    arguments.extend(["--test", target]);
                }
                let said = cargo(workshop, &arguments).run()?;
                let counts = Counts::of_cargo(&said.lines).with_exit(said.ok);
                Ok(Outcome::Counted {
                    counts,
                    foreign: false,
                })
            },
        ),
        Step::new(
            "broken",
            "a server that is broken on purpose breaks the way it says",
            broken,
        ),
        Step::new(
            "doc",
            "the documentation builds, its examples and links hold",
            |workshop| {
                cargo(workshop, &["doc", "--quiet", "--workspace", "--no-deps"])
                    .variable("RUSTDOCFLAGS", "-D warnings")
                    .must()?;
                Ok(Outcome::Held)
            },
        ),
    ];
    steps.push(Step::new(
        "cassandra",
        "the store on a cluster, against real Apache Cassandra",
        on_cassandra,
    ));
    let here = real.into_iter().filter(|target| target != ON_CASSANDRA);
    steps.extend(here.map(real_part));
    steps.extend([
        Step::new(
            "sdk-python",
            "the Python SDK, `websockets` and `aioquic`, unmodified",
            sdk_python,
        ),
        Step::new("sdk-go", "the Go SDK, unmodified", sdk_go),
        Step::new(
            "sdk-js",
            "the JavaScript SDK and `ws`, unmodified; the class scenario over three transports",
            sdk_js,
        ),
        Step::new(
            "browser",
            "the demo page in a real browser, two windows; WebTransport",
            browser,
        ),
        Step::new(
            "openapi",
            "schemathesis over the REST description, all checks",
            openapi,
        ),
        Step::new(
            "dashboards",
            "every query and alert against a real Prometheus; rules by promtool",
            on_prometheus,
        ),
        Step::new(
            "bench",
            "the measurements run against every peer (small sizes, no figure is judged)",
            measure,
        ),
    ]);
    Ok(steps)
}

/// The tests of the store on a cluster, which `unit` counts as ignored, and a whole server on it: on one real node that asks
/// for user and password, and speaks TLS.
fn on_cassandra(workshop: &Workshop<'_>) -> Result<Outcome> {
    let server = workshop.server()?;
    let guarded =
        |archives: &Path, folder: &Path| cassandra::Cluster::start_guarded(archives, folder, 1);
    with_cassandra(workshop, guarded, |cluster, nodes| {
        let (user, password) = cassandra::LOGIN;
        let suites: [&[&str]; 2] = [
            &[
                "--workspace",
                "--lib",
                "store::scylla::",
                "--",
                "--ignored",
                "--skip",
                "measure_",
            ],
            &["--workspace", "--test", ON_CASSANDRA],
        ];
        let mut all = Counts::default();
        for suite in suites {
            let said = cargo(workshop, &[&["test"], suite].concat())
                .variable("KLOKKE_CASSANDRA", nodes)
                .variable("KLOKKE_CASSANDRA_LOGIN", format!("{user}:{password}"))
                .variable("KLOKKE_CASSANDRA_AUTHORITY", cluster.authority())
                .variable("KLOKKE_BIN", &server)
                .run()?;
            all.add(Counts::of_cargo(&said.lines).with_exit(said.ok));
        }
        Ok(own(all))
    })
}

/// The bus on a real NATS, then whole nodes on NATS and Cassandra.
fn cluster(workshop: &Workshop<'_>) -> Result<Outcome> {
    let server = workshop.server()?;
    let nats = setup::nats(workshop.house)?;
    let open = |archives: &Path, folder: &Path| {
        cassandra::Cluster::start(archives, folder, 1, cassandra::Life::Short)
    };
    with_cassandra(workshop, open, |_, nodes| {
        let suites: [&[&str]; 2] = [
            &[
                "--workspace",
                "--lib",
                "bus::",
                "--",
                "--ignored",
                // They print stored examples, and check nothing.
                "--skip",
                "print_",
            ],
            // One after the other: each has nodes of its own, and says something of how quickly they find each other.
            &["--workspace", "--test", CLUSTER, "--", "--test-threads=1"],
        ];
        let mut all = Counts::default();
        for suite in suites {
            let said = cargo(workshop, &[&["test"], suite].concat())
                .variable("KLOKKE_CASSANDRA", nodes)
                .variable("KLOKKE_NATS", &nats)
                .variable("KLOKKE_BIN", &server)
                .run()?;
            all.add(Counts::of_cargo(&said.lines).with_exit(said.ok));
        }
        Ok(own(all))
    })
}

const fn own(counts: Counts) -> Outcome {
    Outcome::Counted {
        counts,
        foreign: false,
    }
}

/// Does something with one real node; tells where it is, as the tests take it.
fn with_cassandra(
    workshop: &Workshop<'_>,
    start: impl FnOnce(&Path, &Path) -> Result<cassandra::Cluster>,
    work: impl FnOnce(&cassandra::Cluster, &str) -> Result<Outcome>,
) -> Result<Outcome> {
    let archives = setup::cassandra(workshop.house)?;
    let folder = workshop
        .house
        .target()
        .join(format!("cassandra-{}", std::process::id()));
    println!("  starting Cassandra");
    let outcome = start(&archives, &folder).and_then(|cluster| {
        let nodes = cluster.addresses();
        let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        work(&cluster, &nodes.join(","))
    });
    // The node is gone; what it wrote is nobody's any more. When it cannot be removed, the next `cargo clean` does it.
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

/// The feature that only the checker's test builds with: no other build sees whether it holds.
fn broken(workshop: &Workshop<'_>) -> Result<Outcome> {
    let feature = ["--workspace", "--features", "klokke/broken"];
    let lints = ["clippy", "--quiet", "--all-targets"];
    let strict = ["--", "-D", "warnings"];
    cargo(workshop, &[&lints[..], &feature, &strict].concat()).must()?;
    let tests = ["test", "--lib", "broken"];
    let said = cargo(workshop, &[&tests[..1], &feature, &tests[1..]].concat()).run()?;
    let counts = Counts::of_cargo(&said.lines).with_exit(said.ok);
    Ok(Outcome::Counted {
        counts,
        foreign: false,
    })
}

/// Always of the whole workspace: what is built of one crate alone has other features, and every dependency would be compiled again.
fn cargo(workshop: &Workshop<'_>, arguments: &[&str]) -> Program {
    Program::new("cargo", workshop.house.root()).arguments(arguments)
}

/// The integration tests of the workspace: those that need no server, and those of the real-parts crate.
fn test_targets(house: &House) -> Result<(Vec<String>, Vec<String>)> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(house.root())
        .output()
        .context("ask cargo for the workspace's targets")?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .context("read cargo's description of the workspace")?;
    let mut unit = Vec::new();
    let mut real = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let into = if package["name"] == REAL_PARTS {
            &mut real
        } else {
            &mut unit
        };
        for target in package["targets"].as_array().into_iter().flatten() {
            if target["kind"][0] == "test" {
                into.extend(target["name"].as_str().map(str::to_owned));
            }
        }
    }
    Ok((unit, real))
}

fn deny(workshop: &Workshop<'_>) -> Result<Outcome> {
    if !exists("cargo-deny") {
        return Ok(Outcome::Skipped(
            "cargo-deny is not installed (cargo install cargo-deny)".to_owned(),
        ));
    }
    cargo(workshop, &["deny", "check"]).must()?;
    Ok(Outcome::Held)
}

/// One integration test of the real-parts crate. The whole workspace is named so that no dependency is compiled twice.
fn real_part(target: String) -> Step {
    if target == CLUSTER {
        let what = "several nodes on real Cassandra and NATS, which are killed, frozen and cut off";
        return Step::new(CLUSTER, what, cluster);
    }
    let name = target.replace('_', "-");
    Step::new(
        name,
        format!("tests/tests/{target}.rs against the built server"),
        move |workshop| {
            let server = workshop.server()?;
            let mut suite = cargo(workshop, &["test", "--workspace", "--test", &target])
                .variable("KLOKKE_BIN", server);
            if target == EXAMPLES {
                let prometheus = setup::prometheus(workshop.house)?;
                suite = suite
                    .variable("KLOKKE_NATS", setup::nats(workshop.house)?)
                    .variable("KLOKKE_PROMTOOL", prometheus.join("promtool"));
            }
            if target == LOAD_TESTER {
                suite = suite
                    .variable("KLOKKE_LOAD_BIN", setup::load_tester(workshop.house)?)
                    .variable("KLOKKE_BROKEN_BIN", setup::broken_server(workshop.house)?);
            }
            let said = suite.run()?;
            let counts = Counts::of_cargo(&said.lines).with_exit(said.ok);
            Ok(Outcome::Counted {
                counts,
                foreign: false,
            })
        },
    )
}

fn foreign(counts: Counts) -> Outcome {
    Outcome::Counted {
        counts,
        foreign: true,
    }
}

fn sdk_js(workshop: &Workshop<'_>) -> Result<Outcome> {
    let house = workshop.house;
    let folder = house.path("tests/sdk/js");
    setup::npm(house, "tests/sdk/js")?;
    setup::go(house, "tests/sdk/go")?;
    let member = house.foreign().join("go-member");
    Program::new("go", &house.path("tests/sdk/go"))
        .arguments(["build", "-o"])
        .arguments([&member])
        .arguments(["./member"])
        .must()?;
    let said = Program::new("node", &folder)
        .arguments([
            "--test",
            "--test-reporter=tap",
            "--test-concurrency=1",
            "suite/",
        ])
        .variable("KLOKKE_BIN", workshop.server()?)
        .variable("KLOKKE_PYTHON", setup::python(house)?)
        .variable("KLOKKE_GO_MEMBER", member)
        .run()?;
    Ok(foreign(Counts::of_node(&said.lines).with_exit(said.ok)))
}

fn sdk_python(workshop: &Workshop<'_>) -> Result<Outcome> {
    let python = setup::python(workshop.house)?;
    let said = Program::new(python, &workshop.house.path("tests/sdk/python"))
        .arguments(["-m", "pytest", "-v", "-p", "no:cacheprovider", "suite"])
        .variable("KLOKKE_BIN", workshop.server()?)
        .variable("PYTHONDONTWRITEBYTECODE", "1")
        .run()?;
    Ok(foreign(Counts::of_pytest(&said.lines).with_exit(said.ok)))
}

fn sdk_go(workshop: &Workshop<'_>) -> Result<Outcome> {
    setup::go(workshop.house, "tests/sdk/go")?;
    let said = Program::new("go", &workshop.house.path("tests/sdk/go"))
        .arguments(["test", "-v", "-count=1", "./..."])
        .variable("KLOKKE_BIN", workshop.server()?)
        .run()?;
    Ok(foreign(Counts::of_go(&said.lines).with_exit(said.ok)))
}

/// Makes the dashboards, then runs their queries on a loaded server and injects a fault for each alert.
fn on_prometheus(workshop: &Workshop<'_>) -> Result<Outcome> {
    let house = workshop.house;
    dashboards::run(house, &dashboards::Arguments::default())?;
    let arguments = [
        "--import",
        "tsx",
        "--test",
        "--test-reporter=tap",
        "src/real/step.test.ts",
    ];
    let said = dashboards::node(house, &arguments)?
        .variable("KLOKKE_BIN", workshop.server()?)
        .variable(
            "KLOKKE_PROMETHEUS",
            setup::prometheus(house)?.join("prometheus"),
        )
        .variable("KLOKKE_CHROMIUM", setup::chromium(house)?)
        .variable("KLOKKE_PREVIEWS", house.target().join("dashboards"))
        .run()?;
    Ok(foreign(Counts::of_node(&said.lines).with_exit(said.ok)))
}

/// A shared machine's figures say little, so none is judged; that all of them come is.
fn measure(workshop: &Workshop<'_>) -> Result<Outcome> {
    let server = workshop.server()?;
    bench::driver(workshop.house, &server)?
        .arguments(["--quick", "--complete"])
        .must()?;
    // What is measured of clusters, on a node alone.
    bench::alone(workshop.house)?
        .arguments(["nodes", "--case", "klokke=1", "--seconds", "1"])
        .arguments(["--sockets", "30", "--klokke"])
        .arguments([&server])
        .must()?;
    Ok(Outcome::Held)
}

fn browser(workshop: &Workshop<'_>) -> Result<Outcome> {
    let house = workshop.house;
    setup::npm(house, "tests/sdk/js")?;
    let said = Program::new("node", &house.path("tests/sdk/js"))
        .arguments(["--test", "--test-reporter=tap", "browser/"])
        .variable("KLOKKE_BIN", workshop.server()?)
        .variable("KLOKKE_PAGE", setup::page(house)?)
        .variable("KLOKKE_CHROMIUM", setup::chromium(house)?)
        .variable("KLOKKE_PYTHON", setup::python(house)?)
        .run()?;
    Ok(foreign(Counts::of_node(&said.lines).with_exit(said.ok)))
}

fn openapi(workshop: &Workshop<'_>) -> Result<Outcome> {
    let python = setup::python(workshop.house)?;
    let said = Program::new(python, &workshop.house.path("tests/sdk/python"))
        .arguments([
            "-m",
            "pytest",
            "-v",
            "-s",
            "-p",
            "no:cacheprovider",
            "openapi",
        ])
        .variable("KLOKKE_BIN", workshop.server()?)
        .variable("PYTHONDONTWRITEBYTECODE", "1")
        .run()?;
    Ok(foreign(Counts::of_pytest(&said.lines).with_exit(said.ok)))
}
