//! The one database file: sealed records, the rows derived from them, and the tail of the audit chain. The only folder
//! that imports redb. Reads are snapshots from any thread; every write passes one writer thread, which commits many
//! calls in one transaction, each with its audit record.

mod changes;
mod sealer;
mod tables;
mod trail;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use firmware_sim::Machine;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, ReadableTableMetadata};
use tokio::sync::{mpsc, oneshot};

pub use changes::{Changes, Remembered, TokenKey};
pub use trail::{Found, Query};
pub use writer::{CommitFigures, Entry, EopTrace};

use crate::config;
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::AccessKeyId;
use crate::model::record::{List, Record};
use sealer::Sealer;
use tables::{COUNTS, DUE, LISTS, META, RECORDS, REPLAYS, SCHEMA, TOKENS, ZONES};
use writer::{Member, Order};

const FILE: &str = "yaoku.redb";

/// A handle to the store; cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    queue: mpsc::Sender<Order>,
}

struct Inner {
    database: Arc<Database>,
    sealer: Sealer,
    installation: [u8; 16],
    replay_key: [u8; 32],
    failed: Arc<AtomicBool>,
    figures: Arc<CommitFigures>,
}

/// A reserved place in the writer's queue: who holds one can always leave an audit record.
pub struct Place(mpsc::OwnedPermit<Order>);

/// The writer thread; ends after [`Store::close`].
pub struct Writer(JoinHandle<()>);

impl Writer {
    /// Waits until everything that was queued is committed.
    pub fn join(self) {
        if self.0.join().is_err() {
            tracing::error!(event = "writer", "the writer thread panicked");
        }
    }
}

/// What cron finds due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Since when.
    pub at: Timestamp,
    /// What kind of record.
    pub kind: u8,
    /// The id's bytes.
    pub id: Vec<u8>,
}

/// What the EOP plane must remember across restarts.
#[derive(Default)]
pub struct EopMemory {
    /// Minute and fingerprint of accepted request ids.
    pub replays: Vec<(i64, [u8; 16])>,
    /// Pinned zones by access key.
    pub zones: Vec<(AccessKeyId, u8)>,
}

/// One page of a list, and the length of the whole.
pub struct Page<R> {
    /// The records of the page.
    pub records: Vec<R>,
    /// How many there are on all pages.
    pub total: u64,
}

impl Store {
    /// Whether `directory` holds a database.
    pub fn exists(directory: &Path) -> bool {
        directory.join(FILE).exists()
    }

