//! Child processes: the binaries under test and the servers that they talk to.
//!
//! Invariant: a child's pipes are always drained, so that it never blocks on a full one.
//! Invariant: dropping the handle kills the child's whole process group.

use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::poll;

/// Enough for the longest test; a child that logs in a loop does not eat the machine.
const KEPT_LINES: usize = 20_000;

/// The children that nobody has waited for yet.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Whether a child's lines are printed when its handle is dropped.
static REPORT: AtomicBool = AtomicBool::new(true);

/// From now on the handles are dropped silently: for a program whose own output is for a person to read. In a test all
/// that is printed is captured, and shown if the test fails, whether by a panic or by an error that it returns.
pub fn keep_quiet() {
    REPORT.store(false, Ordering::Relaxed);
}

/// Passes an interrupt on to every child, as a terminal would if they were in our process group: whatever the program
/// is doing with them fails soon, and it ends as after any failure.
pub fn interrupt_all() {
    for id in lock(&RUNNING).iter() {
        signal_group(*id, Signal::INT);
    }
}

/// A running child with everything that it has printed so far.
pub struct Child {
    name: String,
    process: std::process::Child,
    log: Arc<Log>,
}

impl Child {
    /// Starts `command` in a process group of its own, with standard output and error captured.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(name: &str, mut command: Command) -> anyhow::Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut process = command
            .spawn()
            .with_context(|| format!("start {name} ({})", command.get_program().display()))?;
        lock(&RUNNING).insert(process.id());
        let log = Arc::new(Log::default());
        if let Some(pipe) = process.stdout.take() {
            log.drain(pipe, Stream::Out);
        }
        if let Some(pipe) = process.stderr.take() {
            log.drain(pipe, Stream::Error);
        }
        Ok(Self {
            name: name.to_owned(),
            process,
            log,
        })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Everything printed so far, both streams in order of arrival.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.log.lines(|_| true)
    }

    /// What went to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.log.lines(|stream| stream == Stream::Out).join("\n")
    }

    /// What went to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.log.lines(|stream| stream == Stream::Error).join("\n")
    }

    /// The JSON log events of this name so far, their fields at the top level.
    #[must_use]
    pub fn events(&self, event: &str) -> Vec<Value> {
        self.lines()
            .iter()
            .filter_map(|line| parse_event(line))
            .filter(|found| names(found, event))
            .collect()
    }

    /// Waits for the first JSON log event of this name.
    ///
    /// # Errors
    /// When the child ends, or says nothing of the kind within [`poll::LIMIT`]; its log is in the error.
    pub fn wait_for_event(&mut self, event: &str) -> anyhow::Result<Value> {
        self.wait_for(event, |_| true)
    }

    /// Waits for a JSON log event of this name that `matches`.
    ///
    /// # Errors
    /// As [`Child::wait_for_event`].
    pub fn wait_for(
        &mut self,
        event: &str,
        matches: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        self.wait_until(&format!("event {event}"), |child| {
            child.events(event).into_iter().find(|found| matches(found))
        })
    }

    /// Waits for a line that `matches`.
    ///
    /// # Errors
    /// As [`Child::wait_for_event`].
    pub fn wait_for_line(
        &mut self,
        what: &str,
        matches: impl Fn(&str) -> bool,
    ) -> anyhow::Result<String> {
        self.wait_until(what, |child| {
            child.lines().into_iter().find(|line| matches(line))
        })
    }

    /// The address on which the child says that `listener` (`tcp`, `unix`, `sink`, `admin`, `webhook`, `health`) listens.
    ///
    /// # Errors
    /// As [`Child::wait_for_event`].
    pub fn listening(&mut self, listener: &str) -> anyhow::Result<String> {
        let event = self.wait_for("listening", |event| {
            event.get("listener").and_then(Value::as_str) == Some(listener)
        })?;
        let address = event.get("address").and_then(Value::as_str);
        Ok(address
            .with_context(|| format!("no address in {event}"))?
            .to_owned())
    }

    fn wait_until<T>(
        &mut self,
        what: &str,
        found: impl Fn(&Self) -> Option<T>,
    ) -> anyhow::Result<T> {
        let name = self.name.clone();
        let mut ended = None;
        let outcome = poll::until(&format!("{name}: {what}"), poll::LIMIT, || {
            // Asked before the log is searched, so that a child's last words are never missed.
            let status = self.process.try_wait().ok().flatten();
            match (found(self), status) {
                (Some(value), _) => Ok(Some(value)),
                (None, Some(status)) if self.log.is_complete() => {
                    ended = Some(status);
                    Ok(None)
                }
                (None, status) => Err(format!("{} lines, status {status:?}", self.lines().len())),
            }
        });
        match outcome {
            Ok(Some(value)) => Ok(value),
            Ok(None) => anyhow::bail!(
                "{name} ended ({ended:?}) without {what}; it said:\n{}",
                self.lines().join("\n")
            ),
            Err(error) => Err(error.context(format!("{name} said:\n{}", self.lines().join("\n")))),
        }
    }

    /// Sends a signal to the child.
    ///
    /// # Errors
    /// When the child is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        rustix::process::kill_process(self.pid()?, signal)
            .with_context(|| format!("signal {}", self.name))
    }

    /// The exit status, if the child has ended.
    ///
    /// # Errors
    /// When the kernel does not know the child.
    pub fn status(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    /// Waits until the child ends by itself, and until all its output is here.
    ///
    /// # Errors
    /// When it does not end within `limit`; its log is in the error.
    pub fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let outcome = poll::until(&what, limit, || match self.process.try_wait() {
            Ok(Some(status)) if self.log.is_complete() => Ok(status),
            Ok(status) => Err(format!("status {status:?}")),
            Err(error) => Err(error.to_string()),
        });
        outcome.with_context(|| format!("{} said:\n{}", self.name, self.lines().join("\n")))
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(poll::LIMIT)
    }

    /// Kills the whole process group and collects the child.
    pub fn kill(&mut self) {
        // Not once the child was collected: its id may be another's by then.
        if matches!(self.process.try_wait(), Ok(None)) {
            signal_group(self.process.id(), Signal::KILL);
            drop(self.process.wait());
        }
        lock(&RUNNING).remove(&self.process.id());
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// When the child is gone.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        let kibibytes: u64 = line
            .trim()
            .trim_end_matches("kB")
            .trim()
            .parse()
            .context("read VmRSS")?;
        Ok(kibibytes * 1024)
    }

    fn pid(&self) -> anyhow::Result<Pid> {
        pid(self.process.id()).context("a process id out of range")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        if REPORT.load(Ordering::Relaxed) {
            self.log.print(&self.name);
        }
    }
}

