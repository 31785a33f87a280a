//! What the documents say in tables is what the program has.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use deskledger::rest;

use crate::commands::settings::settings;
use crate::spec::errors::errors;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines between two marks of a document.
pub fn between(document: &str, mark: &str) -> String {
    let (_, rest) = document.split_once(&format!("<!-- {mark} -->\n")).expect("the mark where it begins");
    let (inside, _) = rest.split_once(&format!("<!-- end of {mark} -->")).expect("the mark where it ends");
    inside.trim().to_owned()
}

#[test]
fn the_readme_lists_every_setting_as_the_program_has_it() {
    let mut rows = BTreeMap::new();
    for (command, argument) in settings() {
        let long = argument.get_long().expect("a setting has a flag");
        let env = argument.get_env().expect("a setting has a variable").to_string_lossy().into_owned();
        let default = argument.get_default_values().first();
        let default = default.map_or_else(String::new, |default| format!("`{}`", default.to_string_lossy()));
        let default = if argument.get_action().takes_values() { default } else { "`false`".to_owned() };
        let mut meaning = argument.get_help().expect("a setting has a text").to_string();
        let values: Vec<String> = argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
        if argument.get_action().takes_values() && !values.is_empty() {
            write!(meaning, ": {}", values.join(", ")).expect("a text takes anything");
        }
        let used_by = match command {
            "" => "all",
            // These two have the same.
            "serve" | "demo" if long != "migrate" => "serve, demo",
            other => other,
        };
        rows.insert((used_by.to_owned(), long.to_owned()), format!("| `--{long}` | `{env}` | {default} | {used_by} | {meaning} |"));
    }
    let mut table = String::from("| flag | environment | default | command | meaning and range |\n|---|---|---|---|---|\n");
    for row in rows.values() {
        writeln!(table, "{row}").expect("a text takes anything");
    }
    let found = between(&read("README.md"), "settings");
    assert!(found == table.trim(), "the table of settings in README.md should be:\n{table}");
}

/// The reasons of `error_reason.proto`, each with its gRPC code and, where its example has one, its legacy code.
fn reasons() -> Vec<(String, String, Option<String>)> {
    let mut reasons = Vec::new();
    let mut comment = String::new();
    for line in read("proto/deskledger/v1/error_reason.proto").lines().map(str::trim) {
        if let Some(more) = line.strip_prefix("//") {
            comment.push_str(more);
        } else if let Some((name, _)) = line.strip_prefix("ERROR_REASON_").and_then(|line| line.split_once(" = ")) {
            let code = comment.trim().split('.').next().expect("the code begins the comment").to_owned();
            let legacy = comment.split_once("legacy_code: \"").and_then(|(_, rest)| rest.split_once('"'));
            reasons.push((name.to_owned(), code, legacy.map(|(legacy, _)| legacy.to_owned())));
            comment.clear();
        } else {
            comment.clear();
        }
    }
    reasons.retain(|(name, ..)| name != "UNSPECIFIED");
    reasons
}

#[test]
fn the_table_of_errors_has_every_reason_with_its_codes() {
    let api = between(&read("docs/API.md"), "errors");
    let rows: Vec<Vec<&str>> = api
        .lines()
        .skip(2)
        .map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    let reasons = reasons();
    assert!(reasons.len() > 20, "the proto is read");

    let names: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(names, reasons.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(), "in the order of the proto");
    for (row, (name, code, legacy)) in rows.iter().zip(&reasons) {
        assert_eq!(row[1], code, "{name}");
        let error = errors(1).into_iter().find(|error| error.describe().reason == name).expect("one of each error");
        assert_eq!(row[2], rest::error_response(error).status().as_str(), "{name}");
        if name != "INVALID_FIELD" {
            assert!(legacy.as_ref().is_none_or(|legacy| legacy == row[3]), "{name}: {legacy:?}");
        }
        assert!(!row[4].is_empty(), "{name}: what a caller does");
    }
}

#[test]
fn what_a_document_points_at_is_there() {
    let mut documents = vec![PathBuf::from("README.md"), PathBuf::from("CHANGELOG.md")];
    for folder in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(root().join(folder)).expect("the folder of documents");
        let names = entries.map(|entry| Path::new(folder).join(entry.expect("an entry").file_name()));
        documents.extend(names.filter(|name| name.extension().is_some_and(|extension| extension == "md")));
    }
    for document in documents {
        let text = read(&document);
        let folder = root().join(document.parent().expect("a folder"));
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let path = link.split('#').next().expect("a path");
            assert!(folder.join(path).exists(), "{}: {link}", document.display());
        }
        // Files of ours that stand in the text as code.
        for path in
            text.split('`').filter(|code| code.starts_with("src/") || code.starts_with("proto/") || code.starts_with("tests/"))
        {
            assert!(root().join(path).exists(), "{}: {path}", document.display());
        }
    }
}
