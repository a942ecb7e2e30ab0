//! Names of headers, in the lower case in which HTTP/2 carries them.

/// The caller's own name of its request: echoed, and continued by the server.
pub const REQUEST_ID: &str = "opc-request-id";
/// The OCID of the work request that a call has started.
pub const WORK_REQUEST_ID: &str = "opc-work-request-id";
/// By what a repeated call is known, for a day.
pub const RETRY_TOKEN: &str = "opc-retry-token";
/// Where the next page begins; absent on the last one.
pub const NEXT_PAGE: &str = "opc-next-page";
