//! Named places where a test may kill the process, before and after every step between a hold and
//! its end. A release build has none of them: [`step`] is then nothing but the work.

use std::future::Future;

/// The variable that names the place, such as `after:keep`, or `before:next*3` for the third time
/// it is passed. Read by debug builds alone.
pub const VARIABLE: &str = "IMAGE_GATEWAY_CRASH_AT";

/// The variable that names a file to which every place is written when it is first passed, so that
/// a test knows which places its scenes reach.
pub const TRACE_VARIABLE: &str = "IMAGE_GATEWAY_CRASH_TRACE";

/// Does `work` between the places `before:name` and `after:name`.
pub async fn step<T>(name: &'static str, work: impl Future<Output = T>) -> T {
    place::pass("before", name);
    let done = work.await;
    place::pass("after", name);
    done
}

#[cfg(not(debug_assertions))]
mod place {
    pub(super) const fn pass(_when: &'static str, _name: &'static str) {}
}

#[cfg(debug_assertions)]
mod place {
    use std::collections::HashSet;
    use std::fs::File;
    use std::io::Write;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{LazyLock, Mutex, PoisonError};

    use rustix::process::{Signal, getpid, kill_process};

    /// Where to die, and at which time of passing.
    static DEATH: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let text = variable(super::VARIABLE)?;
        match text.split_once('*') {
            Some((place, times)) => Some((place.to_owned(), times.parse().ok()?)),
            None => Some((text, 1)),
        }
    });

    static PASSED: AtomicU32 = AtomicU32::new(0);

    /// Where passing is noted, and what is noted already.
    struct Trace {
        file: File,
        noted: HashSet<String>,
    }

    static TRACE: LazyLock<Option<Mutex<Trace>>> = LazyLock::new(|| {
        let path = variable(super::TRACE_VARIABLE)?;
        let file = File::options().create(true).append(true).open(path).ok()?;
        let noted = HashSet::new();
        Some(Mutex::new(Trace { file, noted }))
    });

    /// Notes the place, and kills the process if this is where it shall die.
    pub(super) fn pass(when: &'static str, name: &'static str) {
        if let Some(trace) = &*TRACE {
            let mut trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
            let place = format!("{when}:{name}");
            if trace.noted.insert(place.clone()) {
                // A trace that cannot be written shows up as places that no scene reaches.
                let _ = trace.file.write_all(format!("{place}\n").as_bytes());
            }
        }
        let Some((place, times)) = &*DEATH else {
            return;
        };
        let here = place
            .split_once(':')
            .is_some_and(|(w, n)| w == when && n == name);
        if here && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *times {
            // The kernel ends every thread at once: nothing is flushed, dropped or answered.
            let _ = kill_process(getpid(), Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "no setting: a switch for tests that a release build does not have"
    )]
    fn variable(name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|text| !text.is_empty())
    }
}
