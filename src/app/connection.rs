//! The connections of calls: taken from the pool, and never left in the middle. A call that ends before its statement does, because its
//! caller has left or its time is over, has the statement cancelled, and its connection is not used again.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::time::timeout;

use crate::error::Error;
use crate::storage::{from_sqlx, session};

/// How long a connection that was given back may take to say that it runs nothing. One that is idle says so in a round trip.
const GRACE: Duration = Duration::from_millis(250);
/// How long is tried to have a statement cancelled. When that is in vain, the database's own time limit ends it.
const CANCEL_PATIENCE: Duration = Duration::from_secs(2);

/// Has statements cancelled, over connections that no call uses.
#[derive(Debug, Clone)]
pub(super) struct Canceller(PgPool);

impl Canceller {
    pub(super) fn new(pool: PgPool) -> Self {
        Self(pool)
    }

    /// Cancels what a session runs. Whoever asks still has its connection: else the number might be another's by now.
    pub(super) async fn cancel(&self, session: i32) {
        let cancelled =
            timeout(CANCEL_PATIENCE, async { session::cancel(&mut *self.0.acquire().await.map_err(from_sqlx)?, session).await });
        match cancelled.await {
            Ok(Ok(())) => tracing::debug!(session, "cancelled a statement that nobody waits for"),
            Ok(Err(error)) => tracing::debug!(session, %error, "cannot cancel a statement that nobody waits for"),
            Err(_) => tracing::debug!(session, "no time to cancel a statement that nobody waits for"),
        }
    }
}

/// A connection of the pool, for one call.
pub(super) struct Pooled {
    /// There until this value is dropped.
    connection: Option<PoolConnection<Postgres>>,
    session: i32,
    canceller: Canceller,
    in_transaction: bool,
}

impl Pooled {
    /// Takes a connection of the pool by `acquire`. Asking for its number shows that it lives; one that has died in the pool makes way for
    /// another.
    pub(super) async fn take<F>(pool: &PgPool, canceller: &Canceller, acquire: impl Fn() -> F) -> Result<Self, Error>
    where
        F: Future<Output = Result<PoolConnection<Postgres>, Error>>,
    {
        let mut dead = 0;
        loop {
            let mut connection = acquire().await?;
            match session::number(&mut connection).await {
                Ok(session) => {
                    let canceller = canceller.clone();
                    return Ok(Self { connection: Some(connection), session, canceller, in_transaction: false });
                }
                Err(Error::DatabaseUnavailable(_)) if dead < pool.options().get_max_connections() => {
                    dead += 1;
                    drop(connection.detach());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// What is only missing while the value is dropped.
const THERE: &str = "the connection is there until it is given back";

impl Deref for Pooled {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_deref().expect(THERE)
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_deref_mut().expect(THERE)
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let settling = settle(connection, self.in_transaction);
        let (session, canceller) = (self.session, self.canceller.clone());
        let give_back = async move {
            let mut settling = pin!(settling);
            if timeout(GRACE, &mut settling).await.is_err() {
                // It holds the connection, and ends with it.
                canceller.cancel(session).await;
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(give_back)),
            // No runtime, no more calls: the connection closes.
            Err(_) => drop(give_back),
        }
    }
}

/// Gives a connection back to the pool, once it runs nothing. Dropped before its end it closes the connection.
fn settle(mut connection: PoolConnection<Postgres>, in_transaction: bool) -> impl Future<Output = ()> + Send {
    // Else a connection that is dropped would be given back as it is.
    connection.close_on_drop();
    async move {
        if !in_transaction || session::rollback(&mut connection).await.is_ok() {
            connection.return_to_pool().await;
        }
    }
}

/// A transaction on a connection of the pool. Dropped without [`Transaction::commit`] it leaves nothing behind.
pub(super) struct Transaction(Pooled);

impl Transaction {
    pub(super) async fn begin(mut connection: Pooled) -> Result<Self, Error> {
        connection.in_transaction = true;
        session::begin(&mut connection).await?;
        Ok(Self(connection))
    }

    /// One of which each statement sees what was committed before it.
    pub(super) async fn begin_read_committed(mut connection: Pooled) -> Result<Self, Error> {
        connection.in_transaction = true;
        session::begin_read_committed(&mut connection).await?;
        Ok(Self(connection))
    }

    pub(super) async fn commit(mut self) -> Result<(), Error> {
        session::commit(&mut self.0).await?;
        self.0.in_transaction = false;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}
