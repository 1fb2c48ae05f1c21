//! A run ledger as supervisors commonly keep it, to be wrong where such ledgers are.
//!
//! One mutable row per run in a table whose integer ids are given again after a delete, `UPDATE … WHERE id = ?`, pids
//! as keys, timers in memory, and a run directory named by the row. Each method is what the incidents found in real
//! systems; none is made worse than it was there, and where two habits are common both are here.

use std::collections::{BTreeMap, BTreeSet};

/// Primary key of a row; the largest one in use plus one, as `INTEGER PRIMARY KEY` gives it.
pub type RowId = u32;
/// Process id as the kernel gives it, again and again.
pub type Pid = i32;

/// One run: what is known of it now, and nothing of what was known before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Name for people.
    pub name: String,
    /// `created`, `running`, `waiting`, `paused`, `succeeded`, `failed`, `stopped` or `lost`.
    pub status: &'static str,
    /// How the last process ended, as far as anybody wrote it here.
    pub exit_code: Option<i32>,
    /// Why it failed, as far as anybody wrote it here.
    pub reason: Option<String>,
    /// The process that is thought to be its.
    pub pid: Option<Pid>,
    /// The row that it was made from.
    pub parent: Option<RowId>,
}

/// The answer to an update that checks the status first and found another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict;

/// The table, and what the supervisor keeps beside it.
#[derive(Debug, Default)]
pub struct Ledger {
    rows: BTreeMap<RowId, Row>,
    /// Files of the run directories `runs/{row id}/`.
    files: BTreeMap<(RowId, &'static str), String>,
    /// Directories that cannot be removed: something is mounted in them.
    busy: BTreeSet<RowId>,
    memory: Memory,
    /// Processes that were started and not killed; the world's state, which no crash of the supervisor ends.
    spawned: Vec<RowId>,
}

/// What a crash of the supervisor takes with it.
#[derive(Debug, Default)]
struct Memory {
    registrations: BTreeMap<RowId, String>,
    exits: BTreeMap<Pid, i32>,
    /// What will fire, by handle: the row, and when.
    timers: BTreeMap<u32, (RowId, i64)>,
    /// The handle that each row remembers, to cancel by.
    armed: BTreeMap<RowId, u32>,
    handles: u32,
}

impl Ledger {
    /// `INSERT INTO runs (name, parent) VALUES (?, ?)`.
    pub fn insert(&mut self, name: &str, parent: Option<RowId>) -> RowId {
        let id = self.rows.keys().next_back().map_or(1, |last| last + 1);
        let row = Row { name: name.to_owned(), status: "created", exit_code: None, reason: None, pid: None, parent };
        self.rows.insert(id, row);
        id
    }

    /// `SELECT * FROM runs WHERE id = ?`.
    pub fn select(&self, id: RowId) -> Option<&Row> {
        self.rows.get(&id)
    }

    /// `SELECT id FROM runs WHERE name = ?`.
    pub fn named(&self, name: &str) -> Option<RowId> {
        self.rows.iter().find(|(_, row)| row.name == name).map(|(id, _)| *id)
    }

    /// `SELECT id FROM runs WHERE parent = ?`.
    pub fn children(&self, parent: RowId) -> Vec<RowId> {
        self.rows.iter().filter(|(_, row)| row.parent == Some(parent)).map(|(id, _)| *id).collect()
    }

    /// `UPDATE runs SET … WHERE id = ?`; returns the number of rows that it changed, which nobody looks at.
    pub fn update(&mut self, id: RowId, set: impl FnOnce(&mut Row)) -> usize {
        self.rows.get_mut(&id).map(set).into_iter().count()
    }

    /// `DELETE FROM runs WHERE id = ?`, then `rm -r runs/{id}`, whose failure is ignored.
    pub fn delete(&mut self, id: RowId) {
        self.rows.remove(&id);
        if !self.busy.contains(&id) {
            self.files.retain(|(owner, _), _| *owner != id);
        }
    }

