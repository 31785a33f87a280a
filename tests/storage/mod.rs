//! What the database is relied on for: order among calls that meet, whole effects under faults, few statements, and its own rules.

mod deadlines;
mod faults;
mod hold_races;
mod ingest;
pub mod invariants;
mod list_milestones;
mod log_pages;
mod log_reconciler;
mod log_sequencer;
mod migrations;
mod model;
mod outages;
mod pages;
mod privileges;
mod proxy;
mod races;
mod replicas;
mod statements;

use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use sqlx::{Connection, PgConnection};
use tonic::{Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::support::database::TestDatabase;
use crate::support::{World, refusal};

/// How long a test waits for an event that must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A call whose answer is "OK" or the reason of its refusal.
type Call = BoxFuture<'static, String>;

fn outcome<T>(answer: Result<T, Status>) -> String {
    answer.map_or_else(|status| refusal(&status).reason, |_| "OK".to_owned())
}

/// A ticket's row, locked by a transaction of the test: calls queue up behind it, first come, first served.
struct HeldTicket {
    holder: PgConnection,
    observer: PgConnection,
}

impl HeldTicket {
    async fn hold(database: &TestDatabase, ticket_id: i64) -> Self {
        let (mut holder, observer) = (database.connect().await, database.connect().await);
        sqlx::raw_sql("begin isolation level read committed").execute(&mut holder).await.expect("a transaction");
        sqlx::query("select from tickets where id = $1 for update").bind(ticket_id).execute(&mut holder).await.expect("the lock");
        Self { holder, observer }
    }

    /// Waits until this many statements wait for a lock. Lanes do not count: they soon give up, and their calls come on a pooled connection.
    async fn queued(&mut self, count: usize) {
        let count = i64::try_from(count).expect("a small number");
        let waiting = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock' and application_name <> 'deskledger lane'";
        let reached =
            async { while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut self.observer).await.expect("a count") < count {} };
        tokio::time::timeout(PATIENCE, reached).await.expect("the calls come to wait for the lock");
    }

    async fn release(mut self) {
        sqlx::raw_sql("rollback").execute(&mut self.holder).await.expect("the lock is given back");
        self.holder.close().await.expect("the connection closes");
    }
}

/// Makes the calls meet at a ticket's row: each has read the database as it was and waits for the row when the next one begins. Answers
/// in the order of the calls.
async fn in_turn(database: &TestDatabase, ticket_id: i64, calls: Vec<Call>) -> Vec<String> {
    let mut held = HeldTicket::hold(database, ticket_id).await;
    let mut begun = Vec::new();
    for call in calls {
        begun.push(tokio::spawn(call));
        held.queued(begun.len()).await;
    }
    held.release().await;
    join_all(begun).await.into_iter().map(|answer| answer.expect("the call does not panic")).collect()
}

async fn watch_health(world: &World) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest { service: String::new() };
    HealthClient::new(world.channel().await).watch(request).await.expect("health can be watched").into_inner()
}

/// Waits until the service says this of itself.
async fn until(health: &mut Streaming<HealthCheckResponse>, wanted: ServingStatus) {
    let reached = async { while health.message().await.expect("the watch goes on").expect("it has no end").status() != wanted {} };
    tokio::time::timeout(PATIENCE, reached).await.expect("the health changes");
}
