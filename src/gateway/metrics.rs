//! What Prometheus reads: figures that were counted as calls went by, and the state of everything at this moment. Labels
//! are names of the program's own: operations, planes, codes, states, kinds. Nothing that a customer chose or was given is
//! among them. Whatever the state of the cipher machine, there is an answer; what lies behind a shut door is left out.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use firmware_sim::State;
use procfs::process::Process;
use procfs::{ProcResult, WithCurrentSystemInfo as _};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

pub use prometheus_client::encoding::prometheus_text::CONTENT_TYPE as METRICS_TYPE;

use super::calls::Operation;
use super::{Door, Gateway, Readiness};
use crate::app::App;
use crate::error::{Error, Result};
use crate::histogram::Histogram;
use crate::store::Condition;

/// Nanoseconds of a second.
const NANOSECONDS: u64 = 1_000_000_000;

impl Door {
    /// All metrics in Prometheus' text format.
    pub fn metrics(self: Arc<Self>) -> Result<String> {
        let (mut registry, mut text) = (Registry::default(), String::new());
        registry.register_collector(Box::new(Scrape(self)));
        prometheus_text::encode(&mut text, &registry).map_err(Error::internal)?;
        Ok(text)
    }
}

/// One reading.
struct Scrape(Arc<Door>);

impl Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let door = &*self.0;
        let mut page = Page(encoder);
        page.calls(door)?;
        page.appliance(door)?;
        if let Some(gateway) = door.gateway() {
            page.gateway(gateway)?;
            page.clock(gateway.app())?;
            page.store(gateway.app())?;
            page.keepers(gateway.app())?;
        }
        match Figures::read() {
            Ok(figures) => page.process(&figures),
            // Without /proc the process is not described.
            Err(_) => Ok(()),
        }
    }
}

