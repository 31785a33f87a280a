//! What these tests share: the program to be killed, psql, and a look at /proc.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use deskledger::embedded_postgres::{Durability, EmbeddedPostgres, Error, Settings};
use nix::sys::signal::{Signal, kill};
use nix::sys::statvfs::{FsFlags, Statvfs, statvfs};
use nix::unistd::{Pid, Uid};

/// The program to be killed: an example, which cargo puts beside the folder of the tests.
pub fn service() -> PathBuf {
    let tests = std::env::current_exe().expect("the path of this program");
    let built = tests.ancestors().nth(2).expect("the folder of the build").join("examples/embedded_postgres");
    assert!(built.exists(), "{} is missing: `cargo build --examples` makes it, as `cargo test` does", built.display());
    built
}

/// A copy of it where every user can reach it, as the checkout may be closed to others.
pub fn service_for_others(room: &tempfile::TempDir) -> PathBuf {
    let copy = room.path().join("service");
    // By a process of its own: a child that another test forks meanwhile would keep a file that we write open, and so not to be run.
    let status = Command::new("cp").arg(service()).arg(&copy).status().expect("cp runs");
    assert!(status.success(), "the program is copied");
    copy
}

/// Writes a script that can be run at once; by a process of its own, for the same reason.
pub fn write_script(path: &Path, text: &str) {
    let mut install =
        Command::new("install").args(["-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped()).spawn().expect("install runs");
    install.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("the script is read");
    assert!(install.wait().expect("it ends").success(), "the script is written");
}

/// Whether this machine lets us make namespaces: containers and some distributions do not.
pub fn may_unshare(arguments: &[&str]) -> bool {
    let tried = Command::new("unshare").args(arguments).arg("true").stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// Memory, where there is enough of it and programs may be run from it: most of the time would go to waiting for the disk.
fn roomy() -> PathBuf {
    let enough = |fs: Statvfs| fs.blocks_available() * fs.fragment_size() >= 1 << 30 && !fs.flags().contains(FsFlags::ST_NOEXEC);
    let memory = PathBuf::from("/dev/shm");
    if statvfs(&memory).is_ok_and(enough) { memory } else { std::env::temp_dir() }
}

/// A folder that every user can enter, removed at the end.
pub fn room() -> tempfile::TempDir {
    let room = tempfile::tempdir_in(roomy()).expect("a folder is made");
    fs::set_permissions(room.path(), fs::Permissions::from_mode(0o755)).expect("its mode is set");
    room
}

pub fn settings(data_dir: &Path) -> Settings {
    Settings { data_dir: data_dir.to_path_buf(), binaries: None, durability: Durability::Durable, max_connections: 20 }
}

/// Starts the server in this process.
#[track_caller]
pub fn start(data_dir: &Path) -> EmbeddedPostgres {
    EmbeddedPostgres::start(&settings(data_dir)).expect("it starts")
}

#[track_caller]
pub fn start_error(data_dir: &Path) -> Error {
    EmbeddedPostgres::start(&settings(data_dir)).map(drop).expect_err("it is refused")
}

pub fn find_in_path(program: &str) -> PathBuf {
    let output = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program]).output().expect("sh runs");
    fs::canonicalize(String::from_utf8(output.stdout).expect("UTF-8").trim()).expect("it is in PATH")
}

/// The process that waits for the service's end to interrupt its server.
#[track_caller]
pub fn watcher(data_dir: &Path, server: i32) -> i32 {
    let is_watcher = |pid: &i32| stat_field(*pid, 5) == server.to_string() && *pid != server;
    processes_with(data_dir).into_iter().find(is_watcher).expect("a watcher")
}

pub fn am_root() -> bool {
    Uid::effective().is_root()
}

/// The user that root's servers run as.
pub const SERVER_USER: &str = "postgres";

/// A command run as another user; only for root.
pub fn as_user(user: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]).arg(program.as_ref());
    command
}

/// A command run as the user that a server started by us runs as.
pub fn as_server_user(program: impl AsRef<OsStr>) -> Command {
    if am_root() { as_user(SERVER_USER, program) } else { Command::new(program) }
}

/// Waits for what no event announces; fails after half a minute.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

pub fn sql(socket_dir: &Path, statement: &str) -> String {
    let output = try_sql(socket_dir, statement);
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

pub fn try_sql(socket_dir: &Path, statement: &str) -> Output {
    psql(socket_dir).args(["-c", statement]).output().expect("psql runs")
}

pub fn psql(socket_dir: &Path) -> Command {
    let mut command = Command::new("psql");
    command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "postgres", "-p", "5432", "-h"]).arg(socket_dir);
    command
}

/// The postmaster's pid as the server itself says it.
pub fn postmaster(data_dir: &Path) -> i32 {
    let content = fs::read(data_dir.join("postgres/postmaster.pid")).expect("there is a server");
    let line = content.split(|byte| *byte == b'\n').next().expect("a first line");
    str::from_utf8(line).ok().and_then(|pid| pid.parse().ok()).expect("a pid")
}

/// All living processes that stand in the folder.
pub fn processes_in(folder: &Path) -> Vec<i32> {
    let Ok(folder) = folder.canonicalize() else { return Vec::new() };
    processes().filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder)).collect()
}

/// All living processes that have the text in their command line.
pub fn processes_with(text: &Path) -> Vec<i32> {
    let text = text.as_os_str().as_encoded_bytes();
    let has = |line: Vec<u8>| line.windows(text.len()).any(|window| window == text);
    processes().filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(has)).collect()
}

fn processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").expect("there is a /proc").flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// A field of /proc/PID/stat, counted as in its manual page from 3 (state).
pub fn stat_field(pid: i32, field: usize) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    stat.rsplit_once(')').expect("a name in parentheses").1.split_whitespace().nth(field - 3).expect("enough fields").to_owned()
}

pub fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("the process is there");
}

pub fn is_alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None).is_ok() && stat_field(pid, 3) != "Z"
}

pub fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A running stand-in; killed at the end unless it has ended before.
pub struct Service {
    pub child: Child,
    stdin: Option<ChildStdin>,
    pub line: String,
}

impl Service {
    pub fn serve(data_dir: &Path) -> Self {
        let mut command = Command::new(service());
        command.arg("serve").arg(data_dir);
        Self::start(command)
    }

    /// Starts it and waits until it says something. It gets a process group of its own, as a
    /// terminal would give it.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
        let stdin = child.stdin.take();
        assert!(!line.is_empty(), "the service ended: {:?}", child.wait());
        Self { child, stdin, line: line.trim_end().to_owned() }
    }

    pub fn socket_dir(&self) -> PathBuf {
        PathBuf::from(&self.line)
    }

    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Tells it to end and waits for that.
    pub fn end(mut self) -> ExitStatus {
        drop(self.stdin.take());
        self.child.wait().expect("it ends")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a stand-in that is expected to fail and returns what it said.
#[track_caller]
pub fn refusal(mut command: Command) -> String {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut said = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut said).expect("UTF-8");
    let mut error = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut error).expect("UTF-8");
    assert!(!child.wait().expect("it ends").success(), "it did start: {said}");
    error
}

#[track_caller]
pub fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}
