//! Telling a container who calls (AMQP 1.0, 5.3). The crate's own client has no EXTERNAL over a stream
//! that is there already.

use std::io;
use std::time::Duration;

use fe2o3_amqp_types::primitives::{Binary, Symbol};
use fe2o3_amqp_types::sasl::{SaslCode, SaslInit, SaslMechanisms, SaslOutcome};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::backend::settings::Sasl;
use crate::fence;

/// What a peer that wants SASL begins with.
const HEADER: [u8; 8] = *b"AMQP\x03\x01\x00\x00";
/// The type of a frame of SASL's.
const TYPE: u8 = 1;
/// The largest frame of SASL's (5.3.2: MIN-MAX-FRAME-SIZE). Some send longer lists of mechanisms.
const FRAME_BYTES: u32 = 8 * 1024;
/// How long a peer is left alone that said "not now".
const AGAIN: Duration = Duration::from_secs(10);

/// Why a container does not take the caller.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What came is not SASL.
    #[error("it does not speak SASL: {0}")]
    Malformed(String),
    /// The mechanism is none of the peer's.
    #[error("it does not offer {wanted}, only {offered}: set sasl to what it offers")]
    Unoffered {
        /// What is configured.
        wanted: &'static str,
        /// What there is.
        offered: String,
    },
    /// It does not believe who calls.
    #[error("it does not let us in ({0}): look at user, password_file and sasl")]
    Unbelieved(&'static str),
    /// It cannot tell now.
    #[error("it cannot tell who calls just now")]
    NotNow,
}

impl Refused {
    /// How long to wait before it is tried again, beside the usual.
    pub(super) const fn wait(&self) -> Duration {
        match self {
            Self::NotNow => AGAIN,
            Self::Io(_) | Self::Malformed(_) | Self::Unoffered { .. } | Self::Unbelieved(_) => {
                Duration::ZERO
            }
        }
    }
}

/// Speaks SASL until the peer has taken the caller.
pub(super) async fn negotiate(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    sasl: &Sasl,
    hostname: &str,
) -> Result<(), Refused> {
    stream.write_all(&HEADER).await?;
    stream.flush().await?;
    let mut header = [0; HEADER.len()];
    stream.read_exact(&mut header).await?;
    if header != HEADER {
        return Err(Refused::Malformed(format!(
            "it began with {:?}",
            header.escape_ascii().to_string()
        )));
    }
    let mechanisms: SaslMechanisms = read(stream).await?;
    let wanted = sasl.mechanism();
    let offered = &mechanisms.sasl_server_mechanisms.0;
    if !offered.iter().any(|offered| offered.as_str() == wanted) {
        let offered: Vec<&str> = offered.iter().map(Symbol::as_str).take(16).collect();
        return Err(Refused::Unoffered { wanted, offered: offered.join(", ") });
    }
    let init = SaslInit {
        mechanism: Symbol::from(wanted),
        initial_response: sasl.response().map(Binary::from),
        hostname: Some(hostname.to_owned()),
    };
    let body = serde_amqp::to_vec(&init).map_err(|error| Refused::Malformed(error.to_string()))?;
    stream.write_all(&frame(&body)).await?;
    stream.flush().await?;
    let outcome: SaslOutcome = read(stream).await?;
    match outcome.code {
        SaslCode::Ok => Ok(()),
        SaslCode::Auth => Err(Refused::Unbelieved("authentication failed")),
        SaslCode::Sys | SaslCode::SysPerm => Err(Refused::Unbelieved("an error of its own")),
        SaslCode::SysTemp => Err(Refused::NotNow),
    }
}

/// A frame with this body.
fn frame(body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap_or(u32::MAX);
    let mut frame = size.to_be_bytes().to_vec();
    frame.extend([2, TYPE, 0, 0]);
    frame.extend(body);
    frame
}