/// The text as it grows. The encoder itself adds `_total` to the names of counters and `_info` to those of information.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn calls(&mut self, door: &Door) -> fmt::Result {
        let operations = door.calls().operations();
        let help = "Calls that were answered, by operation, plane and result: ok or the error code.";
        let mut family = self.0.encode_descriptor("yaoku_calls", help, None, MetricType::Counter)?;
        for Operation { name, plane, succeeded, failed, .. } in &operations {
            for (result, count) in [("ok", *succeeded)].iter().chain(failed) {
                let labels = [("operation", *name), ("plane", plane.event_source()), ("result", *result)];
                ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
            }
        }
        let help =
            "Seconds from a request to its reply, refusals and the commit of the audit record included.";
        let mut family =
            self.0.encode_descriptor("yaoku_call_duration_seconds", help, None, MetricType::Histogram)?;
        for Operation { name, plane, latency, .. } in &operations {
            if latency.count() > 0 {
                let labels = [("operation", *name), ("plane", plane.event_source())];
                let (sum, count, buckets) = scaled(latency, NANOSECONDS);
                family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
        }
        let open = door.calls().connections.load(Ordering::Relaxed);
        self.gauge("yaoku_connections", "Open connections to OpenAPI and access points.", open)
    }

    fn appliance(&mut self, door: &Door) -> fmt::Result {
        let help = "The running program.";
        let mut info = self.0.encode_descriptor("yaoku_build", help, None, MetricType::Info)?;
        info.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        let started = u64::try_from(door.started().seconds()).unwrap_or(0);
        let help = "Start time of the process in seconds since 1970.";
        self.gauge("process_start_time_seconds", help, started)?;
        let ready = u64::from(door.readiness() == Readiness::Ready);
        self.gauge("yaoku_ready", "Whether calls are served: 1 as /health/ready answers 200.", ready)?;
        let states = [State::Locked, State::Operational, State::Error].map(|state| {
            let name = match state {
                State::Locked => "Locked",
                State::Operational => "Operational",
                State::Error => "Error",
            };
            (name, u64::from(door.machine().state() == state))
        });
        self.gauges(
            "yaoku_machine_state",
            "State of the cipher machine: 1 in the present one.",
            "state",
            &states,
        )
    }

    fn gateway(&mut self, gateway: &Gateway) -> fmt::Result {
        let suppressed = gateway.strangers.suppressed();
        let help = "Refusals of callers who were not proven that have no audit record of their own.";
        self.counter("yaoku_strangers_suppressed", help, suppressed)?;
        let help = "Refusals of callers who were not proven that are being recorded.";
        self.gauge("yaoku_strangers", help, gateway.strangers.taken() as u64)?;
        let help = "Rates, by class, plane and owner, that are not at rest.";
        self.gauge("yaoku_rates_active", help, gateway.throttle.buckets() as u64)?;
        let help = "Request ids that the OpenAPI plane remembers against replays.";
        self.gauge("yaoku_replay_ids", help, gateway.replays.count() as u64)
    }

    fn clock(&mut self, app: &App) -> fmt::Result {
        let time = app.store.time().read();
        let help = "Whether the wall clock is trusted; while it is 0, nothing is destroyed.";
        self.gauge("yaoku_clock_trusted", help, u64::from(time.doubt().is_none()))?;
        let help = "Seconds that the time of a demo is ahead of the wall clock.";
        self.gauge("yaoku_demo_offset_seconds", help, time.offset.as_secs())
    }

    fn store(&mut self, app: &App) -> fmt::Result {
        let (store, figures) = (&app.store, app.store.figures());
        let (sum, count, buckets) = scaled(figures.times(), NANOSECONDS);
        let help = "Seconds that one commit took until it was durable.";
        self.histogram("yaoku_commit_duration_seconds", help, sum, count, &buckets)?;
        let (sum, count, buckets) = scaled(figures.sizes(), 1);
        self.histogram("yaoku_commit_calls", "Calls in one commit.", sum, count, &buckets)?;
        self.counter("yaoku_commit_failures", "Commits that failed.", figures.failures())?;
        let (taken, most) = store.places();
        self.gauge("yaoku_writer_places", "Calls that hold a place in the writer's queue.", taken as u64)?;
        self.gauge("yaoku_writer_places_max", "Places in the writer's queue.", most as u64)?;
        let help = "Events since start, by what they tell of.";
        self.counters("yaoku_events", help, "kind", figures.events())?;
        let help = "Calls since start that found a key disabled, pending deletion or in rehearsal, by how they ended.";
        self.counters("yaoku_key_attempts", help, "outcome", figures.attempts())?;
        let help = "Audit records of this installation, from the first one on.";
        self.counter("yaoku_audit_records", help, figures.sequence())?;
        let states = [Condition::Healthy, Condition::Reduced, Condition::Failed].map(|condition| {
            let name = match condition {
                Condition::Healthy => "Healthy",
                Condition::Reduced => "Reduced",
                Condition::Failed => "Failed",
            };
            (name, u64::from(store.condition() == condition))
        });
        self.gauges("yaoku_store_state", "State of the store: 1 in the present one.", "state", &states)?;
        let help = "How often a failure made the store open its file again.";
        self.counter("yaoku_store_reopened", help, store.epoch())
    }

    fn keepers(&mut self, app: &App) -> fmt::Result {
        let jobs = app.machine.jobs() as u64;
        self.gauge("yaoku_engine_jobs", "Commands that wait for an engine or run on one.", jobs)?;
        let kinds = [
            ("key", app.keys.active()),
            ("credential", app.credentials.active()),
            ("access point", app.access_points.active()),
            ("service", app.instances.active()),
            ("account", app.accounts.active()),
            ("user", app.users.active()),
        ];
        let kinds = kinds.map(|(kind, active)| (kind, active as u64));
        self.gauges("yaoku_keepers", "Records in memory, each kept by an actor.", "kind", &kinds)
    }

    /// The names are those that every client library of Prometheus uses.
    fn process(&mut self, figures: &Figures) -> fmt::Result {
        let help = "User and system CPU time in seconds.";
        let counter = self.0.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
        ConstCounter::new(figures.cpu_seconds).encode(counter)?;
        self.gauge("process_resident_memory_bytes", "Resident memory in bytes.", figures.resident_bytes)?;
        self.gauge("process_virtual_memory_bytes", "Virtual memory in bytes.", figures.virtual_bytes)?;
        self.gauge("process_threads", "Threads.", figures.threads)?;
        self.gauge("process_open_fds", "Open file descriptors.", figures.open_files)?;
        match figures.files_max {
            Some(most) => self.gauge("process_max_fds", "File descriptors that may be open.", most),
            None => Ok(()),
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        ConstGauge::new(value).encode(self.0.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }

    fn gauges(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (text, value) in values {
            ConstGauge::new(*value).encode(family.encode_family(&[(label, *text)])?)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        ConstCounter::new(value).encode(self.0.encode_descriptor(name, help, None, MetricType::Counter)?)
    }

    fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'a str, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (text, value) in values {
            ConstCounter::new(value).encode(family.encode_family(&[(label, text)])?)?;
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        sum: f64,
        count: u64,
        buckets: &[(f64, u64)],
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        encoder.encode_histogram::<NoLabelSet>(sum, count, buckets, None)
    }
}

/// Sum, count and buckets in a larger unit. The count is that of the buckets, so that they agree while others add.
#[allow(clippy::cast_precision_loss, reason = "beyond 2^53 nanoseconds nobody needs the last one")]
fn scaled<const N: usize>(histogram: &Histogram<N>, unit: u64) -> (f64, u64, Vec<(f64, u64)>) {
    let scale = |number: u64| number as f64 / unit as f64;
    let buckets: Vec<(f64, u64)> = histogram
        .buckets()
        .into_iter()
        .map(|(bound, count)| (bound.map_or(f64::INFINITY, scale), count))
        .collect();
    (scale(histogram.sum()), buckets.iter().map(|(_, count)| count).sum(), buckets)
}

/// What the kernel says of the process.
struct Figures {
    cpu_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    threads: u64,
    open_files: u64,
    files_max: Option<u64>,
}

impl Figures {
    #[allow(clippy::cast_precision_loss, reason = "seconds of a process are far below 2^53 ticks")]
    fn read() -> ProcResult<Self> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        let files_max = match process.limits()?.max_open_files.soft_limit {
            procfs::process::LimitValue::Value(most) => Some(most),
            procfs::process::LimitValue::Unlimited => None,
        };
        Ok(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            resident_bytes: stat.rss_bytes().get(),
            virtual_bytes: stat.vsize,
            threads: u64::try_from(stat.num_threads).unwrap_or(0),
            open_files: process.fd_count()? as u64,
            files_max,
        })
    }
}
