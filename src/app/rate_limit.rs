//! Rate limits: how many calls a token may make in a minute, those that read and those that write apart. Each process counts by itself.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::app::App;
use crate::domain::caller::{Access, Caller};
use crate::error::Error;

/// How many tokens are counted at a time; beyond, the one that called longest ago begins anew.
const CAPACITY: u64 = 10_000;
/// A bucket that nobody has used for so long is full again.
const IDLE: Duration = Duration::from_secs(60);

type Bucket<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// The limits of all tokens.
pub(super) struct RateLimits<C: Clock = MonotonicClock> {
    clock: C,
    reads: Option<Rate<C>>,
    writes: Option<Rate<C>>,
    refused: AtomicU64,
}

/// One kind of calls.
struct Rate<C: Clock> {
    per_minute: NonZeroU32,
    buckets: moka::sync::Cache<String, Arc<Bucket<C>>>,
}

impl<C: Clock + Clone + Send + Sync + 'static> RateLimits<C>
where
    C::Instant: Send + Sync,
{
    /// Limits per minute; 0 is none.
    pub(super) fn new(reads: u32, writes: u32, clock: C) -> Self {
        let rate = |per_minute| {
            let buckets = moka::sync::Cache::builder().max_capacity(CAPACITY).time_to_idle(IDLE).build();
            NonZeroU32::new(per_minute).map(|per_minute| Rate { per_minute, buckets })
        };
        Self { reads: rate(reads), writes: rate(writes), clock, refused: AtomicU64::new(0) }
    }

    fn check(&self, token_id: &str, access: Access) -> Result<(), Error> {
        let rate = match access {
            Access::Read => &self.reads,
            Access::Write => &self.writes,
        };
        let Some(Rate { per_minute, buckets }) = rate else { return Ok(()) };
        // What ten seconds allow may come at once.
        let burst = NonZeroU32::new(per_minute.get() / 6).unwrap_or(NonZeroU32::MIN);
        let bucket = buckets.get_with_by_ref(token_id, || {
            Arc::new(Bucket::direct_with_clock(Quota::per_minute(*per_minute).allow_burst(burst), self.clock.clone()))
        });
        bucket.check().map_err(|refused| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let retry_after = refused.wait_time_from(self.clock.now());
            Error::RateLimited { access, per_minute: per_minute.get(), retry_after }
        })
    }
}

impl App {
    /// Counts a call of a token.
    ///
    /// # Errors
    /// [`Error::RateLimited`].
    pub fn count_call(&self, caller: &Caller, access: Access) -> Result<(), Error> {
        self.rates.check(&caller.token_id, access)
    }

    /// How many calls were refused because their token made too many, since the start.
    #[must_use]
    pub fn rate_limited_calls(&self) -> u64 {
        self.rates.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn good(limits: &RateLimits<FakeRelativeClock>, token: &str, access: Access) -> u32 {
        (0..1000).take_while(|_| limits.check(token, access).is_ok()).count().try_into().expect("small")
    }

    #[test]
    fn a_token_may_make_what_ten_seconds_allow_at_once_and_then_its_rate() {
        let clock = FakeRelativeClock::default();
        let limits = RateLimits::new(120, 0, clock.clone());
        assert_eq!(good(&limits, "a", Access::Read), 20);
        let refused = limits.check("a", Access::Read).expect_err("too many");
        let half_a_second = Duration::from_millis(500);
        assert!(
            matches!(refused, Error::RateLimited { access: Access::Read, per_minute: 120, retry_after } if retry_after == half_a_second)
        );
        assert_eq!(limits.refused.load(Ordering::Relaxed), 2);

        clock.advance(half_a_second);
        assert_eq!(good(&limits, "a", Access::Read), 1);
        clock.advance(Duration::from_secs(3600));
        assert_eq!(good(&limits, "a", Access::Read), 20, "what is not used is not saved up");
    }

    #[test]
    fn tokens_and_kinds_of_calls_are_counted_apart() {
        let limits = RateLimits::new(6, 60, FakeRelativeClock::default());
        assert_eq!(good(&limits, "a", Access::Read), 1);
        assert_eq!(good(&limits, "a", Access::Write), 10);
        assert_eq!(good(&limits, "b", Access::Read), 1);
        let unlimited = RateLimits::new(0, 0, FakeRelativeClock::default());
        assert_eq!(good(&unlimited, "a", Access::Read), 1000);
    }
}
