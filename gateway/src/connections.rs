// SPDX-License-Identifier: Apache-2.0
//! How many connections to a backend may be open at once, and who waits for a place among them: in the order in which they
//! came, over all workers. It opens none and closes none.
//!
//! Who waits gets the place of a connection that has ended. So that one ends, those that are idle are asked for
//! ([`Keeper`]), and none becomes idle while somebody waits: it is lent to somebody who waits for just that connection, or
//! closed. Such lending passes by who came first, which is bounded ([`Connections::pass`]).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

/// So often a connection is lent to others past who waits first: to open another one costs more than to use this one.
const MOST_PASSED: u32 = 8;

/// Who keeps idle connections.
pub(crate) trait Keeper: Send + Sync {
    /// Closes one that is idle of this backend; `false` if there is none.
    fn give_up(&self, backend: u64) -> bool;
}

/// The connections of one backend, in one configuration.
pub(crate) struct Connections {
    /// [`BackendState::id`](crate::balance::BackendState::id).
    backend: u64,
    most: u32,
    open: AtomicU32,
    /// How many are in `queue`. Sequentially consistent with `open`: of who gives a place back and who begins to wait, one
    /// sees the other.
    waiting: AtomicU32,
    queue: Mutex<Queue>,
    /// Where idle connections may be.
    keepers: Mutex<Vec<Weak<dyn Keeper>>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiter>,
    tickets: u64,
    /// How often the first was passed by.
    passed: u32,
    /// Nobody has an idle connection, and nobody gets one while somebody waits.
    dry: bool,
    /// How often nobody waited any more.
    emptied: u64,
}

struct Waiter {
    ticket: u64,
    lane: u64,
    place: oneshot::Sender<Slot>,
}

/// A place for one connection; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Connections>);

/// A place to come; the wait ends when this is dropped.
pub(crate) struct Waiting {
    connections: Arc<Connections>,
    ticket: u64,
    place: oneshot::Receiver<Slot>,
}

impl Connections {
    pub(crate) fn new(backend: u64, most: u32) -> Self {
        let (queue, keepers) = (Mutex::default(), Mutex::default());
        Self { backend, most, open: AtomicU32::new(0), waiting: AtomicU32::new(0), queue, keepers }
    }

