//! The one database file: sealed records, the rows derived from them, and the tail of the audit chain. The only folder
//! that imports redb. Reads are snapshots from any thread; every write passes one writer thread, which commits many
//! calls in one transaction, each with its audit record.

mod associations;
mod attempts;
mod backend;
mod changes;
mod due;
mod entry;
mod figures;
mod file;
mod heads;
mod lock;
mod reserve;
mod sealer;
mod stretch;
mod tables;
mod time;
mod trail;
mod uses;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use firmware_sim::Machine;
use redb::{Builder, ReadTransaction, ReadableTable};
use tokio::sync::{mpsc, oneshot};

pub use changes::{Changes, Remembered, TokenKey};
pub use due::Due;
pub use entry::{Entry, EopTrace};
pub use figures::CommitFigures;
pub use file::Condition;
pub use heads::HeadsFile;
pub use lock::DirectoryLock;
pub use stretch::Stretch;
pub use time::{TimeEdit, TimeKeeper};
pub use trail::{Anchor, Block, Check, Found, Query, Trail, TrailEdit, day};
pub use uses::{UsedVersions, Uses};

use crate::config::Config;
use crate::env::{Env, Timestamp};
use crate::error::{Error, Result};
use crate::ids::AccessKeyId;
use crate::model::audit::{Appliance, Hash};
use crate::model::record::{List, Record};
use file::{DatabaseFile, FAILED, Trouble};
use reserve::Reserve;
use sealer::Sealer;
use tables::{COUNTS, LISTS, RECORDS, REPLAYS, TOKENS, ZONES};
use trail::Segments;
use writer::{Member, Order};

const FILE: &str = "yaoku.redb";
/// The directory of the audit segments.
const SEGMENTS: &str = "audit";

/// A handle to the store; cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    queue: mpsc::Sender<Order>,
}

struct Inner {
    file: Arc<DatabaseFile>,
    sealer: Sealer,
    installation: [u8; 16],
    replay_key: [u8; 32],
    figures: Arc<CommitFigures>,
    time: Arc<TimeKeeper>,
    segments: Segments,
    heads: HeadsFile,
    /// The place of the order to end: a full queue cannot keep the store from closing.
    last: Mutex<Option<mpsc::OwnedPermit<Order>>>,
}

/// A reserved place in the writer's queue: who holds one can leave an audit record, unless the store fails meanwhile.
pub struct Place {
    permit: mpsc::OwnedPermit<Order>,
    epoch: u64,
}

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

/// The installation's id and the key of request-id fingerprints, of a database of this schema.
fn secrets(snapshot: &ReadTransaction, sealer: &Sealer) -> Result<([u8; 16], [u8; 32])> {
    tables::check_schema(snapshot)?;
    let secrets = sealer.open(b"meta/secrets", tables::meta(snapshot, "secrets")?);
    let secrets = secrets.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        Error::internal(format!(
            "the database does not belong to this cipher machine, or is damaged ({cause})"
        ))
    })?;
    let (installation, replay_key) = secrets.split_at_checked(16).unwrap_or_default();
    let wrong = |_| Error::internal("the database's secrets are damaged");
    Ok((installation.try_into().map_err(wrong)?, replay_key.try_into().map_err(wrong)?))
}

impl Store {
    /// Whether `directory` holds a database.
    pub fn exists(directory: &Path) -> bool {
        directory.join(FILE).exists()
    }

