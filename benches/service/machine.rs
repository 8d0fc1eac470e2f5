//! What the figures were measured on: processor, memory, kernel, and the disk below the data directory.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const SYNC_BLOCK_BYTES: usize = 4096;
const SYNC_ROUNDS: usize = 100;

/// Prints the machine and returns the time of one write and fdatasync below `data_root`.
pub fn describe(data_root: &Path) -> Result<Duration, String> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory_kilobytes: u64 =
        value_of("/proc/meminfo", "MemTotal").trim_end_matches("kB").trim().parse().unwrap_or(0);
    let data_root = data_root.canonicalize().map_err(|error| format!("{}: {error}", data_root.display()))?;
    let sync = sync_time(&data_root).map_err(|error| format!("{}: {error}", data_root.display()))?;
    println!(
        "machine    {}, {cores} cores, {:.1} GB memory",
        value_of("/proc/cpuinfo", "model name"),
        memory_kilobytes as f64 * 1024.0 / 1e9
    );
    println!("kernel     Linux {}", kernel.trim());
    println!("data       {} on {}", data_root.display(), file_system(&data_root));
    println!(
        "fdatasync  {:.0} µs for a 4 KiB write and fdatasync (median of {SYNC_ROUNDS})",
        sync.as_secs_f64() * 1e6
    );
    Ok(sync)
}

/// The first `name : value` of a /proc file.
fn value_of(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let value = text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name);
    value.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

/// Type and device of the mount that holds `directory`; of two mounts at one place the later one counts.
fn file_system(directory: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let holding = fields
        .filter(|mount| mount.len() > 2 && directory.starts_with(mount[1]))
        .max_by_key(|mount| mount[1].len());
    holding.map_or_else(
        || "an unknown file system".to_owned(),
        |mount| format!("{} ({} at {})", mount[2], mount[0], mount[1]),
    )
}

/// Overwrites blocks that are allocated already, as a database does with its file.
fn sync_time(directory: &Path) -> io::Result<Duration> {
    let path = directory.join("fdatasync.probe");
    let file = File::create(&path)?;
    file.write_all_at(&vec![0; SYNC_BLOCK_BYTES * SYNC_ROUNDS], 0)?;
    file.sync_all()?;
    let block = [0xa5; SYNC_BLOCK_BYTES];
    let mut times = Vec::with_capacity(SYNC_ROUNDS);
    for round in 0..SYNC_ROUNDS {
        let begun = Instant::now();
        file.write_all_at(&block, (round * SYNC_BLOCK_BYTES) as u64)?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(times[SYNC_ROUNDS / 2])
}
