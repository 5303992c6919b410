//! What is written is what is meant, and what is wrong is said.

use std::time::Duration;

use super::*;

/// All mistakes of a file, one a line.
fn mistakes(text: &str) -> String {
    match Config::parse(text) {
        Ok(_) => "none".to_owned(),
        Err(mistakes) => mistakes.to_string(),
    }
}

fn with_environment(name: &str, value: &str) -> Result<Config, Mistakes> {
    Sources {
        environment: vec![(name.to_owned(), value.to_owned())],
        ..Sources::default()
    }
    .read()
}

#[test]
fn an_empty_file_gives_the_defaults() {
    assert_eq!(Config::parse(""), Ok(Config::default()));
}

#[test]
fn every_mistake_is_said_with_its_place_and_what_to_write() {
    let table = [
        (
            "[client]\n\npong_timeout = 8\n",
            "configuration:3: `client.pong_timeout` must be a duration such as \"500ms\", \"25s\", \
             \"10m\", \"720h\" or \"30d\"",
        ),
        (
            "[client]\nchanel_limit = 1\n",
            "configuration:2: unknown key `chanel_limit` in [client]; did you mean `channel_limit`?",
        ),
        (
            "[clint]\nchannel_limit = 1\n",
            "configuration:1: unknown section [clint]; did you mean `client`?",
        ),
        (
            "[client.tokens]\nissuer = \"x\"\n",
            "configuration:1: unknown section [client.tokens]; did you mean `client.token`?",
        ),
        (
            "colour = \"red\"\n",
            "configuration:1: `colour` stands outside of any section",
        ),
        (
            "[namespace]\nchat = 1\n",
            "configuration:2: `chat` must be a section: write [namespace.chat]",
        ),
        (
            "[namespace.chat]\nhistory_sise = 10\n",
            "configuration:2: unknown key `history_sise` in [namespace.chat]; did you mean \
             `history_size`?",
        ),
        (
            "[namespace.chat]\nhistory_size = 10\n",
            "[namespace.chat]: `history_size` and `history_ttl` go together: give both or neither",
        ),
        (
            "[namespace.person]\n",
            "the namespace `person` is reserved: the server itself says who sees its channels",
        ),
        (
            "[namespace.x]\n",
            "`x` is no name of a namespace: two or more of a-z, A-Z, 0-9, `-`, `_`, `.`",
        ),
        (
            "[client]\npong_timeout = \"30s\"\n",
            "`client.pong_timeout` must be shorter than `client.ping_interval`",
        ),
        (
            "[listen]\ntls_address = \"0.0.0.0:443\"\n",
            "`listen.tls_address` needs `listen.tls_certificate` and `listen.tls_key`",
        ),
        (
            "[listen]\nquic_address = \"0.0.0.0:443\"\n",
            "`listen.quic_address` needs `listen.tls_certificate` and `listen.tls_key`",
        ),
        (
            "[listen]\naddress = \"localhost\"\n",
            "configuration:2: `listen.address` must be an address with port, such as \
             \"0.0.0.0:8000\", or \"\" for none",
        ),
        (
            "[log]\nformat = \"xml\"\n",
            "configuration:2: `log.format` must be one of \"json\", \"text\"",
        ),
        (
            "[client]\nchannel_limit = -1\n",
            "configuration:2: `client.channel_limit` must be a whole number from 0 to 4294967295",
        ),
        (
            "[client]\nrecovery_max_publication_limit = 0\n",
            "`client.recovery_max_publication_limit` must be from 1 to 100000",
        ),
        (
            "[client.subscribe_to_user_personal_channel]\nenabled = true\npersonal_channel_namespace = \"me\"\n",
            "`client.subscribe_to_user_personal_channel.personal_channel_namespace` is `me`, which is no \
             namespace here",
        ),
        (
            "[client.subscription_token]\nprevious_public_key = \"x\"\n",
            "`client.subscription_token.previous_public_key` needs `previous_public_key_valid_until`: a \
             rotation must end",
        ),
        (
            "[admission]\ntrusted_proxies = [\"10.0.0.0/33\"]\n",
            "configuration:2: `admission.trusted_proxies` must be a list, each item an address or a \
             network such as \"10.0.0.0/8\"",
        ),
        (
            "[admission]\nstaff_share_percent = 60\n",
            "`admission.staff_share_percent`, `guardian_share_percent` and `other_share_percent` must be 100 together, \
             and none of them 0: nobody is kept out for good",
        ),
        (
            "[admission]\nstaff_share_percent = 65\nother_share_percent = 0\n",
            "`admission.staff_share_percent`, `guardian_share_percent` and `other_share_percent` must be 100 together, \
             and none of them 0: nobody is kept out for good",
        ),
        (
            "[admission]\nconnects_at_once_max = 0\n",
            "`admission.connects_at_once_max` must be from 1 to 100000",
        ),
        (
            "[cluster]\nnats = [\"nats://a:4222\"]\n",
            "`cluster.nats` needs `store.backend = \"scylla\"`: nodes that share nothing have nothing to tell",
        ),
        (
            "[store.scylla]\naddress_translation = [\"10.0.0.1:9042\"]\n",
            "`store.scylla.address_translation` takes pairs of addresses, as in \"10.0.0.1:9042=192.0.2.7:9042\"",
        ),
        (
            "[cluster]\nname = \"a.b\"\n",
            "`cluster.name` is `a.b`: it has 1 to 48 of a-z, A-Z, 0-9, `_`, `-`",
        ),
        (
            "[cluster]\ngone_after = \"1s\"\n",
            "`cluster.gone_after` must be at least three times `cluster.hello_interval`",
        ),
        (
            "[cluster]\nuser = \"a\"\ncredentials_file = \"b\"\n",
            "`cluster.user` and `cluster.credentials_file` exclude each other: give one of them",
        ),
        (
            "[admission]\nwait_max = \"10s\"\n",
            "`admission.wait_max` must be shorter than `client.stale_close_delay`",
        ),
        (
            "[admission]\nlag_target = \"0s\"\n",
            "`admission.lag_target` must not be 0: every shard is late now and then",
        ),
        (
            "[channel.without_namespace]\nchannel_regex = \"(\"\n",
            "`channel.without_namespace.channel_regex` is no regular expression: error: unclosed \
             group",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(mistakes(text), expected, "for:\n{text}");
    }
}

#[test]
fn a_file_that_is_no_toml_names_the_line() {
    let said = mistakes("[client]\nping_interval = \n");
    assert!(said.starts_with("configuration:2: "), "{said}");
}

#[test]
fn all_mistakes_are_said_at_once() {
    let said = mistakes("[client]\na = 1\n[node]\nb = 2\n[log]\nlevel = 3\n");
    assert_eq!(said.lines().count(), 3, "{said}");
}

#[test]
fn later_sources_win() {
    let config = Sources {
        file: Some((
            "klokke.toml".to_owned(),
            "[client]\nping_interval = \"20s\"\npong_timeout = \"5s\"\nchannel_limit = 7\n"
                .to_owned(),
        )),
        environment: vec![
            ("KLOKKE_CLIENT_PING_INTERVAL".to_owned(), "30s".to_owned()),
            ("KLOKKE_CLIENT_PONG_TIMEOUT".to_owned(), "6s".to_owned()),
            ("HOME".to_owned(), "/".to_owned()),
            ("KLOKKE_CONFIG".to_owned(), "klokke.toml".to_owned()),
        ],
        overrides: vec!["client.pong_timeout=7s".to_owned()],
    };
    let client = config.read().expect("a good configuration").client;
    assert_eq!(*client.ping_interval, Duration::from_secs(30));
    assert_eq!(*client.pong_timeout, Duration::from_secs(7));
    assert_eq!(client.channel_limit, 7);
}

#[test]
fn the_environment_reaches_every_setting() {
    let token = with_environment("KLOKKE_CLIENT_TOKEN_HMAC_SECRET_KEY", "s3cret").expect("good");
    assert_eq!(token.token.hmac_secret_key.expose(), "s3cret");
    let list = with_environment("KLOKKE_API_KEYS", "one, two").expect("good");
    assert_eq!(list.api.keys.len(), 2);
    let flag = with_environment("KLOKKE_NAMESPACE_MY_CHAT_FORCE_PUSH_JOIN_LEAVE", "false");
    assert!(
        flag.expect("good").namespaces.contains_key("my_chat"),
        "the longest key counts"
    );
}

#[test]
fn the_environment_is_checked_too() {
    let said = with_environment("KLOKKE_CLIENT_PING_INTERVALL", "1s").expect_err("a typo");
    assert_eq!(
        said.to_string(),
        "environment variable KLOKKE_CLIENT_PING_INTERVALL: no such setting; did you mean \
         `KLOKKE_CLIENT_PING_INTERVAL`?"
    );
    let said = with_environment("KLOKKE_CLIENT_CHANNEL_LIMIT", "many").expect_err("no number");
    assert!(said.to_string().contains("must be a whole number"));
    let said = Sources {
        overrides: vec!["client.ping_interval".to_owned()],
        ..Sources::default()
    };
    assert!(
        said.read()
            .expect_err("no value")
            .to_string()
            .starts_with("--set: write section.key=value")
    );
}

#[test]
fn secrets_are_never_shown() {
    let text = "[client.token]\nhmac_secret_key = \"hunter2\"\n[api]\nkeys = [\"hunter3\"]\n";
    let config = Config::parse(text).expect("good");
    for shown in [print(&config), format!("{config:?}")] {
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(shown.contains("redacted"));
    }
}

#[test]
fn a_secret_may_stand_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    std::fs::write(&path, "from a file\n").expect("written");
    let value = format!("file:{}", path.display());
    let config = with_environment("KLOKKE_CLIENT_TOKEN_HMAC_SECRET_KEY", &value).expect("good");
    assert_eq!(config.token.hmac_secret_key.expose(), "from a file");
    let missing = with_environment(
        "KLOKKE_CLIENT_TOKEN_HMAC_SECRET_KEY",
        "file:/nowhere/at/all",
    );
    assert!(missing.is_err());
    for nothing in ["", "\n"] {
        std::fs::write(&path, nothing).expect("written");
        let empty = with_environment("KLOKKE_CLIENT_TOKEN_HMAC_SECRET_KEY", &value);
        let said = empty.expect_err("no secret").to_string();
        assert!(said.contains("is not empty"), "{said}");
    }
}

