//! The moment at which an object appears, is replaced, or goes: one rename each, under the lock of the key.
//!
//! Durable when these functions return: file and folder are synced before the rename, the folder of the key after
//! it. A folder that another writer made at the same moment is synced by that one; on journaling file systems its
//! entry is older in the journal than ours, hence on the disk no later.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::conditions::{DeleteConditions, WriteConditions};
use crate::error::{Code, S3Error, no_such_bucket};
use crate::record::{self, Record};
use crate::storage::{Staged, Storage, sync_dir};

/// How often a writer makes the folders of its key again because a deletion in between found them empty and removed
/// them.
const ROUNDS: u32 = 100;

/// Puts a staged object directory, whose files are complete and synced, at its key's place.
pub(crate) fn put(
    storage: &Storage,
    bucket: &str,
    key: &str,
    staged: Staged,
    conditions: &WriteConditions,
) -> Result<(), S3Error> {
    let failed = |error: io::Error| S3Error::io("storing an object", &error);
    let place = storage.place(bucket, key);
    let level = place.parent().expect("the place of a key is below objects/");
    sync_dir(staged.path()).map_err(failed)?;
    for _ in 0..ROUNDS {
        let lock = storage.lock(bucket, key).map_err(failed)?;
        check(storage, bucket, key, conditions)?;
        let outcome = match renameat_with(CWD, staged.path(), CWD, &place, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {
                renameat_with(CWD, staged.path(), CWD, &place, RenameFlags::EXCHANGE).map(|()| Some(()))
            }
            other => other.map(|()| None),
        };
        drop(lock);
        match outcome {
            Ok(replaced) => {
                sync_dir(level).or_else(pruned).map_err(failed)?;
                match replaced {
                    // The staged name is now that of the version replaced; dropping it removes that.
                    Some(()) => drop(staged),
                    None => staged.moved(),
                }
                return Ok(());
            }
            Err(Errno::NOENT) => make_level(&storage.objects(bucket), level)?,
            Err(error) => return Err(failed(error.into())),
        }
    }
    Err(S3Error::new(Code::SlowDown, "Too many deletions beside this key. Please retry."))
}

/// Removes an object. `None`: it was not there. Otherwise the folder that [`sync_removal`] must be called with.
pub(crate) fn remove(
    storage: &Arc<Storage>,
    bucket: &str,
    key: &str,
    conditions: &DeleteConditions,
) -> Result<Option<PathBuf>, S3Error> {
    let failed = |error: io::Error| S3Error::io("deleting an object", &error);
    let place = storage.place(bucket, key);
    let grave = storage.stage();
    let lock = storage.lock(bucket, key).map_err(failed)?;
    if conditions.any() {
        match record::read(storage, bucket, key) {
            Ok(record) => conditions.check(&record)?,
            Err(error) if error.code() == Code::NoSuchKey => {}
            Err(error) => return Err(error),
        }
    }
    let outcome = fs::rename(&place, grave.path());
    drop(lock);
    match outcome {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            grave.moved();
            return if storage.bucket_exists(bucket).map_err(failed)? { Ok(None) } else { Err(no_such_bucket()) };
        }
        Err(error) => return Err(failed(error)),
    }
    drop(grave);
    let objects = storage.objects(bucket);
    let mut level = place.parent().expect("the place of a key is below objects/");
    while level != objects && fs::remove_dir(level).is_ok() {
        level = level.parent().expect("a level is below objects/");
    }
    Ok(Some(level.to_owned()))
}

/// Makes removals from a folder durable.
pub(crate) fn sync_removal(level: &Path) -> Result<(), S3Error> {
    sync_dir(level).or_else(pruned).map_err(|error| S3Error::io("deleting an object", &error))
}

/// Replaces the record of the current version with what `change` makes of it.
pub(crate) fn change_record(
    storage: &Arc<Storage>,
    bucket: &str,
    key: &str,
    change: impl FnOnce(&mut Record),
) -> Result<(), S3Error> {
    let failed = |error: io::Error| S3Error::io("changing an object's record", &error);
    let place = storage.place(bucket, key);
    let staged = storage.stage();
    // Held over the sync too: what was read must still be current when it is written back.
    let _lock = storage.lock(bucket, key).map_err(failed)?;
    let mut record = record::read(storage, bucket, key)?;
    change(&mut record);
    record.write(staged.path()).map_err(failed)?;
    fs::rename(staged.path(), place.join(layout::RECORD)).map_err(failed)?;
    staged.moved();
    sync_dir(&place).map_err(failed)
}

/// Checks the conditions of a write against what is there now.
pub(crate) fn check(storage: &Storage, bucket: &str, key: &str, conditions: &WriteConditions) -> Result<(), S3Error> {
    if !conditions.any() {
        return Ok(());
    }
    match record::read(storage, bucket, key) {
        Ok(record) => conditions.check(Some(&record)),
        Err(error) if error.code() == Code::NoSuchKey => conditions.check(None),
        Err(error) => Err(error),
    }
}

/// Makes the folders from `objects` down to `level`, each durable in its parent.
fn make_level(objects: &Path, level: &Path) -> Result<(), S3Error> {
    let failed = |error: io::Error| S3Error::io("making the folders of a key", &error);
    if level == objects {
        // The bucket is its folder of keys; only CreateBucket makes that.
        return match objects.try_exists() {
            Ok(true) => Ok(()),
            Ok(false) => Err(no_such_bucket()),
            Err(error) => Err(failed(error)),
        };
    }
    // From the top, so that a key of a thousand levels needs no stack.
    let missing: Vec<&Path> = level.ancestors().take_while(|path| *path != objects).collect();
    for path in missing.into_iter().rev() {
        match fs::create_dir(path) {
            Ok(()) => sync_dir(path.parent().expect("a level is below objects/")).or_else(pruned).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // Removed by a deletion since, or there is no bucket.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return if objects.try_exists().map_err(failed)? { Ok(()) } else { Err(no_such_bucket()) };
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

/// A folder that is gone has nothing to be synced: whoever removed it found it empty.
fn pruned(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
