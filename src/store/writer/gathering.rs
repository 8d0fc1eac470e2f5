//! How long the writer waits for calls that will be part of the next group.

use std::time::Duration;

use tokio::sync::mpsc;

use super::Order;

/// Groups of this size on are a sign of load.
const GATHER_FROM: usize = 16;
/// How often and how long the writer looks away while calls gather.
const GATHER_STEPS: usize = 8;
const GATHER_STEP: Duration = Duration::from_micros(100);
/// From this size on it looks away three times as often.
const GATHER_LONGER_FROM: usize = 64;
/// From this size on it looks away three times as long each time instead: that many calls do not come between two looks.
const GATHER_COARSER_FROM: usize = 128;

/// Under load, waits until a few more calls are queued than the last group had, one millisecond at most, or three where
/// groups are large: groups grow to what the load gives. As many as the last one are enough once no more come, and half as
/// many once none came twice. Those who were just answered come back one by one; without this the first of them would have
/// a commit of its own.
pub(super) fn gather(queue: &mpsc::Receiver<Order>, last: usize) {
    let (steps, step) = match last {
        ..GATHER_FROM => return,
        GATHER_FROM..GATHER_LONGER_FROM => (GATHER_STEPS, GATHER_STEP),
        GATHER_LONGER_FROM..GATHER_COARSER_FROM => (3 * GATHER_STEPS, GATHER_STEP),
        GATHER_COARSER_FROM.. => (GATHER_STEPS, 3 * GATHER_STEP),
    };
    let (enough, mut before, mut quiet) = (last + last / 4, 0, 0);
    for _ in 0..steps {
        let queued = queue.len();
        quiet = if queued == before { quiet + 1 } else { 0 };
        let settled = (quiet >= 1 && queued >= last) || (quiet >= 2 && queued >= last / 2);
        if queued >= enough || settled || queue.is_closed() {
            return;
        }
        before = queued;
        std::thread::sleep(step);
    }
}
