//! How fresh a replica is: whether it has everything that was committed up to a moment of this process's own clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A place in the journal of a database server. Places compare within one server and timeline only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The identifier that a server and its physical replicas share.
    pub system: i64,
    /// Raised when a replica is promoted: what two timelines wrote differs.
    pub timeline: i32,
    /// Bytes from the beginning of the journal.
    pub byte: i64,
}

/// What a server that is asked for reads says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// Whether it replays another server's journal, and so takes no writes of its own.
    pub is_replica: bool,
    /// Up to where it has replayed.
    pub position: Position,
}

/// Whether reads may go to a server, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has everything that is as old as the bound.
    Fresh,
    /// It lacks some of it.
    Behind,
    /// It replays no journal: a primary, or a replica that was promoted.
    NotReplica,
    /// It replays another server's journal, or one from before a promotion.
    OfOtherPrimary,
    /// The primary has not been heard of for longer than the bound, so that nothing is known.
    Unknown,
}

/// Up to where the primary had written its journal, at moments of this process's clock.
#[derive(Debug)]
pub struct History {
    bound: Duration,
    moments: VecDeque<(Instant, Position)>,
}

impl History {
    /// Nothing is known yet. A replica is fresh when it lacks nothing that was committed earlier than `bound` ago.
    #[must_use]
    pub fn new(bound: Duration) -> Self {
        Self { bound, moments: VecDeque::new() }
    }

    /// Notes what the primary answered to a question that was put at `asked`.
    pub fn note(&mut self, asked: Instant, position: Position) {
        let same = |known: &Position| (known.system, known.timeline) == (position.system, position.timeline);
        // After a failover the journal goes on from elsewhere.
        if !self.moments.back().is_none_or(|(_, known)| same(known)) {
            self.moments.clear();
        }
        self.forget(asked);
        self.moments.push_back((asked, position));
    }

    /// Judges a server by what it has replayed.
    pub fn judge(&mut self, now: Instant, replayed: Replayed) -> Standing {
        if !replayed.is_replica {
            return Standing::NotReplica;
        }
        self.forget(now);
        // The oldest that is within the bound asks least of the replica.
        let Some((_, needed)) = self.moments.front() else { return Standing::Unknown };
        let position = replayed.position;
        if (needed.system, needed.timeline) != (position.system, position.timeline) {
            Standing::OfOtherPrimary
        } else if position.byte < needed.byte {
            Standing::Behind
        } else {
            Standing::Fresh
        }
    }

    fn forget(&mut self, now: Instant) {
        let old = |moment: &(Instant, Position)| now.saturating_duration_since(moment.0) > self.bound;
        while self.moments.front().is_some_and(old) {
            self.moments.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{History, Position, Replayed, Standing};

    const SECOND: Duration = Duration::from_secs(1);

    fn at(byte: i64) -> Position {
        Position { system: 7, timeline: 1, byte }
    }

    fn replayed(position: Position) -> Replayed {
        Replayed { is_replica: true, position }
    }

    #[test]
    fn a_replica_is_fresh_when_it_has_what_was_committed_a_bound_ago() {
        let start = Instant::now();
        let mut history = History::new(SECOND * 10);
        for second in 0..=30 {
            history.note(start + SECOND * second, at(i64::from(second) * 100));
        }
        let now = start + SECOND * 30;
        assert_eq!(history.judge(now, replayed(at(2000))), Standing::Fresh);
        assert_eq!(history.judge(now, replayed(at(1999))), Standing::Behind);
        assert_eq!(history.judge(now + SECOND * 5, replayed(at(2499))), Standing::Behind);
        assert_eq!(history.judge(now + SECOND * 5, replayed(at(2500))), Standing::Fresh);
    }

    #[test]
    fn nothing_is_known_of_a_replica_when_the_primary_is_silent_for_longer_than_the_bound() {
        let start = Instant::now();
        let mut history = History::new(SECOND);
        assert_eq!(history.judge(start, replayed(at(i64::MAX))), Standing::Unknown);
        history.note(start, at(100));
        assert_eq!(history.judge(start + SECOND, replayed(at(100))), Standing::Fresh);
        assert_eq!(history.judge(start + SECOND + Duration::from_nanos(1), replayed(at(100))), Standing::Unknown);
    }

    #[test]
    fn a_primary_and_a_stranger_and_another_timeline_are_never_fresh() {
        let start = Instant::now();
        let mut history = History::new(SECOND);
        history.note(start, at(100));
        assert_eq!(history.judge(start, Replayed { is_replica: false, position: at(500) }), Standing::NotReplica);
        assert_eq!(history.judge(start, replayed(Position { system: 8, ..at(500) })), Standing::OfOtherPrimary);
        assert_eq!(history.judge(start, replayed(Position { timeline: 2, ..at(500) })), Standing::OfOtherPrimary);
    }

    #[test]
    fn after_a_failover_only_the_new_timeline_counts() {
        let start = Instant::now();
        let mut history = History::new(SECOND * 10);
        history.note(start, at(900));
        history.note(start + SECOND, Position { timeline: 2, ..at(800) });
        assert_eq!(history.judge(start + SECOND, replayed(at(950))), Standing::OfOtherPrimary);
        assert_eq!(history.judge(start + SECOND, replayed(Position { timeline: 2, ..at(800) })), Standing::Fresh);
    }
}
