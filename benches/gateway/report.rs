//! What was measured, as tables for people and as JSON for machines.

use std::fmt;
use std::io::Write;
use std::thread::available_parallelism;

use anyhow::Result;
use serde::Serialize;

use crate::figures::Spread;
use crate::first_byte::FirstByte;
use crate::load::{Cell, MEDIUM};
use crate::nginx::Compared;
use crate::process::Fdatasync;
use crate::slow::Slow;

const MIB: f64 = 1_048_576.0;
const KIB: f64 = 1024.0;

/// The goals of the issue.
const OWN_P50_MS: f64 = 1.0;
const OWN_P99_MS: f64 = 5.0;
const FIRST_BYTE_SHARE: f64 = 0.10;
const SLOW_GROWTH_MIB: f64 = 100.0;
const NGINX_RATIO: f64 = 2.0;

/// What the figures mean.
const LEGEND: &str = "\
total      from the request to `completed`, as the caller sees it
direct     the same image asked of the mock without the gateway, at the same concurrency
own        total - direct, quantile by quantile: everything the gateway adds
accepted   from the request to `accepted`: key, tool, hold (1 commit)
finish     from the image's last byte to `completed`: sync of the file, settle (1 commit)
histogram  image_gateway_own_seconds: hold, dispatch and settle (3 commits); not the file's sync
syncs      own p50 as a multiple of one fdatasync: what durability alone would take
Calls with 0 ms of upstream are at full load: client, mock and gateway share the cores and calls
queue. The others are paced at a third of that load; goals on own time are held against them.";

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) quick: bool,
    pub(crate) cores: usize,
    /// Before and after everything else.
    pub(crate) fdatasync: Vec<Fdatasync>,
    pub(crate) load: Vec<Cell>,
    pub(crate) first_byte: Option<FirstByte>,
    pub(crate) nginx: Option<Compared>,
    pub(crate) slow: Vec<Slow>,
    /// Left by all of it; none should be.
    pub(crate) open_holds: Option<u64>,
    pub(crate) seconds: f64,
}

/// A goal and what came of it.
struct Goal {
    what: String,
    goal: String,
    measured: String,
    met: bool,
}

/// Prints to stdout.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = anstream::stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}

/// Says on stderr why nothing was measured.
pub(crate) fn complain(error: &anyhow::Error) {
    // Nobody can be told that nothing can be printed.
    let _ = writeln!(anstream::stderr().lock(), "error: {error:#}");
}

// === impl Report ===

impl Report {
    pub(crate) fn new(quick: bool) -> Result<Self> {
        Ok(Self {
            quick,
            cores: available_parallelism()?.get(),
            fdatasync: Vec::new(),
            load: Vec::new(),
            first_byte: None,
            nginx: None,
            slow: Vec::new(),
            open_holds: None,
            seconds: 0.0,
        })
    }

    /// Of one `fdatasync`, in the middle of the run's two measurements.
    fn fdatasync_ms(&self) -> f64 {
        let sum: f64 = self.fdatasync.iter().map(|it| it.took.p50_ms).sum();
        sum / self.fdatasync.len() as f64
    }

    fn throughput(&self) -> Vec<Vec<String>> {
        let head = [
            "image",
            "callers",
            "upstream",
            "images",
            "images/s",
            "of direct",
            "MiB/s",
            "CPU/image",
            "peak RSS",
            "RSS/image",
        ];
        let rows = self.load.iter().map(|cell| {
            let mib = cell.size_bytes as f64 / MIB;
            vec![
                cell.size.to_owned(),
                cell.concurrency.to_string(),
                format!("{} ms", cell.upstream_ms),
                cell.images.to_string(),
                format!("{:.1}", cell.images_per_second),
                percent(cell.images_per_second / cell.direct_per_second),
                format!("{:.0}", cell.images_per_second * mib),
                format!("{:.2} ms", cell.cpu_seconds_per_image * 1e3),
                format!("{:.1} MiB", cell.peak_rss_bytes as f64 / MIB),
                format!("{:.0} KiB", cell.rss_per_image_bytes as f64 / KIB),
            ]
        });
        with_head(&head, rows)
    }

    fn times(&self) -> Vec<Vec<String>> {
        let head = [
            "image",
            "callers",
            "upstream",
            "total",
            "direct",
            "own",
            "accepted",
            "finish",
            "histogram",
            "syncs",
        ];
        let fdatasync = self.fdatasync_ms();
        let rows = self.load.iter().map(|cell| {
            vec![
                cell.size.to_owned(),
                cell.concurrency.to_string(),
                format!("{} ms", cell.upstream_ms),
                spread(cell.total),
                spread(cell.direct),
                spread(cell.own),
                spread(cell.accepted),
                spread(cell.finish),
                spread(cell.histogram),
                format!("{:.1}", cell.own.p50_ms / fdatasync),
            ]
        });
        with_head(&head, rows)
    }

    fn slow(&self) -> Vec<Vec<String>> {
        let head = [
            "200 images of 8 MiB, and",
            "running",
            "idle",
            "peak",
            "growth",
            "per image",
            "took",
        ];
        let rows = self.slow.iter().map(|slow| {
            let growth = slow.growth_bytes as f64;
            vec![
                slow.case.to_owned(),
                slow.generations_running.to_string(),
                format!("{:.1} MiB", slow.idle_bytes as f64 / MIB),
                format!("{:.1} MiB", slow.peak_bytes as f64 / MIB),
                format!("{:.1} MiB", growth / MIB),
                format!("{:.0} KiB", growth / KIB / slow.callers as f64),
                format!("{:.1} s", slow.seconds),
            ]
        });
        with_head(&head, rows)
    }