    /// Makes the database, that of a demo if so wanted. It is made under a temporary name, closed, synced and renamed: a power cut in between
    /// leaves no file that looks like a database but cannot be opened.
    pub fn create(
        directory: &Path,
        machine: &Arc<Machine>,
        entropy: &dyn firmware_sim::Entropy,
        demo: bool,
    ) -> Result<()> {
        if Self::exists(directory) {
            return Err(Error::internal(format!("{} holds a database already", directory.display())));
        }
        let temporary = directory.join("yaoku.redb.new");
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::internal(error)),
            Ok(()) | Err(_) => {}
        }
        let mut secrets = [0; 48];
        entropy.fill(&mut secrets).map_err(Error::internal)?;
        let database = Builder::new().create(&temporary).map_err(Error::internal)?;
        tables::initialise(&database, &Sealer::new(machine), &secrets, demo).map_err(Error::internal)?;
        drop(database);
        let sync = |path: &Path| std::fs::File::open(path).and_then(|file| file.sync_all());
        sync(&temporary).map_err(Error::internal)?;
        std::fs::rename(&temporary, directory.join(FILE)).map_err(Error::internal)?;
        sync(directory).map_err(Error::internal)
    }

    /// Opens the database and starts its writer. Refuses a schema that is newer than this program.
    pub fn open(
        config: &Config,
        machine: &Arc<Machine>,
        heads: HeadsFile,
        env: &Env,
    ) -> Result<(Self, Writer)> {
        let (directory, settings) = (&config.data, &config.store);
        let since = env.clock.monotonic();
        let sealer = Sealer::new(machine);
        let accept = |snapshot: &ReadTransaction| secrets(snapshot, &sealer).map(|_| ());
        let file = DatabaseFile::open(&directory.join(FILE), settings.cache_bytes, &env.disk, accept)?;
        let file = Arc::new(file);
        let (installation, replay_key) = secrets(&file.begin_read()?, &sealer)?;
        let segments = Segments::open(directory.join(SEGMENTS))?;
        segments.settle(Trail::of(&file.begin_read()?, &segments, &sealer)?.tail_first()?)?;
        let figures = Arc::new(CommitFigures::default());
        let latest = || writer::latest(&file, &sealer);
        let max_gap = Duration::from_secs(config.time.max_offline_gap_days * 24 * 3600);
        let time = TimeKeeper::open(&file.begin_read()?, &sealer, env.clock.clone(), max_gap, latest)?;
        let time = Arc::new(time);
        let (queue, members) = mpsc::channel(settings.audit_places + 1);
        let last = Mutex::new(queue.clone().try_reserve_owned().ok());
        let reserve = Reserve::open(directory, settings.reserve_bytes);
        let writer = writer::Writer::new(
            Arc::clone(&file),
            sealer.clone(),
            Appliance { installation, region: config.region.clone() },
            Arc::clone(&time),
            Arc::clone(&figures),
            reserve,
            Duration::from_millis(settings.reopen_milliseconds),
        )?;
        if writer.was_interrupted() {
            let milliseconds = env.clock.monotonic().saturating_sub(since).as_millis();
            let sequence = writer.last_sequence();
            tracing::info!(event = "recovered", sequence, %milliseconds, "the last stop was not orderly");
        }
        let thread =
            std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run(members));
        let thread = thread.map_err(Error::internal)?;
        let inner = Inner { file, sealer, installation, replay_key, figures, time, segments, heads, last };
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

    /// Whether the store accepts every write.
    pub fn is_healthy(&self) -> bool {
        self.condition() == Condition::Healthy
    }

    /// How the store is.
    pub fn condition(&self) -> Condition {
        if self.queue.is_closed() { Condition::Failed } else { self.inner.file.condition() }
    }

    /// How often a failure made the store open its file again. What was read before may be out of date.
    pub fn epoch(&self) -> u64 {
        self.inner.file.epoch()
    }

    /// Has the writer look at the space on the disk and at the time that it recorded. Cron calls it.
    pub fn tend(&self) {
        // A full queue is looked after at the next tick.
        let _ = self.queue.try_send(Order::Tend);
    }

    /// Commits, records and time spent in commits since start.
    pub fn figures(&self) -> &CommitFigures {
        &self.inner.figures
    }

    /// The appliance's time.
    pub fn time(&self) -> &TimeKeeper {
        &self.inner.time
    }

    /// How many calls hold a place in the writer's queue, and how many there are.
    pub fn places(&self) -> (usize, usize) {
        // One is kept for the order to end.
        let most = self.queue.max_capacity() - 1;
        (most.saturating_sub(self.queue.capacity()), most)
    }

    /// Tells the writer to commit what is queued, to close the file and to end. Later calls are answered that the store
    /// is not available.
    pub fn close(&self) {
        if let Some(place) = self.inner.last.lock().unwrap_or_else(PoisonError::into_inner).take() {
            place.send(Order::Close);
        }
    }

    /// Reserves a place for one audit record; refuses when too many calls wait for theirs.
    pub fn reserve(&self) -> Result<Place> {
        let epoch = self.epoch();
        if self.condition() == Condition::Failed {
            return Err(FAILED);
        }
        match self.queue.clone().try_reserve_owned() {
            Ok(permit) => Ok(Place { permit, epoch }),
            Err(_) => Err(Error::Unavailable("too many calls are in progress; retry in a moment")),
        }
    }

    /// Commits one call: its changes and its audit record in one transaction. Returns when both are durable. The inner
    /// result is the verdict on the changes: if one of their constraints fails, nothing of them is written and the
    /// record says why. The outer error says that nothing was recorded, or [`Error::OutcomeUnknown`].
    pub async fn record(&self, place: Place, entry: Box<Entry>) -> Result<Result<()>> {
        let (reply, verdict) = oneshot::channel();
        place.permit.send(Order::Record(Member { entry, epoch: place.epoch, reply }));
        verdict.await.unwrap_or(Err(Error::OutcomeUnknown))
    }

    /// Reads one record.
    pub fn get<R: Record>(&self, id: &R::Id) -> Result<Option<R>> {
        let row = R::row(id);
        self.read(|snapshot| self.load(&snapshot.open_table(RECORDS).map_err(Error::internal)?, &row))
    }

    /// Reads from a snapshot. A read that fails is the writer's to repair.
    fn read<T>(&self, work: impl FnOnce(&ReadTransaction) -> Result<T>) -> Result<T> {
        let epoch = self.epoch();
        let work = || self.inner.file.begin_read().and_then(|snapshot| work(&snapshot));
        let result = file::guarded(work, || Error::internal("the database panicked"));
        result.map_err(|error| match file::trouble(&error) {
            Trouble::None => error,
            Trouble::Closed => FAILED,
            Trouble::Broken | Trouble::Full => {
                tracing::error!(event = "read", cause = ?error, "the store failed");
                // A full queue is as good: its first commit fails.
                let _ = self.queue.try_send(Order::Reopen(epoch));
                FAILED
            }
        })
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
        self.read(|snapshot| {
            let table = snapshot.open_table(COUNTS).map_err(Error::internal)?;
            tables::count(&table, list.as_bytes()).map_err(Error::internal)
        })
    }

    /// One page of a list: `limit` records after the first `offset`.
    pub fn page<R: Record>(&self, list: &List, offset: usize, limit: usize) -> Result<Page<R>> {
        self.read(|snapshot| {
            let counts = snapshot.open_table(COUNTS).map_err(Error::internal)?;
            let total = tables::count(&counts, list.as_bytes()).map_err(Error::internal)?;
            let lists = snapshot.open_table(LISTS).map_err(Error::internal)?;
            let records = snapshot.open_table(RECORDS).map_err(Error::internal)?;
            let mut page = Vec::with_capacity(limit.min(100));
            let rows = tables::starting_with(&lists, list.as_bytes()).map_err(Error::internal)?;
            let whole = usize::try_from(total).unwrap_or(usize::MAX);
            let (offset, length) = (offset.min(whole), whole.saturating_sub(offset).min(limit));
            // A page is reached from the nearer end.
            let mut found: Vec<_> = match offset <= whole / 2 {
                true => rows.skip(offset).take(length).collect(),
                false => rows.rev().skip(whole - offset - length).take(length).collect(),
            };
            if offset > whole / 2 {
                found.reverse();
            }
            for row in found {
                let (_, row) = row.map_err(Error::internal)?;
                page.extend(self.load::<R>(&records, row.value())?);
            }
            Ok(Page { records: page, total })
        })
    }

    /// One page of those records of a list that `keep` accepts. Reads the whole list.
    pub fn filter<R: Record>(
        &self,
        list: &List,
        offset: usize,
        limit: usize,
        mut keep: impl FnMut(&R) -> Result<bool>,
    ) -> Result<Page<R>> {
        self.read(|snapshot| {
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
        })
    }

    /// All records of a kind that `keep` accepts, the first `limit` of them and their number, whatever lists they stand
    /// in. Reads every record of the kind.
    pub fn scan<R: Record>(&self, limit: usize, mut keep: impl FnMut(&R) -> bool) -> Result<Page<R>> {
        self.read(|snapshot| {
            let records = snapshot.open_table(RECORDS).map_err(Error::internal)?;
            let mut page = Page { records: Vec::new(), total: 0 };
            for row in tables::starting_with(&records, &[R::KIND as u8]).map_err(Error::internal)? {
                let (row, _) = row.map_err(Error::internal)?;
                let Some(record) = self.load::<R>(&records, row.value())? else { continue };
                if keep(&record) {
                    page.total += 1;
                    if page.records.len() < limit {
                        page.records.push(record);
                    }
                }
            }
            Ok(page)
        })
    }

    /// The first result of a create operation that carried this token, unless it is older than a day.
    pub fn remembered(&self, key: &TokenKey, now: Timestamp) -> Result<Option<Remembered>> {
        self.read(|snapshot| {
            let table = snapshot.open_table(TOKENS).map_err(Error::internal)?;
            let Some(sealed) = table.get(key.0.as_slice()).map_err(Error::internal)? else { return Ok(None) };
            let stored = self.inner.sealer.open_row(tables::TOKENS_NAME, &key.0, sealed.value())?;
            let remembered: Remembered = postcard::from_bytes(&stored).map_err(Error::internal)?;
            Ok((remembered.expires > now).then_some(remembered))
        })
    }

    /// Request ids and zones that the EOP plane remembers across restarts. Read at start only: a failure ends the start
    /// and keeps its cause, for nobody waits until the file is open again.
    pub fn eop_memory(&self) -> Result<EopMemory> {
        self.inner.file.begin_read().and_then(|snapshot| {
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
        })
    }

    /// How many audit records there were from the first one on, and the hash of the last block.
    pub fn audit_head(&self) -> Result<(u64, Hash)> {
        self.trail(|trail| trail.head())
    }

    /// Searches the audit records, newest first.
    pub fn search(&self, query: &Query<'_>) -> Result<Found> {
        self.trail(|trail| trail.search(query))
    }

    /// Reads from the audit trail as one snapshot shows it.
    pub fn trail<T>(&self, work: impl FnOnce(&Trail<'_>) -> Result<T>) -> Result<T> {
        self.read(|snapshot| work(&Trail::of(snapshot, &self.inner.segments, &self.inner.sealer)?))
    }

    /// Writes the oldest audit blocks of the database to segment files. Returns the number of the last record that lies there
    /// now; it counts once a call commits [`TrailEdit::Moved`].
    pub fn move_audit(&self) -> Result<Option<u64>> {
        self.trail(|trail| {
            self.inner.segments.settle(trail.tail_first()?)?;
            let frames = trail.frames_to_move()?;
            self.inner.segments.append(&frames, &self.inner.sealer)?;
            Ok(frames.last().map(|(_, frame)| frame.last()))
        })
    }

    /// The days of audit records before a day, except the newest, and the number of their last record.
    pub fn audit_days_before(&self, day: &str) -> Option<(Vec<String>, u64)> {
        self.inner.segments.older_than(day)
    }

    /// Deletes the segment files whose records are all up to a number. A call has committed [`TrailEdit::Expired`] before.
    pub fn delete_audit(&self, last: u64) -> Result<()> {
        self.inner.segments.remove_up_to(last)
    }

    /// The heads that were published outside of the data directory.
    pub fn heads(&self) -> &HeadsFile {
        &self.inner.heads
    }
}
