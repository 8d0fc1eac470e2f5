//! One actor per record. A keeper takes changes through its mailbox, one at a time: it changes a copy, commits it
//! together with the call's audit record, and only then publishes the new state. Reading takes the published state
//! without a hop, and never sees a state older than the last acknowledged change.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, ArbiterHandle, AsyncContext, AtomicResponse, Context, Handler,
    Message, MessageResult, WrapFuture,
};
use arc_swap::ArcSwap;
use foldhash::{HashMap, HashMapExt as _};
use tokio::sync::oneshot;

use crate::api::Call;
use crate::error::{Error, Result};
use crate::model::record::Record;
use crate::store::{Changes, Entry, Place, Store};

/// What is wrong when a keeper's record is not where it should be.
const GONE: &str = "a record to be changed is gone";
/// A keeper that ended while it was asked.
const RELOADED: Error = Error::Unavailable("the record was just being reloaded; retry");

/// All keepers of one kind of record.
pub struct Keepers<R: Record>(Arc<Registry<R>>);

struct Registry<R: Record> {
    active: RwLock<Active<R>>,
    store: Store,
    arbiter: ArbiterHandle,
    idle: Duration,
}

/// The keepers of one epoch of the store: what they published counts no more when the store had to open its file again.
struct Active<R: Record> {
    epoch: u64,
    slots: HashMap<R::Id, Slot<R>>,
}

struct Slot<R: Record> {
    published: Arc<Published<R>>,
    keeper: Addr<Keeper<R>>,
}

impl<R: Record> Clone for Slot<R> {
    fn clone(&self) -> Self {
        Self { published: Arc::clone(&self.published), keeper: self.keeper.clone() }
    }
}

/// The state that readers see.
struct Published<R> {
    record: ArcSwap<R>,
    used: AtomicBool,
    /// Whether the record is gone: whoever still has the keeper must not bring it back.
    retired: AtomicBool,
}

impl<R> Published<R> {
    fn read(&self) -> Arc<R> {
        // Written only where that changes it: the record of a busy key lies in the caches of every core.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        self.peek()
    }

    /// Reads without keeping the record in memory any longer.
    fn peek(&self) -> Arc<R> {
        self.record.load_full()
    }

    fn write(&self, record: Arc<R>) {
        self.record.store(record);
    }
}

impl<R: Record> Clone for Keepers<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R: Record> Keepers<R> {
    /// Keepers that run on `arbiter` and leave memory after `idle` without use.
    pub fn new(store: &Store, arbiter: ArbiterHandle, idle: Duration) -> Self {
        let active = RwLock::new(Active { epoch: store.epoch(), slots: HashMap::new() });
        Self(Arc::new(Registry { active, store: store.clone(), arbiter, idle }))
    }

    /// The published state of a record; `None` if there is no such record.
    pub fn get(&self, id: &R::Id) -> Result<Option<Arc<R>>> {
        let epoch = self.0.store.epoch();
        let active = self.0.active.read().unwrap_or_else(PoisonError::into_inner);
        if active.epoch == epoch
            && let Some(slot) = active.slots.get(id)
        {
            return Ok(Some(slot.published.read()));
        }
        drop(active);
        Ok(self.slot(id)?.map(|slot| slot.published.read()))
    }

    /// The published states of all active keepers.
    pub fn published(&self) -> Vec<Arc<R>> {
        let active = self.0.active.read().unwrap_or_else(PoisonError::into_inner);
        active.slots.values().map(|slot| slot.published.peek()).collect()
    }

    /// How many keepers are active.
    pub fn active(&self) -> usize {
        self.0.active.read().unwrap_or_else(PoisonError::into_inner).slots.len()
    }

    /// Changes one record: the whole body of an operation. `edit` checks and changes a copy; it is pure and short.
    /// Returns the new state once it and the call's audit record are durable.
    pub async fn change(
        &self,
        call: &Call,
        id: &R::Id,
        edit: impl FnOnce(&mut R) -> Result<()> + Send + 'static,
    ) -> Result<Option<Arc<R>>> {
        self.change_with(call, id, Changes::default(), edit).await
    }

