//! Finds the most that a running service answers, then offers it three times as many calls, and prints what becomes of them, as ratios of
//! the same run: `cargo run --release --example overload -- HOST:PORT TOKEN [--calls creates|lists] [--pid PID OF THE SERVICE]`. The token
//! needs tickets:write, messages:write and messages:read.
//!
//! Calls are offered whether or not earlier ones are answered, each at its time. Times count from then, so that calls that wait within
//! this program show, and it says how many it began too late: where those are many, the program was the bottleneck, not the service.

#![expect(clippy::cast_precision_loss, reason = "counts of calls are far below 2^52")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::{Parser, ValueEnum};
use deskledger::proto::{
    BatchCreateChatMessagesRequest, ChatMessage, CreateChatMessageRequest, CreateTicketRequest, CreateTicketResponse, Customer,
    ListChatMessagesRequest, Ticket, UserType,
};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

const TICKETS: usize = 64;
const TEXT: &str = "a message of an ordinary length, as people write them when they ask where their parcel is";
/// How many callers look for the most that is answered, one number after the other.
const CALLERS: [usize; 3] = [64, 256, 512];
/// How often calls are begun in the open loop, and how late one may be.
const TICK: Duration = Duration::from_millis(1);
const LATE: Duration = Duration::from_millis(10);
const OK: u32 = 0;
const RESOURCE_EXHAUSTED: u32 = 8;

#[derive(Parser)]
struct Arguments {
    /// Where the service listens
    address: SocketAddr,
    /// A token that may create and list
    token: String,
    /// Which calls
    #[arg(long, value_enum, default_value = "creates")]
    calls: Kind,
    /// Seconds that each phase takes
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many times the peak is offered
    #[arg(long, default_value_t = 3.0)]
    times: f64,
    /// How many messages a list answers, 1 to 1000
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    page: u16,
    /// Connections; each carries 128 calls at a time at most
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// The process of the service, whose CPU time and memory are then told
    #[arg(long)]
    pid: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Messages are stored, durably, one by one
    Creates,
    /// Pages of 50 messages are listed
    Lists,
}

/// What became of a call: its code of gRPC, how long it took from the time that it was due, and whether its end was within the phase.
type Outcome = (u32, Duration, bool);

struct Load {
    lines: Vec<SendRequest<Full<Bytes>>>,
    uri: Uri,
    headers: HeaderMap,
    /// The bodies of calls, one for each ticket.
    bodies: Vec<Bytes>,
}

impl Load {
    async fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let mut lines = Vec::new();
        for _ in 0..arguments.connections {
            let stream = TcpStream::connect(arguments.address).await.context("nothing listens there")?;
            stream.set_nodelay(true)?;
            let mut builder = Builder::new(TokioExecutor::new());
            builder.initial_stream_window_size(1 << 20).initial_connection_window_size(64 << 20);
            let (line, connection) = builder.handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            lines.push(line);
        }
        let mut headers = HeaderMap::new();
        headers.insert("te", HeaderValue::from_static("trailers"));
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-timeout", HeaderValue::from_static("5S"));
        headers.insert("authorization", HeaderValue::try_from(format!("Bearer {}", arguments.token))?);
        let mut load = Self { lines, uri: Uri::default(), headers, bodies: Vec::new() };
        for _ in 0..TICKETS {
            let customer = Customer { sendbird_id: "overload".to_owned(), ..Default::default() };
            let ticket = Ticket { customer: Some(customer), ..Default::default() };
            let request = CreateTicketRequest { ticket: Some(ticket), ..Default::default() };
            let answer = load.scene(arguments.address, "TicketService/CreateTicket", &request).await?;
            let ticket_id = CreateTicketResponse::decode(&*answer)?.ticket.context("no ticket")?.id;
            load.bodies.push(match arguments.calls {
                Kind::Creates => {
                    framed(&CreateChatMessageRequest { ticket_id, chat_message: Some(message()), ..Default::default() })
                }
                Kind::Lists => {
                    let chat_messages = vec![message(); arguments.page.into()];
                    let batch = BatchCreateChatMessagesRequest { ticket_id, chat_messages, ..Default::default() };
                    load.scene(arguments.address, "ChatMessageService/BatchCreateChatMessages", &batch).await?;
                    framed(&ListChatMessagesRequest { ticket_id, page_size: arguments.page.into(), ..Default::default() })
                }
            });
        }
        load.uri = uri(
            arguments.address,
            match arguments.calls {
                Kind::Creates => "ChatMessageService/CreateChatMessage",
                Kind::Lists => "ChatMessageService/ListChatMessages",
            },
        )?;
        Ok(load)
    }

    /// Sets the scene by one call.
    async fn scene(&self, address: SocketAddr, method: &str, message: &impl Message) -> anyhow::Result<Bytes> {
        let (code, body) = self.send(0, uri(address, method)?, framed(message)).await?;
        ensure!(code == OK, "{method} failed with code {code}");
        Ok(body.slice(5..))
    }

    async fn send(&self, number: usize, uri: Uri, body: Bytes) -> anyhow::Result<(u32, Bytes)> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        let mut line = self.lines[number % self.lines.len()].clone();
        line.ready().await?;
        let (head, body) = line.send_request(request).await?.into_parts();
        let collected = body.collect().await?;
        let status = head.headers.get("grpc-status").or_else(|| collected.trailers()?.get("grpc-status"));
        let code = status.context("no status")?.to_str()?.parse()?;
        Ok((code, collected.to_bytes()))
    }

    async fn call(&self, number: usize) -> u32 {
        let answered = self.send(number, self.uri.clone(), self.bodies[number % TICKETS].clone()).await;
        // UNKNOWN: the connection broke.
        answered.map_or(2, |(code, _)| code)
    }
}

