//! What the disk does by itself: the floor under every durable commit.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use crate::figures::Spread;

/// What is written before each flush: two pages, as little as a commit can be.
const BLOCK: [u8; 8 << 10] = [7; 8 << 10];

/// Blocks of the file, all of them written beforehand, so that a flush has nothing but data to
/// bring to the disk.
const BLOCKS: u64 = 512;

/// Overwriting 8 KiB and waiting for `fdatasync`, one after the other.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Disk {
    pub(crate) per_second: f64,
    pub(crate) took: Spread,
}

/// Tries the disk of a folder for a while. Blocks.
pub(crate) fn fdatasync(folder: &Path, time: Duration) -> Result<Disk> {
    let path = folder.join("fdatasync");
    let mut file = File::create(&path)?;
    for _ in 0..BLOCKS {
        file.write_all(&BLOCK)?;
    }
    file.sync_all()?;
    let mut took = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < time {
        let block = u64::try_from(took.len())? % BLOCKS;
        let before = Instant::now();
        file.seek(SeekFrom::Start(block * u64::try_from(BLOCK.len())?))?;
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        took.push(before.elapsed());
    }
    let per_second = took.len() as f64 / begun.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(Disk {
        per_second,
        took: Spread::of(took),
    })
}
