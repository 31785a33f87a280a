//! Pages of tickets' messages as the doors wrote them, in memory while their ticket's version is the same.
//!
//! A page is never answered from here before the database has said that its version is current. So no process of a fleet answers what
//! another has erased; what this bounds is how long erased content stays in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use moka::notification::RemovalCause;
use moka::sync::Cache;

use crate::domain::ids::{ApplicationKey, TicketId};
use crate::measures::CacheMeasures;

/// How long a ticket's pages stay that nobody asks for: so long content stays that another process has erased.
const IDLE: Duration = Duration::from_secs(60);
/// How many bytes of pages one ticket has at most; beyond, it begins anew.
const TICKET_BYTES: usize = 4 * 1024 * 1024;
/// What an entry takes beside its pages, in bytes, roughly.
const ENTRY_BYTES: usize = 256;

/// Which page of a ticket, and written by which door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PageKey {
    pub(super) encoding: &'static str,
    pub(super) after: i64,
    pub(super) size: i64,
}

/// A page as a door wrote it.
#[derive(Debug, Clone)]
pub(super) struct CachedPage {
    /// The ticket's version that it is of.
    pub(super) version: i64,
    /// How many messages the ticket has, tombstones included.
    pub(super) message_count: i64,
    /// The number of the page's last message; where the page begins, when it is empty.
    pub(super) last: i64,
    /// The messages.
    pub(super) bytes: Bytes,
}

/// The pages in memory, by ticket; `None`: none are kept.
pub(super) struct PageCache(Option<Cache<(ApplicationKey, TicketId), Arc<TicketPages>>>);

#[derive(Default)]
struct TicketPages(Mutex<Pages>);

/// A ticket's pages, all of one version.
#[derive(Default)]
struct Pages {
    version: i64,
    bytes: usize,
    by_key: HashMap<PageKey, CachedPage>,
}

