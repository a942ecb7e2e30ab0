//! Why a request was refused: for the log and the metrics. The caller is told one thing whatever it
//! was, so that nobody learns which tenancies, users and keys there are.

use std::time::Duration;

use opgate_telemetry::SignatureFault;

use super::key::KeyError;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Nobody signed it.
    #[error("it has no Authorization")]
    Unsigned,
    /// The header cannot be read.
    #[error("its Authorization {0}")]
    Malformed(&'static str),
    /// Another version of the scheme.
    #[error("the signature's version is not 1")]
    Version,
    /// Another algorithm.
    #[error("the signature's algorithm is not rsa-sha256")]
    Algorithm,
    /// What has to be signed was not.
    #[error("{0} is not signed")]
    Uncovered(&'static str),
    /// What was signed did not come.
    #[error("the header {0:?} is signed and not there")]
    Absent(String),
    /// What was signed came several times, and nobody can say which counts.
    #[error("the header {0:?} is there more than once")]
    Several(String),
    /// The request names two hosts.
    #[error("its Host is not that of its URL")]
    TwoHosts,
    /// The host is none of those accepted.
    #[error("it is for the host {0:?}, which is none of oci.hosts")]
    Host(String),
    /// The signed date cannot be read.
    #[error("its signed date is none")]
    Date,
    /// The signed date is too far from now.
    #[error("its signed date is {by:?} {}", if *.ahead { "ahead" } else { "behind" })]
    Clock {
        /// How far.
        by: Duration,
        /// In which direction.
        ahead: bool,
    },
    /// The length that was signed is not the body's.
    #[error("its Content-Length is not that of the body")]
    Length,
    /// The hash that was signed is not the body's.
    #[error("its x-content-sha256 is not that of the body")]
    Body,
    /// No such key.
    #[error("no key is configured as {0:?}")]
    Key(String),
    /// The signature is not the key's, or not of this request.
    #[error("the key did not sign this request")]
    Signature,
    /// A session token cannot be read.
    #[error("its session token {0}")]
    Token(&'static str),
    /// No configured issuer signed the token.
    #[error("its session token is signed by no configured issuer")]
    Issuer,
    /// The token is not valid yet, or no more.
    #[error("its session token {0}")]
    Expired(&'static str),
    /// The token says nothing that can be used, or what it must not.
    #[error("its session token {0}")]
    Claims(&'static str),
    /// The tenancy of a token is not configured.
    #[error("its session token is of the tenancy {0:?}, which is not configured")]
    Tenancy(String),
    /// The session's own key is none that is believed.
    #[error("the key in its session token {0}")]
    SessionKey(KeyError),
}

impl Reason {
    /// What it is counted as.
    pub const fn fault(&self) -> SignatureFault {
        match self {
            Self::Unsigned => SignatureFault::Unsigned,
            Self::Malformed(_) => SignatureFault::Malformed,
            Self::Version | Self::Algorithm => SignatureFault::Unsupported,
            Self::Uncovered(_) => SignatureFault::Uncovered,
            Self::Absent(_) | Self::Several(_) => SignatureFault::Headers,
            Self::TwoHosts | Self::Host(_) => SignatureFault::Host,
            Self::Date | Self::Clock { .. } => SignatureFault::Clock,
            Self::Length | Self::Body => SignatureFault::Body,
            Self::Key(_) => SignatureFault::Key,
            Self::Signature => SignatureFault::Signature,
            Self::Token(_) | Self::Claims(_) => SignatureFault::Token,
            Self::Tenancy(_) => SignatureFault::Tenancy,
            Self::Issuer => SignatureFault::Issuer,
            Self::Expired(_) => SignatureFault::Expired,
            Self::SessionKey(_) => SignatureFault::SessionKey,
        }
    }
}
