//! The rules of the house, read from its sources: which room may use which, how long a file is, and that no statement forgets the tenant.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::database::TestDatabase;

/// Which rooms a room may use besides itself. `server` and `cli` put the house together and see all of it.
const ROOMS: [(&str, &[&str]); 16] = [
    ("domain", &["error"]),
    ("error", &["domain"]),
    ("measures", &[]),
    ("storage", &["domain", "error", "measures"]),
    ("app", &["domain", "storage", "error", "measures"]),
    ("audit", &["domain", "error"]),
    ("auth", &["app", "audit", "domain", "error"]),
    ("grpc", &["app", "audit", "domain", "auth", "error", "telemetry", "proto"]),
    ("rest", &["app", "audit", "domain", "auth", "error", "telemetry"]),
    ("telemetry", &["audit", "config", "domain", "error", "measures"]),
    ("background", &["app", "domain", "grpc", "embedded_postgres"]),
    ("embedded_postgres", &[]),
    ("config", &["embedded_postgres"]),
    ("proto", &[]),
    ("client", &["proto"]),
    ("lib", &[]),
];
const SEES_ALL: [&str; 3] = ["server", "cli", "main"];

/// Where a library may be used at all. What is not named here may be used everywhere.
const LIBRARIES: [(&str, &[&str]); 8] = [
    ("sqlx::query", &["src/storage/"]),
    ("sqlx", &["src/storage/", "src/app/", "src/cli/database.rs"]),
    (
        "tonic",
        &[
            "src/grpc/",
            "src/server/",
            "src/background/readiness.rs",
            "src/cli/healthcheck.rs",
            "src/telemetry/traces.rs",
            "src/proto.rs",
            "src/client/",
        ],
    ),
    ("axum", &["src/grpc/", "src/rest/", "src/server/", "src/auth.rs", "src/telemetry/"]),
    ("prometheus_client", &["src/measures.rs", "src/telemetry/"]),
    ("opentelemetry", &["src/telemetry/"]),
    ("tracing_opentelemetry", &["src/telemetry/"]),
    ("chrono::Local", &[]),
];

const MAX_LINES: usize = 400;

#[test]
fn every_room_uses_only_the_rooms_that_it_may() {
    for (path, code) in code() {
        let room = room_of(&path);
        if SEES_ALL.contains(&room.as_str()) {
            continue;
        }
        let (_, allowed) =
            ROOMS.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("{room} is a new room: say what it may use"));
        for used in rooms_used(&code) {
            assert!(used == room || allowed.contains(&used.as_str()), "{} uses {used}", path.display());
        }
    }
}

#[test]
fn libraries_stay_in_the_rooms_that_they_are_for() {
    for (path, code) in code() {
        let name = path.to_string_lossy();
        for (library, rooms) in LIBRARIES {
            let used = code.lines().any(|line| mentions(line, library));
            assert!(!used || rooms.iter().any(|room| name.starts_with(room)), "{name} uses {library}");
        }
    }
}

#[test]
fn files_are_short_and_hold_nothing_that_is_left_for_later() {
    for (path, text) in ["src", "tests", "benches"].into_iter().flat_map(sources) {
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines", path.display());
        assert!(text.starts_with("//!"), "{} does not begin with what lives in it", path.display());
    }
    for (path, code) in code() {
        // What a panic says goes to the log: nothing but what stands in the source.
        for banned in
            ["#[allow(", "#![allow(", ".unwrap()", "TODO", "FIXME", "XXX", "panic!(", "unreachable!(\"{", ".expect(&", "dbg!("]
        {
            assert!(!code.contains(banned), "{} holds {banned}", path.display());
        }
    }
}

#[test]
fn every_statement_is_measured_under_the_name_of_its_function() {
    let mut named = 0;
    for (path, code) in code() {
        let Ok(place) = path.strip_prefix("src/storage") else { continue };
        if place == Path::new("migration.rs") {
            continue;
        }
        let module = place.with_extension("").to_string_lossy().replace('/', ".");
        for function in code.split("fn ").skip(1) {
            let name = function.split(['(', '<']).next().expect("a name");
            // What runs a statement for others is named by them.
            let runs: usize = [".execute(", "fetch_", "::fetch("].map(|runs| function.matches(runs).count()).iter().sum();
            let own = function.matches(&format!("named(\"{module}.{name}\")")).count();
            let for_others = function.contains("Prepared(") || function.contains("Self::fetch(");
            assert!((runs > 0) == (own > 0) || for_others, "{}: {name} runs a statement without its name", path.display());
            named += own;
        }
    }
    assert!(named > 60, "the statements are found: {named}");
}