    /// Something is mounted in the run directory: removing it gives EBUSY.
    pub fn mount(&mut self, id: RowId) {
        self.busy.insert(id);
    }

    /// Writes a file of the run directory.
    pub fn write(&mut self, id: RowId, file: &'static str, text: &str) {
        self.files.insert((id, file), text.to_owned());
    }

    /// Starts the row's process: spawns, then writes down that it runs. Clears nothing of an earlier start.
    pub fn start(&mut self, id: RowId, pid: Pid) {
        self.spawned.push(id);
        self.update(id, |row| {
            row.status = "running";
            row.pid = Some(pid);
        });
    }

    /// The start failed: the guard that cleans up after it removes the record along with the rest.
    pub fn start_failed_with_guard(&mut self, id: RowId) {
        self.spawned.retain(|spawned| *spawned != id);
        self.delete(id);
    }

    /// The start failed: the reason is written into the row.
    pub fn start_failed(&mut self, id: RowId, reason: &str) {
        self.spawned.retain(|spawned| *spawned != id);
        self.update(id, |row| {
            row.status = "failed";
            row.reason = Some(reason.to_owned());
        });
    }

    /// Somebody reports that the row's process exited.
    pub fn exited(&mut self, id: RowId, code: i32) {
        self.update(id, |row| {
            row.status = if code == 0 { "succeeded" } else { "failed" };
            row.exit_code = Some(code);
        });
    }

    /// The careful variant: `UPDATE … WHERE id = ? AND status = 'running'`, and no row changed is a conflict.
    ///
    /// # Errors
    ///
    /// [`Conflict`] if the row does not run.
    pub fn exited_if_running(&mut self, id: RowId, code: i32) -> Result<(), Conflict> {
        if self.rows.get(&id).is_none_or(|row| row.status != "running") {
            return Err(Conflict);
        }
        self.exited(id, code);
        Ok(())
    }

    /// The container ended: `result.json` in the run directory says how, else the wait status does.
    pub fn finish_from_directory(&mut self, id: RowId, waited: i32) {
        let code = self.files.get(&(id, "result.json")).and_then(|text| text.parse().ok()).unwrap_or(waited);
        self.exited(id, code);
    }

    /// The poller looks into the status file that the guest writes, and believes it.
    pub fn poll_status_file(&mut self, id: RowId) {
        let text = self.files.get(&(id, "status")).cloned().unwrap_or_default();
        if text.trim() == "succeeded" {
            self.update(id, |row| row.status = "succeeded");
        }
    }

    /// Ends the row's process and says so, whatever was said before.
    pub fn stop(&mut self, id: RowId) {
        self.spawned.retain(|spawned| *spawned != id);
        self.update(id, |row| row.status = "stopped");
    }

    /// Kills whatever process the row has now; returns whether there was one.
    pub fn clean_up(&mut self, id: RowId) -> bool {
        let before = self.spawned.len();
        self.spawned.retain(|spawned| *spawned != id);
        before != self.spawned.len()
    }

    /// Whether a process of the row is alive.
    pub fn is_alive(&self, id: RowId) -> bool {
        self.spawned.contains(&id)
    }

    /// The worker of a row says that it is ready: `INSERT … ON CONFLICT DO UPDATE SET status = 'running'`.
    pub fn worker_ready(&mut self, id: RowId, name: &str) {
        let row =
            Row { name: name.to_owned(), status: "running", exit_code: None, reason: None, pid: None, parent: None };
        self.rows.entry(id).and_modify(|row| row.status = "running").or_insert(row);
    }

    /// An actor registers for the row's signals.
    pub fn register(&mut self, id: RowId, actor: &str) {
        self.memory.registrations.insert(id, actor.to_owned());
    }

    /// An actor that leaves removes the row's registration.
    pub fn unregister(&mut self, id: RowId) {
        self.memory.registrations.remove(&id);
    }

    /// Who gets the row's signals.
    pub fn registered(&self, id: RowId) -> Option<&str> {
        self.memory.registrations.get(&id).map(String::as_str)
    }

