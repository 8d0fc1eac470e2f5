//! A story as it goes: the service, the reference beside it, and what was called.

mod calls;
mod look;

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use yaoku::cron::Work;
use yaoku::env::{Disk, Timestamp};

use super::reference::{Fault, Life, Parted, Time};
use super::steps::{Chapter, End, Kind, Setting, Step};
use crate::kit::{AccessPoint, EopRequest, OpenApi, START, Service, temporary};
use crate::wrapping_key::copy;

/// Keys that are not destroyed yet: few, so that the steps meet.
const KEYS: usize = 8;
/// Seconds from one tick to the next, as far as the scheduler is told.
const TICK: u64 = 3600;

/// What happened in a story, or in many.
#[derive(Debug, Default, Clone, Copy)]
pub struct Count {
    pub jumps: usize,
    pub restarts: usize,
    pub calls: usize,
    pub destructions: usize,
    pub material_ends: usize,
    pub rotations: usize,
    pub refused_after_end: usize,
}

impl Count {
    pub fn add(&mut self, other: &Self) {
        self.jumps += other.jumps;
        self.restarts += other.restarts;
        self.calls += other.calls;
        self.destructions += other.destructions;
        self.material_ends += other.material_ends;
        self.rotations += other.rotations;
        self.refused_after_end += other.refused_after_end;
    }
}

/// Where service and reference parted: after how many chapters, and how.
pub struct Difference {
    pub chapters: usize,
    pub fault: Fault,
    pub text: String,
}

/// A creation with a `clientToken`.
struct Creation {
    body: Value,
    kind: Kind,
    key: Value,
    /// When its token is good no more.
    over: i64,
}

/// A person's request that somebody has captured.
struct Captured {
    request: EopRequest,
    date: i64,
    accepted: bool,
}

pub struct Story {
    service: Service,
    work: Work,
    time: Time,
    admin: OpenApi,
    application: AccessPoint,
    /// A second credential, and whether it is enabled.
    spare: (AccessPoint, bool),
    keys: Vec<Life>,
    creations: Vec<Creation>,
    captured: Vec<Captured>,
    count: Count,
    /// What happened, for whoever has to understand a failure.
    told: String,
}

fn settings(config: &mut yaoku::config::Config) {
    // Whatever happens, happens in the ticks of the story.
    config.cron.tick_seconds = TICK;
    config.audit.retention_days = 0;
    config.events.retention_days = 0;
    config.import.spare_wrapping_keys = 1;
    config.self_test.interval_seconds = 100 * 366 * 86_400;
}

impl Story {
    pub fn begin() -> Self {
        let service = Service::start_with(settings);
        let (admin, application, spare) =
            (service.admin(), service.first_application(), service.first_application());
        let start = START.seconds();
        Self {
            work: Work::new(service.gateway()),
            service,
            time: Time { truth: start, wall: start, known: start },
            admin,
            application,
            spare: (spare, true),
            keys: Vec::new(),
            creations: Vec::new(),
            captured: Vec::new(),
            count: Count::default(),
            told: String::new(),
        }
    }

    /// Tells the whole story, or says where service and reference part.
    pub fn tell(mut self, chapters: &[Chapter]) -> (Count, Result<(), Difference>) {
        let (mut told, mut outcome) = (0, Ok(()));
        while let (Ok(()), Some(chapter)) = (&outcome, chapters.get(told)) {
            outcome = self.chapter(chapter);
            told += 1;
        }
        let outcome = outcome.and_then(|()| self.end()).map_err(|(fault, text)| Difference {
            chapters: told,
            fault,
            text: format!("{fault:?}: {text}\n{:?}\nWhat happened:\n{}", self.time, self.told),
        });
        (self.count, outcome)
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        writeln!(self.told, "  {what}").unwrap();
    }

