//! SASL (AMQP 1.0, 5.3), server side: who a peer is, before anything else is read of it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fe2o3_amqp_types::sasl::{
    SaslChallenge, SaslCode, SaslInit, SaslMechanisms, SaslOutcome, SaslResponse,
};
use opgate_bus::Caller;
use opgate_edge::ClientCertificate;
use serde_amqp::primitives::{Array, Binary, Symbol};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until};

use super::users::Users;

/// Largest frame taken: nothing a client says here is long (the AMQP minimum is 512).
const FRAME_MAX: u32 = 4096;
const FRAME_TYPE: u8 = 1;

/// The protocol header that SASL begins with.
pub(super) const HEADER: [u8; 8] = *b"AMQP\x03\x01\x00\x00";

/// Time that a refusal takes, whatever is wrong: passwords cannot be tried quickly, and nobody is locked out. The
/// connection counts for as long; a shorter `handshake_timeout` ends it without an answer.
pub(super) const REFUSAL: Duration = Duration::from_secs(1);

/// What a peer has proven, or may prove later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// Known.
    Known(Caller),
    /// Nobody yet: only a token can make it somebody.
    Unproven,
}

impl Identity {
    /// Nobody in particular, who may do what is anybody's.
    pub(super) fn anonymous() -> Self {
        Self::Known(Caller::anonymous())
    }
}

/// What is known of a peer before it says anything.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// From where it comes; none in tests.
    pub(super) peer: Option<SocketAddr>,
    pub(super) address: IpAddr,
    /// Its certificate, which TLS has verified; none: it showed none.
    pub(super) certificate: Option<ClientCertificate>,
}

/// Speaks SASL, from the peer's header to the outcome. None: the peer was refused, has been told
/// so, and is to be closed.
pub(super) async fn serve<Io>(
    io: &mut Io,
    users: &Users,
    origin: &Origin,
) -> io::Result<Option<Identity>>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let mechanisms = users.mechanisms(origin);
    let mut header = [0; 8];
    io.read_exact(&mut header).await?;
    let mut hello = HEADER.to_vec();
    let offered = if mechanisms.is_empty() { vec!["PLAIN"] } else { mechanisms.clone() };
    let offered: Vec<Symbol> = offered.into_iter().map(Symbol::from).collect();
    frame(&mut hello, &SaslMechanisms { sasl_server_mechanisms: Array::from(offered) })?;
    io.write_all(&hello).await?;
    io.flush().await?;

    let asked = Instant::now();
    let identity = match choose(io, users, origin, &mechanisms).await {
        // What is no frame of SASL proves nothing, and is told so.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
        chosen => chosen?,
    };
    if identity.is_none() {
        sleep_until(asked + REFUSAL).await;
    }
    let code = if identity.is_some() { SaslCode::Ok } else { SaslCode::Auth };
    let mut outcome = Vec::new();
    frame(&mut outcome, &SaslOutcome { code, additional_data: None })?;
    io.write_all(&outcome).await?;
    io.flush().await?;
    Ok(identity)
}

/// What the peer chooses of the mechanisms, and proves by it.
async fn choose<Io>(
    io: &mut Io,
    users: &Users,
    origin: &Origin,
    mechanisms: &[&str],
) -> io::Result<Option<Identity>>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let init: SaslInit = read(io).await?;
    Ok(match init.mechanism.as_str() {
        "PLAIN" if mechanisms.contains(&"PLAIN") => {
            let response = match init.initial_response {
                Some(response) => response,
                None => challenge(io).await?,
            };
            plain(users, &response)
        }
        "EXTERNAL" if mechanisms.contains(&"EXTERNAL") => {
            let response = match init.initial_response {
                Some(response) => response,
                None => challenge(io).await?,
            };
            users.external(origin, &response)
        }
        // uamqp and Microsoft's .NET client call it so when a token is to follow.
        "ANONYMOUS" | "MSSBCBS" => users.anonymous(origin),
        _ => None,
    })
}

/// Asks for the response that should have come with the init.
async fn challenge<Io: AsyncRead + AsyncWrite + Unpin>(io: &mut Io) -> io::Result<Binary> {
    let mut challenge = Vec::new();
    frame(&mut challenge, &SaslChallenge { challenge: Binary::new() })?;
    io.write_all(&challenge).await?;
    io.flush().await?;
    let response: SaslResponse = read(io).await?;
    Ok(response.response)
}

/// RFC 4616: `[authzid] NUL authcid NUL password`. An identity to act as must be one's own.
fn plain(users: &Users, response: &[u8]) -> Option<Identity> {
    let mut parts = response.split(|byte| *byte == 0);
    let (acting_as, name, password) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !(acting_as.is_empty() || acting_as == name) {
        return None;
    }
    users.plain(std::str::from_utf8(name).ok()?, password)
}

fn bad(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn frame(out: &mut Vec<u8>, body: &impl serde::Serialize) -> io::Result<()> {
    let body = serde_amqp::to_vec(body).map_err(bad)?;
    let size = u32::try_from(body.len() + 8).map_err(bad)?;
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(&[2, FRAME_TYPE, 0, 0]);
    out.extend_from_slice(&body);
    Ok(())
}

async fn read<Io, T>(io: &mut Io) -> io::Result<T>
where
    Io: AsyncRead + Unpin,
    T: serde::de::DeserializeOwned,
{
    let size = io.read_u32().await?;
    if !(8..=FRAME_MAX).contains(&size) {
        return Err(bad(format!("a SASL frame of {size} bytes")));
    }
    let mut rest = vec![0; usize::try_from(size).map_err(bad)? - 4];
    io.read_exact(&mut rest).await?;
    let (Some(&offset), Some(&kind)) = (rest.first(), rest.get(1)) else {
        return Err(bad("no frame header"));
    };
    let body = usize::from(offset) * 4;
    match rest.get(body.saturating_sub(4)..) {
        Some(body) if offset >= 2 && kind == FRAME_TYPE => {
            serde_amqp::from_slice(body).map_err(bad)
        }
        _ => Err(bad("not a SASL frame")),
    }
}