fn message() -> ChatMessage {
    ChatMessage {
        user_sendbird_id: "overload".to_owned(),
        user_type: UserType::Customer as i32,
        message: TEXT.to_owned(),
        ..Default::default()
    }
}

fn uri(address: SocketAddr, method: &str) -> anyhow::Result<Uri> {
    Ok(format!("http://{address}/deskledger.v1.{method}").parse()?)
}

fn framed(message: &impl Message) -> Bytes {
    let encoded = message.encode_to_vec();
    let length = u32::try_from(encoded.len()).expect("a message of the load is small");
    [&[0][..], &length.to_be_bytes(), &encoded].concat().into()
}

/// What a phase came to.
struct Phase {
    outcomes: Vec<Outcome>,
    time: Duration,
    /// Calls that were begun later than they were due.
    late: usize,
    /// CPU time of the service.
    cpu: Option<Duration>,
}

impl Phase {
    /// So many callers, each of whom calls again when it is answered.
    async fn closed(load: &Arc<Load>, callers: usize, time: Duration, pid: Option<u32>) -> Self {
        let (begin, before) = (Instant::now(), pid.and_then(cpu));
        let (tasks, outcomes) = (TaskTracker::new(), Arc::new(Mutex::new(Vec::new())));
        for caller in 0..callers {
            let (load, outcomes) = (load.clone(), outcomes.clone());
            tasks.spawn(async move {
                let mut number = caller;
                while begin.elapsed() < time {
                    let due = Instant::now();
                    let code = load.call(number).await;
                    keep(&outcomes, (code, due.elapsed(), begin.elapsed() <= time));
                    number += callers;
                }
            });
        }
        sleep(time.saturating_sub(begin.elapsed())).await;
        Self::end(&tasks, &outcomes, time, 0, pid, before).await
    }

    /// So many calls a second, whatever becomes of them.
    async fn open(load: &Arc<Load>, rate: f64, time: Duration, pid: Option<u32>) -> Self {
        let (begin, before) = (Instant::now(), pid.and_then(cpu));
        let (tasks, outcomes) = (TaskTracker::new(), Arc::new(Mutex::new(Vec::new())));
        let (mut number, mut late) = (0_usize, 0);
        while begin.elapsed() < time {
            let now = begin.elapsed();
            let mut due = Duration::from_secs_f64(number as f64 / rate);
            while due < now {
                late += usize::from(now.saturating_sub(due) > LATE);
                let (load, outcomes) = (load.clone(), outcomes.clone());
                tasks.spawn(async move {
                    let code = load.call(number).await;
                    keep(&outcomes, (code, begin.elapsed().saturating_sub(due), begin.elapsed() <= time));
                });
                number += 1;
                due = Duration::from_secs_f64(number as f64 / rate);
            }
            sleep(TICK).await;
        }
        Self::end(&tasks, &outcomes, time, late, pid, before).await
    }