    fn chapter(&mut self, chapter: &Chapter) -> Result<(), Parted> {
        chapter.before.iter().try_for_each(|step| self.step(step))?;
        let (how, by) = chapter.jump;
        self.set(how, by)?;
        self.count.jumps += 1;
        chapter.after.iter().try_for_each(|step| self.step(step))?;
        match chapter.end {
            End::Right(how, confirmed) => {
                self.set(how, 0)?;
                if confirmed { self.confirm() } else { Ok(()) }
            }
            End::AtWord if self.time.lets_people_in() => {
                self.time.truth = self.time.wall;
                self.confirm()
            }
            End::AtWord => self.set(Setting::Running, 0),
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), Parted> {
        match *step {
            Step::Wait(seconds) => {
                self.note(format_args!("{seconds} seconds go by"));
                self.pass(seconds);
                self.tick()
            }
            Step::Restart => {
                self.note(format_args!("the service restarts"));
                self.service.stop();
                self.start()
            }
            Step::Kill => {
                self.note(format_args!("the service dies"));
                self.kill();
                self.start()
            }
            _ => self.call(step),
        }
    }

    fn pass(&mut self, seconds: i64) {
        self.service.clock.advance(Duration::from_secs(seconds.unsigned_abs()));
        self.time.pass(seconds);
    }

    /// Sets the wall clock so many seconds off. What nobody could see is not done, see the head of `key_life.rs`.
    fn set(&mut self, how: Setting, by: i64) -> Result<(), Parted> {
        let right_if_deceived =
            |time: Time| if time.deceived() { Time { wall: time.truth, ..time } } else { time };
        match how {
            Setting::Running => {
                self.time = right_if_deceived(Time { wall: self.time.truth + by, ..self.time });
                self.service.clock.set(Timestamp::from_seconds(self.time.wall));
            }
            Setting::Stopped(seconds) => {
                self.service.stop();
                self.pass(seconds);
                self.time = right_if_deceived(Time { wall: self.time.truth + by, ..self.time });
                self.service.clock.set(Timestamp::from_seconds(self.time.wall));
            }
            Setting::Off(seconds) => {
                let wall = self.time.truth + seconds + by;
                let then = self.time.start_anew(seconds, wall);
                if then.deceived() {
                    return self.set(Setting::Stopped(seconds), by);
                }
                self.service.stop();
                self.service.clock.advance(Duration::from_secs(seconds.unsigned_abs()));
                self.service.clock.set(Timestamp::from_seconds(wall));
                self.service.clock.reboot();
                self.time = then;
            }
        }
        let time = self.time;
        self.note(format_args!("the wall clock is set, {how:?}: {time:?}"));
        match how {
            Setting::Running => self.tick(),
            Setting::Stopped(_) | Setting::Off(_) => self.start(),
        }
    }

    fn start(&mut self) -> Result<(), Parted> {
        self.count.restarts += 1;
        self.service.restart();
        self.work = Work::new(self.service.gateway());
        self.admin = self.service.admin();
        let endpoint = &self.service.ready.access_point;
        self.application.endpoint.clone_from(endpoint);
        self.spare.0.endpoint.clone_from(endpoint);
        self.tick()
    }

    /// What is on the disk at this moment is all that is left.
    fn kill(&mut self) {
        let mut left = Service::stopped_on(temporary(), Disk::System, settings);
        copy(&self.service.config.data, &left.config.data);
        (left.clock, left.entropy) = (self.service.clock.clone(), self.service.entropy.clone());
        self.service = left;
    }

    /// The scheduler does what is due, and everything is looked at.
    fn tick(&mut self) -> Result<(), Parted> {
        actix::System::new().block_on(self.work.tick(TICK));
        for key in &mut self.keys {
            let [gone, emptied, rotated] = key.tick(&self.time)?;
            self.count.destructions += gone;
            self.count.material_ends += emptied;
            self.count.rotations += rotated;
        }
        self.look()
    }

    /// An administrator confirms the wall clock, where it is in doubt.
    fn confirm(&mut self) -> Result<(), Parted> {
        if self.time.trusted() {
            return Ok(());
        }
        self.note(format_args!("an administrator confirms the wall clock"));
        self.admin.ok("/system/confirmClock", json!({}));
        self.time.known = self.time.wall;
        self.tick()
    }
}
