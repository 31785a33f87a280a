//! The OpenAPI document and the page made from it: open to all, and true.

use std::collections::BTreeSet;

use bytes::Bytes;
use deskledger::config::{AdmissionSettings, ServerSettings};
use http::Request;
use serde_json::{Value, json};

use crate::support::database::TestDatabase;
use crate::support::world::default_settings;
use crate::support::{Answer, Http, World};

fn document() -> Value {
    serde_json::from_str(include_str!("../../../docs/openapi.json")).expect("docs/openapi.json is JSON")
}

async fn fetch(address: &str, path: &str) -> Answer {
    let http = Http { address: address.to_owned(), token: None };
    http.send(Request::builder().uri(path).header("Host", address).body(Bytes::new()).expect("a request")).await
}

/// Every operation of the document: method, path, description.
fn described(document: &Value) -> Vec<(String, String, &Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        all.extend(item.as_object().expect("methods").iter().map(|(method, told)| (method.to_uppercase(), path.clone(), told)));
    }
    all
}

#[test]
fn the_document_describes_the_operations_that_the_router_has_and_no_others() {
    let document = document();
    let told: BTreeSet<(String, String)> = described(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
    let routed: BTreeSet<(String, String)> =
        deskledger::rest::operations().into_iter().map(|(method, path)| (method.to_owned(), path)).collect();
    assert_eq!(told, routed);
}

#[test]
fn the_document_has_the_codes_of_all_errors_and_says_what_each_means() {
    // The table of all errors, which is compared with the errors themselves (`tests/spec/errors.rs`).
    let errors = include_str!("../../../docs/API.md");
    let is_code = |word: &&str| word.starts_with("desk") && word.ends_with(|end: char| end.is_ascii_digit());
    let codes: BTreeSet<&str> =
        errors.lines().filter(|line| line.starts_with("| `")).flat_map(|line| line.split('`')).filter(is_code).collect();
    let document = document();
    let told = &document["components"]["schemas"]["Error"]["properties"]["code"];
    let listed: BTreeSet<&str> = told["enum"].as_array().expect("the codes").iter().filter_map(Value::as_str).collect();
    let missing: Vec<&&str> = codes.difference(&listed).collect();
    assert!(codes.len() > 5 && missing.is_empty(), "{missing:?} of {codes:?}");
    let description = told["description"].as_str().expect("what they mean");
    for code in listed {
        assert!(description.contains(&format!("`{code}`")), "{code}");
    }
}

#[test]
fn every_operation_says_what_a_client_must_know() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (method, path, told) in described(&document) {
        let at = format!("{method} {path}");
        assert!(ids.insert(told["operationId"].as_str().expect("an id").to_owned()), "{at}: the id is another's");
        assert!(told["summary"].is_string() && told["description"].as_str().is_some_and(|text| text.contains("Scope `")), "{at}");
        let parameters = told["parameters"].as_array().cloned().unwrap_or_default();
        let named: BTreeSet<String> =
            parameters.iter().map(|parameter| resolved(&document, parameter)["name"].to_string()).collect();
        for name in path.split(['{', '}']).skip(1).step_by(2) {
            assert!(named.contains(&json!(name).to_string()), "{at}: {name}");
        }
        for parameter in &parameters {
            let parameter = resolved(&document, parameter);
            assert!(parameter["description"].is_string() && !parameter["example"].is_null(), "{at}: {}", parameter["name"]);
        }
        let success = if told["responses"]["201"].is_object() { "201" } else { "200" };
        for status in [success, "400", "401", "403", "429", "500", "503", "504"] {
            let response = resolved(&document, &told["responses"][status]);
            let content = &response["content"]["application/json"];
            assert!(!content["example"].is_null() || !content["examples"].is_null(), "{at}: {status}");
        }
    }
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => {
            document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference} leads nowhere"))
        }
        None => value,
    }
}

#[tokio::test]
async fn a_refusal_of_too_many_calls_is_as_it_is_described() {
    let defaults = default_settings();
    let admission = AdmissionSettings { reads_per_minute: 1, ..defaults.admission.clone() };
    let world = World::on(TestDatabase::create().await, ServerSettings { admission, ..defaults }).await;
    let actor = world.actor().await;
    let http = world.http(&actor);
    http.get("/tickets").await;
    let answer = http.get("/tickets").await;
    let document = document();
    let described = resolved(&document, &document["paths"]["/platform/v1/tickets"]["get"]["responses"]["429"]);
    assert_eq!(answer.status, 429);
    let headers = described["headers"].as_object().expect("headers");
    assert_eq!(headers.len(), 2);
    for (name, header) in headers {
        let told: i64 = answer.header(name).expect("it has the header").parse().expect("an integer");
        assert!(told >= resolved(&document, header)["schema"]["minimum"].as_i64().expect("a bound"), "{name}");
    }
    let content = &described["content"]["application/json"];
    assert_eq!(answer.json(), content["examples"]["rate"]["value"]);
    assert_eq!(content["schema"]["properties"]["code"]["enum"], json!([answer.json()["code"]]));
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    fn walk(document: &Value, value: &Value) {
        match value {
            Value::Object(entries) => {
                resolved(document, value);
                entries.values().for_each(|value| walk(document, value));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(document, value)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
}

#[tokio::test]
async fn document_and_page_are_open_to_all_and_ask_nothing_of_the_internet() {
    let world = World::new().await;
    let rows = [
        ("/openapi.json", "application/json"),
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/page.css", "text/css; charset=utf-8"),
        ("/docs/page.js", "text/javascript; charset=utf-8"),
        ("/docs/icon.svg", "image/svg+xml"),
    ];
    for (path, kind) in rows {
        let answer = fetch(&world.address, path).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some(kind)), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        if !path.ends_with("json") && !path.ends_with("svg") {
            let text = String::from_utf8(answer.body.to_vec()).expect("text");
            assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("//cdn"), "{path}");
        }
    }
    assert_eq!(fetch(&world.address, "/openapi.json").await.json(), document());
    assert_eq!(document()["servers"], json!([{"url": "/", "description": "This service."}]));
}
