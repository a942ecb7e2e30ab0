//! Connecting to a container: TCP, TLS, SASL, a session with its two links.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use fe2o3_amqp_types::messaging::{Source, Target};
use opgate_core::limits;
use opgate_egress::{Host, Network};
use rustls::pki_types::{DnsName, ServerName};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::sasl;
use crate::backend::settings::{ReplyTo, Settings};
use crate::cut::Cut;
use crate::fence::{Fence, Limits, Transport};

/// Addresses of one name that are tried.
const TRIES: usize = 4;
/// The largest frame that is taken. The container's own bound is kept to as well.
const FRAME_BYTES: u32 = 256 * 1024;
/// Room in a message beside its body.
const HEAD_BYTES: usize = 64 * 1024;
/// The highest handle of a link. There are two links, and those that follow one that was lost.
const HANDLES: u32 = 63;
/// How long a peer has to answer a Close that the fence sent.
const CLOSING: Duration = Duration::from_secs(1);
/// How far ahead a session lets its peer send: link credit does the work (amqp.md, 4.2).
const WINDOW: u32 = 0x3fff_ffff;

/// The largest reply.
fn message_bytes() -> u64 {
    u64::try_from(limits::PAYLOAD_BYTES + HEAD_BYTES).unwrap_or(u64::MAX)
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct Undialed {
    /// In one line, for people.
    pub(super) problem: String,
    /// Not to be tried again before this long, beside the usual.
    pub(super) wait: Duration,
}

impl Undialed {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), wait: Duration::ZERO }
    }
}

/// A connection with all that requests need.
pub(super) struct Dialed {
    pub(super) connection: ConnectionHandle<()>,
    pub(super) session: SessionHandle<()>,
    pub(super) requests: Sender,
    pub(super) replies: Receiver,
    /// What requests say where their replies are to be sent.
    pub(super) reply_to: Option<String>,
    /// Dropped, it cuts what may hang.
    pub(super) cut: DropGuard,
}

/// Connects.
///
/// # Errors
/// Why not; after `until` in any case.
pub(super) async fn dial(
    settings: &Settings,
    network: &dyn Network,
    container: &str,
    until: Instant,
) -> Result<Dialed, Undialed> {
    let stream = stream(settings, network, until).await?;
    // Whatever is left behind by what did not come about is closed with it.
    let cut = CancellationToken::new();
    let stream = Cut::new(stream, cut.clone());
    let cut = cut.drop_guard();
    let endpoint = &settings.endpoint;
    // What an upstream sends are bytes of a network like any others.
    let fenced = Limits {
        frame: FRAME_BYTES,
        message: message_bytes(),
        sessions: 1,
        channel: 0,
        handle: HANDLES,
        closing: CLOSING,
        ..Limits::default()
    };
    let dialing = open(settings, container, Fence::new(stream, &[], fenced));
    match timeout_at(until, dialing).await {
        Ok(Ok((connection, session, requests, replies, reply_to))) => {
            Ok(Dialed { connection, session, requests, replies, reply_to, cut })
        }
        Ok(Err(undialed)) => {
            let problem = format!("{endpoint}: {}", undialed.problem);
            Err(Undialed { problem, ..undialed })
        }
        Err(_) => Err(Undialed::new(format!("{endpoint}: it did not open in time"))),
    }
}

type Opened = (ConnectionHandle<()>, SessionHandle<()>, Sender, Receiver, Option<String>);

async fn open(
    settings: &Settings,
    container: &str,
    mut stream: Fence<Cut<Box<dyn Transport>>>,
) -> Result<Opened, Undialed> {
    let hostname = settings.endpoint.hostname();
    sasl::negotiate(&mut stream, &settings.sasl.now(), hostname)
        .await
        .map_err(|refused| Undialed { wait: refused.wait(), problem: refused.to_string() })?;
    let idle = u32::try_from(settings.idle.as_millis()).unwrap_or(u32::MAX);
    let mut connection = Connection::builder()
        .container_id(container)
        .hostname(hostname)
        .max_frame_size(FRAME_BYTES)
        .channel_max(0)
        .idle_time_out(idle)
        .open_with_stream(stream)
        .await
        .map_err(|error| Undialed::new(format!("it does not open a connection: {error}")))?;
    let mut session = Session::builder()
        .incoming_window(WINDOW)
        .outgoing_window(WINDOW)
        .handle_max(HANDLES)
        .begin(&mut connection)
        .await
        .map_err(|error| Undialed::new(format!("it begins no session: {error:?}")))?;
    let requests = requests(&mut session, &settings.node, container, 0).await?;
    let (replies, reply_to) = replies(settings, &mut session, container).await?;
    Ok((connection, session, requests, replies, reply_to))
}