#[test]
fn what_is_printed_reads_back_the_same() {
    let text = "[namespace.\"a.b\"]\nhistory_size = 3\nhistory_ttl = \"90s\"\n\
                [node]\nname = \"n\\\"1\\\"\"\n[listen]\naddress = \"[::1]:80\"\n\
                [client.token]\nhmac_previous_secret_key_valid_until = \"2026-08-10T00:00:00Z\"\n";
    let config = Config::parse(text).expect("good");
    assert!(config.namespaces.contains_key("a.b"));
    assert_eq!(Config::parse(&print(&config)), Ok(config));
}

#[test]
fn the_example_holds_every_setting_at_its_default() {
    let text = example();
    assert_eq!(Config::parse(&text), Ok(Config::default()));
    for (path, section) in Config::default().sections() {
        assert!(text.contains(&format!("\n[{path}]\n")), "{path}");
        for field in section.fields() {
            assert!(!field.help.is_empty(), "{path}.{} has help", field.key);
        }
    }
}

/// The folder of examples in the repository.
fn examples() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../config")
}

#[test]
fn the_committed_example_is_the_generated_one() {
    let path = examples().join("klokke.example.toml");
    let committed = std::fs::read_to_string(path).expect("the example is committed");
    assert_eq!(
        committed,
        example(),
        "run `cargo run -- config example > config/klokke.example.toml`"
    );
}

