//! A crash leaves no core file, and nobody reads the memory of what runs.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use image_gateway::mock;
use rustix::process::{Pid, geteuid};
use tokio::process::Command;

use super::{Running, Served, program, serve};
use crate::helpers::{OPERATOR_KEY, request};

/// A user who owns nothing.
const NOBODY: u32 = 65_534;

fn pid(child: &tokio::process::Child) -> Pid {
    let id = child.id().expect("it runs").try_into().expect("a number");
    Pid::from_raw(id).expect("a number of a process")
}

/// A command that may write core files of any size, as far as the system lets it, into this folder.
fn with_core_files(command: &Command, folder: &Path) -> Command {
    let command = command.as_std();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    shell
}

/// The same of somebody who is not root: of nobody, if the tests are root's, who may read a copy of the
/// program, as a process is undumpable by itself whose program its user may not read.
fn as_somebody(command: &Command, folder: &Path) -> Command {
    if !geteuid().is_root() {
        return with_core_files(command, folder);
    }
    let program = folder.join("image-gateway");
    // Not by this process: what it writes may be open in another child of it, and is busy then.
    let mut copy = std::process::Command::new("cp");
    let copied = copy.arg(command.as_std().get_program()).arg(&program);
    assert!(copied.status().expect("cp").success());
    let for_all = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder, for_all).expect("a folder for all");
    let mut copied = Command::new(program);
    let settings = command.as_std().get_envs();
    copied
        .args(command.as_std().get_args())
        .envs(settings.filter_map(|(name, value)| Some((name, value?))));
    let mut shell = with_core_files(&copied, folder);
    shell.uid(NOBODY).gid(NOBODY);
    shell
}

/// Whatever is in a folder and may be a core file: by default it is named `core` or `core.PID`.
fn core_files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("a folder");
    let names = names.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.contains("core"))
        .collect()
}

/// How large a core file of a process may be, now and at most.
fn core_limits(id: Pid) -> Vec<String> {
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).expect("its limits");
    let core = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"));
    let words = core.expect("a line").split_whitespace();
    words.take(2).map(str::to_owned).collect()
}

/// Sends SIGABRT, as a failed assertion of a library would, and waits for the end.
async fn abort(running: &mut Running) -> ExitStatus {
    running.signal("ABRT").await;
    running.child.wait().await.expect("an end")
}

#[tokio::test]
async fn a_gateway_that_crashes_leaves_no_core_file() {
    let folder = tempfile::tempdir().expect("a folder");
    // What this machine does with a process that forbids nothing.
    let mut sleeper = Command::new("sleep");
    let mut sleeper = with_core_files(sleeper.arg("60"), folder.path());
    let mut sleeper = Running::start(&mut sleeper);
    let id = pid(&sleeper.child);
    // Until the shell has become what it runs.
    super::until("a sleeper", async || {
        fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name.trim() == "sleep")
    })
    .await;
    let dumps = abort(&mut sleeper).await.core_dumped();
    for file in core_files(folder.path()) {
        fs::remove_file(folder.path().join(file)).expect("the sleeper's");
    }

    let house = Served::empty(mock::Options::default()).await;
    let command = with_core_files(&serve(&house, &[]), folder.path());
    let mut served = Served::on(house, command).await;
    served.furnish().await;
    served
        .house
        .generate(request("r"))
        .await
        .expect("a picture");
    let id = pid(&served.running.child);
    assert_eq!(core_limits(id), ["0", "0"]);
    let Served {
        house, mut running, ..
    } = served;
    let status = abort(&mut running).await;
    assert_eq!(status.signal(), Some(6), "{status:?}");
    assert!(!status.core_dumped(), "and what forbids nothing: {dumps}");
    for folder in [folder.path(), house.dir.path()] {
        assert_eq!(core_files(folder), [""; 0]);
    }
    house.mock.stop().await;
}

#[tokio::test]
async fn a_command_that_waits_for_a_secret_closes_its_memory_before_it_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = program(&["keys", "set-openrouter", "--organization", "acme", "-"]);
    let mut command = as_somebody(command.env("GATEWAY_KEY", OPERATOR_KEY), folder.path());
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let id = pid(&running.child);
    super::until("no core files", async || core_limits(id) == ["0", "0"]).await;
    // What belongs to a process that cannot be dumped is root's, and nobody else reads it (proc(5)).
    super::until("undumpable", async || {
        let environment = fs::metadata(format!("/proc/{id}/environ"));
        environment.expect("it runs").uid() == 0
    })
    .await;
    let status = abort(&mut running).await;
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
    assert_eq!(core_files(folder.path()), [""; 0]);
}