    /// As [`Keepers::change`], and commits `beside` in the same transaction: records that depend on this one.
    pub async fn change_with(
        &self,
        call: &Call,
        id: &R::Id,
        beside: Changes,
        edit: impl FnOnce(&mut R) -> Result<()> + Send + 'static,
    ) -> Result<Option<Arc<R>>> {
        self.submit(call, id, call.entry(beside, None), Box::new(|record, _| edit(record))).await
    }

    /// As [`Keepers::change`], where `edit` also says what is committed beside: what depends on the very state that it changes.
    pub async fn change_and(
        &self,
        call: &Call,
        id: &R::Id,
        edit: impl FnOnce(&mut R, &mut Changes) -> Result<()> + Send + 'static,
    ) -> Result<Option<Arc<R>>> {
        self.submit(call, id, call.entry(Changes::default(), None), Box::new(edit)).await
    }

    /// As [`Keepers::change`], for a call that fails and must leave a mark: its audit record says the failure, which the caller
    /// answers once this succeeds.
    pub async fn change_refused(
        &self,
        call: &Call,
        id: &R::Id,
        failure: Error,
        edit: impl FnOnce(&mut R) -> Result<()> + Send + 'static,
    ) -> Result<Option<Arc<R>>> {
        let entry = call.entry(Changes::default(), Some(failure));
        self.submit(call, id, entry, Box::new(|record, _| edit(record))).await
    }

    async fn submit(
        &self,
        call: &Call,
        id: &R::Id,
        entry: Box<Entry>,
        edit: Edit<R>,
    ) -> Result<Option<Arc<R>>> {
        let Some(slot) = self.slot(id)? else { return Ok(None) };
        let place = call.take_place().ok_or_else(|| Error::internal("a call commits once"))?;
        let change = Change { place, entry, edit };
        match slot.keeper.send(change).await {
            Ok(Outcome::Recorded(verdict)) => {
                call.note_recorded();
                verdict.map(Some)
            }
            Ok(Outcome::Lost(error)) => Err(error),
            Ok(Outcome::NotRecorded(place, result)) => {
                call.return_place(place);
                result
            }
            Err(_) => {
                self.0.forget(id, &slot.published);
                Err(RELOADED)
            }
        }
    }

    /// Changes several records in one transaction: all of them or none. `edit` checks and changes a copy of each. The new
    /// states come in the order of the ids; `None` if one of the records is not there.
    pub async fn change_all(
        &self,
        call: &Call,
        ids: &[R::Id],
        edit: impl Fn(&mut R) -> Result<()>,
    ) -> Result<Option<Vec<Arc<R>>>> {
        let Some(turns) = self.turns(ids).await? else { return Ok(None) };
        let (mut changes, mut states) = (Changes::default(), HashMap::new());
        for turn in &turns {
            let mut after = R::clone(&turn.before);
            edit(&mut after)?;
            if after != *turn.before {
                changes.replace(&*turn.before, &after, Error::internal(GONE))?;
            }
            states.insert(turn.id.clone(), Arc::new(after));
        }
        let all = ids.iter().filter_map(|id| states.get(id).cloned()).collect();
        if !changes.is_empty() {
            let publish = move || {
                for turn in turns {
                    if let Some(after) = states.remove(&turn.id) {
                        turn.slot.published.write(after);
                    }
                }
            };
            self.commit(call, changes, publish).await?;
        }
        Ok(Some(all))
    }

    /// Removes a record, and its keeper with it; the removed state, or `None` if there was none. Calls that have read the
    /// record already go on with what they read.
    pub async fn retire(&self, call: &Call, id: &R::Id) -> Result<Option<Arc<R>>> {
        self.retire_with(call, id, |_| Ok(Changes::default())).await
    }