    async fn end(
        tasks: &TaskTracker,
        outcomes: &Mutex<Vec<Outcome>>,
        time: Duration,
        late: usize,
        pid: Option<u32>,
        before: Option<Duration>,
    ) -> Self {
        let cpu = pid.and_then(cpu).zip(before).map(|(after, before)| after.saturating_sub(before));
        tasks.close();
        tasks.wait().await;
        let outcomes = std::mem::take(&mut *outcomes.lock().unwrap_or_else(PoisonError::into_inner));
        Self { outcomes, time, late, cpu }
    }

    /// How many calls a second ended so within the phase.
    fn rate(&self, code: u32) -> f64 {
        let count = self.outcomes.iter().filter(|(is, _, within)| *is == code && *within).count();
        count as f64 / self.time.as_secs_f64()
    }

    /// Milliseconds within which half, and 99 of 100, of those that ended so did.
    fn times(&self, code: u32) -> String {
        let mut times: Vec<Duration> = self.outcomes.iter().filter(|(is, ..)| *is == code).map(|(_, took, _)| *took).collect();
        times.sort_unstable();
        let at = |percent: usize| times.get(times.len() * percent / 100).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0);
        format!("p50 {:.1} ms p99 {:.1} ms", at(50), at(99))
    }

    /// Microseconds of CPU of the service for each call, if `count` were all there were.
    fn cpu_micros(&self, count: f64) -> Option<f64> {
        Some(self.cpu?.as_secs_f64() * 1e6 / (count * self.time.as_secs_f64()))
    }

    fn print(&self, name: &str, peak: f64) {
        let (offered, served) = (self.outcomes.len() as f64 / self.time.as_secs_f64(), self.rate(OK));
        let refused = self.rate(RESOURCE_EXHAUSTED);
        let mut other: BTreeMap<u32, usize> = BTreeMap::new();
        for (code, ..) in self.outcomes.iter().filter(|(code, ..)| ![OK, RESOURCE_EXHAUSTED].contains(code)) {
            *other.entry(*code).or_default() += 1;
        }
        println!("{name}: offered {offered:.0}/s, begun late {:.2} %", 100.0 * self.late as f64 / self.outcomes.len() as f64);
        println!("  served {served:.0}/s, {:.2} of the peak, {}", served / peak.max(served), self.times(OK));
        println!("  refused {refused:.0}/s, {}; ended with other codes {other:?}", self.times(RESOURCE_EXHAUSTED));
    }
}

fn keep(outcomes: &Mutex<Vec<Outcome>>, outcome: Outcome) {
    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
}

/// The CPU time that a process has used so far: the 14th and 15th field of its `stat`, in hundredths of a second.
fn cpu(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

/// What a process has in memory, and the most that it has had.
fn memory(pid: Option<u32>) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid?)).ok()?;
    let mib = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
    };
    Some(format!("memory of the service {} MiB, at most {} MiB", mib("VmRSS:")?, mib("VmHWM:")?))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (time, pid) = (Duration::from_secs(arguments.seconds), arguments.pid);
    let load = Arc::new(Load::new(&arguments).await?);
    Phase::closed(&load, CALLERS[0], Duration::from_secs(1), None).await;
    let mut peak: f64 = 1.0;
    let mut served_micros = None;
    for callers in CALLERS {
        let phase = Phase::closed(&load, callers, time, pid).await;
        phase.print(&format!("{callers} callers"), peak);
        if phase.rate(OK) > peak {
            peak = phase.rate(OK);
            served_micros = phase.cpu_micros(peak);
        }
    }
    println!("the peak is {peak:.0}/s; {}", memory(pid).unwrap_or_default());
    for times in [1.0, arguments.times] {
        let phase = Phase::open(&load, peak * times, time, pid).await;
        phase.print(&format!("{times} times the peak"), peak);
        if let (Some(each), Some(all)) = (served_micros, phase.cpu_micros(1.0)) {
            let (served, refused) = (phase.rate(OK), phase.rate(RESOURCE_EXHAUSTED));
            println!(
                "  CPU of the service: {each:.1} us for each call at the peak; {:.1} us for each refusal, if as much for those served",
                (all - each * served) / refused
            );
        }
        println!("  {}", memory(pid).unwrap_or_default());
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