    fn goals(&self) -> Vec<Vec<String>> {
        let head = ["goal", "wanted", "measured", "met"];
        let goals = self.own_goals().into_iter().chain(self.other_goals());
        let rows = goals.map(|goal| {
            let met = if goal.met { "yes" } else { "NO" };
            vec![goal.what, goal.goal, goal.measured, met.to_owned()]
        });
        with_head(&head, rows)
    }

    fn own_goals(&self) -> Vec<Goal> {
        let usual = |cell: &&Cell| cell.upstream_ms > 0 && cell.size == MEDIUM.name;
        let Some(cell) = self.load.iter().find(usual) else {
            return Vec::new();
        };
        let own = |quantile: &str, by: &str, ms: f64, goal: f64| Goal {
            what: format!("own time {quantile}, {by}, {}, 16 callers", cell.size),
            goal: format!("< {goal:.0} ms"),
            measured: format!("{ms:.2} ms"),
            met: ms < goal,
        };
        vec![
            own("p50", "by the caller", cell.own.p50_ms, OWN_P50_MS),
            own("p99", "by the caller", cell.own.p99_ms, OWN_P99_MS),
            own("p50", "by /metrics", cell.histogram.p50_ms, OWN_P50_MS),
            own("p99", "by /metrics", cell.histogram.p99_ms, OWN_P99_MS),
        ]
    }

    fn other_goals(&self) -> Vec<Goal> {
        let mut goals = Vec::new();
        if let Some(first) = &self.first_byte {
            let share = first.share_by_bytes;
            goals.push(Goal {
                what: "answer that must arrive for a first image byte".to_owned(),
                goal: format!("< {}", percent(FIRST_BYTE_SHARE)),
                measured: share.map_or("> 20 %".to_owned(), percent),
                met: share.is_some_and(|share| share < FIRST_BYTE_SHARE),
            });
            goals.push(Goal {
                what: "drip of 2 s that has passed at the first image byte, p99".to_owned(),
                goal: format!("< {}", percent(FIRST_BYTE_SHARE)),
                measured: percent(first.share_by_time),
                met: first.share_by_time < FIRST_BYTE_SHARE,
            });
        }
        goals.extend(self.slow.iter().map(|slow| {
            let growth = slow.growth_bytes as f64 / MIB;
            Goal {
                what: format!("memory for 200 images of 8 MiB, {}", slow.case),
                goal: format!("<= {SLOW_GROWTH_MIB:.0} MiB"),
                measured: format!("{growth:.1} MiB"),
                met: growth <= SLOW_GROWTH_MIB,
            }
        }));
        if let Some(ratio) = self.nginx.as_ref().and_then(|nginx| nginx.ratio) {
            goals.push(Goal {
                what: "CPU per 1.5 MiB image, as a multiple of nginx's".to_owned(),
                goal: format!("<= {NGINX_RATIO:.0}"),
                measured: format!("{ratio:.2}"),
                met: ratio <= NGINX_RATIO,
            });
        }
        goals
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rates = self.fdatasync.iter().map(|it| {
            let rate = it.per_second;
            format!("{rate:.0}/s ({} ms)", spread(it.took))
        });
        let rates = rates.collect::<Vec<_>>().join(" before, ");
        let cores = self.cores;
        writeln!(f, "{cores} cores for client, mock and gateway together")?;
        writeln!(f, "fdatasync of the data folder's disk: {rates} after")?;
        if !self.load.is_empty() {
            table(f, "Images per second, CPU and memory", &self.throughput())?;
            let title = "Times in ms, p50 / p99";
            table(f, title, &self.times())?;
            writeln!(f, "{LEGEND}")?;
        }
        if let Some(first) = &self.first_byte {
            let (took, calls) = (spread(first.since_request), first.calls);
            write!(f, "\nFirst byte of 1.5 MiB that drip over 2 s: ")?;
            writeln!(f, "{took} ms after the request ({calls} calls)")?;
        }
        if !self.slow.is_empty() {
            table(f, "Memory with slow images in flight", &self.slow())?;
        }
        if let Some(nginx) = &self.nginx {
            writeln!(f, "\n{nginx}")?;
        }
        table(f, "Goals", &self.goals())?;
        if let Some(holds) = self.open_holds {
            writeln!(f, "open holds left: {holds}")?;
        }
        write!(f, "measured in {:.0} s", self.seconds)
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, theirs) = (self.gateway_cpu_seconds * 1e3, self.nginx_cpu_seconds * 1e3);
        match (self.ratio, &self.missing) {
            (Some(ratio), _) => write!(
                f,
                "CPU per 1.5 MiB image: gateway {ours:.2} ms ({} images), nginx {theirs:.2} ms ({} images): {ratio:.2} times",
                self.gateway_images, self.nginx_images
            ),
            (None, missing) => {
                let why = missing.as_deref().unwrap_or_default();
                write!(f, "not compared with nginx: {why}")
            }
        }
    }
}

/// Columns as wide as their widest cell; the first to the left, all others to the right.
fn table(f: &mut fmt::Formatter<'_>, title: &str, rows: &[Vec<String>]) -> fmt::Result {
    writeln!(f, "\n{title}")?;
    let columns = rows.first().map_or(0, Vec::len);
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let width = |column| {
        cells(column)
            .map(|cell: &String| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).filter_map(width).collect();
    for row in rows {
        let padded = row.iter().zip(&widths).enumerate();
        let padded = padded.map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        writeln!(f, "  {}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn with_head(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<Vec<String>> {
    let head = head.iter().map(|name| (*name).to_owned()).collect();
    std::iter::once(head).chain(rows).collect()
}

fn spread(spread: Spread) -> String {
    format!("{:.2} / {:.2}", spread.p50_ms, spread.p99_ms)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