/// Reads one frame, which must be this.
async fn read<T: serde::de::DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<T, Refused> {
    let size = stream.read_u32().await?;
    let malformed = |problem: String| Refused::Malformed(problem);
    if !(8..=FRAME_BYTES).contains(&size) {
        return Err(malformed(format!("a frame has {size} bytes")));
    }
    let mut rest = vec![0; usize::try_from(size - 4).unwrap_or_default()];
    stream.read_exact(&mut rest).await?;
    let Some((&doff, rest)) = rest.split_first() else {
        return Err(malformed("a frame is empty".to_owned()));
    };
    if rest.first() != Some(&TYPE) {
        return Err(malformed("a frame is none of SASL's".to_owned()));
    }
    // Counted in words of four bytes from the frame's beginning; five of them were read already.
    let behind = usize::from(doff).checked_mul(4).and_then(|from| from.checked_sub(5));
    let body = behind.and_then(|from| rest.get(from..));
    let body = body.ok_or_else(|| malformed("a frame's body is beyond its end".to_owned()))?;
    fence::sasl(body).map_err(|refusal| malformed(refusal.to_string()))?;
    serde_amqp::from_slice(body).map_err(|error| malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp_types::primitives::Array;
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    fn plain() -> Sasl {
        Sasl::Plain { user: "me".into(), password: "se cret".into() }
    }

    fn mechanisms(names: &[&str]) -> Vec<u8> {
        let names: Vec<Symbol> = names.iter().map(|name| Symbol::from(*name)).collect();
        let mechanisms = SaslMechanisms { sasl_server_mechanisms: Array::from(names) };
        frame(&serde_amqp::to_vec(&mechanisms).unwrap())
    }

    fn outcome(code: SaslCode) -> Vec<u8> {
        frame(&serde_amqp::to_vec(&SaslOutcome { code, additional_data: None }).unwrap())
    }

    /// What a peer says that has all ready beforehand, and what it was told.
    async fn told(sasl: &Sasl, said: &[&[u8]]) -> (Result<(), Refused>, Vec<u8>) {
        let (mut near, mut far): (DuplexStream, DuplexStream) = duplex(64 * 1024);
        for bytes in said {
            far.write_all(bytes).await.unwrap();
        }
        far.shutdown().await.unwrap();
        let result = negotiate(&mut near, sasl, "broker").await;
        drop(near);
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        (result, heard)
    }

    #[tokio::test]
    async fn a_user_is_told_and_taken() {
        let said: [&[u8]; 3] =
            [&HEADER, &mechanisms(&["EXTERNAL", "PLAIN"]), &outcome(SaslCode::Ok)];
        let (result, heard) = told(&plain(), &said).await;
        result.unwrap();
        let init: SaslInit = serde_amqp::from_slice(&heard[16..]).unwrap();
        assert_eq!(init.mechanism.as_str(), "PLAIN");
        assert_eq!(init.initial_response.unwrap().as_ref(), b"\0me\0se cret");
        assert_eq!(init.hostname.as_deref(), Some("broker"));
    }

    #[tokio::test]
    async fn who_is_not_taken_is_told_where_to_look() {
        let plain_only = mechanisms(&["PLAIN"]);
        let few = mechanisms(&["ANONYMOUS", "EXTERNAL"]);
        let mut bad = outcome(SaslCode::Ok);
        bad[4] = 200;
        for (said, text) in [
            (vec![&HEADER[..], &few], "only ANONYMOUS, EXTERNAL"),
            (vec![&HEADER[..], &plain_only, &outcome(SaslCode::Auth)], "password_file"),
            (vec![&HEADER[..], &plain_only, &outcome(SaslCode::Sys)], "an error of its own"),
            (vec![&HEADER[..], &plain_only, &outcome(SaslCode::SysTemp)], "just now"),
            (vec![b"AMQP\x00\x01\x00\x00"], "began with"),
            (vec![b"HTTP/1.1"], "HTTP/1.1"),
            (vec![&HEADER[..], &[0, 0, 0, 4]], "4 bytes"),
            (vec![&HEADER[..], &[0x7f, 0, 0, 4]], "bytes"),
            (vec![&HEADER[..], &[0, 0, 0, 8, 2, 0, 0, 0]], "none of SASL's"),
            (vec![&HEADER[..], &outcome(SaslCode::Ok)], "does not speak SASL"),
            (vec![&HEADER[..], &plain_only, &bad], "beyond its end"),
            (vec![&HEADER[..]], "end of file"),
        ] {
            let (result, _) = told(&plain(), &said).await;
            let problem = result.unwrap_err().to_string();
            assert!(problem.contains(text), "{said:?}: {problem}");
        }
    }
}
