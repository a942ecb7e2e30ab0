//! Nexus over HTTP.
