//! From a socket to a stream: with TLS, without it, or refused.

use std::io::{self, ErrorKind};
use std::time::Duration;

use opgate_telemetry::{HandshakeFault, Label as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::{Stream, Tls};
use crate::drain::Drain;
use crate::frontend::{ClientCertificate, Peer, PeerTls};

/// The first byte of a handshake (RFC 8446, 5.1), which no request in plain HTTP or AMQP begins with.
const HANDSHAKE: u8 = 0x16;
/// Time for a peer that was refused to read why.
const LINGER: Duration = Duration::from_secs(1);
/// How much of what such a peer sends is read meanwhile, so that no reset overtakes the answer.
const LINGER_BYTES: usize = 64 * 1024;

/// Makes of a socket the stream that is to be served: as it is without `tls`. `None` where there is
/// nothing to serve: the peer was refused, went away, did not finish its handshake `within` that time, or
/// the drain has begun, and was counted where it is to be.
pub async fn secure(
    tls: Option<&Tls>,
    stream: TcpStream,
    peer: Peer,
    within: Duration,
    drain: &Drain,
) -> Option<(Stream, Peer)> {
    // Boxed, so that a connection without TLS holds no room for it.
    match tls {
        None => Some((Stream::Plain(stream), peer)),
        Some(tls) => Box::pin(tls.secure(stream, peer, within, drain)).await,
    }
}

impl Tls {
    async fn secure(
        &self,
        stream: TcpStream,
        peer: Peer,
        within: Duration,
        drain: &Drain,
    ) -> Option<(Stream, Peer)> {
        let remote = peer.remote;
        let secured = tokio::select! {
            biased;
            secured = timeout(within, self.begin(stream, peer)) => secured,
            // Nothing was asked yet.
            () = drain.started() => return None,
        };
        let (fault, refused) = match secured {
            Ok(Ok(secured)) => return Some(secured),
            Ok(Err(refused)) => (refused.fault, refused.told),
            Err(_) => (HandshakeFault::Timeout, None),
        };
        let Self(shared) = self;
        shared.metrics.edge.handshake_failures.of(shared.listener).of(fault).increment(1);
        // At debug, for every scan of the port brings some.
        let listener = shared.listener.text();
        debug!(listener, %remote, fault = fault.text(), "no TLS came about");
        if let Some(told) = refused {
            drop(timeout(LINGER, linger(told)).await);
        }
        None
    }

    async fn begin(&self, mut stream: TcpStream, peer: Peer) -> Result<(Stream, Peer), Refused> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
        }
        if first[0] == HANDSHAKE {
            return self.handshake(stream, peer).await;
        }
        if self.0.plaintext {
            return Ok((Stream::Plain(stream), peer));
        }
        stream.write_all(self.0.inside.refusal()).await?;
        Err(Refused { fault: HandshakeFault::Plaintext, told: Some(stream) })
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        mut peer: Peer,
    ) -> Result<(Stream, Peer), Refused> {
        let accepting = TlsAcceptor::from(self.config()).accept(stream).into_fallible();
        match accepting.await {
            Ok(stream) => {
                peer.tls = Some(PeerTls { certificate: certificate(&stream) });
                Ok((Stream::Tls(Box::new(stream)), peer))
            }
            Err((error, stream)) => Err(Refused { fault: fault(&error), told: Some(stream) }),
        }
    }
}

/// A peer that is not served.
struct Refused {
    fault: HandshakeFault,
    /// Where it was told why; none if it is gone.
    told: Option<TcpStream>,
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self { fault: fault(&error), told: None }
    }
}

/// Ends our side, and reads what the peer still sends: closing a socket with bytes unread makes the kernel
/// send a reset, and that makes the peer's throw away what it was told.
async fn linger(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let (mut discarded, mut left) = ([0; 1024], LINGER_BYTES);
    while left > 0 {
        match stream.read(&mut discarded).await? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}

/// What of a failure an operator can act on.
fn fault(error: &io::Error) -> HandshakeFault {
    let tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match tls {
        None => HandshakeFault::Gone,
        Some(
            rustls::Error::NoCertificatesPresented
            | rustls::Error::InvalidCertificate(_)
            | rustls::Error::InvalidCertRevocationList(_),
        ) => HandshakeFault::Certificate,
        Some(rustls::Error::AlertReceived(_)) => HandshakeFault::Refused,
        Some(_) => HandshakeFault::Protocol,
    }
}

/// The names in the certificate that the client has shown. rustls has verified it by then: its chain, its time, and
/// that the client has its key.
fn certificate(stream: &TlsStream<TcpStream>) -> Option<ClientCertificate> {
    let (_, session) = stream.get_ref();
    let shown = session.peer_certificates()?.first()?;
    let parsed = webpki::EndEntityCert::try_from(shown).ok()?;
    Some(ClientCertificate {
        // Names in DNS are the same in any case of letters.
        dns: parsed.valid_dns_names().map(str::to_ascii_lowercase).collect(),
        uris: parsed.valid_uri_names().map(str::to_owned).collect(),
    })
}
