//! Offers a running service three times as many calls as it answers at most, and prints what becomes of them, as ratios of the same run:
//! `cargo run --release --example overload -- HOST:PORT TOKEN SECONDS [PID OF THE SERVICE]`. The token needs tickets:write and messages:write.

#![expect(clippy::cast_precision_loss, reason = "counts of calls are far below 2^52")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use deskledger::proto::chat_message_service_client::ChatMessageServiceClient;
use deskledger::proto::ticket_service_client::TicketServiceClient;
use deskledger::proto::{ChatMessage, CreateChatMessageRequest, CreateTicketRequest, Customer, Ticket, UserType};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

const CONNECTIONS: usize = 32;
const TICKETS: usize = 64;
/// How long a caller waits.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often calls are started in the open loop.
const TICK: Duration = Duration::from_millis(2);

/// What became of a call, and how long it took.
type Outcome = (Code, Duration);

struct Load {
    channels: Vec<Channel>,
    tickets: Vec<i64>,
    bearer: MetadataValue<Ascii>,
}

impl Load {
    async fn new(address: &str, token: &str) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        let bearer: MetadataValue<Ascii> = format!("Bearer {token}").parse()?;
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(endpoint.connect().await?);
        }
        let mut tickets = Vec::new();
        for _ in 0..TICKETS {
            let customer = Customer { sendbird_id: "overload".to_owned(), ..Default::default() };
            let ticket = Ticket { customer: Some(customer), ..Default::default() };
            let mut request = Request::new(CreateTicketRequest { ticket: Some(ticket), ..Default::default() });
            request.metadata_mut().insert("authorization", bearer.clone());
            let answer = TicketServiceClient::new(channels[0].clone()).create_ticket(request).await?.into_inner();
            tickets.push(answer.ticket.context("no ticket")?.id);
        }
        Ok(Self { channels, tickets, bearer })
    }

    /// Stores one message.
    async fn call(&self, number: usize) -> Outcome {
        let message = ChatMessage {
            user_sendbird_id: "overload".to_owned(),
            user_type: UserType::Customer as i32,
            message: "a message of an ordinary length, as people write them when they ask where their parcel is".to_owned(),
            ..Default::default()
        };
        let ticket_id = self.tickets[number % TICKETS];
        let mut request = Request::new(CreateChatMessageRequest { ticket_id, chat_message: Some(message), ..Default::default() });
        request.metadata_mut().insert("authorization", self.bearer.clone());
        request.set_timeout(DEADLINE);
        let begin = Instant::now();
        let answer = ChatMessageServiceClient::new(self.channels[number % CONNECTIONS].clone()).create_chat_message(request).await;
        (answer.map_or_else(|status| status.code(), |_| Code::Ok), begin.elapsed())
    }
}

/// So many callers, each of whom calls again when it is answered.
async fn closed(load: &Arc<Load>, callers: usize, time: Duration) -> Vec<Outcome> {
    let end = Instant::now() + time;
    let mut all = JoinSet::new();
    for caller in 0..callers {
        let load = load.clone();
        all.spawn(async move {
            let mut outcomes = Vec::new();
            while Instant::now() < end {
                outcomes.push(load.call(caller + outcomes.len()).await);
            }
            outcomes
        });
    }
    all.join_all().await.into_iter().flatten().collect()
}

/// So many calls a second, whatever becomes of them.
async fn open(load: &Arc<Load>, rate: f64, time: Duration) -> Vec<Outcome> {
    let mut all = JoinSet::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (begin, mut started) = (Instant::now(), 0_usize);
    while begin.elapsed() < time {
        ticks.tick().await;
        while (started as f64) < begin.elapsed().as_secs_f64() * rate {
            let (load, number) = (load.clone(), started);
            all.spawn(async move { load.call(number).await });
            started += 1;
        }
    }
    all.join_all().await
}

fn quantile(outcomes: &[Outcome], code: Code, of_hundred: usize) -> f64 {
    let mut times: Vec<Duration> = outcomes.iter().filter(|(is, _)| *is == code).map(|(_, took)| *took).collect();
    times.sort_unstable();
    times.get(times.len() * of_hundred / 100).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}

fn count(outcomes: &[Outcome], code: Code) -> usize {
    outcomes.iter().filter(|(is, _)| *is == code).count()
}

fn report(name: &str, outcomes: &[Outcome], time: Duration, peak: f64) -> f64 {
    let good = count(outcomes, Code::Ok) as f64 / time.as_secs_f64();
    let refused = count(outcomes, Code::ResourceExhausted);
    let other = outcomes.len() - count(outcomes, Code::Ok) - refused;
    println!(
        "{name}: offered {:.0}/s, answered {good:.0}/s ({:.2} of peak) p50 {:.1} ms p99 {:.1} ms, refused {refused} p50 {:.1} ms p99 {:.1} ms, other {other}",
        outcomes.len() as f64 / time.as_secs_f64(),
        good / peak.max(good.min(1.0)),
        quantile(outcomes, Code::Ok, 50),
        quantile(outcomes, Code::Ok, 99),
        quantile(outcomes, Code::ResourceExhausted, 50),
        quantile(outcomes, Code::ResourceExhausted, 99),
    );
    good
}

fn memory(pid: Option<&String>) -> String {
    let status = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok()).unwrap_or_default();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    format!("{} {}", line("VmRSS"), line("VmHWM"))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    ensure!(arguments.len() >= 3, "HOST:PORT TOKEN SECONDS [PID]");
    let time = Duration::from_secs(arguments[2].parse()?);
    let load = Arc::new(Load::new(&arguments[0], &arguments[1]).await?);
    let pid = arguments.get(3);
    let mut peak: f64 = 1.0;
    for callers in [16, 64, 256] {
        let outcomes = closed(&load, callers, time).await;
        peak = peak.max(report(&format!("{callers} callers"), &outcomes, time, peak));
    }
    println!("peak {peak:.0}/s {}", memory(pid));
    for times in [1.0, 3.0] {
        let outcomes = open(&load, peak * times, time).await;
        report(&format!("{times} times the peak"), &outcomes, time, peak);
        println!("{}", memory(pid));
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
