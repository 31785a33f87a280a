//! Child processes that end with the benchmark, and what processes cost, as /proc tells it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Ticks of the clock of /proc in a second: 100 wherever Linux runs this service.
const TICKS_PER_SECOND: u64 = 100;
/// How long a process may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(10);

/// A child in a process group of its own; the whole group is killed when this is dropped.
pub struct Guarded {
    child: Child,
    name: String,
}

impl Guarded {
    /// Starts a command, with its output and errors going to a file.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        use std::os::unix::process::CommandExt;
        let output = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let errors = output.try_clone()?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot run {name}"))?;
        Ok(Self { child, name: name.to_owned() })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails when it has ended.
    pub fn runs(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}", self.name),
        }
    }

    /// Waits for its end, at most so long.
    pub async fn wait(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if begin.elapsed() > patience {
                bail!("{} did not end within {} s", self.name, patience.as_secs());
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Asks it to end, and waits for that.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_none() {
            killpg(self.group(), Signal::SIGTERM)?;
            self.wait(PATIENCE).await?;
        }
        Ok(())
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The group is there for as long as anybody is in it, the child not yet waited for included; else there is nobody to kill.
        let _ = killpg(self.group(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// CPU time of a process and of all that it has started, those that have ended included.
pub fn tree_cpu(pid: u32) -> anyhow::Result<Duration> {
    let ticks: u64 = tree(pid)?.iter().map(|stat| stat.own + stat.of_ended).sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// A process and all that run below it.
fn tree(pid: u32) -> anyhow::Result<Vec<Stat>> {
    let mut children: HashMap<u32, Vec<Stat>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(found) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process that has ended since the directory was read is counted by its parent.
        if let Some(stat) = Stat::read(found) {
            children.entry(stat.parent).or_default().push(stat);
        }
    }
    let mut open = vec![Stat::read(pid).with_context(|| format!("the process {pid} has ended"))?];
    let mut tree = Vec::new();
    while let Some(stat) = open.pop() {
        open.extend(children.remove(&stat.pid).unwrap_or_default());
        tree.push(stat);
    }
    Ok(tree)
}

/// CPU time of this process alone.
pub fn own_cpu() -> anyhow::Result<Duration> {
    let stat = Stat::read(std::process::id()).context("/proc does not know this process")?;
    Ok(Duration::from_millis(stat.own * 1000 / TICKS_PER_SECOND))
}

struct Stat {
    pid: u32,
    parent: u32,
    own: u64,
    of_ended: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may hold any letters, parentheses among them.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            own: number(11)? + number(12)?,
            of_ended: number(13)? + number(14)?,
        })
    }
}

/// Memory of a process and of all below it, in MiB. What they share is counted for each.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// At most since [`forget_peak`].
    pub peak: u64,
}

pub fn memory(pid: u32) -> anyhow::Result<Memory> {
    let mut memory = Memory { resident: 0, peak: 0 };
    for Stat { pid, .. } in tree(pid)? {
        let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let mebibytes = |name: &str| -> anyhow::Result<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            Ok(number.with_context(|| format!("the process {pid} has no {name}"))?.parse::<u64>()? / 1024)
        };
        memory.resident += mebibytes("VmRSS:")?;
        memory.peak += mebibytes("VmHWM:")?;
    }
    Ok(memory)
}

/// Lets the peak begin at what there is now.
pub fn forget_peak(pid: u32) -> anyhow::Result<()> {
    for stat in tree(pid)? {
        fs::write(format!("/proc/{}/clear_refs", stat.pid), "5").context("cannot reset the peak of memory")?;
    }
    Ok(())
}
