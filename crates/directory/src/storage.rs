//! The storage directory: its layout, its locks, its temporary files and their sweeping.
//!
//! ```text
//! ROOT/.sealgate/layout              the version of this layout
//!      .sealgate/locks/00 … ff       a commit holds the lock of its key's stripe; `buckets`, `instances`
//!      .sealgate/tmp/INSTANCE/       what one open `Directory` is writing; `alive` is locked as long as it lives
//!      BUCKET/bucket.json            when and where the bucket was made
//!      BUCKET/objects/               the keys, see layout.rs; the bucket exists as long as this does
//!      BUCKET/uploads/UPLOAD/        upload.json and the parts of one multipart upload
//! ```
//!
//! Whatever lies in `tmp/INSTANCE` is garbage as soon as nobody holds the lock of its `alive`: everything that is
//! kept got to its place by a rename, and everything that is removed was first renamed to here.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::OpenError;

/// The layout that this program writes and reads.
const LAYOUT: u32 = 1;

/// How long to wait for a lock that its holders have for a few file operations only.
const PATIENCE: Duration = Duration::from_secs(30);

/// Our own folder; no bucket can have its name.
const OWN: &str = ".sealgate";

/// An open storage directory, shared by all requests of one `Directory`.
#[derive(Debug)]
pub(crate) struct Storage {
    root: PathBuf,
    tmp: PathBuf,
    next: AtomicU64,
    /// Locked as long as this instance lives, so that no other sweeps its temporary files.
    _alive: File,
}

impl Storage {
    /// Opens or makes the directory, proves that its file system can commit atomically, and sweeps.
    pub(crate) fn open(root: &Path) -> Result<Self, OpenError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        fs::create_dir_all(root).map_err(failed(root))?;
        let root = fs::canonicalize(root).map_err(failed(root))?;
        let own = root.join(OWN);
        check_layout(&root, &own)?;
        let locks = own.join("locks");
        let all = own.join("tmp");
        for dir in [&locks, &all] {
            fs::create_dir_all(dir).map_err(failed(dir))?;
        }

        // Held while an instance is born and while others are swept: between the making of a folder and the locking
        // of its `alive`, a living instance looks like a dead one.
        let births = lock_file(&locks.join("instances")).map_err(failed(&locks))?;
        sweep(&all).map_err(failed(&all))?;
        let tmp = all.join(uuid::Uuid::new_v4().simple().to_string());
        fs::create_dir(&tmp).map_err(failed(&tmp))?;
        let alive = lock_file(&tmp.join("alive")).map_err(failed(&tmp))?;
        drop(births);

        probe(&root, &tmp)?;
        Ok(Self { root, tmp, next: AtomicU64::new(0), _alive: alive })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn bucket(&self, bucket: &str) -> PathBuf {
        self.root.join(bucket)
    }

    /// Where the keys of a bucket are. Its existence is the bucket's.
    pub(crate) fn objects(&self, bucket: &str) -> PathBuf {
        layout::objects_dir(&self.root, bucket)
    }

    pub(crate) fn uploads(&self, bucket: &str) -> PathBuf {
        let mut path = self.bucket(bucket);
        path.push("uploads");
        path
    }

    /// The directory of an object.
    pub(crate) fn place(&self, bucket: &str, key: &str) -> PathBuf {
        layout::object_dir(&self.objects(bucket), key)
    }

    pub(crate) fn bucket_exists(&self, bucket: &str) -> io::Result<bool> {
        self.objects(bucket).try_exists()
    }

    /// A fresh temporary name. Nothing is there yet; whatever is there when the guard is dropped is removed.
    pub(crate) fn stage(self: &Arc<Self>) -> Staged {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Staged { path: self.tmp.join(number.to_string()), moved: false, _storage: Arc::clone(self) }
    }

    /// Waits for the commit lock of a key, of a part of an upload, or of anything else that has a name.
    ///
    /// It is a stripe: two names may share one lock, so nobody holds two at once, and nobody holds one for longer
    /// than a few file operations. Released by dropping, and by the kernel when the process dies.
    pub(crate) fn lock(&self, bucket: &str, name: &str) -> io::Result<File> {
        let mut hash = Md5::new();
        hash.update(bucket.as_bytes());
        hash.update(b"/");
        hash.update(name.as_bytes());
        let stripe = hash.finalize()[0];
        lock_file(&self.root.join(format!("{OWN}/locks/{stripe:02x}")))
    }

    /// Waits for the lock under which buckets are made and removed.
    pub(crate) fn lock_buckets(&self) -> io::Result<File> {
        lock_file(&self.root.join(OWN).join("locks/buckets"))
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // Best effort: what stays is swept by the next instance.
        let _ = fs::remove_dir_all(&self.tmp);
    }
}

