//! A program that runs beside the test, whose words are read while it runs. Every wait here has an end, and so has the
//! program: it does not outlive its value.

use kv_tests::Said;
use std::{
    cell::RefCell,
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How long anything may take that is not measured.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a program has written so far.
struct Heard {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Heard {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
        let kept = bytes.clone();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(read @ 1..) = pipe.read(&mut buffer) {
                kept.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}

/// A program that runs.
pub(crate) struct Running {
    what: String,
    child: RefCell<Child>,
    input: Option<ChildStdin>,
    answer: Heard,
    complaint: Heard,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let what = format!("{:?}", command.get_args().collect::<Vec<_>>());
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
        let (answer, complaint) = (Heard::of(child.stdout.take().unwrap()), Heard::of(child.stderr.take().unwrap()));
        Self { what, input: child.stdin.take(), child: RefCell::new(child), answer, complaint }
    }

    /// Says something to it.
    pub(crate) fn tell(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Says something to it and that this was all, while it runs.
    pub(crate) fn tell_all(&mut self, text: &str) {
        let (mut input, text) = (self.input.take().unwrap(), text.as_bytes().to_vec());
        // It may end without having read it, which is its right.
        std::thread::spawn(move || input.write_all(&text));
    }

    /// What it has answered so far.
    pub(crate) fn answer(&self) -> String {
        self.answer.text()
    }

    /// Waits until it has answered this.
    pub(crate) fn says(&self, text: &str) {
        self.says_so(&format!("it says {text:?}"), |answer| answer.contains(text));
    }

    /// Waits until its answer is so.
    pub(crate) fn says_so(&self, what: &str, so: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        while !so(&self.answer()) {
            let (answer, complaint) = (self.answer(), self.complaint.text());
            assert!(begun.elapsed() < PATIENCE, "{}: in vain waited until {what}: {answer}{complaint}", self.what);
            let over = self.child.borrow_mut().try_wait().unwrap().is_some();
            std::thread::sleep(Duration::from_millis(10));
            // What it wrote last may have come meanwhile.
            assert!(!over || so(&self.answer()), "{} ended before {what}: {answer}{complaint}", self.what);
        }
    }

    /// What it said, once it has ended; which it must in this time.
    pub(crate) fn ends_within(mut self, time: Duration) -> Said {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.get_mut().try_wait().unwrap() {
                break status;
            }
            let (answer, complaint) = (self.answer(), self.complaint.text());
            assert!(begun.elapsed() < time, "{} does not end: {answer}{complaint}", self.what);
            std::thread::sleep(Duration::from_millis(10));
        };
        // What it has written is there before its end is, but may not have been read; a child of its may keep the pipe.
        let begun = Instant::now();
        while !(self.answer.reader.is_finished() && self.complaint.reader.is_finished()) {
            if begun.elapsed() > Duration::from_secs(2) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Said { success: status.success(), answer: self.answer(), complaint: self.complaint.text() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.get_mut().kill();
        let _ = self.child.get_mut().wait();
    }
}