    /// A place at once, if there is one and nobody waits for it.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Slot> {
        if self.is_wanted() { None } else { self.free() }
    }

    /// A place when it is one's turn. `lane` tells apart what is waited for besides: whoever has the same is served by
    /// the same connections.
    pub(crate) fn wait(self: &Arc<Self>, lane: u64) -> Waiting {
        let (sender, place) = oneshot::channel();
        let ticket = {
            let mut queue = self.queue();
            queue.tickets += 1;
            let ticket = queue.tickets;
            queue.waiting.push_back(Waiter { ticket, lane, place: sender });
            self.waiting.fetch_add(1, Ordering::SeqCst);
            ticket
        };
        let waiting = Waiting { connections: Arc::clone(self), ticket, place };
        // One may have come free on the way here.
        self.serve();
        self.recall();
        waiting
    }

    /// Whether somebody waits for a place.
    pub(crate) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Whether a connection of this lane may be lent again though somebody waits.
    pub(crate) fn pass(&self, lane: u64) -> bool {
        let mut queue = self.queue();
        if queue.waiting.front().is_none_or(|first| first.lane == lane) {
            return true;
        }
        queue.passed += 1;
        let passes = queue.passed <= MOST_PASSED;
        if !passes {
            // The place of this one is enough.
            queue.passed = 0;
        }
        passes
    }

    /// Idle connections may be there.
    pub(crate) fn kept_by(&self, keeper: &Arc<impl Keeper + 'static>) {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        let this = Arc::as_ptr(keeper).cast::<()>();
        if keepers.iter().any(|known| known.as_ptr().cast::<()>() == this) {
            return;
        }
        keepers.retain(|known| known.strong_count() > 0);
        let keeper: Weak<dyn Keeper> = Arc::downgrade(keeper) as _;
        keepers.push(keeper);
    }

    /// Has an idle connection closed for the sake of who waits, if there is one anywhere.
    fn recall(&self) {
        let emptied = {
            let queue = self.queue();
            if queue.dry || queue.waiting.is_empty() {
                return;
            }
            queue.emptied
        };
        let keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let found = keepers.iter().filter_map(Weak::upgrade).any(|keeper| keeper.give_up(self.backend));
        if !found {
            let mut queue = self.queue();
            queue.dry |= queue.emptied == emptied;
        }
    }

    /// A place if one is free, whoever waits.
    fn free(self: &Arc<Self>) -> Option<Slot> {
        let more = |open: u32| (open < self.most).then(|| open + 1);
        let taken = self.open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        taken.ok().map(|_| Slot(Arc::clone(self)))
    }

    /// Gives free places to who waits.
    fn serve(self: &Arc<Self>) {
        let mut spare = None;
        while let Some((waiter, slot)) = self.next(&mut spare) {
            // Whoever left without a word has not got it.
            spare = waiter.place.send(slot).err();
        }
    }

    fn next(self: &Arc<Self>, spare: &mut Option<Slot>) -> Option<(Waiter, Slot)> {
        let mut queue = self.queue();
        if queue.waiting.is_empty() {
            return None;
        }
        let slot = spare.take().or_else(|| self.free())?;
        self.leave(&mut queue, 0).map(|waiter| (waiter, slot))
    }

    /// Takes one out of the queue.
    fn leave(&self, queue: &mut Queue, at: usize) -> Option<Waiter> {
        let waiter = queue.waiting.remove(at)?;
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        if at == 0 {
            queue.passed = 0;
        }
        if queue.waiting.is_empty() {
            queue.emptied += 1;
            queue.dry = false;
        }
        Some(waiter)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Every change of it is whole before anything can panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Whether somebody waits for such a place.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.is_wanted()
    }

    /// Whose it is.
    pub(crate) fn connections(&self) -> &Arc<Connections> {
        &self.0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        if self.0.is_wanted() {
            self.0.serve();
        }
    }
}

impl Future for Waiting {
    type Output = Slot;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Slot> {
        match ready!(Pin::new(&mut self.place).poll(cx)) {
            Ok(slot) => Poll::Ready(slot),
            // Nobody drops a sender who has not left; who waits has a deadline.
            Err(_) => Poll::Pending,
        }
    }
}

impl Waiting {
    /// Number of the wait, in the order of the queue.
    pub(crate) fn ticket(&self) -> u64 {
        self.ticket
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut queue = self.connections.queue();
        let at = queue.waiting.binary_search_by_key(&self.ticket, |waiter| waiter.ticket);
        // Not there, it was served: the place is in `place`, and goes on from there.
        let left = at.ok().and_then(|at| self.connections.leave(&mut queue, at));
        drop(queue);
        drop(left);
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (open, waiting) = (self.open.load(Ordering::Relaxed), self.waiting.load(Ordering::Relaxed));
        write!(f, "Connections({open} of {}, {waiting} waiting)", self.most)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::task::Waker;

    use super::*;

    fn capped(most: u32) -> Arc<Connections> {
        Arc::new(Connections::new(7, most))
    }

    fn served(waiting: &mut Waiting) -> Option<Slot> {
        match Pin::new(waiting).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(slot) => Some(slot),
            Poll::Pending => None,
        }
    }

    fn open(connections: &Connections) -> u32 {
        connections.open.load(Ordering::SeqCst)
    }

    #[test]
    fn places_are_taken_up_to_the_cap_and_come_back() {
        let connections = capped(3);
        let places: Vec<Slot> = std::iter::from_fn(|| connections.take()).collect();
        assert_eq!((places.len(), open(&connections)), (3, 3));
        drop(places);
        assert_eq!(open(&connections), 0);
        assert!(capped(0).take().is_none(), "none is none");
    }

