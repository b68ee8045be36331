//! What this process has in its memory stays there: keys, prompts and pictures are in it, and a core
//! file would write them to a disk in the open, or hand them to whatever collects crashes
//! (`reliability.md` G19).

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::terminal;

/// Forbids core files of this process, and of those that it begins. On Linux it also forbids other
/// processes of the same user to read its memory or to trace it: the limit alone does not hold where
/// the kernel hands crashes to a program (`core_pattern` with a pipe; `core(5)`). What cannot be
/// forbidden is said, and is no reason not to serve.
pub(super) fn keep_to_itself() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let limited = setrlimit(Resource::Core, none).map_err(io::Error::from);
    if let Err(error) = limited.and_then(|()| undumpable()) {
        terminal::note(format_args!(
            "warning: a crash may write this process's memory to a core file: {error}"
        ));
    }
}

#[cfg(target_os = "linux")]
fn undumpable() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};

    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(io::Error::from)
}

#[cfg(not(target_os = "linux"))]
fn undumpable() -> io::Result<()> {
    Ok(())
}