#[tokio::test]
async fn every_statement_on_a_tenants_table_is_bound_to_the_application() {
    let database = TestDatabase::create().await;
    let tables = "select c.relname::text, exists (
            select from pg_attribute a where a.attrelid = c.oid and a.attname = 'application_key' and not a.attisdropped
        )
        from pg_class c
        where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p', 'v', 'm')";
    let tables: Vec<(String, bool)> =
        sqlx::query_as(tables).fetch_all(&mut database.connect().await).await.expect("the tables that the migrations make");
    let (tenants, others): (Vec<_>, Vec<_>) = tables.into_iter().partition(|(_, has_key)| *has_key);
    let tenants: BTreeSet<String> = tenants.into_iter().map(|(name, _)| name).collect();
    let mut others: Vec<String> = others.into_iter().map(|(name, _)| name).collect();
    others.sort();
    assert_eq!(others, OF_NO_TENANT, "every other table has an application_key");
    let statements = statements();
    assert!(statements.len() > 25, "the statements are found: {}", statements.len());
    let mut excepted = BTreeSet::new();
    for statement in statements {
        let words: Vec<&str> =
            statement.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty()).collect();
        let uses = |verbs: &[&str]| words.windows(2).filter(|pair| verbs.contains(&pair[0]) && tenants.contains(pair[1])).count();
        let (reads, inserts) = (uses(&["from", "join", "update"]), uses(&["into"]));
        if reads + inserts == 0 {
            continue;
        }
        if let Some((begin, _)) = FOR_ALL.iter().find(|(begin, _)| statement.starts_with(begin)) {
            excepted.insert(*begin);
            continue;
        }
        // Each use of a table has its own predicate; each insert takes the application as its first value.
        assert!(statement.matches("application_key = ").count() >= reads, "{statement}");
        assert!(reads == 0 || statement.contains("application_key = $1"), "{statement}");
        let bound = statement.matches("select $1, ").count() + statement.matches("values ($1, ").count();
        assert!(
            bound >= inserts
                && statement.matches("( application_key, ").count() + statement.matches("(application_key, ").count() >= inserts,
            "{statement}"
        );
    }
    assert_eq!(excepted, FOR_ALL.iter().map(|(begin, _)| *begin).collect(), "each exception is one");
}

/// The tables without an `application_key`.
const OF_NO_TENANT: [&str; 3] = ["_sqlx_migrations", "applications", "log_sequencer"];

/// The statements for all tenants, by how they begin, and why they may be. None of them answers rows of one to another.
const FOR_ALL: [(&str, &str); 14] = [
    // Where the application comes from: a token or a key is found by its own name.
    ("select t.id, t.application_key, a.id as application_id, t.name, t.secret_digest", "authenticates by a token"),
    (
        "select k.key, k.application_key, a.id as application_id, k.secret, k.name, k.create_time, k.revoke_time from webhook_keys k \
         join applications a on a.key = k.application_key where k.key = $1",
        "authenticates by a signature",
    ),
    ("update tokens t set last_use_time", "notes when tokens were used"),
    // An operator's, who names a credential and sees all applications.
    ("insert into tokens (", "makes a token"),
    ("update tokens set revoke_time", "revokes a token"),
    ("insert into webhook_keys (", "makes a key"),
    ("update webhook_keys set revoke_time", "revokes a key"),
    // Loops that serve all applications, and look for those that have something to do.
    ("delete from requests where ctid = any (array(select ctid from requests where create_time < $1", "request ids go by age"),
    ("select a.key from applications a left join lateral", "finds milestones to set"),
    ("select a.key from applications a where exists ( select from holds h", "finds holds to log"),
    ("select exists (select from pending_leaves)", "whether anything waits"),
    ("select (select count(*) from pending_leaves)", "how much waits"),
    ("select a.key, a.id from applications a where exists (select from pending_leaves", "finds trees to grow"),
    ("select h.application_key, a.id, h.size, h.root", "finds heads to sign"),
];

/// The statements of `.sqlx/`, each on one line.
fn statements() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    let files = fs::read_dir(directory).expect("the statements are committed");
    let statement = |file: std::io::Result<fs::DirEntry>| {
        let text = fs::read_to_string(file.expect("a file").path()).expect("a file of text");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        json["query"].as_str().expect("a statement").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    files.map(statement).collect()
}

/// Every source under a directory, with its path from the root of the project.
fn sources(directory: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open = vec![root.join(directory)];
    let mut sources = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a file of text");
                sources.push((path.strip_prefix(root).expect("below the root").to_owned(), text));
            }
        }
    }
    assert!(!sources.is_empty());
    sources
}

/// The sources of the service without comments and without the unit tests at their ends.
fn code() -> Vec<(PathBuf, String)> {
    let code = |text: String| {
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    };
    sources("src").into_iter().map(|(path, text)| (path, code(text))).collect()
}

/// `grpc` for `src/grpc/parse.rs`, `auth` for `src/auth.rs`.
fn room_of(path: &Path) -> String {
    let room = path.components().nth(1).expect("a path below src").as_os_str().to_string_lossy().into_owned();
    room.trim_end_matches(".rs").to_owned()
}

/// The rooms that stand after `crate::`, one or several in braces.
fn rooms_used(code: &str) -> BTreeSet<String> {
    let name = |text: &str| text.trim().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect::<String>();
    let names = |rest: &str| -> Vec<String> {
        match rest.strip_prefix('{').and_then(|list| list.split('}').next()) {
            Some(list) => list.split(',').map(name).collect(),
            None => vec![name(rest)],
        }
    };
    code.split("crate::").skip(1).flat_map(names).filter(|room| !room.is_empty()).collect()
}

/// Whether a line of code uses a library, or one that extends it: `tonic` or `tonic_types`.
fn mentions(line: &str, library: &str) -> bool {
    line.match_indices(library).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + library.len()..];
        before.is_none_or(|letter| !letter.is_alphanumeric() && letter != '_')
            && (library.contains("::") || after.starts_with("::") || after.starts_with('_'))
    })
}
