//! How long a connection lives: for its handshake, while it has calls, up to its age, and until the service stops.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::ServerSettings;
use crate::domain::random;
use crate::server::call::Activity;

/// How long a client that has just connected is given to begin when the service stops.
pub(super) const LAST_BEGINNING: Duration = Duration::from_secs(1);
/// How long an idle connection is given to close: nothing is in flight on it.
const IDLE_GRACE: Duration = Duration::from_secs(10);

/// When a connection is to close, and when it is cut off.
pub(super) struct Lifetime {
    activity: Arc<Activity>,
    handshake_end: Instant,
    idle_timeout: Duration,
    old_age: Instant,
    grace: Duration,
    drain: Duration,
    next_look: Instant,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The service stops; the connection closes as soon as it has begun, at the latest at this time.
    Stopping(Instant),
    /// It takes no more calls.
    Closing,
}

/// What to do with a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    /// Ask the client to go, and let the calls in flight end.
    Close,
    /// Drop it with all that is in flight; the text says why.
    CutOff(&'static str),
}

impl Lifetime {
    pub(super) fn new(activity: Arc<Activity>, settings: &ServerSettings) -> Self {
        let limits = &settings.limits;
        let begun = activity.begun();
        let handshake_end = begun + limits.handshake_timeout();
        Self {
            activity,
            handshake_end,
            idle_timeout: limits.idle_timeout(),
            old_age: begun + jittered(limits.max_connection_age(), random::bytes()),
            grace: limits.connection_grace(),
            drain: settings.drain_timeout(),
            next_look: handshake_end,
            phase: Phase::Open,
        }
    }

    /// When to look again.
    pub(super) fn next_look(&self) -> Instant {
        self.next_look
    }

    /// The service stops.
    pub(super) fn stop(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Stopping(Instant::now() + LAST_BEGINNING);
        }
    }

    /// Whether it is known that the service stops, or the connection closes for another reason.
    pub(super) fn is_stopping(&self) -> bool {
        self.phase != Phase::Open
    }

    pub(super) fn look(&mut self, now: Instant) -> Next {
        let has_begun = self.activity.has_begun();
        match self.phase {
            Phase::Closing if now >= self.next_look => Next::CutOff("its grace is over"),
            Phase::Closing => Next::Nothing,
            Phase::Stopping(last) if has_begun || now >= last => self.close(now, self.drain),
            // Looked at often for this short time: that bytes have come wakes nobody.
            Phase::Stopping(_) => self.again(now + LAST_BEGINNING / 20),
            Phase::Open if !has_begun && now >= self.handshake_end => Next::CutOff("its handshake took too long"),
            Phase::Open if !has_begun => self.again(self.handshake_end),
            Phase::Open if now >= self.old_age => self.close(now, self.grace),
            Phase::Open => {
                let idle_end = self.activity.idle_since().unwrap_or(now) + self.idle_timeout;
                if now >= idle_end { self.close(now, IDLE_GRACE.min(self.grace)) } else { self.again(idle_end.min(self.old_age)) }
            }
        }
    }

    fn again(&mut self, at: Instant) -> Next {
        self.next_look = at;
        Next::Nothing
    }

    fn close(&mut self, now: Instant, grace: Duration) -> Next {
        self.phase = Phase::Closing;
        self.next_look = now + grace;
        Next::Close
    }
}

/// An age, give or take a tenth, so that connections that were opened together do not close together.
fn jittered(age: Duration, chance: [u8; 2]) -> Duration {
    let part = f64::from(u16::from_be_bytes(chance)) / f64::from(u16::MAX);
    age.mul_f64(0.9 + 0.2 * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_varies_by_a_tenth_at_most() {
        let age = Duration::from_secs(1000);
        assert_eq!(jittered(age, [0, 0]), Duration::from_secs(900));
        assert_eq!(jittered(age, [255, 255]), Duration::from_secs(1100));
        assert!(jittered(age, [127, 255]).abs_diff(age) < Duration::from_secs(1));
    }
}
