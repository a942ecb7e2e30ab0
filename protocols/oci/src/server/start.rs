//! Starts: requests of the SDKs' that begin a route's operation, each through a configured door.

use serde_json::Value;

/// A door as configured: `[routes.NAME.http]` with `reply = "oci"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoorSettings {
    /// The route that it starts.
    pub route: String,
    /// The method and the path, such as `DELETE /20160918/compartments/{compartmentId}`: a
    /// placeholder is one whole segment.
    pub request: String,
    /// What the operation is given: a template over `{"path": {…}, "query": {…}, "body": …}`. None:
    /// the fields of the body, of the query and of the path, the last winning.
    pub input: Option<Value>,
    /// The OCID of the compartment in which it is listed: a template over the input. None: its
    /// `compartmentId`, else the tenancy.
    pub compartment: Option<String>,
    /// Fields that the input must have.
    pub required: Vec<String>,
}
