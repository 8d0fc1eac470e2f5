//! The command line of the bench. Every number has an upper bound, so that no run can get out of hand.

use std::path::PathBuf;
use std::time::Duration;

pub const USAGE: &str = "\
cargo bench --bench service -- [options]
  --only LIST          parts of the run: calls, commits, refusals, keys, recovery, signing, generation (default all)
  --connections LIST   connections of the encrypt rows (default 1,16,64,256; each at most 1024)
  --rounds N           rounds of what is measured in turn: echo and encrypt at the most connections,
                       signing, generation (default 5, at most 50)
  --seconds N          measured seconds per row after 1 s of warm-up (default 5, at most 60)
  --client-threads N   threads of the client (default 2, at most 16)
  --keys N             keys of the memory figure (default 2000, at most 2000; 0 leaves it out)
  --records N          audit records of the recovery figures (default 1000000; 0 leaves them out)
  --many-keys N        keys of the figures of scale (default 100000; 0 leaves them out)
  --data-root DIR      where the temporary data directories are made (default target/bench-data)
  --tmpfs              the same as --data-root /dev/shm: commits that cost no disk
  --binary FILE        the program to measure (default: the one cargo built)
  --echo-only          only the baseline without the service";

/// A part of the run, which can run alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Calls,
    Commits,
    Refusals,
    Keys,
    Recovery,
    Signing,
    Generation,
}

const PARTS: [(&str, Part); 7] = [
    ("calls", Part::Calls),
    ("commits", Part::Commits),
    ("refusals", Part::Refusals),
    ("keys", Part::Keys),
    ("recovery", Part::Recovery),
    ("signing", Part::Signing),
    ("generation", Part::Generation),
];

/// What the caller asked for.
pub struct Options {
    pub only: Vec<Part>,
    pub connections: Vec<usize>,
    pub rounds: u32,
    pub measured: Duration,
    pub client_threads: usize,
    pub keys: u32,
    pub records: u32,
    pub many_keys: u32,
    pub data_root: PathBuf,
    pub binary: Option<PathBuf>,
    pub echo_only: bool,
}

impl Options {
    /// Reads the arguments behind the program's name.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            only: PARTS.map(|(_, part)| part).into(),
            connections: vec![1, 16, 64, 256],
            rounds: 5,
            measured: Duration::from_secs(5),
            client_threads: 2,
            keys: 2000,
            records: 1_000_000,
            many_keys: 100_000,
            data_root: PathBuf::from("target/bench-data"),
            binary: option_env!("CARGO_BIN_EXE_yaoku").map(PathBuf::from),
            echo_only: false,
        };
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                "--bench" => {} // cargo adds it
                "--connections" => {
                    options.connections = value()?
                        .split(',')
                        .map(|count| bounded(&name, count, 1, 1024).map(|count| count as usize))
                        .collect::<Result<_, _>>()?;
                }
                "--only" => {
                    let part = |text: &str| {
                        let found = PARTS.iter().find(|(name, _)| *name == text.trim());
                        found.map(|(_, part)| *part).ok_or_else(|| format!("--only: there is no part {text}"))
                    };
                    options.only = value()?.split(',').map(part).collect::<Result<_, _>>()?;
                }
                "--rounds" => options.rounds = bounded(&name, &value()?, 1, 50)?,
                "--seconds" => {
                    options.measured = Duration::from_secs(bounded(&name, &value()?, 1, 60)?.into())
                }
                "--client-threads" => options.client_threads = bounded(&name, &value()?, 1, 16)? as usize,
                "--keys" => options.keys = bounded(&name, &value()?, 0, 2000)?,
                "--records" => options.records = bounded(&name, &value()?, 0, 5_000_000)?,
                "--many-keys" => options.many_keys = bounded(&name, &value()?, 0, 1_000_000)?,
                "--data-root" => options.data_root = value()?.into(),
                "--tmpfs" => options.data_root = "/dev/shm".into(),
                "--binary" => options.binary = Some(value()?.into()),
                "--echo-only" => options.echo_only = true,
                _ => return Err(format!("unknown option {name}")),
            }
        }
        if options.connections.len() > 8 {
            return Err("--connections takes at most 8 counts".to_owned());
        }
        Ok(options)
    }
}

fn bounded(name: &str, text: &str, least: u32, most: u32) -> Result<u32, String> {
    let value: u32 = text.trim().parse().map_err(|_| format!("{name}: {text} is not a number"))?;
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(format!("{name}: {value} is not between {least} and {most}"))
    }
}
