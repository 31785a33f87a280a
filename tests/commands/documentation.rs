//! Completions and manual pages: made from the command definitions, and taken by the programs that they are for.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use clap::CommandFactory;
use deskledger::cli::Cli;

use crate::commands::program::{deskledger, run};

fn completions(shell: &str) -> String {
    run(&mut deskledger(&["completions", shell])).good()
}

#[test]
fn every_shell_gets_completions_with_every_command() {
    let commands: Vec<String> =
        Cli::command().get_subcommands().filter(|command| !command.is_hide_set()).map(|it| it.get_name().to_owned()).collect();
    assert!(commands.len() > 8, "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = completions(shell);
        for command in commands.iter().map(String::as_str).chain(["--database-url"]) {
            assert!(text.contains(command.trim_start_matches("--")), "{shell} knows {command}");
        }
    }
}

#[test]
fn bash_completes_what_is_begun() {
    // Asks the function as readline would.
    let script = format!(
        "{}\nCOMP_WORDS=(deskledger mig)\nCOMP_CWORD=1\n_deskledger deskledger mig deskledger\necho \"${{COMPREPLY[@]}}\"",
        completions("bash")
    );
    let mut bash =
        Command::new("bash").args(["--norc", "-s"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash runs");
    bash.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("it reads the script");
    let said = bash.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "migrate");
}

#[test]
fn there_is_a_manual_page_for_the_whole_and_for_each_command() {
    let page = run(&mut deskledger(&["man"])).good();
    assert!(page.contains(".TH deskledger 1"), "{page}");
    assert!(page.contains("DATABASE_URL"), "settings are in it");
    let directory = tempfile::tempdir().expect("a directory");
    run(&mut deskledger(&["man", "--directory", directory.path().to_str().expect("UTF-8")])).good();
    for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let file = directory.path().join(format!("deskledger-{}.1", command.get_name()));
        assert!(fs::read_to_string(&file).is_ok_and(|page| page.contains(".SH NAME")), "{}", file.display());
    }
    let nowhere = run(&mut deskledger(&["man", "--directory", "/nowhere/at/all"])).failed(1);
    assert!(nowhere.contains("/nowhere/at/all"), "{nowhere}");
}
