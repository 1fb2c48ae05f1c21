//! What was asked at the prompt before: a file of the user's own, never beside the evidence.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

/// The file to keep it in; empty for none.
const VARIABLE: &str = "TACHO_HISTORY";
/// Questions that are kept at least, and offered.
pub(super) const KEPT: usize = 1_000;
/// Lines of the file from which on only the last ones are kept.
const LINES_MAX: usize = 2 * KEPT;
/// Bytes of the file that are read; of a longer one the last ones.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Links that a path is followed through.
const LINKS_MAX: usize = 40;
/// Bytes of a question that is kept.
const QUESTION_BYTES_MAX: usize = 16 << 10;

/// The history of the prompt. Each line of its file is a question as a JSON text, so that one may have several lines.
#[derive(Debug)]
pub(super) struct QuestionHistory {
    path: Option<PathBuf>,
}

impl QuestionHistory {
    /// The history of this user, as the environment has it; nothing is kept in a data directory, or where there is no home.
    pub(super) fn of_user(data: &Path) -> Self {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let path = match variable(VARIABLE) {
            Some(path) => Some(path).filter(|path| !path.as_os_str().is_empty()),
            None => variable("XDG_STATE_HOME")
                .filter(|path| path.is_absolute())
                .or_else(|| variable("HOME").filter(|path| path.is_absolute()).map(|home| home.join(".local/state")))
                .map(|state| state.join("tacho/history")),
        };
        Self { path: path.filter(|path| !is_within(path, data)) }
    }

    /// The last questions, oldest first. A file of more lines than twice as many is cut to those.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn load(&self) -> io::Result<Vec<String>> {
        let Some(path) = &self.path else { return Ok(Vec::new()) };
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let passed = file.metadata()?.len().saturating_sub(FILE_BYTES_MAX);
        if passed > 0 {
            file.seek(SeekFrom::Start(passed))?;
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        // What is no text is no question either; nor is a line whose beginning was passed over.
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').skip(usize::from(passed > 0)).collect();
        let is_long = passed > 0 || lines.len() > LINES_MAX + 1;
        let mut questions: Vec<String> = lines.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect();
        questions.drain(..questions.len().saturating_sub(KEPT));
        if is_long {
            self.rewrite(path, &questions)?;
        }
        Ok(questions)
    }

    /// Adds a question at the end; one that is very long is not kept.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn add(&self, question: &str) -> io::Result<()> {
        let Some(path) = self.path.as_ref().filter(|_| question.len() <= QUESTION_BYTES_MAX) else { return Ok(()) };
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        // Only a file that this makes is made private: another, a device above all, is as whoever named it wants it.
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        // One write, so that lines of two prompts do not mix.
        file.write_all(line(question).as_bytes())
    }

    fn rewrite(&self, path: &Path, questions: &[String]) -> io::Result<()> {
        let beside = path.with_extension(format!("{}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        let text: String = questions.iter().map(|question| line(question)).collect();
        let written = file.write_all(text.as_bytes()).and_then(|()| std::fs::rename(&beside, path));
        if written.is_err() {
            let _ = std::fs::remove_file(&beside);
        }
        written
    }
}

fn line(question: &str) -> String {
    format!("{}\n", serde_json::Value::from(question))
}

/// Whether a path lies within a directory that exists, or would if it were made.
pub(super) fn is_within(path: &Path, directory: &Path) -> bool {
    let Ok(directory) = directory.canonicalize() else { return false };
    // What cannot be followed is nothing to write to.
    followed(path).is_none_or(|path| path.starts_with(directory))
}

/// A path without links and detours, whether or not it exists. Absent if it cannot be told.
fn followed(path: &Path) -> Option<PathBuf> {
    let mut path = std::path::absolute(path).ok()?;
    for _ in 0..LINKS_MAX {
        let existing = path.ancestors().find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)));
        let (named, existing) = existing?;
        let mut rest = path.strip_prefix(named).ok()?.components();
        let Some(first) = rest.next() else { return Some(existing) };
        // A link that leads to what is not there yet, or the first name that is not.
        let next = existing.join(first);
        path = match next.read_link() {
            Ok(target) => existing.join(target).join(rest.as_path()),
            Err(_) if !rest.clone().any(|part| part == Component::ParentDir) => return Some(next.join(rest.as_path())),
            Err(_) => next.components().chain(rest).fold(PathBuf::new(), |mut whole, part| {
                match part {
                    Component::ParentDir => drop(whole.pop()),
                    part => whole.push(part),
                }
                whole
            }),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_is_there_keeps_its_permissions() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("history");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        QuestionHistory { path: Some(path.clone()) }.add("SELECT 1;").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "\"SELECT 1;\"\n");
    }

    #[test]
    fn it_is_bounded_private_and_of_whole_questions() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("deep/history");
        let history = QuestionHistory { path: Some(path.clone()) };
        assert_eq!(history.load().unwrap(), Vec::<String>::new());
        for number in 0..=LINES_MAX {
            history.add(&format!("SELECT\n{number};")).unwrap();
        }
        history.add(&"x".repeat(QUESTION_BYTES_MAX + 1)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        let questions = history.load().unwrap();
        assert_eq!((questions.len(), questions[KEPT - 1].as_str()), (KEPT, "SELECT\n2000;"));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), KEPT, "cut when it was read");
        std::fs::write(&path, "no JSON\n\"SELECT 1;\"\n").unwrap();
        assert_eq!(history.load().unwrap(), ["SELECT 1;"]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn of_a_file_that_is_too_long_the_end_counts_wherever_it_is_cut() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("history");
        let history = QuestionHistory { path: Some(path.clone()) };
        // Of the two bytes of an é the second one is the first that is read.
        for before in ["", "x"] {
            let long = "é".repeat(usize::try_from(FILE_BYTES_MAX).unwrap() / 2);
            std::fs::write(&path, format!("{before}{long}\n\"SELECT 1;\"\n\"SELECT 2;\"\n")).unwrap();
            assert_eq!(history.load().unwrap(), ["SELECT 1;", "SELECT 2;"]);
            assert_eq!(
                std::fs::read_to_string(&path).unwrap(),
                "\"SELECT 1;\"\n\"SELECT 2;\"\n",
                "cut when it was read"
            );
        }
    }

    #[test]
    fn a_data_directory_is_no_place_for_it() {
        let data = tempfile::tempdir().unwrap();
        assert!(is_within(&data.path().join("not/there/history"), data.path()));
        for named in ["history", "./history", "nowhere/../history"] {
            assert!(is_within(Path::new(named), Path::new(".")), "{named} in the working directory");
        }
        assert!(!is_within(Path::new("history"), data.path()));
        assert!(!is_within(Path::new("nowhere/../../history"), Path::new(".")));
        let elsewhere = tempfile::tempdir().unwrap();
        let link = elsewhere.path().join("link");
        std::os::unix::fs::symlink(data.path().join("nothing"), &link).unwrap();
        assert!(is_within(&link.join("history"), data.path()), "a link to what is not there yet");
        let detour = elsewhere.path().join("nowhere/../link/history");
        assert!(is_within(&detour, data.path()));
        assert!(!is_within(&elsewhere.path().join("history"), data.path()));
    }
}
