//! Both ends: the crate as a server, and a peer that writes frames by hand.

use std::fmt::Debug;
use std::time::Duration;

use fe2o3_amqp::acceptor::{
    ConnectionAcceptor, LinkAcceptor, LinkEndpoint, ListenerConnectionHandle, SessionAcceptor,
};
use fe2o3_amqp::link::delivery::Delivery;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp_types::definitions::{DeliveryTag, Handle, Role};
use fe2o3_amqp_types::messaging::{Body, Source, Target, TargetArchetype};
use fe2o3_amqp_types::performatives::{Attach, Begin, Close, Flow, Open, Performative, Transfer};
use serde::Serialize;
use serde_amqp::Value;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::super::{Fence, Limits, Watch};

pub(super) const HEADER: [u8; 8] = *b"AMQP\x00\x01\x00\x00";

/// What the server got.
pub(super) type Got = mpsc::UnboundedReceiver<Body<Value>>;

/// The crate's side: takes all sessions and links, and tells what it is sent.
pub(super) async fn serve<Io>(io: Io, got: mpsc::UnboundedSender<Body<Value>>)
where
    Io: AsyncRead + AsyncWrite + Debug + Send + Unpin + 'static,
{
    let acceptor = ConnectionAcceptor::builder()
        .container_id("server")
        .max_frame_size(16 * 1024)
        .channel_max(7)
        .build();
    let Ok(mut connection) = acceptor.accept(io).await else { return };
    let mut sessions = Vec::new();
    while let Some(session) = next_session(&mut connection).await {
        sessions.push(tokio::spawn(serve_session(session, got.clone())));
    }
    drop(connection.on_close().await);
}

async fn next_session(
    connection: &mut ListenerConnectionHandle,
) -> Option<SessionHandle<mpsc::Receiver<Attach>>> {
    let session = connection.next_incoming_session().await?;
    let acceptor = SessionAcceptor::builder().handle_max(31).incoming_window(0x3fff_ffff).build();
    acceptor.accept_incoming_session(session, connection).await.ok()
}

async fn serve_session(
    mut session: SessionHandle<mpsc::Receiver<Attach>>,
    got: mpsc::UnboundedSender<Body<Value>>,
) {
    let acceptor = LinkAcceptor::builder()
        .max_message_size(100_000_u64)
        .verify_incoming_source(false)
        .verify_incoming_target(false)
        .build();
    let mut links = Vec::new();
    while let Some(attach) = session.next_incoming_attach().await {
        match acceptor.accept_incoming_attach(attach, &mut session).await {
            Ok(LinkEndpoint::Receiver(mut receiver)) => {
                let got = got.clone();
                links.push(tokio::spawn(async move {
                    while let Ok(delivery) = receiver.recv::<Body<Value>>().await {
                        let delivery: Delivery<Body<Value>> = delivery;
                        drop(receiver.accept(&delivery).await);
                        drop(got.send(delivery.into_body()));
                    }
                }));
            }
            Ok(LinkEndpoint::Sender(mut sender)) => {
                links
                    .push(tokio::spawn(async move { while sender.send("reply").await.is_ok() {} }));
            }
            Err(_) => return,
        }
    }
}

/// The other side.
#[derive(Debug)]
pub(super) struct Peer(pub(super) DuplexStream);

/// A connection through a fence, as far as its Open frames.
pub(super) struct Opened {
    pub(super) peer: Peer,
    pub(super) watch: Watch,
    pub(super) got: Got,
    pub(super) server: JoinHandle<()>,
}

pub(super) fn limits() -> Limits {
    Limits { frame: 16 * 1024, channel: 7, handle: 31, sessions: 4, links: 20, ..Limits::default() }
}

/// A connection of which nothing has been written.
pub(super) fn fenced(limits: Limits) -> Opened {
    let (near, far) = duplex(1024 * 1024);
    let fence = Fence::new(far, &[], limits);
    let watch = fence.watch();
    let (sender, got) = mpsc::unbounded_channel();
    let server = tokio::spawn(serve(fence, sender));
    Opened { peer: Peer(near), watch, got, server }
}

pub(super) async fn opened() -> Opened {
    let mut opened = fenced(limits());
    opened.peer.open(&open()).await;
    opened
}

impl Peer {
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Headers and Open frames, both ways.
    pub(super) async fn open(&mut self, open: &Open) {
        self.write(&[&HEADER[..], &frame(0, open, &[])].concat()).await;
        let mut header = [0; 8];
        self.0.read_exact(&mut header).await.unwrap();
        assert_eq!(header, HEADER);
        assert!(matches!(self.read().await, Some((0, Performative::Open(_), _))));
    }

    /// A session on channel 0, with a sender on handle 0 and credit for it.
    pub(super) async fn sender(&mut self) {
        self.write(&frame(0, &begin(), &[])).await;
        self.write(&frame(0, &attach("requests", 0, Role::Sender), &[])).await;
        self.until(|performative| matches!(performative, Performative::Flow(_))).await;
    }