    /// As [`Keepers::retire`], and commits in the same transaction what `beside` says: what goes or comes with this very state.
    /// Meanwhile nobody changes the record.
    pub async fn retire_with(
        &self,
        call: &Call,
        id: &R::Id,
        beside: impl FnOnce(&R) -> Result<Changes>,
    ) -> Result<Option<Arc<R>>> {
        let Some(turn) = self.turns(std::slice::from_ref(id)).await?.and_then(|mut turns| turns.pop()) else {
            return Ok(None);
        };
        let (before, registry) = (Arc::clone(&turn.before), Arc::clone(&self.0));
        let mut changes = beside(&before)?;
        changes.remove(&*before, Error::internal(GONE))?;
        let forget = move || {
            turn.slot.published.retired.store(true, Ordering::Release);
            registry.forget(&turn.id, &turn.slot.published);
        };
        self.commit(call, changes, forget).await?;
        Ok(Some(before))
    }

    /// Has each record's keeper wait for this call. All calls ask in the order of the ids, so none waits for another in a
    /// circle.
    async fn turns(&self, ids: &[R::Id]) -> Result<Option<Vec<TurnOf<R>>>> {
        let mut ids = ids.to_vec();
        ids.sort_by_cached_key(R::id_bytes);
        ids.dedup();
        let mut turns = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(slot) = self.slot(&id)? else { return Ok(None) };
            let (end, ended) = oneshot::channel();
            match slot.keeper.send(Turn { ended, record: PhantomData }).await {
                Ok(Some(before)) => turns.push(TurnOf { id, slot, before, _end: end }),
                Ok(None) => return Ok(None),
                Err(_) => {
                    self.0.forget(&id, &slot.published);
                    return Err(RELOADED);
                }
            }
        }
        Ok(Some(turns))
    }

    /// Commits what keepers wait for, and publishes it while they still do. In a task of its own: a commit that is under
    /// way ends, and is published, whatever becomes of the caller.
    async fn commit(
        &self,
        call: &Call,
        changes: Changes,
        publish: impl FnOnce() + Send + 'static,
    ) -> Result<()> {
        let place = call.take_place().ok_or_else(|| Error::internal("a call commits once"))?;
        let (entry, store) = (call.entry(changes, None), self.0.store.clone());
        let commit = tokio::spawn(async move {
            let verdict = store.record(place, entry).await;
            if let Ok(Ok(())) = verdict {
                publish();
            }
            verdict
        });
        let verdict = commit.await.map_err(Error::internal)??;
        call.note_recorded();
        verdict
    }

    /// The active slot of a record; activates it if need be. The store is read under the lock, so that nobody can
    /// publish a state that has been overtaken meanwhile.
    fn slot(&self, id: &R::Id) -> Result<Option<Slot<R>>> {
        let epoch = self.0.store.epoch();
        let active = self.0.active.read().unwrap_or_else(PoisonError::into_inner);
        if active.epoch == epoch
            && let Some(slot) = active.slots.get(id)
        {
            return Ok(Some(slot.clone()));
        }
        drop(active);
        let mut active = self.0.active.write().unwrap_or_else(PoisonError::into_inner);
        let epoch = self.0.store.epoch();
        if active.epoch != epoch {
            *active = Active { epoch, slots: HashMap::new() };
        }
        if let Some(slot) = active.slots.get(id) {
            return Ok(Some(slot.clone()));
        }
        let Some(record) = self.0.store.get::<R>(id)? else { return Ok(None) };
        let published = Arc::new(Published {
            record: ArcSwap::from_pointee(record),
            used: AtomicBool::new(true),
            retired: AtomicBool::new(false),
        });
        let keeper =
            Keeper { id: id.clone(), published: Arc::clone(&published), registry: Arc::clone(&self.0) };
        let keeper = Keeper::start_in_arbiter(&self.0.arbiter, move |_| keeper);
        let slot = Slot { published, keeper };
        active.slots.insert(id.clone(), slot.clone());
        Ok(Some(slot))
    }
}

impl<R: Record> Registry<R> {
    /// Takes a keeper off the list, unless another one has taken its place.
    fn forget(&self, id: &R::Id, published: &Arc<Published<R>>) {
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
        if active.slots.get(id).is_some_and(|slot| Arc::ptr_eq(&slot.published, published)) {
            active.slots.remove(id);
        }
    }
}

