//! What the kernel counts of a process: see proc(5).

use std::time::Duration;

use anyhow::Context as _;

/// Resident memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Memory {
    /// All of it, the program's own pages too, which every agent on a node shares.
    pub(super) resident: u64,
    /// What belongs to this process alone.
    pub(super) anonymous: u64,
}

pub(super) fn memory(id: u32) -> anyhow::Result<Memory> {
    let path = format!("/proc/{id}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    Ok(Memory {
        resident: kibibytes(&status, "VmRSS:")?,
        anonymous: kibibytes(&status, "RssAnon:")?,
    })
}

fn kibibytes(status: &str, name: &str) -> anyhow::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().strip_suffix("kB"));
    let number = number.with_context(|| format!("no {name}"))?;
    Ok(number.trim().parse::<u64>()? * 1024)
}

/// Time on a processor, of all threads that live, to the nanosecond: the ticks in `stat` are a hundredth of a second.
pub(super) fn processor_time(id: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{id}/task");
    let threads = std::fs::read_dir(&path).with_context(|| format!("read {path}"))?;
    let mut sum = Duration::ZERO;
    for thread in threads {
        // A thread may end while it is looked at. Those of a Go program do not, once they are there.
        let Ok(text) = std::fs::read_to_string(thread?.path().join("schedstat")) else {
            continue;
        };
        sum += on_processor(&text).with_context(|| format!("read {text:?}"))?;
    }
    Ok(sum)
}

/// The first of three numbers is nanoseconds on a processor.
fn on_processor(schedstat: &str) -> Option<Duration> {
    let first = schedstat.split_whitespace().next()?;
    first.parse().ok().map(Duration::from_nanos)
}

/// The mean number of processes that wanted a processor in the last minute.
pub(super) fn load() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").context("read /proc/loadavg")?;
    let first = text
        .split_whitespace()
        .next()
        .context("/proc/loadavg is empty")?;
    Ok(first.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tx\nVmRSS:\t    4096 kB\nRssAnon:\t     512 kB\n";
        assert_eq!(kibibytes(status, "VmRSS:").unwrap(), 4 << 20);
        assert_eq!(kibibytes(status, "RssAnon:").unwrap(), 512 << 10);
        kibibytes(status, "VmHWM:").unwrap_err();
    }

    #[test]
    fn the_kernel_tells_all_of_it_about_a_process() {
        let own = std::process::id();
        assert!(memory(own).unwrap().resident > 1 << 20);
        assert!(processor_time(own).unwrap() > Duration::ZERO);
        assert_eq!(
            on_processor("3557054 0 1\n"),
            Some(Duration::from_nanos(3_557_054))
        );
    }
}
