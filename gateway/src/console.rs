//! The embedded assets of the console.
