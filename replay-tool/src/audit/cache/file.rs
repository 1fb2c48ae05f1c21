//! The file with filled tables of one journal, and the right to use it.
//!
//! | file | is |
//! | --- | --- |
//! | `JOURNAL-PLACE.tables` | a SQLite database, and no rollback journal beside it |
//! | `JOURNAL-PLACE.card` | what it holds. It is taken away before the tables are changed, and put back after |
//! | `JOURNAL-PLACE.lock` | locked by whoever uses it; its time is that of the last use |
//!
//! `JOURNAL` is the identity of the journal, `PLACE` a digest of the path of its data directory. A crash while the tables are
//! changed leaves no card, and so nothing that is ever read.
//!
//! Somebody may delete the files at any time, also while they are used, and another process make others under the same names.
//! So a card names the database that is open, by what the system says of the open file, and never what has its name; and whoever
//! no longer has the names leaves them alone.

use std::fs::{File, FileTimes, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::OFlags;
use rustix::process::geteuid;
use ulid::Ulid;

use super::super::answer::{PAGES_KIB, VALUE_BYTES_MAX};
use super::super::destination::create_tables;
use super::bound::{make_room, room};
use super::card::{Card, Holding, Maker, Stamp};
use super::place::{CachePlace, NoCache};

/// Bytes of a card that are read.
const CARD_BYTES_MAX: u64 = 1 << 20;
/// Hexadecimal digits of the digest of a path.
pub(super) const PLACE_DIGITS: usize = 16;
const PAGE_BYTES: u64 = 4_096;
/// How long a tick of a file system takes at most; of a longer one, what is written in the same tick is not noticed.
const TICK_MS_MAX: u32 = 20;

/// What questions look rows up by, and whoever replaces those of a run.
const INDEXES: [&str; 4] = ["runs(run)", "attempts(run)", "snapshots(run)", "labels(run)"];

/// The right to use the tables of one journal, until it is dropped.
#[derive(Debug)]
pub(super) struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        // Also where a process that was forked meanwhile has not closed it yet.
        let _ = self.0.unlock();
    }
}

/// The tables of one journal, for as long as nobody else uses them.
#[derive(Debug)]
pub(super) struct CacheFile {
    /// The database, once there is one. SQLite's own locks on it are gone with this, so that its connection is closed first.
    open: Option<File>,
    /// How this process, or its card, left it.
    left: Option<Stamp>,
    place: CachePlace,
    stem: PathBuf,
    journal: String,
    maker: Maker,
    /// Given back last of all.
    held: Held,
}

impl CacheFile {
    /// Takes the file of a journal for this process; absent if it is not there and not to be made.
    ///
    /// # Errors
    ///
    /// [`NoCache`] if the directory cannot be used, or another process uses the file.
    pub(super) fn take(
        place: &CachePlace,
        (journal, data): (Ulid, &Path),
        boot_id: &str,
        is_made: bool,
    ) -> Result<Option<Self>, NoCache> {
        let Some(directory) = place.directory(is_made)? else { return Ok(None) };
        let stem = directory.join(format!("{journal}-{}", place_digits(data)));
        let failed = |error: io::Error| place.unusable(&error.to_string());
        let lock = match locked(&stem, is_made) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Err(NoCache::quiet("another process uses it")),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_made => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        // When it was used last decides who goes first; that is no reason not to use it.
        let _ = lock.0.set_times(FileTimes::new().set_modified(SystemTime::now()));
        let (maker, journal) = (Maker::this(boot_id), journal.to_string());
        Ok(Some(Self { open: None, left: None, place: place.clone(), stem, journal, maker, held: lock }))
    }

    /// Why it is not used.
    pub(super) fn unusable(&self, why: &str) -> NoCache {
        self.place.unusable(why)
    }

    /// The identity of the journal.
    pub(super) fn journal(&self) -> &str {
        &self.journal
    }

    /// Where the tables are.
    pub(super) fn tables(&self) -> PathBuf {
        self.stem.with_extension("tables")
    }

    /// Size of the tables.
    pub(super) fn bytes(&self) -> u64 {
        self.tables().metadata().map_or(0, |found| found.len())
    }