    #[test]
    fn who_waits_is_served_in_turn_and_nobody_overtakes() {
        let connections = capped(1);
        let place = connections.take().unwrap();
        let (mut first, mut second) = (connections.wait(0), connections.wait(0));
        assert!(served(&mut first).is_none() && served(&mut second).is_none());
        drop(place);
        assert!(connections.take().is_none());
        let place = served(&mut first);
        assert!(place.is_some() && served(&mut second).is_none());
        drop(place);
        assert!(served(&mut second).is_some());
        drop((first, second));
        assert_eq!(open(&connections), 0);
        assert!(connections.take().is_some());
    }

    #[test]
    fn who_leaves_passes_on_what_it_was_given() {
        let connections = capped(1);
        let place = connections.take().unwrap();
        let [gone, second, mut last] = [(); 3].map(|()| connections.wait(0));
        drop(gone);
        drop(place);
        assert!(served(&mut last).is_none(), "the place is the second's");
        drop(second);
        assert!(served(&mut last).is_some());
        drop(last);
        assert_eq!((open(&connections), connections.is_wanted()), (0, false));
    }

    #[test]
    fn a_connection_is_lent_past_who_waits_a_few_times_only() {
        let connections = capped(1);
        let _place = connections.take().unwrap();
        let first = connections.wait(1);
        let _second = connections.wait(2);
        let passes = || std::iter::repeat_with(|| connections.pass(2)).take_while(|passes| *passes).take(50).count();
        assert_eq!((passes(), passes()), (8, 8), "one connection is called in at a time");
        assert!((0..50).all(|_| connections.pass(1)), "nobody is passed by");
        drop(first);
        assert_eq!(passes(), 50, "the second is the first now");
    }

    struct Shelf(AtomicBool, Mutex<Option<Slot>>);

    impl Keeper for Shelf {
        fn give_up(&self, backend: u64) -> bool {
            self.0.store(true, Ordering::SeqCst);
            assert_eq!(backend, 7);
            let kept = self.1.lock().unwrap().take();
            kept.is_some()
        }
    }

    #[test]
    fn idle_connections_are_asked_for_while_there_may_be_some() {
        let connections = capped(1);
        let shelf = Arc::new(Shelf(AtomicBool::new(false), Mutex::new(connections.take())));
        connections.kept_by(&shelf);
        connections.kept_by(&shelf);
        assert_eq!(connections.keepers.lock().unwrap().len(), 1);
        let place = served(&mut connections.wait(0)).unwrap();
        let asked = || shelf.0.swap(false, Ordering::SeqCst);
        assert!(asked());
        let waits = [connections.wait(0), connections.wait(0)];
        assert!(asked());
        let third = connections.wait(0);
        assert!(!asked(), "there was none");
        drop((waits, third));
        let _again = connections.wait(0);
        assert!(asked());
        drop(place);
    }

    #[test]
    fn places_and_waits_of_many_threads_come_out_even() {
        let connections = capped(2);
        let most = AtomicU32::new(0);
        let seen = AtomicU32::new(0);
        let go = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                for round in 0..2_000_u32 {
                    let place = match connections.take() {
                        Some(place) => place,
                        None if round % 5 == 0 => {
                            drop(connections.wait(0));
                            continue;
                        }
                        None => {
                            let wait = tokio::time::timeout(std::time::Duration::from_secs(20), connections.wait(0));
                            wait.await.expect("a wake-up was lost")
                        }
                    };
                    most.fetch_max(seen.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    seen.fetch_sub(1, Ordering::SeqCst);
                    drop(place);
                }
            });
        };
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(go))));
        assert_eq!((open(&connections), connections.is_wanted()), (0, false));
        assert!(most.into_inner() <= 2);
    }
}
