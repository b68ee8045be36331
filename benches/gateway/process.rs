//! What the kernel says about a process, and what the disk does.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::figures::Spread;

/// Ticks per second in `/proc/PID/stat`: `USER_HZ`, which Linux promises to user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long the disk is tried.
const FDATASYNC_TIME: Duration = Duration::from_millis(700);

/// What one `fdatasync` of a freshly appended page takes: the floor under every durable commit.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Fdatasync {
    pub(crate) per_second: f64,
    pub(crate) took: Spread,
}

/// CPU seconds of a process since it began, user and system, dead threads included. In steps of
/// 10 ms.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold anything; the third field comes after it.
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let (Some(user), Some(system)) = (fields.get(11), fields.get(12)) else {
        bail!("stat is too short");
    };
    let ticks = user.parse::<f64>()? + system.parse::<f64>()?;
    Ok(ticks / TICKS_PER_SECOND)
}

/// The processes that this one started.
pub(crate) fn children(pid: u32) -> Result<Vec<u32>> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    list.split_ascii_whitespace()
        .map(|child| Ok(child.parse()?))
        .collect()
}

/// Bytes in memory now.
pub(crate) fn rss_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The most bytes in memory since [`forget_peak`].
pub(crate) fn peak_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmHWM:")
}

/// Begins a new peak (`proc(5)`, `clear_refs`). Of a gateway only root may, because it makes itself
/// undumpable; for others the peak is that since its start, which is never less.
pub(crate) fn forget_peak(pid: u32) -> Result<()> {
    match fs::write(format!("/proc/{pid}/clear_refs"), "5") {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other.context("the peak of memory cannot be reset"),
    }
}

/// Tries the disk of a folder. Blocks.
pub(crate) fn fdatasync(folder: &Path) -> Result<Fdatasync> {
    let path = folder.join("fdatasync");
    let mut file = File::create(&path)?;
    let mut took = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < FDATASYNC_TIME {
        file.write_all(&[7; 4096])?;
        let before = Instant::now();
        file.sync_data()?;
        took.push(before.elapsed());
    }
    let per_second = took.len() as f64 / begun.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(Fdatasync {
        per_second,
        took: Spread::of(took),
    })
}

fn status_bytes(pid: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_ascii_whitespace().next());
    Ok(kib.context("no such line in status")?.parse::<u64>()? * 1024)
}
