//! What the Autobahn suite's cases 1 to 10 test, asked of the real server by a raw client, one named case each.
//!
//! The suite expects an echo server. Klokke speaks a protocol, so a case watches the same behaviour through it: a published
//! text comes back byte for byte on the publisher's own subscription, a refusal is a reply, a broken rule is a close code.
//! Autobahn's numbers stand in the names, so that each case can be looked up.

mod closing;
mod fragments;
mod framing;
mod limits;
mod peer;
mod pings;
mod reserved;
mod utf8;

use std::{process::ExitCode, sync::Arc};

use anyhow::Result;
use klokke_tests::server::{Server, Settings};
use libtest_mimic::{Arguments, Failed, Trial};

/// The servers that the cases talk to.
struct Servers {
    /// With the default limits.
    usual: Server,
    /// With room for the largest messages.
    roomy: Server,
}

/// A table of cases.
struct Cases {
    servers: Arc<Servers>,
    trials: Vec<Trial>,
}

impl Cases {
    /// A case against the usual server.
    fn add(
        &mut self,
        name: impl Into<String>,
        case: impl Fn(&Server) -> Result<()> + Send + 'static,
    ) {
        let servers = Arc::clone(&self.servers);
        self.push(name.into(), move || case(&servers.usual));
    }

    /// A case against the server with large limits.
    fn add_roomy(
        &mut self,
        name: impl Into<String>,
        case: impl Fn(&Server) -> Result<()> + Send + 'static,
    ) {
        let servers = Arc::clone(&self.servers);
        self.push(name.into(), move || case(&servers.roomy));
    }

    fn push(&mut self, name: String, case: impl Fn() -> Result<()> + Send + 'static) {
        self.trials.push(Trial::test(name, move || {
            case().map_err(|error| Failed::from(format!("{error:#}")))
        }));
    }
}

#[allow(clippy::print_stderr)] // A test runner: what went wrong goes to the terminal.
fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let servers = match start() {
        Ok(servers) => Arc::new(servers),
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut cases = Cases {
        servers,
        trials: Vec::new(),
    };
    framing::add(&mut cases);
    pings::add(&mut cases);
    reserved::add(&mut cases);
    fragments::add(&mut cases);
    utf8::add(&mut cases);
    closing::add(&mut cases);
    limits::add(&mut cases);
    libtest_mimic::run(&arguments, cases.trials).exit_code()
}

fn start() -> Result<Servers> {
    const ROOM: &str = "67108864";
    // The cases open hundreds of connections at once; nothing here is about admission.
    let quiet = Settings::new().set("client.ping_interval", "1h");
    Ok(Servers {
        usual: quiet.clone().start()?,
        roomy: quiet
            .set("transport.message_size_limit_bytes", ROOM)
            .set("client.queue_max_size_bytes", ROOM)
            .start()?,
    })
}
