//! The machine: which cores are whose, how busy it is, interruption, a cheap generator of random numbers.

use crate::error::{Done, TaskError, Tried};
use std::{
    fs,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::signal::unix::{SignalKind, signal};

/// The kernel's ticks a second, as `/proc` counts a process's time; the same on every Linux of today.
const TICKS: f64 = 100.0;

/// The servers on some cores, the load on another, so that neither takes the other's time.
#[derive(Debug, Clone)]
pub(super) struct Pins(Option<(String, String)>);

impl Pins {
    /// With two cores and `taskset` there are pins, unless they are refused. The load gets one core, the last.
    pub(super) fn choose(wanted: Option<bool>) -> Done<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let has_taskset = quiet(Command::new("taskset").arg("--version")).is_ok();
        let pins = Self(match (wanted, cores > 1 && has_taskset) {
            (Some(false), _) | (None, false) => None,
            (Some(true), false) => return Err(TaskError::new("--pin needs two cores and the program taskset")),
            (_, true) => Some((
                match cores {
                    2 => "0".to_owned(),
                    _ => format!("0-{}", cores - 2),
                },
                (cores - 1).to_string(),
            )),
        });
        pins.this_like_load()?;
        Ok(pins)
    }

    /// A command on the servers' cores.
    pub(super) fn server(&self, program: &std::path::Path) -> Command {
        let Some((servers, _)) = &self.0 else { return Command::new(program) };
        let mut command = Command::new("taskset");
        command.arg("--cpu-list").arg(servers).arg(program);
        command
    }

    /// Moves this process to the servers' cores, for what it starts next.
    pub(super) fn this_like_servers(&self) -> Done {
        self.0.as_ref().map_or(Ok(()), |(servers, _)| pin(std::process::id(), servers))
    }

    /// Gives this process, what it starts next and the children that `other` is yet to have every core.
    pub(super) fn lift(&self, other: Option<u32>) -> Done<Self> {
        if self.0.is_some() {
            let all = format!("0-{}", cores() - 1);
            for process in other.into_iter().chain([std::process::id()]) {
                pin(process, &all)?;
            }
        }
        Ok(Self(None))
    }

    /// Takes that back.
    pub(super) fn put_back(&self, other: Option<u32>) -> Done {
        if let (Some((servers, _)), Some(process)) = (&self.0, other) {
            pin(process, servers)?;
        }
        self.this_like_load()
    }

    /// Moves this process back.
    pub(super) fn this_like_load(&self) -> Done {
        self.0.as_ref().map_or(Ok(()), |(_, load)| pin(std::process::id(), load))
    }
}

fn pin(process: u32, cores: &str) -> Done {
    quiet(Command::new("taskset").args(["--all-tasks", "--cpu-list", "--pid", cores, &process.to_string()]))
}

/// How many cores there are, whichever of them this process may use right now.
fn cores() -> usize {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cpu.lines().filter(|line| line.starts_with("processor")).count().max(1)
}

fn quiet(command: &mut Command) -> Done {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().tried("running taskset")?;
    status.success().then_some(()).ok_or_else(|| TaskError::new(format!("taskset failed ({status})")))
}

/// The machine, in a line.
pub(super) fn machine(pins: &Pins) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':')).map(|(_, name)| name);
    let where_ = match &pins.0 {
        Some((servers, load)) => format!("servers and PostgreSQL on core {servers}, load on core {load}"),
        None => "not pinned".to_owned(),
    };
    format!("{} cores of {}; {where_}; {}", cores(), model.unwrap_or(" unknown make").trim(), load_average())
}

/// How busy the machine is: what else ran shows here.
pub(super) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("load average {}", text.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

/// Seconds of a processor that a process has used.
pub(super) fn cpu_seconds(pid: u32) -> Done<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).tried("reading a process's time")?;
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
    // Of the fields behind the name, the twelfth and thirteenth: user and system time.
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS)
}

/// Whether somebody wants this to end. Without it a signal would leave servers and folders behind.
#[derive(Debug, Clone)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from here on.
    pub(super) fn listen() -> Done<Self> {
        let heard = Self(Arc::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().tried("starting a runtime")?;
        let mut signals = {
            let _entered = runtime.enter();
            let signal = |kind| signal(kind).tried("listening for signals");
            [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?]
        };
        let flag = heard.clone();
        thread::spawn(move || {
            runtime.block_on(async {
                let [interrupt, terminate] = &mut signals;
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                flag.0.store(true, Ordering::Relaxed);
            });
        });
        Ok(heard)
    }

    /// An error once it was heard.
    pub(super) fn check(&self) -> Done {
        match self.0.load(Ordering::Relaxed) {
            true => Err(TaskError::new("interrupted; what was started has ended")),
            false => Ok(()),
        }
    }

    /// The error, as soon as it is heard.
    pub(super) async fn heard(&self) -> Done {
        loop {
            self.check()?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sleeps, but not through an interruption.
    pub(super) fn sleep(&self, duration: Duration) -> Done {
        let until = Instant::now() + duration;
        while Instant::now() < until {
            self.check()?;
            thread::sleep(Duration::from_millis(20).min(until - Instant::now().min(until)));
        }
        Ok(())
    }
}

/// xorshift64*: which key comes next, nothing secret.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    /// Another sequence for every seed, and every run.
    pub(super) fn new(seed: u64) -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        Self((time ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (((u128::from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d))) * end as u128) >> 64) as usize
    }

    /// Mixes a list.
    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}
