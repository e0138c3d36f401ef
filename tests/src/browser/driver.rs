//! chromedriver as a process of its own: started for one browser, and gone with it, with the browser and all both kept,
//! however the test ends. Never here: a process ended that was not started here.

use crate::{PATIENCE, programs::program, until};
use std::{
    fs::File,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Runs the driver ("$@") until nobody holds the other end of standard input any more, however that came about. The browser
/// ends when the driver's end of their pipe does, which may take it a second; its folder can be removed only then. The driver
/// is told by its pid while this shell, its parent, has not awaited it.
const KEEPER: &str = r#"
folder=$1; shift
exec 3<&0
"$@" </dev/null >"$folder/driver.log" 2>&1 3<&- & driver=$!
{ read -r _ <&3; kill -TERM "$driver"; } & watcher=$!
wait "$driver"
kill "$watcher" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$folder" 2>/dev/null
    [ -e "$folder" ] || exit 0
    sleep 0.3
done
"#;

/// A chromedriver that runs.
#[derive(Debug)]
pub(super) struct Driver {
    /// The shell that keeps it; its standard input is the lifeline.
    keeper: Child,
    folder: TempDir,
    port: u16,
    /// The session to end.
    session: Option<String>,
}

impl Driver {
    /// Starts one on a free port of its own choice. It chooses by one family of addresses and needs the port in both, where
    /// somebody else may have it: then it ends, and the next one chooses anew.
    pub(super) async fn start() -> Self {
        for _ in 0..3 {
            if let Some(started) = Self::attempt().await {
                return started;
            }
        }
        panic!("chromedriver ends as soon as it is started");
    }

    async fn attempt() -> Option<Self> {
        let driver = program("chromedriver", "KUBEVISION_TEST_CHROMEDRIVER");
        let folder = tempfile::Builder::new().prefix("kv-browser-").tempdir().unwrap();
        File::create(folder.path().join("driver.log")).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", KEEPER, "sh"]).arg(folder.path()).arg(driver).arg("--port=0");
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        // Neither the settings of whoever runs the tests, nor anything left in the folder for temporary files.
        command.env("HOME", folder.path()).env("TMPDIR", folder.path()).env("LC_ALL", "C.UTF-8");
        // A group of its own: what ends the tests by a signal to their group ends this by its lifeline, folder and all.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = command.spawn().unwrap();
        let mut started = Self { keeper, folder, port: 0, session: None };
        until("chromedriver listens or ends", || {
            started.told_port().is_some() || started.keeper.try_wait().unwrap().is_some()
        })
        .await;
        started.port = started.told_port()?;
        Some(started)
    }

    fn told_port(&self) -> Option<u16> {
        let words = self.words();
        let rest = words.split("started successfully on port ").nth(1)?;
        rest.split_once('.')?.0.parse().ok()
    }

    /// All it wrote.
    pub(super) fn words(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("driver.log")).unwrap_or_default()
    }

    /// Where it listens.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where the browser keeps what it keeps.
    pub(super) fn profile(&self) -> PathBuf {
        self.folder.path().join("profile")
    }

    /// The folder of both, for a test that they leave none.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Takes note of the session.
    pub(super) fn keeps(&mut self, session: String) {
        self.session = Some(session);
    }

    /// Ends the session, and the browser with it: that way it goes at once.
    fn end(&self, session: &str) -> std::io::Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "DELETE /session/{session} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        // It keeps the connection, whatever it is asked; its first word is that the browser has ended.
        stream.read(&mut [0; 1024]).map(|_| ())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            // Where that fails, the lifeline does it.
            let _ = self.end(&session);
        }
        drop(self.keeper.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.keeper.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        // Nothing to be ended in most cases: it has ended.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
