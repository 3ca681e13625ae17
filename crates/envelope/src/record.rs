//! Small records sealed under an object's data key, for the state of uploads.

use crate::error::{OpenError, SealError};
use crate::keys::DataKey;

/// Seals a small record (a part record of an upload) under a key of its own derived from the data key. `context` is bound
/// to it and must be given again. The result is 48 bytes longer than `plaintext`.
pub fn seal_record(data_key: &DataKey, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
    unimplemented!("{:?}{context:?}{plaintext:?}", std::ptr::from_ref(data_key))
}

/// The inverse of [`seal_record`]. `OpenError::Record` if the record is not authentic in this context.
pub fn open_record(data_key: &DataKey, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    unimplemented!("{:?}{context:?}{sealed:?}", std::ptr::from_ref(data_key))
}