/// Attaches the link that requests go by; `number` tells it from those before it.
pub(super) async fn requests(
    session: &mut SessionHandle<()>,
    node: &str,
    container: &str,
    number: u64,
) -> Result<Sender, Undialed> {
    Sender::builder()
        .name(format!("{container}/requests/{number}"))
        .source(container)
        .target(node)
        .attach(session)
        .await
        .map_err(|error| Undialed::new(format!("{node:?} takes no requests: {error}")))
}

/// Attaches the link that replies come by.
async fn replies(
    settings: &Settings,
    session: &mut SessionHandle<()>,
    container: &str,
) -> Result<(Receiver, Option<String>), Undialed> {
    let refused =
        |problem: String| Undialed::new(format!("{:?} sends no replies: {problem}", settings.node));
    let dynamic = matches!(settings.reply, ReplyTo::Auto | ReplyTo::Dynamic);
    let mut problem = String::new();
    if dynamic {
        let source = Source::builder().dynamic(true).build();
        match attach(settings, session, &format!("{container}/replies"), source, container).await {
            Ok(replies) => {
                let address = replies.source().as_ref().and_then(|source| source.address.clone());
                if let Some(address) = address {
                    return Ok((replies, Some(address)));
                }
                problem.push_str("it made no address for them");
            }
            Err(error) => problem.push_str(&error),
        }
    }
    if settings.reply == ReplyTo::Dynamic {
        return Err(refused(problem));
    }
    let (target, reply_to) = match settings.reply {
        ReplyTo::Auto | ReplyTo::Dynamic | ReplyTo::Named => {
            (container, Some(container.to_owned()))
        }
        ReplyTo::Paired => (&*settings.node, None),
    };
    let source = Source::builder().address(&*settings.node).build();
    let name = format!("{container}/replies/{}", u8::from(dynamic));
    let replies = attach(settings, session, &name, source, target).await;
    replies.map(|replies| (replies, reply_to)).map_err(|second| {
        refused(if problem.is_empty() { second } else { format!("{problem}; {second}") })
    })
}

async fn attach(
    settings: &Settings,
    session: &mut SessionHandle<()>,
    name: &str,
    source: Source,
    target: &str,
) -> Result<Receiver, String> {
    let credit = u32::try_from(settings.in_flight).unwrap_or(u32::MAX).max(2);
    Receiver::builder()
        .name(name)
        .source(source)
        .target(Target::builder().address(target).build())
        .max_message_size(message_bytes())
        .credit_mode(CreditMode::Auto(credit))
        .attach(session)
        .await
        .map_err(|error| error.to_string())
}

/// The bytes that AMQP runs over.
async fn stream(
    settings: &Settings,
    network: &dyn Network,
    until: Instant,
) -> Result<Box<dyn Transport>, Undialed> {
    let endpoint = &settings.endpoint;
    let destination = endpoint.destination();
    let addresses = match &destination.host {
        Host::Address(address) => vec![(*address, destination.port).into()],
        Host::Name(name) => {
            let unknown = |problem: &str| {
                Undialed::new(format!("{endpoint}: the name cannot be looked up: {problem}"))
            };
            match timeout_at(until, network.resolve(name, destination.port)).await {
                Ok(Ok(found)) if found.is_empty() => return Err(unknown("it has no address")),
                Ok(Ok(found)) => found,
                Ok(Err(error)) => return Err(unknown(&error.to_string())),
                Err(_) => return Err(unknown("no answer in time")),
            }
        }
    };
    let tries = addresses.len().min(TRIES);
    let mut problem = String::new();
    for (index, address) in addresses.into_iter().take(tries).enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(tries - index).unwrap_or(1);
        let connect = async {
            let stream = network.connect(address).await?;
            stream.set_nodelay(true)?;
            secured(settings, stream).await
        };
        problem = match timeout_at(Instant::now() + share, connect).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => format!("{endpoint}: no connection to {address}: {error}"),
            Err(_) => format!("{endpoint}: no connection to {address} in time"),
        };
    }
    Err(Undialed::new(problem))
}

fn secured(
    settings: &Settings,
    stream: TcpStream,
) -> impl Future<Output = io::Result<Box<dyn Transport>>> + Send {
    let tls = settings.tls.clone().filter(|_| settings.endpoint.is_tls());
    let name = server_name(&settings.endpoint.destination().host);
    async move {
        let stream: Box<dyn Transport> = match tls {
            Some(config) => {
                Box::new(TlsConnector::from(Arc::clone(&config)).connect(name?, stream).await?)
            }
            None => Box::new(stream),
        };
        Ok(stream)
    }
}

fn server_name(host: &Host) -> io::Result<ServerName<'static>> {
    match host {
        Host::Name(name) => DnsName::try_from(name.to_string())
            .map(ServerName::DnsName)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error)),
        Host::Address(IpAddr::V4(address)) => Ok(ServerName::IpAddress((*address).into())),
        Host::Address(IpAddr::V6(address)) => Ok(ServerName::IpAddress((*address).into())),
    }
}