    fn card(&self) -> PathBuf {
        self.stem.with_extension("card")
    }

    /// Whether the names are still those of what this process holds.
    pub(super) fn is_in_place(&self) -> bool {
        self.has_lock() && self.open.as_ref().is_none_or(|open| is_named(open, &self.tables()))
    }

    fn has_lock(&self) -> bool {
        is_named(&self.held.0, &self.stem.with_extension("lock"))
    }

    /// Whether nobody wrote to the tables since this process did.
    pub(super) fn is_as_left(&self) -> bool {
        self.left.is_some() && self.stamp().ok() == self.left
    }

    /// Notes how the tables are after they were changed.
    pub(super) fn leave(&mut self) {
        self.left = self.stamp().ok();
    }

    fn stamp(&self) -> io::Result<Stamp> {
        let open = self.open.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok(Stamp::of(&open.metadata()?))
    }

    /// What the tables hold, if they are exactly as they were left by this very program in this boot.
    pub(super) fn holding(&mut self) -> Option<Holding> {
        let card: Card = serde_json::from_slice(&private_bytes(&self.card())?).ok()?;
        self.open =
            Some(opened(&self.tables(), false).ok().filter(|open| open.metadata().is_ok_and(|it| is_own(&it)))?);
        self.left = Some(card.stamp);
        let is_left_so = self.maker.is_known()
            && card.maker == self.maker
            && card.holding.journal == self.journal
            && self.is_as_left()
            && journal_of(&self.stem).symlink_metadata().is_err();
        is_left_so.then_some(card.holding)
    }

    /// Opens tables that are as they were left.
    ///
    /// # Errors
    ///
    /// SQLite's; so for all that return its results.
    pub(super) fn open(&self) -> rusqlite::Result<Connection> {
        let connection = self.connected()?;
        let expected = Connection::open_in_memory()?;
        create(&expected)?;
        if schema(&connection)? != schema(&expected)? {
            return Err(rusqlite::Error::InvalidQuery);
        }
        self.guard(&connection)?;
        Ok(connection)
    }

    /// Makes empty tables in place of whatever was there. Files of other journals go if they are too many.
    ///
    /// # Errors
    ///
    /// [`NoCache`] if that cannot be done, or there is no room for so many entries.
    pub(super) fn make(&mut self, entries: u64) -> Result<Connection, NoCache> {
        self.discard();
        self.open = None;
        make_room(&self.stem);
        if !room(&self.stem, 0).is_enough_for(entries) {
            return Err(self.unusable("there is too little room on that disk"));
        }
        let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(self.tables());
        self.open = Some(made.map_err(|error| self.unusable(&error.to_string()))?);
        let made = self.connected().and_then(|connection| {
            create(&connection)?;
            self.guard(&connection)?;
            Ok(connection)
        });
        self.leave();
        made.map_err(|error| {
            self.discard();
            self.unusable(&error.to_string())
        })
    }

    /// A connection that keeps its lock, and what it needs to take changes back in memory: from here on it looks at no name any
    /// more, and has the same file open as this.
    fn connected(&self) -> rusqlite::Result<Connection> {
        let flags =
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(self.tables(), flags)?;
        connection.busy_timeout(Duration::ZERO)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.execute_batch(&format!(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA page_size = {PAGE_BYTES}; \
             PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA cache_size = -{PAGES_KIB};"
        ))?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        if self.is_in_place() { Ok(connection) } else { Err(rusqlite::Error::InvalidPath(self.tables())) }
    }