    /// Makes the database. It is made under a temporary name, closed, synced and renamed: a power cut in between
    /// leaves no file that looks like a database but cannot be opened.
    pub fn create(
        directory: &Path,
        machine: &Arc<Machine>,
        entropy: &dyn firmware_sim::Entropy,
    ) -> Result<()> {
        let temporary = directory.join("yaoku.redb.new");
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::internal(error)),
            Ok(()) | Err(_) => {}
        }
        let mut secrets = [0; 48];
        entropy.fill(&mut secrets).map_err(Error::internal)?;
        let database = Builder::new().create(&temporary).map_err(Error::internal)?;
        tables::initialise(&database, &Sealer::new(machine), &secrets).map_err(Error::internal)?;
        drop(database);
        let sync = |path: &Path| std::fs::File::open(path).and_then(|file| file.sync_all());
        sync(&temporary).map_err(Error::internal)?;
        std::fs::rename(&temporary, directory.join(FILE)).map_err(Error::internal)?;
        sync(directory).map_err(Error::internal)
    }

    /// Opens the database and starts its writer. Refuses a schema that is newer than this program.
    pub fn open(
        directory: &Path,
        machine: &Arc<Machine>,
        settings: &config::Store,
    ) -> Result<(Self, Writer)> {
        let path: PathBuf = directory.join(FILE);
        let mut builder = Builder::new();
        builder.set_cache_size(settings.cache_bytes);
        let database = Arc::new(builder.open(path).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => Error::internal(format!(
                "{} is in use by another process; stop that one first, or name another directory",
                directory.display()
            )),
            error => Error::internal(error),
        })?);
        let sealer = Sealer::new(machine);
        let meta = |name: &str| -> Result<Vec<u8>> {
            let table =
                database.begin_read().map_err(Error::internal)?.open_table(META).map_err(Error::internal)?;
            let value = table.get(name).map_err(Error::internal)?;
            let value = value.ok_or_else(|| Error::internal(format!("the database lacks its {name}")))?;
            Ok(value.value().to_vec())
        };
        let schema = meta("schema")?;
        if schema.as_slice() != SCHEMA.to_be_bytes() {
            return Err(Error::internal(
                "the database has a schema that this version does not know; use a newer one",
            ));
        }
        let secrets = sealer.open(b"meta/secrets", meta("secrets")?)?;
        let (installation, replay_key) = secrets.split_at_checked(16).unwrap_or_default();
        let wrong = |_| Error::internal("the database's secrets are damaged");
        let installation: [u8; 16] = installation.try_into().map_err(wrong)?;
        let replay_key: [u8; 32] = replay_key.try_into().map_err(wrong)?;
        let failed = Arc::new(AtomicBool::new(false));
        let figures = Arc::new(CommitFigures::default());
        let (queue, members) = mpsc::channel(settings.audit_places);
        let writer = writer::Writer::new(
            Arc::clone(&database),
            sealer.clone(),
            installation,
            Arc::clone(&failed),
            Arc::clone(&figures),
        )?;
        let thread =
            std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run(members));
        let thread = thread.map_err(Error::internal)?;
        let inner = Inner { database, sealer, installation, replay_key, failed, figures };
        Ok((Self { inner: Arc::new(inner), queue }, Writer(thread)))
    }

    /// The id of this installation, part of every event id.
    pub fn installation(&self) -> &[u8; 16] {
        &self.inner.installation
    }

    /// The key of request-id fingerprints.
    pub fn replay_key(&self) -> &[u8; 32] {
        &self.inner.replay_key
    }

    /// Whether the store accepts writes.
    pub fn is_healthy(&self) -> bool {
        !self.inner.failed.load(Ordering::Acquire) && !self.queue.is_closed()
    }

    /// Commits, records and time spent in commits since start.
    pub fn figures(&self) -> &CommitFigures {
        &self.inner.figures
    }

    /// Tells the writer to commit what is queued and to end. Later calls are answered that the store is not available.
    pub async fn close(&self) {
        let _ = self.queue.send(Order::Close).await;
    }

    /// Waits until nobody else holds the database any more, so that it can be opened again; a second at most.
    pub async fn released(self) {
        for _ in 0..1000 {
            if Arc::strong_count(&self.inner) == 1 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        tracing::warn!(event = "stop", "the database is still in use");
    }

    /// Reserves a place for one audit record; refuses when too many calls wait for theirs.
    pub fn reserve(&self) -> Result<Place> {
        if self.inner.failed.load(Ordering::Acquire) {
            return Err(Error::Unavailable("the store is in its error state; the log names the cause"));
        }
        match self.queue.clone().try_reserve_owned() {
            Ok(permit) => Ok(Place(permit)),
            Err(_) => Err(Error::Unavailable("too many calls are in progress; retry in a moment")),
        }
    }

    /// Commits one call: its changes and its audit record in one transaction. Returns when both are durable. The inner
    /// result is the verdict on the changes: if one of their constraints fails, nothing of them is written and the
    /// record says why. The outer error says that nothing was recorded.
    pub async fn record(&self, place: Place, entry: Box<Entry>) -> Result<Result<()>> {
        let (reply, verdict) = oneshot::channel();
        place.0.send(Order::Record(Member { entry, reply }));
        verdict.await.unwrap_or(Err(Error::Unavailable("the store stopped before the call was recorded")))
    }

    /// Reads one record.
    pub fn get<R: Record>(&self, id: &R::Id) -> Result<Option<R>> {
        let row = R::row(id);
        let table = self.snapshot()?.open_table(RECORDS).map_err(Error::internal)?;
        self.load(&table, &row)
    }

    fn snapshot(&self) -> Result<redb::ReadTransaction> {
        self.inner.database.begin_read().map_err(Error::internal)
    }

    fn load<R: Record>(
        &self,
        table: &redb::ReadOnlyTable<&'static [u8], &'static [u8]>,
        row: &[u8],
    ) -> Result<Option<R>> {
        let Some(sealed) = table.get(row).map_err(Error::internal)? else { return Ok(None) };
        let stored = self.inner.sealer.open_row(tables::RECORDS_NAME, row, sealed.value())?;
        let record = R::decode(&stored);
        record
            .map(Some)
            .ok_or_else(|| Error::internal("a stored record cannot be read; its version is unknown"))
    }

    /// How many records a list holds.
    pub fn count(&self, list: &List) -> Result<u64> {
        let table = self.snapshot()?.open_table(COUNTS).map_err(Error::internal)?;
        tables::count(&table, list.as_bytes()).map_err(Error::internal)
    }

    /// One page of a list: `limit` records after the first `offset`.
    pub fn page<R: Record>(&self, list: &List, offset: usize, limit: usize) -> Result<Page<R>> {
        let snapshot = self.snapshot()?;
        let counts = snapshot.open_table(COUNTS).map_err(Error::internal)?;
        let total = tables::count(&counts, list.as_bytes()).map_err(Error::internal)?;
        let lists = snapshot.open_table(LISTS).map_err(Error::internal)?;
        let records = snapshot.open_table(RECORDS).map_err(Error::internal)?;
        let mut page = Vec::with_capacity(limit.min(100));
        let rows = tables::starting_with(&lists, list.as_bytes()).map_err(Error::internal)?;
        for row in rows.skip(offset).take(limit) {
            let (_, row) = row.map_err(Error::internal)?;
            page.extend(self.load::<R>(&records, row.value())?);
        }
        Ok(Page { records: page, total })
    }

    /// One page of those records of a list that `keep` accepts. Reads the whole list.
    pub fn filter<R: Record>(
        &self,
        list: &List,
        offset: usize,
        limit: usize,
        mut keep: impl FnMut(&R) -> Result<bool>,
    ) -> Result<Page<R>> {
        let snapshot = self.snapshot()?;
        let lists = snapshot.open_table(LISTS).map_err(Error::internal)?;
        let records = snapshot.open_table(RECORDS).map_err(Error::internal)?;
        let mut page = Page { records: Vec::new(), total: 0 };
        for row in tables::starting_with(&lists, list.as_bytes()).map_err(Error::internal)? {
            let (_, row) = row.map_err(Error::internal)?;
            let Some(record) = self.load::<R>(&records, row.value())? else { continue };
            if keep(&record)? {
                let index = usize::try_from(page.total).unwrap_or(usize::MAX);
                if index >= offset && page.records.len() < limit {
                    page.records.push(record);
                }
                page.total += 1;
            }
        }
        Ok(page)
    }

    /// What is due at `now`, earliest first.
    pub fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>> {
        let table = self.snapshot()?.open_table(DUE).map_err(Error::internal)?;
        let end = tables::due_key(Timestamp(now.0.saturating_add(1)), &[]);
        let mut due = Vec::new();
        for row in table.range(..end.as_slice()).map_err(Error::internal)?.take(limit) {
            let (key, _) = row.map_err(Error::internal)?;
            due.extend(tables::read_due(key.value()));
        }
        Ok(due)
    }

    /// The first result of a create operation that carried this token, unless it is older than a day.
    pub fn remembered(&self, key: &TokenKey, now: Timestamp) -> Result<Option<Remembered>> {
        let table = self.snapshot()?.open_table(TOKENS).map_err(Error::internal)?;
        let Some(sealed) = table.get(key.0.as_slice()).map_err(Error::internal)? else { return Ok(None) };
        let stored = self.inner.sealer.open_row(tables::TOKENS_NAME, &key.0, sealed.value())?;
        let remembered: Remembered = postcard::from_bytes(&stored).map_err(Error::internal)?;
        Ok((remembered.expires > now).then_some(remembered))
    }

    /// Request ids and zones that the EOP plane remembers across restarts.
    pub fn eop_memory(&self) -> Result<EopMemory> {
        let snapshot = self.snapshot()?;
        let mut memory = EopMemory::default();
        let replays = snapshot.open_table(REPLAYS).map_err(Error::internal)?;
        for row in replays.iter().map_err(Error::internal)? {
            let (key, _) = row.map_err(Error::internal)?;
            memory.replays.extend(tables::read_replay(key.value()));
        }
        let zones = snapshot.open_table(ZONES).map_err(Error::internal)?;
        for row in zones.iter().map_err(Error::internal)? {
            let (key, zone) = row.map_err(Error::internal)?;
            let access_key = <[u8; 16]>::try_from(key.value()).ok();
            let zone = zone.value().first().copied();
            memory.zones.extend(access_key.map(AccessKeyId::from_bytes).zip(zone));
        }
        Ok(memory)
    }

    /// How many audit records and blocks there are, and the hash of the last block.
    pub fn audit_head(&self) -> Result<(u64, u64, crate::model::audit::Hash)> {
        let table = self.snapshot()?.open_table(tables::AUDIT).map_err(Error::internal)?;
        let blocks = table.len().map_err(Error::internal)?;
        let Some((key, sealed)) = table.last().map_err(Error::internal)? else {
            return Ok((0, blocks, crate::model::audit::GENESIS));
        };
        let block = trail::open(&self.inner.sealer, key.value(), sealed.value())?;
        Ok((block.header.first + u64::from(block.header.count) - 1, blocks, block.header.hash()))
    }

    /// Searches the audit records, newest first.
    pub fn search(&self, query: &Query<'_>) -> Result<Found> {
        let table = self.snapshot()?.open_table(tables::AUDIT).map_err(Error::internal)?;
        trail::search(&table, &self.inner.sealer, query)
    }

    /// Checks the chain from the first block to the last: hashes, order, completeness. Returns the number of records.
    pub fn verify_audit(&self) -> Result<u64> {
        let table = self.snapshot()?.open_table(tables::AUDIT).map_err(Error::internal)?;
        trail::verify(&table, &self.inner.sealer)
    }
}
