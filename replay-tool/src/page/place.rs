//! The file of a page: written beside its name, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::problem::PageProblem;
use crate::whole_file::{kept, sync_names};

/// A place for a page that was looked at before the work began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    path: PathBuf,
    replaces: bool,
}

impl Place {
    /// The place at a path. `data` is what is read: nothing is written there. `replaces` says whether a file that has the
    /// name gives way.
    ///
    /// # Errors
    ///
    /// [`PageProblem`] if it cannot be written there, as far as that shows before.
    pub fn at(path: &Path, data: &Path, replaces: bool) -> Result<Self, PageProblem> {
        let path = path.to_owned();
        let directory = directory_of(&path);
        let directory = directory.canonicalize().map_err(|source| step("find", directory, source))?;
        let whole = path.file_name().map(|name| directory.join(name));
        let Some(whole) = whole else { return Err(PageProblem::NotAFile { path }) };
        if let Ok(data) = data.canonicalize()
            && whole.starts_with(&data)
        {
            return Err(PageProblem::AmongEvidence { path, data });
        }
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(step("look at", &path, source)),
            Ok(found) if !found.is_file() => return Err(PageProblem::NotAFile { path }),
            Ok(_) if !replaces => return Err(PageProblem::Exists { path }),
            Ok(_) => {}
        }
        Ok(Self { path, replaces })
    }

    /// Writes the file, makes it and its name durable, and returns its size in bytes. A failure or a crash leaves what had the name;
    /// a crash may leave `.NAME.PID.writing` beside it, which can be deleted. If only the name could not be made durable, the file
    /// is there all the same.
    ///
    /// # Errors
    ///
    /// [`PageProblem`] if it cannot be written, or if a file has taken the name meanwhile.
    pub fn write(&self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<u64, PageProblem> {
        self.write_by(content, sync_names)
    }

    /// The same, with what makes the names in a directory durable.
    fn write_by(
        &self,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
        sync_names: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<u64, PageProblem> {
        let beside = self.beside();
        let written = written(&beside, content).and_then(|bytes| self.rename(&beside).map(|()| bytes));
        if written.is_err() {
            // What could not be written whole is of no use; if it cannot be removed either, the error says enough.
            let _ = fs::remove_file(&beside);
        }
        let bytes = written?;
        let directory = directory_of(&self.path);
        kept(sync_names(directory)).map_err(|source| step("sync", directory, source))?;
        Ok(bytes)
    }

    fn beside(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        // A name may be as long as the system allows, and this one is longer.
        let name: String = name.chars().take(48).collect();
        directory_of(&self.path).join(format!(".{name}.{}.writing", std::process::id()))
    }

    fn rename(&self, beside: &Path) -> Result<(), PageProblem> {
        let renamed = if self.replaces {
            Err(Errno::INVAL)
        } else {
            renameat_with(CWD, beside, CWD, &self.path, RenameFlags::NOREPLACE)
        };
        match renamed {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(PageProblem::Exists { path: self.path.clone() }),
            // Not every file system can refuse to replace; it was looked at before.
            Err(Errno::INVAL | Errno::NOSYS) => {
                fs::rename(beside, &self.path).map_err(|source| step("rename to", &self.path, source))
            }
            Err(errno) => Err(step("rename to", &self.path, errno.into())),
        }
    }
}

fn written(beside: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<u64, PageProblem> {
    let failed = |source| step("write", beside, source);
    // One of the same name can only be left over from a process that is no more.
    let _ = fs::remove_file(beside);
    let file = OpenOptions::new().write(true).create_new(true).open(beside).map_err(failed)?;
    let mut writer = BufWriter::with_capacity(1 << 16, file);
    content(&mut writer).map_err(failed)?;
    let file: File = writer.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    file.metadata().map(|metadata| metadata.len()).map_err(failed)
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn step(step: &'static str, path: &Path, source: io::Error) -> PageProblem {
    PageProblem::Step { step, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_gives_way_only_if_that_was_asked_for() {
        let place = tempfile::tempdir().unwrap();
        let (path, data) = (place.path().join("p.html"), place.path().join("data"));
        let write = |content: &'static str, replaces| {
            Place::at(&path, &data, replaces)?.write(|to| to.write_all(content.as_bytes()))
        };
        assert_eq!(write("one", false).unwrap(), 3);
        assert_eq!(write("two", false).unwrap_err().code(), "occupied");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(write("three", true).unwrap(), 5);
        assert_eq!(fs::read_to_string(&path).unwrap(), "three");
        assert_eq!(files(place.path()), ["p.html"]);
    }

    #[test]
    fn a_file_that_came_meanwhile_stays() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("p.html");
        let looked_at = Place::at(&path, &place.path().join("data"), false).unwrap();
        fs::write(&path, "theirs").unwrap();
        assert_eq!(looked_at.write(|to| to.write_all(b"mine")).unwrap_err().code(), "occupied");
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert_eq!(files(place.path()), ["p.html"]);
    }

    #[test]
    fn a_failure_leaves_what_was_there() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("p.html");
        fs::write(&path, "before").unwrap();
        let looked_at = Place::at(&path, &place.path().join("data"), true).unwrap();
        let failed = looked_at.write(|to| {
            to.write_all(&[b'x'; 1 << 17])?;
            Err(io::ErrorKind::StorageFull.into())
        });
        let failed = failed.unwrap_err();
        assert_eq!((failed.code(), failed.exit_code()), ("disk_full", exit_codes::WRITE_FAILED));
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        assert_eq!(files(place.path()), ["p.html"]);
    }

    #[test]
    fn the_name_of_a_page_is_made_durable_once_it_has_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("p.html");
        for replaces in [false, true] {
            let mut synced = None;
            let looked_at = Place::at(&path, &place.path().join("data"), replaces).unwrap();
            let sync = |directory: &Path| {
                synced = Some((directory.to_owned(), fs::read_to_string(&path)?));
                Ok(())
            };
            assert_eq!(looked_at.write_by(|to| to.write_all(b"all"), sync).unwrap(), 3);
            assert_eq!(synced, Some((place.path().to_owned(), "all".to_owned())));
        }
        let write = |kind: io::ErrorKind| {
            let looked_at = Place::at(&path, &place.path().join("data"), true).unwrap();
            looked_at.write_by(|to| to.write_all(b"all"), |_| Err(kind.into()))
        };
        assert_eq!(write(io::ErrorKind::StorageFull).unwrap_err().code(), "disk_full");
        assert_eq!(write(io::ErrorKind::PermissionDenied).unwrap(), 3, "its directory may not be read");
        assert_eq!(files(place.path()), ["p.html"]);
    }

    use crate::error::exit as exit_codes;

    #[test]
    fn nothing_is_written_among_the_evidence_or_over_what_is_no_file() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        fs::create_dir_all(data.join("journal")).unwrap();
        let code = |path: &Path| Place::at(path, &data, true).unwrap_err().code();
        assert_eq!(code(&data.join("p.html")), "invalid_input");
        assert_eq!(code(&data.join("journal/../journal/p.html")), "invalid_input");
        assert_eq!(code(&data), "invalid_input");
        assert_eq!(code(place.path()), "occupied");
        assert_eq!(code(Path::new("/dev/null")), "occupied");
        assert_eq!(code(&place.path().join("nowhere/p.html")), "io");
    }
}
