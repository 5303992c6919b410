//! Writing configurations: the example with every setting, and what is in force.

use std::fmt::Write as _;

use super::Config;
use super::section::Section;

/// The name of the namespace in the example.
const EXAMPLE_NAMESPACE: &str = "news";

/// A file with every setting at its default and what it is for. Committed as
/// `config/klokke.example.toml`; a test keeps that copy equal.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# Klokke: every setting, at its default. Made by `klokke config example`.\n\
         #\n\
         # Each can be given as an environment variable too: KLOKKE_CLIENT_PING_INTERVAL=10s\n\
         # for `ping_interval` in [client], and as --set client.ping_interval=10s.\n",
    );
    for (path, section) in Config::default().sections() {
        write_section(&mut text, path, section, Help::Shown);
    }
    text.push_str(
        "\n# Namespaces: channels whose name begins with `news:` follow [namespace.news], with the\n\
         # keys of [channel.without_namespace]. As many as needed.\n",
    );
    let _ = writeln!(text, "# [namespace.{EXAMPLE_NAMESPACE}]");
    text.push_str("# history_size = 100\n# history_ttl = \"48h\"\n# force_recovery = true\n");
    text.push_str("# allow_subscribe_for_client = true\n");
    text
}

/// What is in force, secrets redacted.
#[must_use]
pub fn print(config: &Config) -> String {
    let mut text = String::new();
    for (path, section) in config.sections() {
        write_section(&mut text, path, section, Help::Left);
    }
    for (name, namespace) in &config.namespaces {
        // A name with a dot must be quoted, or it would be two tables.
        let path = if name.contains('.') {
            format!("namespace.\"{name}\"")
        } else {
            format!("namespace.{name}")
        };
        write_section(&mut text, &path, namespace, Help::Left);
    }
    text.trim_start().to_owned()
}

#[derive(Clone, Copy, PartialEq)]
enum Help {
    Shown,
    Left,
}

fn write_section(text: &mut String, path: &str, section: &dyn Section, help: Help) {
    let comment = |text: &mut String, lines: &[&str]| {
        if help == Help::Shown {
            for line in lines {
                let _ = writeln!(text, "#{line}");
            }
        }
    };
    text.push('\n');
    comment(text, section.help());
    let _ = writeln!(text, "[{path}]");
    for (field, value) in section.fields().iter().zip(section.values()) {
        if help == Help::Shown {
            text.push('\n');
        }
        comment(text, field.help);
        let _ = writeln!(text, "{} = {value}", field.key);
    }
}
