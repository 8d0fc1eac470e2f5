//! A disk under the database of a service in this process that fails when a test says so: once, at the n-th operation
//! that a fault can come at, or at every sync for a while. It knows when it failed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use yaoku::env::{Clock, Disk, DiskFault, DiskOperation};

/// The faults that an operation can meet.
pub const FAULTS: [DiskFault; 3] = [DiskFault::Broken, DiskFault::Full, DiskFault::Short];

/// The switch of a disk's faults. Without a plan it works.
pub struct FaultyDisk {
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    plan: Plan,
    /// Operations that the planned fault could have come at, since it was armed.
    seen: usize,
    hit: Option<Hit>,
    injected: usize,
}

enum Plan {
    Works,
    /// One fault at the operation of this number, from 0.
    Once(usize, DiskFault),
    /// This fault at every operation of a kind.
    Always(DiskOperation, DiskFault),
}

/// A fault that came.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    /// At what.
    pub operation: DiskOperation,
    /// When, on the clock of the disk.
    pub at: Duration,
}

impl FaultyDisk {
    pub fn new() -> Arc<Self> {
        let state = State { plan: Plan::Works, seen: 0, hit: None, injected: 0 };
        Arc::new(Self { clock: Clock::system(), state: Mutex::new(state) })
    }

    /// The disk as a service takes it.
    pub fn disk(self: &Arc<Self>) -> Disk {
        let disk = Arc::clone(self);
        Disk::Faulty(Arc::new(move |operation| disk.decide(operation)))
    }

    /// One fault at the operation number `at` from now on, of those that it can come at.
    pub fn arm(&self, at: usize, fault: DiskFault) {
        self.plan(Plan::Once(at, fault));
    }

    /// This fault at every operation of a kind until [`FaultyDisk::heal`].
    pub fn fail(&self, operation: DiskOperation, fault: DiskFault) {
        self.plan(Plan::Always(operation, fault));
    }

    /// Works again; tells the first fault since it was planned, if one came.
    pub fn heal(&self) -> Option<Hit> {
        let mut state = self.state.lock().unwrap();
        state.plan = Plan::Works;
        state.hit
    }

    /// Faults that came so far.
    pub fn injected(&self) -> usize {
        self.state.lock().unwrap().injected
    }

    /// Time on the clock of the disk.
    pub fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn plan(&self, plan: Plan) {
        let mut state = self.state.lock().unwrap();
        (state.plan, state.seen, state.hit) = (plan, 0, None);
    }

    fn decide(&self, operation: DiskOperation) -> Option<DiskFault> {
        let mut state = self.state.lock().unwrap();
        let fault = match state.plan {
            Plan::Works => return None,
            Plan::Always(kind, fault) => (kind == operation).then_some(fault)?,
            Plan::Once(at, fault) => {
                if !meets(operation, fault) {
                    return None;
                }
                state.seen += 1;
                if state.seen <= at {
                    return None;
                }
                state.plan = Plan::Works;
                fault
            }
        };
        state.injected += 1;
        let at = self.clock.monotonic();
        state.hit.get_or_insert(Hit { operation, at });
        Some(fault)
    }
}

/// Whether an operation can fail like this: reading needs no room, and only a write can end half way.
fn meets(operation: DiskOperation, fault: DiskFault) -> bool {
    match fault {
        DiskFault::Broken => true,
        DiskFault::Full => operation != DiskOperation::Read,
        DiskFault::Short => operation == DiskOperation::Write,
    }
}
