//! `deskledger demo`: a stranger's first minute, with a private server, the printed calls and a real grpcurl.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::commands::program::{Ended, Service, deskledger, run};

/// A running demo with what it printed.
struct Demo {
    service: Service,
    /// The line that sets the token.
    token: String,
    /// The printed calls: list, delete, refused delete, log.
    calls: Vec<String>,
}

impl Demo {
    fn start(data_dir: &Path) -> Self {
        let mut command = deskledger(&["demo", "--listen", "127.0.0.1:0"]);
        let mut service = Service::start(command.env("DESKLEDGER_DATA_DIR", data_dir));
        let printed = service.printed("ListDeletionLogs");
        service.ready();
        let token = printed.iter().find(|line| line.starts_with("TOKEN=")).expect("the token is printed").clone();
        let calls: Vec<String> = printed.into_iter().filter(|line| line.starts_with("grpcurl ")).collect();
        assert_eq!(calls.len(), 4, "{calls:#?}");
        Self { service, token, calls }
    }

    /// Runs a printed call as a shell would.
    fn call(&self, at: usize) -> Ended {
        shell(&format!("{}\n{}", self.token, self.calls[at]))
    }

    fn answer(&self, at: usize) -> Value {
        serde_json::from_str(&self.call(at).good()).expect("the answer is JSON")
    }

    fn address(&self) -> String {
        let call = &self.calls[0];
        call.split(' ').rev().nth(1).expect("the call names the address").to_owned()
    }

    /// As Ctrl-C does.
    fn interrupt(self) {
        self.service.signal(Signal::SIGINT);
        let (code, log) = self.service.end();
        assert_eq!(code, Some(0), "{log}");
    }
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
fn the_demos_printed_calls_do_what_they_say_and_again_on_a_second_run() {
    let data_dir = tempfile::tempdir().expect("a folder");
    for deleted_before in [0, 1] {
        let demo = Demo::start(data_dir.path());

        let listed = demo.answer(0);
        assert_eq!(listed["chatMessages"][0]["message"], "Welcome! How can we help you?");
        let deleted = demo.answer(1);
        let id = &deleted["chatMessage"]["id"];
        assert_eq!(deleted["deletionLog"]["chatMessageId"], *id);
        assert_eq!(deleted["deletionLog"]["reason"], "DELETION_REASON_SENSITIVE_DATA");
        let found = listed["chatMessages"].as_array().expect("messages").iter().find(|message| message["id"] == *id);
        let found = found.expect("the message that is deleted is one of those listed");
        assert!(found.get("deleteTime").is_none(), "{found}");
        let refused = demo.call(2);
        assert!(refused.code != Some(0) && refused.stderr.contains("\"reason\": \"TICKET_NOT_CLOSED\""), "{refused:?}");
        let log = demo.answer(3);
        assert_eq!(log["totalSize"], (deleted_before + 1).to_string());
        assert_eq!(log["deletionLogs"][0], deleted["deletionLog"]);

        demo.interrupt();
    }
}

#[test]
fn a_stranger_finds_the_way_with_grpcurl_and_no_proto_files() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let demo = Demo::start(data_dir.path());
    let address = demo.address();

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
fn a_data_directory_has_one_service_and_commands_work_beside_it() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let demo = Demo::start(data_dir.path());
    let beside = |arguments: &[&str]| run(deskledger(arguments).env("DESKLEDGER_DATA_DIR", data_dir.path()));

    let listed = beside(&["application", "list"]).good();
    let refused = beside(&["serve", "--listen", "127.0.0.1:0"]).failed(1);

    assert!(listed.starts_with("demo\t"), "{listed}");
    assert!(refused.contains("is in use by process"), "{refused}");
    demo.interrupt();
    // Without the service a command starts the private server for itself.
    assert_eq!(beside(&["application", "list"]).good(), listed);
}
