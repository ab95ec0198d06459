//! `Later`: comparisons that wait to be asked again, the next one first.

use std::cmp::Ordering as Order;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::shared::Job;

/// Nothing waits.
const NEVER: u64 = u64::MAX;

/// What waits, by the time at which it is due. Times are milliseconds of one monotonic clock.
pub(super) struct Later {
    heap: Mutex<BinaryHeap<Waiting>>,
    /// When the first is due, to be read without the lock.
    next_ms: AtomicU64,
    count: AtomicUsize,
    capacity: usize,
}

struct Waiting {
    due_ms: u64,
    job: Job,
}

impl Later {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            heap: Mutex::default(),
            next_ms: AtomicU64::new(NEVER),
            count: AtomicUsize::new(0),
            capacity,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Keeps a job until it is due, or gives it back for want of room.
    pub(super) fn put(&self, due_ms: u64, job: Job) -> Option<Job> {
        let mut heap = self.heap();
        if heap.len() >= self.capacity {
            return Some(job);
        }
        heap.push(Waiting { due_ms, job });
        self.publish(&heap);
        None
    }

    /// The first one that is due.
    pub(super) fn take(&self, now_ms: u64) -> Option<Job> {
        if self.next_ms.load(Ordering::Relaxed) > now_ms {
            return None;
        }
        let mut heap = self.heap();
        if heap.peek()?.due_ms > now_ms {
            return None;
        }
        let waiting = heap.pop();
        self.publish(&heap);
        waiting.map(|waiting| waiting.job)
    }

    /// The first one, due or not.
    pub(super) fn take_any(&self) -> Option<Job> {
        self.take(NEVER - 1)
    }

    fn publish(&self, heap: &BinaryHeap<Waiting>) {
        let next = heap.peek().map_or(NEVER, |waiting| waiting.due_ms);
        self.next_ms.store(next, Ordering::Relaxed);
        self.count.store(heap.len(), Ordering::Relaxed);
    }

    fn heap(&self) -> MutexGuard<'_, BinaryHeap<Waiting>> {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ord for Waiting {
    /// The first to be due is the greatest, as the heap wants it.
    fn cmp(&self, other: &Self) -> Order {
        other.due_ms.cmp(&self.due_ms)
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.due_ms == other.due_ms
    }
}

impl Eq for Waiting {}
