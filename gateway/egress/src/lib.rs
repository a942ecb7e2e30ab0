//! Calls to other systems over HTTP.