#[test]
fn every_committed_example_is_good() {
    let mut seen = 0;
    for file in std::fs::read_dir(examples()).expect("the folder is there") {
        let path = file.expect("readable").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let text = std::fs::read_to_string(&path).expect("readable");
            assert_eq!(mistakes(&text), "none", "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 3, "one a role, and the one with everything");
}

/// The number after a key of the unit for systemd, up to its end of line.
fn of_the_unit(unit: &str, key: &str) -> String {
    let lines = unit.lines();
    let mut values = lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.next_back().unwrap_or_default().to_owned()
}

#[test]
fn examples_drain_by_the_rules_of_the_page_and_their_units_wait_for_it() {
    drains_by_the_rules("municipality.toml", "klokke.service");
    drains_by_the_rules("cluster.toml", "klokke-node.service");
}

fn drains_by_the_rules(file: &str, unit: &str) {
    let read = |name: &str| std::fs::read_to_string(examples().join(name)).expect("committed");
    let config = Config::parse(&read(file)).expect("good");
    let (drain, people) = (&config.drain, config.admission.connection_limit);
    // docs/operating.md, "Drain and restart".
    assert!(
        drain.notice.as_secs() >= 20,
        "two or three looks of a balancer"
    );
    assert!(drain.spread.as_secs() * 20_000 >= 60 * people as u64);
    let unit = read(unit);
    let patience = of_the_unit(&unit, "TimeoutStopSec");
    let minutes: u64 = patience
        .strip_suffix("min")
        .expect("minutes")
        .parse()
        .expect("a number");
    let needed = drain.notice.as_secs() + drain.timeout.as_secs() + 30;
    assert!(minutes * 60 >= needed, "{patience} for {needed} s");
    let handles: usize = of_the_unit(&unit, "LimitNOFILE").parse().expect("a number");
    assert!(handles >= people + 1000, "{handles}");
}

#[test]
fn periods_read_and_print() {
    let check =
        |text: &str| Period::from_text(text).map(|period| (period.as_ms(), period.to_string()));
    assert_eq!(check("25s"), Some((25_000, "25s".to_owned())));
    assert_eq!(check("120s"), Some((120_000, "2m".to_owned())));
    assert_eq!(check("1500ms"), Some((1_500, "1500ms".to_owned())));
    assert_eq!(check("720h"), Some((2_592_000_000, "30d".to_owned())));
    for bad in [
        "",
        "s",
        "5",
        "5 s",
        "-5s",
        "5y",
        "1.5s",
        "99999999999999999999s",
    ] {
        assert_eq!(check(bad), None, "{bad}");
    }
}
