//! The program as a process: run to its end, or serving.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::database::TestDatabase;

/// How long a line that must come is waited for. Only a broken program lets it pass.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a command that has ended leaves.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The program with these arguments and none of our settings.
pub fn deskledger(arguments: &[&str]) -> Command {
    of_program(Path::new(env!("CARGO_BIN_EXE_deskledger")), arguments)
}

/// The same of another build of it.
pub fn of_program(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name == "DATABASE_URL" || name.starts_with("DESKLEDGER_") || name.starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    // Many services run at a time, and the default address is one.
    command.env("DESKLEDGER_ADMIN_LISTEN", "off");
    // A slow machine is not to make it think that it is overloaded.
    command.args(arguments).env("DESKLEDGER_LATENCY_TARGET_MS", "60000");
    command
}

/// Runs the program on a database to its end.
pub fn run_on(database: &TestDatabase, arguments: &[&str]) -> Ended {
    run(deskledger(arguments).env("DATABASE_URL", database.url()))
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Ended {
    run_with(command, b"")
}

/// Runs a command to its end, with this as its standard input.
pub fn run_with(command: &mut Command, input: &[u8]) -> Ended {
    let mut child = start(command.stdin(Stdio::piped()));
    let mut stdin = child.stdin.take().expect("its standard input");
    let input = input.to_vec();
    // Beside reading its output: either pipe may fill. A command that does not read its input closes it early.
    let fed = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("the command ends");
    fed.join().expect("its input is written");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("its output is text");
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn start(command: &mut Command) -> Child {
    let program = command.get_program().to_owned();
    let started = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    started.unwrap_or_else(|error| panic!("{} cannot be run: {error}", program.display()))
}

impl Ended {
    /// The output of a command that did what it should.
    pub fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// What a command that failed says of it.
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stderr
    }
}

/// A process that serves until it is told to stop. It is killed with this value.
pub struct Service {
    pub stdin: Option<ChildStdin>,
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Service {
    /// Serves a database on a free port.
    pub fn on(database: &TestDatabase, arguments: &[&str]) -> Self {
        let mut command = deskledger(&["serve", "--listen", "127.0.0.1:0"]);
        Self::start(command.args(arguments).env("DATABASE_URL", database.service_url()))
    }

    /// The same as the database's owner, who may migrate.
    pub fn of_owner(database: &TestDatabase, arguments: &[&str]) -> Self {
        let mut command = deskledger(&["serve", "--listen", "127.0.0.1:0"]);
        Self::start(command.args(arguments).env("DATABASE_URL", database.url()))
    }

    pub fn start(command: &mut Command) -> Self {
        Self::fed(command.stdin(Stdio::null()))
    }

    /// Starts it with the standard input that the command has; one that is piped is `stdin`.
    pub fn fed(command: &mut Command) -> Self {
        let mut child = start(command);
        let stdin = child.stdin.take();
        let stdout = Lines::of(child.stdout.take().expect("its standard output"));
        let stderr = Lines::of(child.stderr.take().expect("its standard error"));
        Self { stdin, child, stdout, stderr }
    }

    /// HOST:PORT, once it listens.
    pub fn address(&mut self) -> String {
        let line = self.logged("listening");
        line.split_once("address=").expect("the line says where").1.trim().to_owned()
    }

    /// HOST:PORT of the address for operators, once it listens.
    pub fn admin_address(&mut self) -> String {
        let line = self.logged("metrics and probes address=");
        line.split_once("address=").expect("the line says where").1.trim().to_owned()
    }

    /// Waits until it can serve.
    pub fn ready(&mut self) {
        self.logged("readiness: ready");
    }

    /// Waits for a log line with this text; one that has come is good, too.
    pub fn logged(&mut self, text: &str) -> String {
        self.stderr.wait_for(text)
    }

    /// Waits for a line of its output with this text, and answers all up to it.
    pub fn printed(&mut self, text: &str) -> Vec<String> {
        self.stdout.wait_for(text);
        self.stdout.seen.clone()
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("the process is there");
    }

    /// Waits for the end, and answers the exit code with all that was logged.
    pub fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("the process ends");
        assert_eq!(status.signal(), None, "it ends by itself");
        (status.code(), self.stderr.rest())
    }

    /// Tells it to stop, and answers all that it logged.
    pub fn stopped(self) -> String {
        self.signal(Signal::SIGTERM);
        let (code, log) = self.end();
        assert_eq!(code, Some(0), "{log}");
        log
    }

    /// Kills it, as a power cut would.
    pub fn killed(mut self) -> ExitStatus {
        self.child.kill().expect("the process is there");
        self.child.wait().expect("the process ends")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a pipe, read as they come, so that the pipe never fills.
struct Lines {
    coming: Receiver<String>,
    seen: Vec<String>,
    _reader: JoinHandle<()>,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let (sender, coming) = channel();
        let read = move || {
            for line in BufReader::new(pipe).lines() {
                // Nobody listens any more, or what comes is no text: both are told by the test itself.
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        };
        Self { coming, seen: Vec::new(), _reader: std::thread::spawn(read) }
    }

    /// The first line with this text, of those that came and those that come.
    fn wait_for(&mut self, text: &str) -> String {
        if let Some(line) = self.seen.iter().find(|line| line.contains(text)) {
            return line.clone();
        }
        loop {
            let line = self.coming.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no line with {text:?} came after: {:#?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    fn rest(&mut self) -> String {
        // The pipe has ended, so that this ends too.
        self.seen.extend(self.coming.iter());
        self.seen.join("\n")
    }
}
