//! The open connections of one listener's thread, each in a place. Strangers cannot use the places up: when all are
//! taken, the connection that was answered longest ago gives way to the newcomer. It is a stranger's, over which no call
//! ever succeeded, as long as strangers have more than their share of the places; below it they are safe from each
//! other, so that customers cannot keep everybody else out either. What is quiet for too long is ended in any case: actix-web bounds the first head and the idle time, but
//! neither the heads of later requests nor the time that a client takes to read its answers.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

/// How often quiet connections are looked for; the unit in which quiet is measured.
const TICK: Duration = Duration::from_secs(1);

/// The part of the places that strangers keep: one in so many.
const STRANGERS_SHARE: usize = 8;

/// The places of one thread.
pub struct Connections {
    places: usize,
    open: RefCell<BTreeMap<u64, Rc<Connection>>>,
    entered: Cell<u64>,
    tick: Rc<Cell<u64>>,
}

/// One open connection.
pub struct Connection {
    /// When it was opened or last answered.
    quiet_since: Cell<u64>,
    /// A call is being performed.
    working: Cell<bool>,
    /// A call succeeded: its caller is known.
    proven: Cell<bool>,
    /// The request was there after which the client wants the connection closed.
    closing: Cell<bool>,
    ended: Cell<bool>,
    task: OnceCell<Waker>,
    tick: Rc<Cell<u64>>,
}

/// The right to be open. Frees the place when it goes.
pub struct Place {
    connections: Rc<Connections>,
    number: u64,
    connection: Rc<Connection>,
}

/// While it lives, the connection's call is at work and does not give way.
pub struct Working(Rc<Connection>);

impl Connections {
    /// So many places; whoever is not answered for `quiet` is ended. Must be called on the thread that serves.
    pub fn new(places: usize, quiet: Duration) -> Rc<Self> {
        let (open, entered, tick) = (RefCell::default(), Cell::new(0), Rc::default());
        let connections = Rc::new(Self { places, open, entered, tick });
        actix_web::rt::spawn(sweep(Rc::downgrade(&connections), quiet));
        connections
    }

    /// A place for a newcomer; none if every place is at work.
    pub fn enter(self: &Rc<Self>) -> Option<Place> {
        if self.open.borrow().len() >= self.places {
            let quietest = self.quietest()?;
            if let Some(connection) = self.open.borrow_mut().remove(&quietest) {
                connection.end();
            }
        }
        let number = self.entered.replace(self.entered.get() + 1);
        let connection = Rc::new(Connection {
            quiet_since: Cell::new(self.tick.get()),
            working: Cell::new(false),
            proven: Cell::new(false),
            closing: Cell::new(false),
            ended: Cell::new(false),
            task: OnceCell::new(),
            tick: Rc::clone(&self.tick),
        });
        self.open.borrow_mut().insert(number, Rc::clone(&connection));
        Some(Place { connections: Rc::clone(self), number, connection })
    }

    /// Who gives way.
    fn quietest(&self) -> Option<u64> {
        let open = self.open.borrow();
        let idle = |proven| {
            let idle = open.iter().filter(|(_, connection)| !connection.working.get());
            idle.filter(move |(_, connection)| connection.proven.get() == proven)
        };
        let quietest = |proven| idle(proven).min_by_key(|(_, connection)| connection.quiet_since.get());
        let crowded = idle(false).count() > self.places / STRANGERS_SHARE;
        quietest(!crowded).or_else(|| quietest(crowded)).map(|(number, _)| *number)
    }
}

/// Ends what is quiet for too long, until the listener is gone.
async fn sweep(connections: Weak<Connections>, quiet: Duration) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(connections) = connections.upgrade() else { return };
        let now = connections.tick.get() + 1;
        connections.tick.set(now);
        for connection in connections.open.borrow().values() {
            let quiet_for = now - connection.quiet_since.get();
            if !connection.working.get() && quiet_for > quiet.as_secs() {
                connection.end();
            }
        }
    }
}

impl Connection {
    /// Runs what happens on the connection, until it is over or the connection has to end.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|context| {
            self.task.get_or_init(|| context.waker().clone());
            if self.ended.get() { Poll::Ready(None) } else { work.as_mut().poll(context).map(Some) }
        })
        .await
    }

    /// Whether a request may still come, and notes whether it is to be the last: what stands behind that one is nobody's
    /// request (RFC 9112 section 9.6).
    pub fn admits(&self, last: bool) -> bool {
        !self.closing.replace(self.closing.get() || last)
    }

    /// A call begins.
    pub fn work(self: &Rc<Self>) -> Working {
        self.working.set(true);
        Working(Rc::clone(self))
    }

    /// Notes that an answer is ready.
    pub fn answered(&self) {
        self.quiet_since.set(self.tick.get());
    }

    /// Notes that a call succeeded.
    pub fn prove(&self) {
        self.proven.set(true);
    }

    fn end(&self) {
        self.ended.set(true);
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }
}

impl Place {
    /// Whose place it is.
    pub fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.borrow_mut().remove(&self.number);
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: usize = 16;

    /// Whether each of them is still open after `newcomers` more have entered.
    fn stay(proven: usize, working: usize, newcomers: usize) -> Vec<bool> {
        actix_web::rt::System::new().block_on(async {
            let connections = Connections::new(PLACES, Duration::from_secs(60));
            let places: Vec<_> = (0..PLACES).map(|_| connections.enter().unwrap()).collect();
            places.iter().take(proven).for_each(|place| place.connection().prove());
            let at_work = places.iter().rev().take(working);
            let _at_work: Vec<_> = at_work.map(|place| place.connection().work()).collect();
            let _newcomers: Vec<_> = (0..newcomers).map(|_| connections.enter()).collect();
            places.iter().map(|place| !place.connection().ended.get()).collect()
        })
    }

    fn staying(stay: &[bool]) -> usize {
        stay.iter().filter(|stays| **stays).count()
    }

    #[test]
    fn strangers_give_way_and_customers_stay() {
        let stay = stay(10, 0, 1000);
        assert!(stay[..10].iter().all(|stays| *stays), "{stay:?}");
        assert_eq!(staying(&stay), 10);
    }

    #[test]
    fn customers_leave_strangers_their_share() {
        assert_eq!(staying(&stay(PLACES, 0, 1000)), PLACES - PLACES / STRANGERS_SHARE - 1);
    }

    #[test]
    fn nobody_gives_way_while_at_work() {
        assert_eq!(staying(&stay(0, PLACES, 1000)), PLACES);
        assert_eq!(staying(&stay(PLACES, 5, 0)), PLACES);
    }
}
