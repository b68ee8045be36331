//! Named places where a test may kill the process, before and after every step between a hold and
//! its end. A release build has none of them: [`step`] is then nothing but the work.

use std::future::Future;

/// The variable that names the place, such as `after:keep`, or `before:next*3` for the third time
/// it is passed. Read by debug builds alone.
pub const VARIABLE: &str = "IMAGE_GATEWAY_CRASH_AT";

/// Does `work` between the places `before:name` and `after:name`.
pub async fn step<T>(name: &'static str, work: impl Future<Output = T>) -> T {
    pass("before", name);
    let done = work.await;
    pass("after", name);
    done
}

#[cfg(not(debug_assertions))]
const fn pass(_when: &'static str, _name: &'static str) {}

/// Kills the process if this is the place.
#[cfg(debug_assertions)]
fn pass(when: &'static str, name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static PLACE: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let Some((place, times)) = PLACE.get_or_init(place) else {
        return;
    };
    let here = place
        .split_once(':')
        .is_some_and(|(w, n)| w == when && n == name);
    if here && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *times {
        // The kernel ends every thread at once: nothing is flushed, dropped or answered.
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

#[cfg(debug_assertions)]
#[expect(
    clippy::disallowed_methods,
    reason = "no setting: a switch for tests that a release build does not have"
)]
fn place() -> Option<(String, u32)> {
    let text = std::env::var(VARIABLE).ok()?;
    match text.split_once('*') {
        Some((place, times)) => Some((place.to_owned(), times.parse().ok()?)),
        None => Some((text, 1)),
    }
}
