//! Settings: each is a flag and an environment variable, checked before anything starts, and documented.

use clap::error::ErrorKind;
use clap::{Arg, CommandFactory, Parser};
use deskledger::cli::Cli;

use crate::commands::program::{deskledger, run};

/// The settings of the commands that serve or ask a service; what other commands take are arguments of one action.
pub fn settings() -> Vec<(&'static str, Arg)> {
    let cli = Cli::command();
    let commands = ["serve", "demo", "healthcheck"];
    let of = |name: &'static str| {
        let command = cli.find_subcommand(name).expect("the command").clone();
        let own: Vec<Arg> = command.get_arguments().cloned().collect();
        own.into_iter().map(move |argument| (name, argument))
    };
    let global = cli.get_arguments().cloned().map(|argument| ("", argument));
    let all = global.chain(commands.into_iter().flat_map(of));
    all.filter(|(_, argument)| !["help", "version"].contains(&argument.get_id().as_str())).collect()
}

#[test]
fn every_setting_has_an_environment_variable() {
    for (command, argument) in settings() {
        assert!(argument.get_env().is_some(), "{command} --{}", argument.get_id());
    }
}

#[test]
fn a_setting_out_of_its_range_is_refused_and_its_ends_are_not() {
    let rows = [
        ("--database-connections", 8, 500),
        ("--database-wait-seconds", 1, 60),
        ("--statement-timeout-seconds", 1, 600),
        ("--migration-lock-timeout-seconds", 1, 600),
        ("--request-timeout-seconds", 1, 600),
        ("--drain-seconds", 0, 600),
        ("--max-connections", 1, 1_000_000),
        ("--max-connections-per-address", 1, 1_000_000),
        ("--max-concurrent-streams", 1, 10_000),
        ("--max-calls-per-connection", 1, 10_000),
        ("--max-header-kib", 8, 256),
        ("--handshake-timeout-seconds", 1, 60),
        ("--header-timeout-seconds", 1, 600),
        ("--keepalive-seconds", 1, 600),
        ("--stall-timeout-seconds", 1, 600),
        ("--idle-timeout-seconds", 1, 86_400),
        ("--max-connection-age-seconds", 1, 86_400),
        ("--connection-grace-seconds", 1, 3_600),
        ("--tls-reload-seconds", 1, 3_600),
        ("--token-cache-seconds", 0, 60),
        ("--page-cache-mib", 0, 65_536),
        ("--request-id-retention-days", 1, 365),
        ("--log-retention-days", 30, 36_500),
        ("--log-check-hours", 0, 8760),
        ("--read-max-lag-ms", 50, 600_000),
        ("--max-calls-in-flight", 32, 65_536),
        ("--latency-target-ms", 10, 60_000),
        ("--reads-per-minute", 0, 100_000_000),
        ("--writes-per-minute", 0, 100_000_000),
        ("--deletions-per-hour", 0, 1_000_000_000),
    ];
    let help = |flag: &str| {
        let settings = settings();
        let found = settings.iter().find(|(_, argument)| Some(argument.get_long().unwrap_or_default()) == flag.strip_prefix("--"));
        found.expect("the setting").1.get_help().expect("its text").to_string()
    };
    let serve = |flag: &str, value: i64| Cli::try_parse_from(["deskledger", "serve", &format!("{flag}={value}")]);
    for (flag, min, max) in rows {
        assert!(help(flag).contains(&format!(", {min} to {max}")), "{flag} says its range: {}", help(flag));
        for good in [min, max] {
            assert!(serve(flag, good).is_ok(), "{flag}={good}");
        }
        for bad in [min - 1, max + 1] {
            let refused = serve(flag, bad).expect_err("out of range");
            assert_eq!(refused.kind(), ErrorKind::ValueValidation, "{flag}={bad}");
        }
    }
}

#[test]
fn the_share_of_calls_to_trace_is_between_none_and_all() {
    let serve = |ratio: &str| Cli::try_parse_from(["deskledger", "serve", &format!("--trace-ratio={ratio}")]);
    for good in ["0", "0.001", "1", "1.0"] {
        assert!(serve(good).is_ok(), "{good}");
    }
    for bad in ["-0.1", "1.001", "NaN", "inf", "all", ""] {
        assert_eq!(serve(bad).expect_err("out of range").kind(), ErrorKind::ValueValidation, "{bad}");
    }
}

#[test]
fn a_bad_setting_ends_the_program_before_it_starts_anything() {
    let refused = run(deskledger(&["serve"]).env("DESKLEDGER_DRAIN_SECONDS", "601")).failed(2);
    assert!(refused.contains("601 is not in 0..=600"), "{refused}");
    let refused = run(&mut deskledger(&["migrate", "--log", "deskledger=loud"])).failed(1);
    assert!(refused.contains("the log setting"), "{refused}");
}

#[test]
fn what_is_no_database_url_is_refused_and_its_password_is_not_shown() {
    let urls = [
        "hunter2",
        "hunter2@host/deskledger",
        "mysql://user:hunter2@host/deskledger",
        "postgres://user:hunter2@host:port/deskledger",
        "postgres://user:hunter2@host:99999/deskledger",
        "postgres://user:hunter2@host/deskledger?sslmode=hunter2",
    ];
    for url in urls {
        let refused = run(deskledger(&["migrate"]).env("DATABASE_URL", url)).failed(1);
        assert!(refused.contains("DATABASE_URL is not the URL of a PostgreSQL database"), "{url}: {refused}");
        assert!(!refused.contains("hunter2"), "{url}: {refused}");
    }
    let replicas = "postgres://user@host/deskledger,mysql://user:hunter2@host/deskledger";
    let mut serve = deskledger(&["serve", "--listen", "127.0.0.1:0", "--read-url", replicas]);
    let refused = run(serve.env("DATABASE_URL", "postgres://user@host/deskledger")).failed(1);
    assert!(refused.contains("DESKLEDGER_READ_URL is not the URL of a PostgreSQL database"), "{refused}");
    assert!(!refused.contains("hunter2"), "{refused}");
    let help = run(deskledger(&["serve", "--help"]).env("DATABASE_URL", "postgres://user:hunter2@host/deskledger")).good();
    assert!(!help.contains("hunter2"), "{help}");
}

#[test]
fn a_switch_may_be_set_by_any_of_the_usual_words() {
    for (word, good) in [("true", true), ("1", true), ("yes", true), ("false", true), ("0", true), ("maybe", false)] {
        let ended = run(deskledger(&["serve", "--listen", "nowhere"]).env("DESKLEDGER_MIGRATE", word));
        // One that is understood gets as far as to the listener.
        assert_eq!(ended.stderr.contains("cannot listen on nowhere"), good, "{word}: {ended:?}");
    }
}
