//! `deskledger demo`: what a stranger is shown, with a private server. The printed calls themselves are run in `real_tools`.

use std::path::Path;

use nix::sys::signal::Signal;

use crate::commands::program::{Service, deskledger, run};

/// A running demo with what it printed.
pub struct Demo {
    service: Service,
    /// The line that sets the token.
    pub token: String,
    /// The printed calls with grpcurl: list, delete, refused delete, log.
    pub grpcurl: Vec<String>,
    /// The printed calls with curl: the same, and a webhook.
    pub curl: Vec<String>,
}

impl Demo {
    pub fn start(data_dir: &Path) -> Self {
        let mut command = deskledger(&["demo", "--listen", "127.0.0.1:0"]);
        let mut service = Service::start(command.env("DESKLEDGER_DATA_DIR", data_dir));
        let printed = service.printed("webhooks.json");
        service.ready();
        let token = printed.iter().find(|line| line.starts_with("TOKEN=")).expect("the token is printed").clone();
        let calls_of = |program: &str| printed.iter().filter(|line| line.starts_with(program)).cloned().collect::<Vec<String>>();
        let demo = Self { service, token, grpcurl: calls_of("grpcurl "), curl: calls_of("curl ") };
        assert_eq!((demo.grpcurl.len(), demo.curl.len()), (4, 5), "{printed:#?}");
        demo
    }

    /// As Ctrl-C does.
    pub fn interrupt(self) {
        self.service.signal(Signal::SIGINT);
        let (code, log) = self.service.end();
        assert_eq!(code, Some(0), "{log}");
    }
}

#[test]
fn a_demo_run_again_shows_fresh_calls_with_a_token_of_its_own() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let first = Demo::start(data_dir.path());
    let first_token = first.token.clone();
    first.interrupt();
    let second = Demo::start(data_dir.path());
    assert_ne!(second.token, first_token);
    second.interrupt();
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