    /// The reaper got a pid's exit code; it is kept by pid until somebody asks.
    pub fn reaped(&mut self, pid: Pid, code: i32) {
        self.memory.exits.insert(pid, code);
    }

    /// Waits for the row's process: takes the exit code that is kept for its pid. Absent means that it would hang.
    pub fn wait(&mut self, id: RowId) -> Option<i32> {
        let pid = self.rows.get(&id)?.pid?;
        self.memory.exits.remove(&pid)
    }

    /// Arms a snapshot of the row for a time; the row remembers the handle of the last one.
    pub fn arm(&mut self, id: RowId, due_ms: i64) {
        self.memory.handles += 1;
        self.memory.timers.insert(self.memory.handles, (id, due_ms));
        self.memory.armed.insert(id, self.memory.handles);
    }

    /// Cancels the snapshot whose handle the row remembers, whoever asks; returns whether there was one.
    pub fn cancel(&mut self, id: RowId) -> bool {
        let handle = self.memory.armed.remove(&id);
        handle.and_then(|handle| self.memory.timers.remove(&handle)).is_some()
    }

    /// Fires what is due: pauses the row's sandbox for its snapshot. Returns the rows.
    pub fn tick(&mut self, now_ms: i64) -> Vec<RowId> {
        let due = |(_, due_ms): &(RowId, i64)| *due_ms <= now_ms;
        let fired: Vec<RowId> = self.memory.timers.values().filter(|timer| due(timer)).map(|(id, _)| *id).collect();
        self.memory.timers.retain(|_, timer| !due(timer));
        for id in &fired {
            self.update(*id, |row| row.status = "paused");
        }
        fired
    }

    /// The supervisor crashes and comes back: the table and the world's processes stay, its memory does not.
    pub fn crash_and_restart(&mut self) {
        self.memory = Memory::default();
    }

    /// Recovery of a row that runs, whose process is gone: no code is known, so the column keeps its default.
    pub fn recover_vanished(&mut self, id: RowId) {
        self.exited(id, 0);
    }
}

/// A timer that counts the ticks of its own loop and takes their number for the time.
#[derive(Debug, Default)]
pub struct TickingTimer {
    ticks: i64,
    timers: BTreeMap<RowId, i64>,
}

impl TickingTimer {
    /// Arms a row's snapshot so many ticks ahead.
    pub fn arm(&mut self, id: RowId, ticks: i64) {
        self.timers.insert(id, self.ticks + ticks);
    }

    /// The loop comes round. Returns the rows whose number of ticks has come.
    pub fn tick(&mut self) -> Vec<RowId> {
        self.ticks += 1;
        let fired: Vec<RowId> = self.timers.iter().filter(|(_, due)| **due <= self.ticks).map(|(id, _)| *id).collect();
        self.timers.retain(|_, due| *due > self.ticks);
        fired
    }
}

/// The exec API's event queue: chunks and the end are pushed by tasks of their own, and whoever reads stops at the
/// end.
#[derive(Debug, Default)]
pub struct ExecQueue {
    events: Vec<ExecEvent>,
}

#[derive(Debug)]
enum ExecEvent {
    Chunk(Vec<u8>),
    Exited(i32),
}

impl ExecQueue {
    /// The pump task runs: pushes one chunk of output.
    pub fn pump(&mut self, chunk: &[u8]) {
        self.events.push(ExecEvent::Chunk(chunk.to_vec()));
    }

    /// The wait task runs: announces the end as soon as wait returned.
    pub fn exited(&mut self, code: i32) {
        self.events.push(ExecEvent::Exited(code));
    }

    /// What a caller gets: the output up to the first end, and the code.
    pub fn collect(&self) -> (Vec<u8>, Option<i32>) {
        let mut output = Vec::new();
        for event in &self.events {
            match event {
                ExecEvent::Chunk(chunk) => output.extend_from_slice(chunk),
                ExecEvent::Exited(code) => return (output, Some(*code)),
            }
        }
        (output, None)
    }
}
