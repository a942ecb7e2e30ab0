//! What several parts of this crate say and read alike: addresses, data, names of properties, status codes
//! and error conditions, and AMQP's values as JSON.

pub mod address;
pub mod came;
pub mod content;
pub mod data;
pub mod encoded;
pub mod failure;
pub mod json;
pub mod names;
pub mod status;
pub mod text;
pub mod trace;
pub mod written;