/// A temporary file or folder, removed when dropped.
#[derive(Debug)]
pub(crate) struct Staged {
    path: PathBuf,
    moved: bool,
    /// The instance's folder stays as long as something is staged in it.
    _storage: Arc<Storage>,
}

impl Staged {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Nothing is left at the temporary name: it was renamed to its place.
    pub(crate) fn moved(mut self) {
        self.moved = true;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.moved {
            return;
        }
        if let Err(error) = remove(&self.path) {
            tracing::warn!(%error, "temporary file stays until the next start");
        }
    }
}

/// Removes a file or a folder; what is not there is removed already.
fn remove(path: &Path) -> io::Result<()> {
    // An object's directory, by far the most frequent case, without reading it.
    for name in [layout::DATA, layout::RECORD] {
        match fs::remove_file(path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return fs::remove_file(path),
            _ => {}
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => fs::remove_dir_all(path),
        other => other,
    }
}

/// Makes what happened to the entries of a folder durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Waits until `file` can be locked, alone or shared, at most until `deadline`; `false` when that has passed.
pub(crate) fn lock_until(file: &File, shared: bool, deadline: Instant) -> io::Result<bool> {
    let mut tries = 0;
    loop {
        match if shared { file.try_lock_shared() } else { file.try_lock() } {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Ok(false),
            // Most locks are held for microseconds.
            Err(TryLockError::WouldBlock) if tries < 50 => std::thread::yield_now(),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
        }
        tries += 1;
    }
}

/// Opens and locks a file. `TimedOut` if somebody else holds it for longer than [`PATIENCE`]: a process that was
/// stopped must not stop all others.
fn lock_file(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    if lock_until(&file, false, Instant::now() + PATIENCE)? { Ok(file) } else { Err(io::ErrorKind::TimedOut.into()) }
}

/// Removes the temporary folders of instances that live no more.
fn sweep(all: &Path) -> io::Result<()> {
    for entry in fs::read_dir(all)? {
        let path = entry?.path();
        let alive = match File::open(path.join("alive")) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        match alive.as_ref().map_or(Ok(()), File::try_lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => return Err(error),
        }
        match fs::remove_dir_all(&path) {
            // Its owner is just removing it by itself.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

/// Reads the layout's version, or writes it into an empty directory.
fn check_layout(root: &Path, own: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Io { path: own.to_owned(), source };
    let file = own.join("layout");
    match fs::read_to_string(&file) {
        Ok(text) if text.trim() == LAYOUT.to_string() => return Ok(()),
        Ok(text) => {
            let found = text.trim().chars().take(40).collect();
            return Err(OpenError::Layout { path: root.to_owned(), found, known: LAYOUT });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    for entry in fs::read_dir(root).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        // A fresh file system has the latter. A bucket may also have appeared together with the layout since it was
        // looked for.
        if name != OWN && name != "lost+found" && !file.try_exists().map_err(failed)? {
            return Err(OpenError::Foreign { path: root.to_owned() });
        }
    }
    fs::create_dir_all(own).map_err(failed)?;
    // Several processes may do this at the same time: they write the same, and one of them renames it.
    let fresh = own.join("layout.new");
    fs::write(&fresh, format!("{LAYOUT}\n")).map_err(failed)?;
    match fs::rename(&fresh, &file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => other.map_err(failed)?,
    }
    sync_dir(own).and_then(|()| sync_dir(root)).map_err(failed)
}

/// Tries what commits rely on, so that a file system without it is refused at the start.
fn probe(root: &Path, tmp: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Io { path: tmp.to_owned(), source };
    let lacks = |lacks| OpenError::FileSystem { path: root.to_owned(), lacks };
    let (one, two) = (tmp.join("Probe"), tmp.join("probe2"));
    fs::create_dir(&one).map_err(failed)?;
    if tmp.join("pROBE").try_exists().map_err(failed)? {
        return Err(lacks("does not tell upper from lower case"));
    }
    fs::create_dir(&two).map_err(failed)?;
    fs::write(one.join(layout::DATA), "one").map_err(failed)?;
    if renameat_with(CWD, &one, CWD, &two, RenameFlags::NOREPLACE) != Err(rustix::io::Errno::EXIST) {
        return Err(lacks("cannot rename without replacing (RENAME_NOREPLACE)"));
    }
    if renameat_with(CWD, &one, CWD, &two, RenameFlags::EXCHANGE).is_err()
        || fs::read(two.join(layout::DATA)).map_err(failed)? != b"one"
    {
        return Err(lacks("cannot exchange two folders (RENAME_EXCHANGE)"));
    }
    sync_dir(tmp).map_err(failed)?;
    for path in [&one, &two] {
        remove(path).map_err(failed)?;
    }
    Ok(())
}
