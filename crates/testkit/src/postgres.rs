//! A PostgreSQL server for a test: its own data, in a temporary folder, reached over a socket in it, gone with the value.
//!
//! The programs are those of the system (Debian's package `postgresql`). They refuse to run as root, so root runs them as the
//! package's user.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test without its server fails by panicking; what a server does it tells nobody, so it is asked again"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The role that owns everything.
const OWNER: &str = "remit";
const START_MAX: Duration = Duration::from_secs(60);

/// A running server.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    settings: Vec<String>,
    process: Option<Child>,
    databases: AtomicU32,
}

impl Server {
    /// A new server with these settings besides its own, such as `fsync=off`.
    ///
    /// # Panics
    /// If PostgreSQL is not installed, or does not start.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        let mut server = Self::new(settings.iter().map(|text| (*text).to_owned()).collect());
        run(program("initdb")
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"])
            .arg(format!("--username={OWNER}"))
            .arg("--pgdata")
            .arg(server.data()));
        server.resume();
        server
    }

    /// A standby that follows this server as fast as it can, but is not waited for.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn standby(&self) -> Self {
        let mut standby = Self::new(self.settings.clone());
        self.copy_to(&standby, &["--write-recovery-conf"]);
        standby.resume();
        standby
    }

    fn copy_to(&self, other: &Self, options: &[&str]) {
        run(program("pg_basebackup")
            .args(options)
            .args(["--checkpoint=fast", "--no-sync", "-U", OWNER, "-h"])
            .arg(&self.folder)
            .arg("--pgdata")
            .arg(other.data()));
    }

    /// Writes a dump of the database of `url`.
    ///
    /// # Panics
    /// If one of them cannot be done.
    pub fn dump_to(&self, url: &str, file: &Path) {
        let dumped = program("pg_dump")
            .args(["--format=custom", "-U", OWNER, "-h"])
            .arg(&self.folder)
            .arg(database_of(url))
            .output()
            .expect("pg_dump runs");
        assert!(dumped.status.success(), "{dumped:?}");
        fs::write(file, dumped.stdout).expect("a file for the dump");
    }

    /// Puts what is in a dump into the empty database of `url`.
    ///
    /// # Panics
    /// If that cannot be done.
    pub fn restore_from(&self, file: &Path, url: &str) {
        let dump = fs::File::open(file).expect("the dump");
        let restored = program("pg_restore")
            .args(["--exit-on-error", "-U", OWNER, "-h"])
            .arg(&self.folder)
            .args(["--dbname", database_of(url)])
            .stdin(dump)
            .output()
            .expect("pg_restore runs");
        assert!(restored.status.success(), "{restored:?}");
    }

    /// A server that keeps its log in an archive, for what [`Self::base_backup`] needs to be brought to a later point.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_with_archive(archive: &Path, settings: &[&str]) -> Self {
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(archive));
        }
        let command = format!("archive_command=cp %p {}/%f", archive.display());
        let mut all = vec!["archive_mode=on", &command];
        all.extend(settings);
        Self::start(&all)
    }

    /// A copy of this server as it is, which does not run.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn base_backup(&self) -> Self {
        let backup = Self::new(Vec::new());
        self.copy_to(&backup, &["--wal-method=none"]);
        backup
    }

    /// Starts a base backup, brought by the archive to the point of that name, as a primary of its own.
    ///
    /// # Panics
    /// If there is no such point in the archive.
    pub fn recover_to(&mut self, archive: &Path, point: &str) {
        let data = self.data();
        self.settings = vec![
            format!("restore_command=cp {}/%f %p", archive.display()),
            format!("recovery_target_name={point}"),
            "recovery_target_action=promote".to_owned(),
        ];
        fs::write(data.join("recovery.signal"), "").expect("the signal to recover");
        self.resume();
        let begun = Instant::now();
        while self.sql("postgres", "SELECT pg_is_in_recovery()").stdout != b"f\n" {
            assert!(begun.elapsed() < START_MAX, "the recovery does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Makes the primary of a standby.
    ///
    /// # Panics
    /// If it is none.
    pub fn promote(&self) {
        run(program("pg_ctl")
            .args(["promote", "--wait", "--pgdata"])
            .arg(self.data()));
    }

    /// Has a standby follow no more: what is committed from now on it will not have.
    ///
    /// # Panics
    /// If it is none.
    pub fn stop_following(&self) {
        for sql in [
            "ALTER SYSTEM SET primary_conninfo = ''",
            "SELECT pg_reload_conf()",
        ] {
            let done = self.sql("postgres", sql);
            assert!(done.status.success(), "{done:?}");
        }
        let begun = Instant::now();
        let receivers = "SELECT count(*) FROM pg_stat_wal_receiver";
        while self.sql("postgres", receivers).stdout != b"0\n" {
            assert!(begun.elapsed() < START_MAX, "the standby follows still");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn new(settings: Vec<String>) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("remit-postgres-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for PostgreSQL");
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&folder));
        }
        Self {
            settings,
            folder,
            process: None,
            databases: AtomicU32::new(0),
        }
    }

    /// Starts the server again, and waits until it answers.
    ///
    /// # Panics
    /// If it does not start.
    pub fn resume(&mut self) {
        let log = fs::File::create(self.folder.join("log")).expect("a log for PostgreSQL");
        let mut command = program("postgres");
        command.arg("-D").arg(self.data()).args([
            "-c",
            "listen_addresses=",
            "-c",
            &format!("unix_socket_directories={}", self.folder.display()),
        ]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let child = command.stdout(Stdio::null()).stderr(log).spawn();
        self.process = Some(child.expect("PostgreSQL starts"));
        let begun = Instant::now();
        while !self.sql("postgres", "SELECT 1").status.success() {
            assert!(
                begun.elapsed() < START_MAX,
                "PostgreSQL does not answer: {}",
                fs::read_to_string(self.folder.join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the server: `fast` ends its connections, `immediate` is as if it were killed.
    ///
    /// # Panics
    /// If it does not stop.
    pub fn stop(&mut self, mode: &str) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        run(program("pg_ctl")
            .args(["stop", "--wait", "--mode", mode, "--pgdata"])
            .arg(self.data()));
        process.wait().expect("PostgreSQL ends");
    }

    /// The URL of a new, empty database.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test{number}");
        let made = self.sql("postgres", &format!("CREATE DATABASE {name}"));
        assert!(made.status.success(), "{made:?}");
        self.url(&name)
    }

    /// The URL of a new database with the content of another, to which nobody is connected.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn copy(&self, url: &str) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let (name, original) = (format!("test{number}"), database_of(url));
        let sql = format!("CREATE DATABASE {name} TEMPLATE {original}");
        let made = self.sql("postgres", &sql);
        assert!(made.status.success(), "{made:?}");
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://{OWNER}@{}/{database}", host(&self.folder))
    }

    /// The URL here of the database that a URL of another server names.
    #[must_use]
    pub fn url_of(&self, other: &str) -> String {
        self.url(database_of(other))
    }

    /// Where the server's socket is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A URL of a database that is on this server or on `other`, whichever takes writes.
    #[must_use]
    pub fn url_with(&self, other: &Self, database: &str) -> String {
        let [own, other] = [self, other].map(|server| host(&server.folder));
        format!("postgres://{OWNER}@{own},{other}/{database}")
    }

    /// Runs SQL in a database; what it prints is unaligned, a row a line.
    ///
    /// # Panics
    /// If `psql` is not installed.
    #[must_use]
    pub fn sql(&self, database: &str, sql: &str) -> Output {
        program("psql")
            .args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", OWNER, "-h"])
            .arg(&self.folder)
            .args(["-d", database, "-c", sql])
            .output()
            .expect("psql runs")
    }

    /// What a query gives, in the database of `url`.
    ///
    /// # Panics
    /// If it fails.
    pub fn query(&self, url: &str, sql: &str) -> String {
        let output = self.sql(database_of(url), sql);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// How often a second so many clients of `pgbench` get through a statement, each in a transaction of its own.
    ///
    /// # Panics
    /// If `pgbench` fails.
    #[must_use]
    pub fn insert_rate(&self, url: &str, statement: &str, clients: u64, seconds: u32) -> f64 {
        let script = self.folder.join("script.sql");
        fs::write(&script, statement).expect("a script for pgbench");
        let output = program("pgbench")
            .args(["-n", "-M", "prepared", "-j", "2", "-U", OWNER])
            .args(["-c", &clients.to_string(), "-T", &seconds.to_string()])
            .arg("-h")
            .arg(&self.folder)
            .arg("-f")
            .arg(&script)
            .arg(database_of(url))
            .output()
            .expect("pgbench runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let rate = text.lines().find_map(|line| {
            let rate = line.strip_prefix("tps = ")?;
            rate.split(' ').next()?.parse().ok()
        });
        rate.unwrap_or_else(|| panic!("pgbench: {output:?}"))
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // The folder goes, so nothing need be kept in order.
            let _ = program("pg_ctl")
                .args(["stop", "--wait", "--mode", "immediate", "--pgdata"])
                .arg(self.data())
                .output();
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A folder with a socket, as the host in a URL.
#[must_use]
pub fn host(folder: &Path) -> String {
    folder.display().to_string().replace('/', "%2F")
}

/// The name of the database in a URL.
#[must_use]
pub fn database_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.starts_with(b"0\n"))
}

/// A program of PostgreSQL, as a user as whom it runs.
fn program(name: &str) -> Command {
    let path = binaries().join(name);
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(path)
        .current_dir("/");
    command
}

/// Where Debian keeps the programs of the newest version that is installed.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let versions = versions.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let newest = versions.filter_map(|name| name.parse::<u32>().ok()).max();
    let newest = newest.expect("PostgreSQL is installed (apt-get install postgresql)");
    Path::new("/usr/lib/postgresql")
        .join(newest.to_string())
        .join("bin")
}

fn run(command: &mut Command) {
    let output = command.output();
    let is_done = output.as_ref().is_ok_and(|output| output.status.success());
    assert!(is_done, "{command:?}: {output:?}");
}