/// A keeper that waits for a call, and what it publishes meanwhile. Dropping this ends the wait.
struct TurnOf<R: Record> {
    id: R::Id,
    slot: Slot<R>,
    before: Arc<R>,
    _end: oneshot::Sender<()>,
}

/// The actor that owns one record.
struct Keeper<R: Record> {
    id: R::Id,
    published: Arc<Published<R>>,
    registry: Arc<Registry<R>>,
}

impl<R: Record> Actor for Keeper<R> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let idle = self.registry.idle;
        context.run_interval(idle, |keeper, context| {
            if !keeper.published.used.swap(false, Ordering::Relaxed) {
                keeper.registry.forget(&keeper.id, &keeper.published);
                context.stop();
            }
        });
    }

    /// A keeper that ends for whatever reason, a panic included, makes room for the next activation.
    fn stopped(&mut self, _: &mut Self::Context) {
        self.registry.forget(&self.id, &self.published);
    }
}

/// Asks a keeper to do nothing else until the call that asks is done with the record; answers the state, unless the record
/// is gone.
struct Turn<R> {
    ended: oneshot::Receiver<()>,
    record: PhantomData<R>,
}

impl<R: Record> Message for Turn<R> {
    type Result = Option<Arc<R>>;
}

impl<R: Record> Handler<Turn<R>> for Keeper<R> {
    type Result = MessageResult<Turn<R>>;

    fn handle(&mut self, turn: Turn<R>, context: &mut Context<Self>) -> Self::Result {
        if self.published.retired.load(Ordering::Acquire) {
            return MessageResult(None);
        }
        context.wait(turn.ended.into_actor(self).map(|_, _, _| ()));
        MessageResult(Some(self.published.read()))
    }
}

type Edit<R> = Box<dyn FnOnce(&mut R, &mut Changes) -> Result<()> + Send>;

struct Change<R> {
    place: Place,
    entry: Box<Entry>,
    edit: Edit<R>,
}

/// How a change ended.
enum Outcome<R> {
    /// The store has an audit record of it.
    Recorded(Result<Arc<R>>),
    /// The store failed; nothing is known to be recorded, and the next epoch has another keeper.
    Lost(Error),
    /// Nothing was committed; the place is still there for the record of the refusal, or of a change that was none. `None`:
    /// the record is gone.
    NotRecorded(Place, Result<Option<Arc<R>>>),
}

impl<R: Record> Message for Change<R> {
    type Result = Outcome<R>;
}

impl<R: Record> Handler<Change<R>> for Keeper<R> {
    type Result = AtomicResponse<Self, Outcome<R>>;

    fn handle(&mut self, change: Change<R>, _: &mut Context<Self>) -> Self::Result {
        let store = self.registry.store.clone();
        let published = Arc::clone(&self.published);
        let commit = async move {
            let Change { place, mut entry, edit } = change;
            if published.retired.load(Ordering::Acquire) {
                return Outcome::NotRecorded(place, Ok(None));
            }
            let before = published.read();
            let mut after = R::clone(&before);
            if let Err(error) = edit(&mut after, &mut entry.changes) {
                return Outcome::NotRecorded(place, Err(error));
            }
            if after == *before && entry.changes.is_empty() {
                return Outcome::NotRecorded(place, Ok(Some(before)));
            }
            if after != *before
                && let Err(error) = entry.changes.replace(&*before, &after, Error::internal(GONE))
            {
                return Outcome::NotRecorded(place, Err(error));
            }
            let after = Arc::new(after);
            match store.record(place, entry).await {
                Ok(verdict) => Outcome::Recorded(verdict.map(|()| after)),
                Err(error) => Outcome::Lost(error),
            }
        };
        AtomicResponse::new(Box::pin(commit.into_actor(self).map(|outcome, keeper, _| {
            if let Outcome::Recorded(Ok(record)) = &outcome {
                keeper.published.write(Arc::clone(record));
            }
            outcome
        })))
    }
}

impl<R: Record> Drop for Keeper<R> {
    fn drop(&mut self) {
        self.registry.forget(&self.id, &self.published);
    }
}
