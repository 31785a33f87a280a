//! `postmaster.pid`, in which a PostgreSQL server says which process it is and whether it is ready.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The line on which the server keeps its state, counted from 0.
const STATE_LINE: usize = 7;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct PostmasterPid {
    /// None when the file is being written, or says nonsense.
    pub pid: Option<i32>,
    /// The server takes connections.
    pub ready: bool,
}

impl PostmasterPid {
    pub fn path(cluster: &Path) -> PathBuf {
        cluster.join("postmaster.pid")
    }

    /// The raw file; None when there is none.
    pub fn read_raw(cluster: &Path) -> io::Result<Option<Vec<u8>>> {
        match fs::read(Self::path(cluster)) {
            Ok(content) => Ok(Some(content)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Bytes, because the second line is a path.
    pub fn parse(content: &[u8]) -> Self {
        let mut lines = content.split(|byte| *byte == b'\n');
        let pid = lines.next().and_then(|line| str::from_utf8(line).ok()).and_then(|line| line.trim().parse().ok());
        let ready = lines.nth(STATE_LINE - 1).is_some_and(|line| line.trim_ascii_end() == b"ready");
        Self { pid, ready }
    }
}

#[cfg(test)]
mod tests {
    use super::PostmasterPid;

    const READY: &[u8] = b"4711\n/data/\xff/postgres\n1700000000\n5432\n/data/socket\n\n 1 2\nready   \n";

    #[test]
    fn a_ready_server_has_its_pid_first_and_its_state_on_the_eighth_line() {
        assert_eq!(PostmasterPid::parse(READY), PostmasterPid { pid: Some(4711), ready: true });
    }

    #[test]
    fn a_server_that_starts_or_stops_is_not_ready() {
        for state in ["starting", "stopping", "standby ", "ready no", ""] {
            let text = format!("4711\n/d\n17\n5432\n/s\n\n 1 2\n{state}\n");
            let expected = PostmasterPid { pid: Some(4711), ready: false };
            assert_eq!(PostmasterPid::parse(text.as_bytes()), expected, "{state}");
        }
    }

    #[test]
    fn the_word_ready_on_another_line_does_not_count() {
        let text = b"4711\n/d\n17\n5432\nready\nready\nready\n";
        assert!(!PostmasterPid::parse(text).ready);
    }

    #[test]
    fn a_file_half_written_or_of_nonsense_has_no_pid() {
        for content in [b"".as_slice(), b"\n", b"abc\n/d\n", b"\xff\xfe\n", b"99999999999\n"] {
            assert_eq!(PostmasterPid::parse(content), PostmasterPid { pid: None, ready: false });
        }
    }
}
