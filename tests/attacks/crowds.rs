//! Connections by the thousand.

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Target;
use crate::support::frames::Frames;

/// The crowd of one address that is kept small.
const CROWD: usize = 200;
/// A crowd is at most as large as this, and at least as that.
const MOST: u64 = 2_500;
const FEWEST: u64 = 2_000;

/// Arguments by which a service takes a crowd of this machine in.
const ROOM: [&str; 2] = ["--max-connections-per-address", "10000"];

/// As many as the machine allows: this process and each service of it hold one end of a connection, beside what other tests have open.
fn crowd() -> u64 {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit of open files");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("it may be raised so far");
    let crowd = MOST.min(hard / 6);
    assert!(crowd >= FEWEST, "this machine allows a process {hard} open files, which is too few for these tests");
    crowd
}

#[tokio::test]
async fn a_crowd_that_says_nothing_is_sent_away() {
    let mut target = Target::new(&[&ROOM[..], &["--handshake-timeout-seconds", "1"]].concat()).await;
    let mut crowd: Vec<_> = stream::iter(0..crowd()).then(|_| target.connect()).collect().await;
    target.stands().await;
    for stream in &mut crowd {
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.expect("the end"), 0);
    }
    target.stands().await;
}

#[tokio::test]
async fn a_crowd_that_idles_is_sent_away() {
    let mut target = Target::new(&[&ROOM[..], &["--idle-timeout-seconds", "1"]].concat()).await;
    let crowd: Vec<_> = stream::iter(0..crowd()).then(|_| Frames::connect(&target.address, &[])).collect().await;
    target.stands().await;
    for mut frames in crowd {
        frames.rest().await;
    }
    target.stands().await;
}

#[tokio::test]
async fn a_crowd_of_slow_headers_is_sent_away() {
    let mut target = Target::new(&[&ROOM[..], &["--header-timeout-seconds", "1"]].concat()).await;
    let slow = |mut stream: TcpStream| async move {
        stream.write_all(b"GET /docs HTTP/1.1\r\nHost: desk\r\n").await.expect("the headers begin");
        // A header now and then does not help.
        while stream.write_all(b"X-Slow: 1\r\n").await.is_ok() {
            if let Ok(Ok(0) | Err(_)) = tokio::time::timeout(std::time::Duration::from_millis(100), stream.read(&mut [0; 64])).await
            {
                return;
            }
        }
    };
    let crowd: Vec<_> = stream::iter(0..crowd()).then(|_| target.connect()).collect().await;
    let crowd: Vec<_> = crowd.into_iter().map(|stream| tokio::spawn(slow(stream))).collect();
    target.stands().await;
    for attacker in crowd {
        attacker.await.expect("it is sent away");
    }
    target.stands().await;
}

#[tokio::test]
async fn a_crowd_of_one_address_leaves_room_for_others() {
    let mut target = Target::new(&["--max-connections-per-address", "50"]).await;
    let mut crowd = join_all((0..CROWD).map(|_| target.connect())).await;
    let mut closed = 0;
    for stream in &mut crowd[100..] {
        closed += usize::from(matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    }
    assert_eq!(closed, CROWD - 100, "those beyond are closed");
    // The address of this test has no room for a new connection; who has one is served.
    assert_eq!(target.good.ticket(target.ticket).await.id, target.ticket);
    target.is_within_memory();
}
