//! The command line: what can be asked for, and how it is called.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::people::import::PlanDigest;

/// Klokke, a real-time messaging server for schools and daycares.
///
/// Exit codes: 0 done; 1 it failed, and a sentence says why; 2 the command line is wrong; 3 what is stored is damaged.
#[derive(Debug, Parser)]
#[command(name = "klokke", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Where settings come from, the later overriding the earlier: defaults, file, environment (`KLOKKE_...`), `--set`.
#[derive(Debug, Clone, Default, Args)]
pub struct Settings {
    /// The configuration file (TOML).
    #[arg(long, short, env = "KLOKKE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One setting, such as `client.ping_interval=10s`; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Serve until told to stop.
    Serve(Settings),
    /// Serve an invented municipality to try things on, and print tokens and a page.
    Dev(Dev),
    /// Check, print or show an example of the configuration.
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Make a connection token.
    Token(Token),
    /// Send everybody on a running node to the others and end it, as SIGTERM does: waits until it is gone, and says how far it is.
    Drain(Drain),
    /// Import master data (JSON Lines), into a running server or a store that no server has open; shows what would
    /// change first.
    Import(Import),
    /// Look at the ledgers of a store: of one on a cluster at any time, of a folder that no server has open.
    #[command(subcommand)]
    Ledger(LedgerVerb),
    /// Prepare a store on a cluster, or copy ledgers from one store to another.
    #[command(subcommand)]
    Store(StoreVerb),
}

/// `klokke dev`.
#[derive(Debug, Args)]
pub struct Dev {
    /// Where the invented municipality is kept; made when it is not there.
    #[arg(long, default_value = "target/dev-data", value_name = "FOLDER")]
    pub data: PathBuf,
    /// A built page to serve at `/`.
    #[arg(long, value_name = "FOLDER")]
    pub web: Option<PathBuf>,
    /// Port to listen on; another free one is taken when it is in use.
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// Number that the municipality is invented from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Further settings.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// `klokke config ...`.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Say whether the configuration is right, with every mistake.
    Check(Settings),
    /// Print the configuration in force, secrets left out.
    Print(Settings),
    /// Print every setting with its help and default.
    Example,
}

/// `klokke token`.
#[derive(Debug, Args)]
pub struct Token {
    /// Where settings come from.
    #[command(flatten)]
    pub settings: Settings,
    /// The user.
    #[arg(long, default_value = "")]
    pub user: String,
    /// How long it is good for, in seconds; 0 for ever.
    #[arg(long, default_value_t = 3600)]
    pub ttl: u64,
    /// Assurance level (2 low, 3 substantial, 4 high), as if authenticated just now.
    #[arg(long)]
    pub loa: Option<u8>,
    /// Makes a subscription token for this channel.
    #[arg(long)]
    pub channel: Option<String>,
}

/// `klokke drain`.
#[derive(Debug, Args)]
pub struct Drain {
    /// Where the node answers, not the balancer before it (`http://127.0.0.1:8000`).
    #[arg(long, value_name = "URL")]
    pub server: http::Uri,
    /// File with a key of the server's API.
    #[arg(long, value_name = "FILE")]
    pub api_key_file: PathBuf,
    /// How long to wait for its end, in seconds; longer than its `drain.notice` and `drain.timeout`.
    #[arg(long, default_value_t = 900, value_name = "SECONDS")]
    pub wait: u64,
}

/// `klokke import`.
#[derive(Debug, Args)]
pub struct Import {
    /// Where settings come from.
    #[command(flatten)]
    pub settings: Settings,
    /// The files, taken one after the other; `-` reads standard input.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Apply what is shown.
    #[arg(long)]
    pub apply: bool,
    /// Apply only the plan with this digest, as an earlier run has shown it; refused if anything changed since. For one file.
    #[arg(long, requires = "apply", value_name = "DIGEST")]
    pub plan: Option<PlanDigest>,
    /// Apply also when a large part of a unit would end.
    #[arg(long)]
    pub allow_mass_end: bool,
    /// Go over what somebody of a unit set, which is kept otherwise: an id as the diff shows it, or `all`; may be given
    /// several times.
    #[arg(long, value_name = "ID")]
    pub override_local: Vec<String>,
    /// Print the diff as JSON, one object a line.
    #[arg(long)]
    pub json: bool,
    /// List every id, however many there are.
    #[arg(long)]
    pub ids: bool,
    /// Import into the server that runs at this address (`http://127.0.0.1:8000`), without stopping it.
    #[arg(long, value_name = "URL", requires = "api_key_file")]
    pub server: Option<http::Uri>,
    /// File with a key of the server's API.
    #[arg(long, value_name = "FILE", requires = "server")]
    pub api_key_file: Option<PathBuf>,
}

/// `klokke store ...`.
#[derive(Debug, Subcommand)]
pub enum StoreVerb {
    /// Make the keyspace and the tables on the cluster, or bring them to this version. Safe to run twice, and from two nodes.
    Migrate(Settings),
    /// Copy ledgers between the embedded store and the cluster of one configuration, and read every copied commit back. Can
    /// be stopped and run again; exit code 1 when a ledger was not copied.
    Copy(Copy),
}

/// `klokke store copy`.
#[derive(Debug, Args)]
pub struct Copy {
    /// Where settings come from: `store.path` names the folder, `[store.scylla]` the cluster.
    #[command(flatten)]
    pub settings: Settings,
    /// The store that has the ledgers. A folder must not be open in a server.
    #[arg(long, value_name = "BACKEND")]
    pub from: Kind,
    /// The store that gets them.
    #[arg(long, value_name = "BACKEND")]
    pub to: Kind,
    /// Only the units of this municipality.
    #[arg(long, value_name = "UNIT")]
    pub municipality: Option<String>,
}

/// A kind of store, as `store.backend` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A folder on this machine.
    Embedded,
    /// A cluster.
    Scylla,
}

/// `klokke ledger ...`.
#[derive(Debug, Subcommand)]
pub enum LedgerVerb {
    /// Recompute every checksum and hash, and compare everything derived; exit code 3 when damage is found.
    Verify(Verify),
    /// List ledgers, or the commits of one, without content.
    Show(Show),
    /// Write commits as JSON Lines, content included, to standard output; goes on with the next ledger after damage.
    Export(Walk),
}

/// `klokke ledger verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Where settings come from.
    #[command(flatten)]
    pub settings: Settings,
    /// The ledger, such as `G10001`; all of them when left out.
    pub ledger: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `klokke ledger show`.
#[derive(Debug, Args)]
pub struct Show {
    /// Of what.
    #[command(flatten)]
    pub walk: Walk,
    /// Print JSON Lines.
    #[arg(long)]
    pub json: bool,
}

/// Commits of one ledger or of all.
#[derive(Debug, Args)]
pub struct Walk {
    /// Where settings come from.
    #[command(flatten)]
    pub settings: Settings,
    /// The ledger, such as `G10001`; all of them when left out.
    pub ledger: Option<String>,
    /// Commits after this one.
    #[arg(long, default_value_t = 0, requires = "ledger")]
    pub after: u64,
    /// At most this many commits.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true, requires = "ledger")]
    pub limit: u64,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
