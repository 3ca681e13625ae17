//! Tests of the format as a whole. They live inside the crate because vectors need the seam for fixed randomness.

mod agreement;
mod fixtures;
mod forms;
mod hostile;
mod properties;
mod reader;
mod vectors;
