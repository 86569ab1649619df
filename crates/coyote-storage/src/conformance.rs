//! The promises of the storage traits, as tests for any backend.
pub use crate::memory::PlantedFault;
