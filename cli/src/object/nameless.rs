//! A file that gets its name when it is whole.
//!
//! ```text
//! O_TMPFILE ──write──▶ linkat ──▶ OUT         nothing of it is left if the process is killed before
//! `.sealgate-*`, mode 0600 ──write──▶ rename  where the file system has no unnamed files: left by SIGKILL alone
//! ```

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use tempfile::NamedTempFile;

/// Where the names of open files are (proc(5)); without it an unnamed file cannot be given one.
const OPEN_FILES: &str = "/proc/self/fd";

/// A file without a name of its own, readable by its owner alone. Dropped, it is gone.
pub(crate) struct Nameless {
    file: Kind,
    folder: PathBuf,
}

enum Kind {
    Unnamed(File),
    Hidden(NamedTempFile),
}

impl Nameless {
    /// A new, empty file in `folder`.
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        if Path::new(OPEN_FILES).is_dir() {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            // Any refusal, such as EOPNOTSUPP of a network file system, leads to the other way, which says what is wrong.
            if let Ok(file) = rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
                return Ok(Self { file: Kind::Unnamed(file.into()), folder: folder.to_owned() });
            }
        }
        Self::hidden(folder)
    }

    fn hidden(folder: &Path) -> io::Result<Self> {
        let file = tempfile::Builder::new().prefix(".sealgate-").tempfile_in(folder)?;
        Ok(Self { file: Kind::Hidden(file), folder: folder.to_owned() })
    }

    /// Gives it the name `path`, in the same folder, which must be free; the bytes are on the disk before the name is.
    pub(crate) fn name(self, path: &Path) -> io::Result<()> {
        match self.file {
            Kind::Unnamed(file) => {
                file.sync_all()?;
                let open = format!("{OPEN_FILES}/{}", file.as_raw_fd());
                rustix::fs::linkat(CWD, &open, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
            }
            Kind::Hidden(file) => {
                file.as_file().sync_all()?;
                file.persist_noclobber(path).map_err(|failed| failed.error)?;
            }
        }
        File::open(&self.folder)?.sync_all()
    }
}

impl Write for Nameless {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Kind::Unnamed(file) => file.write(bytes),
            Kind::Hidden(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).expect("a folder");
        names.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_has_no_name_until_it_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let flags = OFlags::TMPFILE | OFlags::RDWR;
        let can = rustix::fs::open(folder.path(), flags, Mode::RUSR).is_ok();
        let mut file = Nameless::new(folder.path()).expect("a file");
        file.write_all(b"whole").expect("written");
        assert_eq!(matches!(file.file, Kind::Unnamed(_)), can, "as this file system can");
        assert_eq!(names(folder.path()).is_empty(), can);
        file.name(&folder.path().join("out")).expect("named");
        assert_eq!(names(folder.path()), ["out"]);
        assert_eq!(std::fs::read(folder.path().join("out")).expect("there"), b"whole");
    }

    #[test]
    fn both_kinds_take_no_name_that_is_taken_and_leave_nothing() {
        for make in [Nameless::new, Nameless::hidden] {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join("out"), "precious").expect("written");
            let mut file = make(folder.path()).expect("a file");
            file.write_all(b"other").expect("written");
            let error = file.name(&folder.path().join("out")).expect_err("taken");
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(std::fs::read(folder.path().join("out")).expect("there"), b"precious");
            assert_eq!(names(folder.path()), ["out"]);
            drop(make(folder.path()).expect("a file"));
            assert_eq!(names(folder.path()), ["out"]);
        }
    }

    #[test]
    fn where_there_are_no_unnamed_files_a_hidden_one_is_renamed() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = Nameless::hidden(folder.path()).expect("a file");
        file.write_all(b"whole").expect("written");
        let hidden = names(folder.path());
        assert!(hidden.len() == 1 && hidden[0].starts_with(".sealgate-"), "{hidden:?}");
        let mode = std::fs::metadata(folder.path().join(&hidden[0])).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        file.name(&folder.path().join("out")).expect("named");
        assert_eq!(names(folder.path()), ["out"]);
    }
}