impl PageCache {
    /// Keeps about as many bytes as given; none when it is 0.
    pub(super) fn new(capacity_bytes: u64, measures: &CacheMeasures) -> Self {
        let weigh = |_: &(ApplicationKey, TicketId), pages: &Arc<TicketPages>| {
            u32::try_from(pages.lock().bytes + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        let evictions = measures.evictions.clone();
        let evicted = move |_, _, cause: RemovalCause| {
            if cause.was_evicted() {
                evictions.inc();
            }
        };
        let cache = || {
            let cache = Cache::builder().max_capacity(capacity_bytes).weigher(weigh).time_to_idle(IDLE);
            cache.eviction_listener(evicted).build()
        };
        Self((capacity_bytes > 0).then(cache))
    }

    /// About how many bytes are kept, of how many tickets.
    pub(super) fn size(&self) -> (u64, u64) {
        self.0.as_ref().map_or((0, 0), |cache| (cache.weighted_size(), cache.entry_count()))
    }

    /// The page that was last read, of whatever version.
    pub(super) fn get(&self, application: ApplicationKey, ticket_id: TicketId, key: PageKey) -> Option<CachedPage> {
        self.0.as_ref()?.get(&(application, ticket_id))?.lock().by_key.get(&key).cloned()
    }

    /// Keeps a page, unless a newer version of its ticket is known. What is kept of older versions goes.
    pub(super) fn put(&self, application: ApplicationKey, ticket_id: TicketId, key: PageKey, page: &CachedPage) {
        let Some(cache) = &self.0 else { return };
        if page.bytes.len() > TICKET_BYTES {
            return;
        }
        let entry = cache.entry((application, ticket_id)).or_default().into_value();
        if entry.put(key, page) {
            // Put again, to be weighed again.
            cache.insert((application, ticket_id), entry);
        }
    }

    /// Takes everything of older versions out of memory: content was erased. Remembers the version, so that a reader who read before the
    /// erasure does not put a page back after it.
    pub(super) fn erase(&self, application: ApplicationKey, ticket_id: TicketId, version: i64) {
        let Some(cache) = &self.0 else { return };
        let entry = cache.entry((application, ticket_id)).or_default().into_value();
        entry.lock().advance(version);
        cache.insert((application, ticket_id), entry);
    }
}

impl TicketPages {
    fn put(&self, key: PageKey, page: &CachedPage) -> bool {
        let mut pages = self.lock();
        pages.advance(page.version);
        if page.version < pages.version {
            return false;
        }
        if pages.bytes + page.bytes.len() > TICKET_BYTES {
            pages.clear();
        }
        pages.bytes += page.bytes.len();
        if let Some(before) = pages.by_key.insert(key, page.clone()) {
            pages.bytes -= before.bytes.len();
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn advance(&mut self, version: i64) {
        if self.version < version {
            self.version = version;
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.by_key = HashMap::new();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACME: ApplicationKey = ApplicationKey(1);
    const TICKET: TicketId = TicketId(7);
    const FIRST: PageKey = PageKey { encoding: "test", after: 0, size: 50 };

    fn page(version: i64, bytes: usize) -> CachedPage {
        CachedPage { version, message_count: 1, last: 1, bytes: vec![0; bytes].into() }
    }

    fn version_of(cache: &PageCache, ticket_id: TicketId) -> Option<i64> {
        cache.get(ACME, ticket_id, FIRST).map(|page| page.version)
    }

    #[test]
    fn what_was_erased_is_gone_at_once_and_a_late_reader_does_not_bring_it_back() {
        let cache = PageCache::new(1 << 20, &CacheMeasures::default());
        let read_before = page(3, 10);
        cache.put(ACME, TICKET, FIRST, &read_before);
        assert_eq!(version_of(&cache, TICKET), Some(3));
        cache.erase(ACME, TICKET, 4);
        assert_eq!(version_of(&cache, TICKET), None);
        cache.put(ACME, TICKET, FIRST, &read_before);
        assert_eq!(version_of(&cache, TICKET), None);
        cache.put(ACME, TICKET, FIRST, &page(4, 10));
        assert_eq!(version_of(&cache, TICKET), Some(4));
    }

    #[test]
    fn the_last_handle_on_erased_bytes_is_the_readers() {
        let cache = PageCache::new(1 << 20, &CacheMeasures::default());
        let bytes = Bytes::from(vec![1; 100]);
        cache.put(ACME, TICKET, FIRST, &CachedPage { bytes: bytes.clone(), ..page(1, 0) });
        assert!(!bytes.is_unique());
        cache.erase(ACME, TICKET, 2);
        assert!(bytes.is_unique());
    }

    #[test]
    fn a_newer_version_replaces_every_page_of_an_older_one() {
        let cache = PageCache::new(1 << 20, &CacheMeasures::default());
        let second = PageKey { after: 50, ..FIRST };
        cache.put(ACME, TICKET, FIRST, &page(1, 10));
        cache.put(ACME, TICKET, second, &page(2, 10));
        assert_eq!(version_of(&cache, TICKET), None);
        assert!(cache.get(ACME, TICKET, second).is_some());
        assert!(cache.get(ApplicationKey(2), TICKET, second).is_none(), "of another application");
    }

    #[test]
    fn no_more_bytes_are_kept_than_there_is_room_for() {
        let measures = CacheMeasures::default();
        let cache = PageCache::new(100_000, &measures);
        let all = 1..=1000;
        for ticket in all.clone() {
            cache.put(ACME, TicketId(ticket), FIRST, &page(1, 1000));
        }
        cache.0.as_ref().expect("it keeps some").run_pending_tasks();
        let kept = all.filter(|ticket| version_of(&cache, TicketId(*ticket)).is_some()).count();
        assert!((1..=100).contains(&kept), "{kept} of a hundred at most");
        assert_eq!(cache.size().1 + measures.evictions.get(), 1000, "what is not kept was evicted");

        let cache = PageCache::new(64 << 20, &CacheMeasures::default());
        for number in 0..10 {
            cache.put(ACME, TICKET, PageKey { after: number, ..FIRST }, &page(1, TICKET_BYTES / 4));
        }
        let of_ticket = cache.0.as_ref().and_then(|cache| cache.get(&(ACME, TICKET))).expect("it is there");
        assert!(of_ticket.lock().bytes <= TICKET_BYTES);

        let none = PageCache::new(0, &CacheMeasures::default());
        none.put(ACME, TICKET, FIRST, &page(1, 10));
        assert_eq!(version_of(&none, TICKET), None);
    }
}
