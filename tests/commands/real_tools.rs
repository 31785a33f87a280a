//! The printed calls of the demo, run with a real grpcurl and a real curl. Behind the feature `test-with-tools`, because a machine that
//! only builds and tests the service need not have them; `.ci/run` installs them and runs these.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::commands::demo::Demo;
use crate::commands::program::{Ended, Service, deskledger, run};

/// Runs a printed call as a shell would.
fn call(demo: &Demo, line: &str) -> Ended {
    shell(&format!("{}\n{line}", demo.token))
}

fn answer(demo: &Demo, line: &str) -> Value {
    serde_json::from_str(&call(demo, line).good()).expect("the answer is JSON")
}

/// Runs a line in a shell that finds grpcurl.
#[expect(clippy::disallowed_methods, reason = "PATH is no setting of ours")]
fn shell(line: &str) -> Ended {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin");
    let folders: Vec<PathBuf> = std::iter::once(tools).chain(std::env::split_paths(&path)).collect();
    assert!(
        folders.iter().any(|folder| folder.join("grpcurl").is_file()),
        "grpcurl is not installed: `.ci/run` installs it, and so does `go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest`"
    );
    run(Command::new("sh").args(["-c", line]).env("PATH", std::env::join_paths(folders).expect("folders of a path")))
}

#[test]
fn the_demos_calls_with_grpcurl_do_what_they_say_and_again_on_a_second_run() {
    let data_dir = tempfile::tempdir().expect("a folder");
    for deleted_before in [0, 1] {
        let demo = Demo::start(data_dir.path());

        let listed = answer(&demo, &demo.grpcurl[0]);
        assert_eq!(listed["chatMessages"][0]["message"], "Welcome! How can we help you?");
        let deleted = answer(&demo, &demo.grpcurl[1]);
        let id = &deleted["chatMessage"]["id"];
        assert_eq!(deleted["deletionLog"]["chatMessageId"], *id);
        assert_eq!(deleted["deletionLog"]["reason"], "DELETION_REASON_SENSITIVE_DATA");
        let found = listed["chatMessages"].as_array().expect("messages").iter().find(|message| message["id"] == *id);
        let found = found.expect("the message that is deleted is one of those listed");
        assert!(found.get("deleteTime").is_none(), "{found}");
        let refused = call(&demo, &demo.grpcurl[2]);
        assert!(refused.code != Some(0) && refused.stderr.contains("\"reason\": \"TICKET_NOT_CLOSED\""), "{refused:?}");
        let log = answer(&demo, &demo.grpcurl[3]);
        assert_eq!(log["totalSize"], (deleted_before + 1).to_string());
        assert_eq!(log["deletionLogs"][0], deleted["deletionLog"]);

        demo.interrupt();
    }
}

#[test]
fn a_stranger_finds_the_way_with_grpcurl_and_no_proto_files() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let demo = Demo::start(data_dir.path());
    let address = demo.grpcurl[0].split(' ').rev().nth(1).expect("the call names the address").to_owned();

    let services = shell(&format!("grpcurl -plaintext {address} list")).good();
    let method = "deskledger.v1.ChatMessageService.DeleteChatMessage";
    let described = shell(&format!("grpcurl -plaintext {address} describe {method}")).good();
    let template =
        shell(&format!("grpcurl -plaintext -msg-template {address} describe .deskledger.v1.DeleteChatMessageRequest")).good();
    let health = shell(&format!("grpcurl -plaintext {address} grpc.health.v1.Health/Check")).good();

    for service in ["deskledger.v1.TicketService", "deskledger.v1.ChatMessageService", "deskledger.v1.DeletionLogService"] {
        assert!(services.lines().any(|line| line == service), "{services}");
    }
    assert!(described.contains("// Deletes one message: erases its content"), "comments travel with it: {described}");
    assert!(template.contains("\"requestId\": \"\""), "{template}");
    assert!(health.contains("\"SERVING\""), "{health}");
    demo.interrupt();
}

#[test]
fn the_demos_calls_with_curl_do_what_they_say() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let demo = Demo::start(data_dir.path());

    let listed = answer(&demo, &demo.curl[0]);
    let deleted = answer(&demo, &demo.curl[1]);
    let refused = answer(&demo, &demo.curl[2]);
    let log = answer(&demo, &demo.curl[3]);
    let taken_in = answer(&demo, &demo.curl[4]);
    let again = answer(&demo, &demo.curl[4]);

    assert_eq!(listed["count"], 6);
    assert!(listed["results"].as_array().expect("messages").iter().any(|message| message["id"] == deleted["id"]));
    assert_eq!(refused["code"], "deskp400600");
    assert_eq!((&log["count"], &log["results"][0]["id"]), (&Value::from(1), &deleted["id"]));
    assert_eq!(taken_in["conversationmessage"]["message"], "Hello");
    assert_eq!(again["conversationmessage"], Value::Null, "it is stored once");
    demo.interrupt();
}

/// The shell blocks between a heading of the README and the next.
fn readme_blocks(heading: &str) -> Vec<&'static str> {
    let readme = include_str!("../../README.md");
    let (_, chapter) = readme.split_once(heading).expect("the heading");
    let (chapter, _) = chapter.split_once("\n## ").expect("the next heading");
    chapter.split("```sh\n").skip(1).map(|block| block.split("```").next().expect("its end")).collect()
}

#[test]
fn the_first_calls_of_the_readme_do_what_they_say() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let mut service = Service::start(deskledger(&["serve", "--listen", "127.0.0.1:0"]).env("DESKLEDGER_DATA_DIR", data_dir.path()));
    let address = service.address();
    service.ready();
    let blocks = readme_blocks("## First calls");
    assert!(blocks.len() >= 4 && blocks[0].contains("serve"), "{blocks:#?}");
    // The first block is the service, which runs already, elsewhere.
    let program = Path::new(env!("CARGO_BIN_EXE_deskledger")).parent().expect("its folder").display().to_string();
    let calls = blocks[1..].join("\n").replace("127.0.0.1:50051", &address).replace("$PWD/target/debug", &program);
    let script = format!("set -e\nexport DESKLEDGER_DATA_DIR='{}'\n{calls}", data_dir.path().display());

    let said = shell(&script).good();

    assert!(said.contains("\"contentDigest\""), "the deletion is logged: {said}");
    assert!(said.contains("deskledger.v1.ChatMessageService is a service"), "described: {said}");
    assert!(said.contains("\"count\":1,\"previous\":null"), "and over REST: {said}");
    assert!(!said.contains("4111 1111 1111 1111\",\"data\""), "without the content: {said}");
    service.signal(Signal::SIGINT);
    assert_eq!(service.end().0, Some(0));
}