fn signal_group(id: u32, signal: Signal) {
    if let Some(group) = pid(id) {
        // The group may be gone already, which is what is wanted.
        rustix::process::kill_process_group(group, signal).ok();
    }
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Error,
}

#[derive(Default)]
struct Log {
    lines: Mutex<VecDeque<(Stream, String)>>,
}

impl Log {
    fn drain(self: &Arc<Self>, pipe: impl Read + Send + 'static, stream: Stream) {
        let log = Arc::clone(self);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
                log.push(stream, String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
        });
    }

    fn push(&self, stream: Stream, line: String) {
        let mut lines = lock(&self.lines);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back((stream, line));
    }

    fn lines(&self, wanted: impl Fn(Stream) -> bool) -> Vec<String> {
        let lines = lock(&self.lines);
        lines
            .iter()
            .filter(|(stream, _)| wanted(*stream))
            .map(|(_, line)| line.clone())
            .collect()
    }

    /// Whether both readers have seen the end of their pipe: each holds one reference to the log.
    fn is_complete(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
    }

    #[expect(
        clippy::print_stderr,
        reason = "a failed test shows what its children said"
    )]
    fn print(&self, name: &str) {
        eprintln!("---- {name} said:");
        for line in self.lines(|_| true) {
            eprintln!("{line}");
        }
        eprintln!("---- end of {name}");
    }
}

/// One line of a JSON log, with `fields` (where `tracing`'s formatter nests them) lifted to the top.
fn parse_event(line: &str) -> Option<Value> {
    let Ok(Value::Object(mut event)) = serde_json::from_str(line) else {
        return None;
    };
    if let Some(Value::Object(fields)) = event.remove("fields") {
        event.extend(fields);
    }
    Some(Value::Object(event))
}

fn names(found: &Value, event: &str) -> bool {
    found.get("event").and_then(Value::as_str) == Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Child::spawn("shell", command).unwrap()
    }

    #[test]
    fn finds_an_event_whether_its_fields_are_nested_or_not() {
        let mut child = shell(
            r#"echo '{"fields":{"event":"listening","listener":"tcp","address":"a"}}' >&2
               echo '{"event":"listening","listener":"unix","address":"b"}' >&2; sleep 60"#,
        );
        assert_eq!(child.listening("unix").unwrap(), "b");
        assert_eq!(child.listening("tcp").unwrap(), "a");
    }

    #[test]
    fn says_what_a_child_that_ended_has_said() {
        let error = shell("echo last words; exit 3")
            .wait_for_event("listening")
            .unwrap_err();
        assert!(error.to_string().contains("last words"), "{error:#}");
    }

    #[test]
    fn dropping_the_handle_ends_the_grandchildren_too() {
        let mut child = shell("sleep 600 & echo $!; wait");
        let grandchild = child.wait_for_line("a pid", |_| true).unwrap();
        drop(child);
        let path = format!("/proc/{grandchild}/status");
        poll::until(
            "the grandchild's end",
            poll::LIMIT,
            || match std::fs::read_to_string(&path) {
                // Nobody may be there to collect it, so a zombie counts as ended.
                Ok(status) if !status.contains("State:\tZ") => Err("it lives".to_owned()),
                _ => Ok(()),
            },
        )
        .unwrap();
    }
}