    /// Sets the limits of questions, and that of its size.
    fn guard(&self, connection: &Connection) -> rusqlite::Result<()> {
        let pages = room(&self.stem, self.bytes()).bytes / PAGE_BYTES;
        connection.execute_batch(&format!("PRAGMA max_page_count = {}", pages.clamp(1, u64::from(u32::MAX - 1))))?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)?;
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        Ok(())
    }

    /// Takes the card away: from here on the tables may be changed, and a crash leaves nothing that is read.
    ///
    /// # Errors
    ///
    /// What the system says; or the names are not those of this process any more, and nothing was touched.
    pub(super) fn withdraw(&self) -> io::Result<()> {
        self.check_in_place()?;
        match std::fs::remove_file(self.card()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn check_in_place(&self) -> io::Result<()> {
        if self.is_in_place() { Ok(()) } else { Err(io::Error::other("it was taken away")) }
    }

    /// Says what the tables hold, which are as they were left. Should the names go to others in this moment, that is a card
    /// which their tables do not match.
    ///
    /// # Errors
    ///
    /// What the system says; or the tables are not as this process left them, or not in their place.
    pub(super) fn put(&self, holding: Holding) -> io::Result<()> {
        self.check_in_place()?;
        let stamp = self.left.clone().ok_or(io::ErrorKind::NotFound)?;
        let card = Card { maker: self.maker.clone(), holding, stamp };
        let draft = self.stem.with_extension("card-draft");
        let _ = std::fs::remove_file(&draft);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(&serde_json::to_vec(&card)?)?;
        // Whoever writes to the tables behind this does so at a later time, which the file system counts in ticks.
        for _ in 0..TICK_MS_MAX {
            if Stamp::of(&file.metadata()?).is_later_than(&card.stamp) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
            file.set_modified(SystemTime::now())?;
        }
        if !self.is_as_left() {
            return Err(io::Error::other("somebody else wrote to it"));
        }
        std::fs::rename(&draft, self.card())
    }

    /// Takes everything away but the lock; nothing if that is not this process's any more.
    pub(super) fn discard(&self) {
        if self.has_lock() {
            remove(&self.stem);
        }
    }
}

/// Removes the files of one journal, but for the lock; the card first.
pub(super) fn remove(stem: &Path) {
    for path in [stem.with_extension("card"), stem.with_extension("card-draft"), journal_of(stem)] {
        let _ = std::fs::remove_file(path);
    }
    let _ = std::fs::remove_file(stem.with_extension("tables"));
}

/// Locks the file of a journal; absent if another process has it.
pub(super) fn locked(stem: &Path, is_made: bool) -> io::Result<Option<Held>> {
    let path = stem.with_extension("lock");
    let file = opened(&path, is_made)?;
    let held = match file.try_lock() {
        Ok(()) => Held(file),
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    };
    // Whoever makes room removes it while it holds it.
    let is_there = own(&path).is_some() && is_named(&held.0, &path);
    Ok(is_there.then_some(held))
}

/// Opens a file for reading and writing that is no link.
fn opened(path: &Path, is_made: bool) -> io::Result<File> {
    let no_follow = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    OpenOptions::new().read(true).write(true).create(is_made).mode(0o600).custom_flags(no_follow).open(path)
}

/// Whether an open file has this name.
fn is_named(open: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (open.metadata(), path.symlink_metadata()) else { return false };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

fn journal_of(stem: &Path) -> PathBuf {
    stem.with_extension("tables-journal")
}

/// A plain file that belongs to this user alone.
fn own(path: &Path) -> Option<Metadata> {
    path.symlink_metadata().ok().filter(is_own)
}

fn is_own(found: &Metadata) -> bool {
    let is_own = found.is_file() && found.uid() == geteuid().as_raw() && found.mode() & 0o077 == 0;
    is_own && found.nlink() == 1
}

fn private_bytes(path: &Path) -> Option<Vec<u8>> {
    own(path).filter(|found| found.len() <= CARD_BYTES_MAX)?;
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(CARD_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A digest of the path of a data directory: a copy of a journal has tables of its own, for it may be damaged elsewhere.
fn place_digits(data: &Path) -> String {
    let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    let digest = blake3::hash(data.as_os_str().as_encoded_bytes()).to_hex();
    digest.chars().take(PLACE_DIGITS).collect()
}

fn create(connection: &Connection) -> rusqlite::Result<()> {
    create_tables(connection)?;
    for index in INDEXES {
        let table = index.split('(').next().unwrap_or(index);
        connection.execute_batch(&format!("CREATE INDEX {table}_by_run ON {index}"))?;
    }
    Ok(())
}

/// All that a database has, with the texts that made it.
fn schema(connection: &Connection) -> rusqlite::Result<Vec<[Option<String>; 4]>> {
    let mut asked = connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")?;
    let rows = asked.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    rows.collect()
}