    /// The next frame that is not empty; none at the end.
    pub(super) async fn read(&mut self) -> Option<(u16, Performative, Vec<u8>)> {
        loop {
            let mut size = [0; 4];
            self.0.read_exact(&mut size).await.ok()?;
            let mut rest = vec![0; usize::try_from(u32::from_be_bytes(size)).unwrap() - 4];
            self.0.read_exact(&mut rest).await.unwrap();
            if rest.len() == 4 {
                continue;
            }
            let mut body = &rest[4..];
            let performative = serde_amqp::from_reader(&mut body).unwrap();
            return Some((u16::from_be_bytes([rest[2], rest[3]]), performative, body.to_vec()));
        }
    }

    /// Reads on to what is looked for.
    pub(super) async fn until(&mut self, is: impl Fn(&Performative) -> bool) -> Performative {
        let found = async {
            loop {
                let (_, performative, _) = self.read().await.expect("the connection has ended");
                if is(&performative) {
                    return performative;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), found).await.unwrap()
    }

    /// Reads on to the end: the last frame must be a Close of this condition.
    pub(super) async fn closed(&mut self) -> String {
        let closed = async {
            let mut last = None;
            while let Some((_, performative, _)) = self.read().await {
                last = Some(performative);
            }
            last
        };
        let last = tokio::time::timeout(Duration::from_secs(20), closed).await.unwrap();
        let Some(Performative::Close(Close { error: Some(error) })) = last else {
            panic!("no close frame with an error, but {last:?}")
        };
        let condition = serde_amqp::to_vec(&error.condition).unwrap();
        String::from_utf8(condition[2..].to_vec()).unwrap()
    }
}

/// A frame of `performative`.
pub(in crate::fence) fn frame(
    channel: u16,
    performative: &impl Serialize,
    payload: &[u8],
) -> Vec<u8> {
    raw(channel, &[&serde_amqp::to_vec(performative).unwrap(), payload].concat())
}

/// A frame of any body.
pub(in crate::fence) fn raw(channel: u16, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap().to_be_bytes();
    [&size[..], &[2, 0], &channel.to_be_bytes(), body].concat()
}

pub(in crate::fence) fn open() -> Open {
    Open {
        container_id: "peer".to_owned(),
        hostname: Some("host".to_owned()),
        max_frame_size: 16_384_u32.into(),
        channel_max: 100_u16.into(),
        idle_time_out: None,
        outgoing_locales: None,
        incoming_locales: None,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}

/// The same as the crate gets it: some bytes of the peer's frames are the fence's.
pub(super) fn passed() -> Open {
    Open { max_frame_size: 16_376_u32.into(), ..open() }
}

pub(in crate::fence) fn begin() -> Begin {
    Begin {
        remote_channel: None,
        next_outgoing_id: 0,
        incoming_window: 2048,
        outgoing_window: 2048,
        handle_max: Handle(255),
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}

pub(in crate::fence) fn attach(name: &str, handle: u32, role: Role) -> Attach {
    Attach {
        name: name.to_owned(),
        handle: Handle(handle),
        initial_delivery_count: (role == Role::Sender).then_some(0),
        role,
        snd_settle_mode: fe2o3_amqp_types::definitions::SenderSettleMode::Mixed,
        rcv_settle_mode: fe2o3_amqp_types::definitions::ReceiverSettleMode::First,
        source: Some(Box::new(Source::from("node"))),
        target: Some(Box::new(TargetArchetype::Target(Target::from("node")))),
        unsettled: None,
        incomplete_unsettled: false,
        max_message_size: None,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}

pub(in crate::fence) fn transfer(id: u32, more: bool) -> Transfer {
    Transfer {
        handle: Handle(0),
        delivery_id: Some(id),
        delivery_tag: Some(DeliveryTag::from(id.to_be_bytes().to_vec())),
        message_format: Some(0),
        settled: Some(true),
        more,
        rcv_settle_mode: None,
        state: None,
        resume: false,
        aborted: false,
        batchable: false,
    }
}

pub(super) fn flow(handle: Option<u32>, credit: u32) -> Flow {
    Flow {
        next_incoming_id: Some(0),
        incoming_window: 2048,
        next_outgoing_id: 0,
        outgoing_window: 2048,
        handle: handle.map(Handle),
        delivery_count: handle.map(|_| 0),
        link_credit: handle.map(|_| credit),
        available: None,
        drain: false,
        echo: false,
        properties: None,
    }
}

/// A message whose body is `value`.
pub(super) fn message(value: &Value) -> Vec<u8> {
    [&[0x00, 0x53, 0x77][..], &serde_amqp::to_vec(value).unwrap()].concat()
}

/// Lists in each other.
pub(super) fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = vec![0x45];
    for _ in 0..depth {
        let size = u32::try_from(bytes.len() + 4).unwrap().to_be_bytes();
        bytes.splice(0..0, [&[0xd0], &size[..], &[0, 0, 0, 1]].concat());
    }
    bytes
}
