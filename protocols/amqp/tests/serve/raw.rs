//! A client that writes its frames by hand.

use std::io::Cursor;
use std::time::Duration;

use fe2o3_amqp_types::definitions::{
    ErrorCondition, Handle, ReceiverSettleMode, Role, SenderSettleMode,
};
use fe2o3_amqp_types::messaging::message::__private::{Deserializable, Serializable};
use fe2o3_amqp_types::messaging::{Body, Message, Source, Target, TargetArchetype};
use fe2o3_amqp_types::performatives::{
    Attach, Begin, Close, Detach, Disposition, End, Flow, Open, Transfer,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_amqp::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::server::Server;

pub(crate) const AMQP: [u8; 8] = *b"AMQP\x00\x01\x00\x00";
pub(crate) const SASL: [u8; 8] = *b"AMQP\x03\x01\x00\x00";

/// Longest a test waits for anything: far beyond what it takes, to fail rather than to hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// A frame that came.
#[derive(Debug)]
pub(crate) enum Frame {
    Open(Open),
    Begin(Begin),
    Attach(Box<Attach>),
    Flow(Flow),
    Transfer(Transfer, Vec<u8>),
    Disposition(Disposition),
    Detach(Detach),
    End(End),
    Close(Close),
    Empty,
}

/// A connection.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    next_delivery: u32,
}

impl Raw {
    pub(crate) async fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        Self { stream, next_delivery: 0 }
    }

    /// A connection with one session, without SASL.
    pub(crate) async fn begin(server: &Server) -> Self {
        let mut raw = Self::connect(server).await;
        raw.open(|_| {}).await;
        raw.send(0, &begin(), &[]).await;
        let Frame::Begin(_) = raw.next().await else { panic!("no Begin") };
        raw
    }

    pub(crate) async fn open(&mut self, change: impl FnOnce(&mut Open)) -> Open {
        self.bytes(&AMQP).await;
        let mut header = [0; 8];
        self.read(&mut header).await;
        assert_eq!(header, AMQP);
        let mut open = open();
        change(&mut open);
        self.send(0, &open, &[]).await;
        let Frame::Open(open) = self.next().await else { panic!("no Open") };
        open
    }

    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn read(&mut self, bytes: &mut [u8]) {
        timeout(PATIENCE, self.stream.read_exact(bytes)).await.unwrap().unwrap();
    }

    /// Whether the peer has closed the stream, without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        timeout(PATIENCE, self.stream.read_u8()).await.unwrap().is_err()
    }

    pub(crate) async fn send(&mut self, channel: u16, body: &impl Serialize, payload: &[u8]) {
        let frame = frame(0, channel, body, payload);
        self.bytes(&frame).await;
    }

    /// The body of the next frame of that type.
    pub(crate) async fn frame(&mut self, kind: u8) -> (u16, Vec<u8>) {
        let mut head = [0; 8];
        self.read(&mut head).await;
        let size = u32::from_be_bytes(head[..4].try_into().unwrap());
        assert_eq!((head[4], head[5]), (2, kind));
        let mut body = vec![0; size as usize - 8];
        self.read(&mut body).await;
        (u16::from_be_bytes([head[6], head[7]]), body)
    }

    pub(crate) async fn next(&mut self) -> Frame {
        let (_, body) = self.frame(0).await;
        let Some(code) = body.get(2) else { return Frame::Empty };
        match code {
            0x10 => Frame::Open(decode(&body).0),
            0x11 => Frame::Begin(decode(&body).0),
            0x12 => Frame::Attach(Box::new(decode(&body).0)),
            0x13 => Frame::Flow(decode(&body).0),
            0x14 => {
                let (transfer, payload) = decode(&body);
                Frame::Transfer(transfer, payload)
            }
            0x15 => Frame::Disposition(decode(&body).0),
            0x16 => Frame::Detach(decode(&body).0),
            0x17 => Frame::End(decode(&body).0),
            0x18 => Frame::Close(decode(&body).0),
            other => panic!("a performative {other:#x}"),
        }
    }

    /// Attaches, and gives what is answered.
    pub(crate) async fn attach(&mut self, attach: Attach) -> Attach {
        self.send(0, &attach, &[]).await;
        let frame = self.beside_flows().await;
        let Frame::Attach(attach) = frame else { panic!("no Attach but {frame:?}") };
        *attach
    }

    /// The next frame that is neither a flow nor a heartbeat.
    pub(crate) async fn beside_flows(&mut self) -> Frame {
        loop {
            let frame = self.next().await;
            if !matches!(frame, Frame::Flow(_) | Frame::Empty) {
                return frame;
            }
        }
    }

    /// A link for requests to that address; waits for its credit.
    pub(crate) async fn sender(&mut self, handle: u32, address: Option<&str>) {
        self.attach(sending(handle, address)).await;
        let Frame::Flow(flow) = self.next().await else { panic!("no credit") };
        assert!(flow.link_credit.unwrap() > 0);
    }

    /// Gives credit for replies.
    pub(crate) async fn credit(&mut self, handle: u32, delivery_count: u32, credit: u32) {
        self.send(0, &flow(handle, delivery_count, credit), &[]).await;
    }

    /// Sends a message unsettled; its delivery id.
    pub(crate) async fn request(&mut self, handle: u32, message: Message<Body<Value>>) -> u32 {
        self.transfer(handle, Some(false), &encode(message)).await
    }

    pub(crate) async fn transfer(
        &mut self,
        handle: u32,
        settled: Option<bool>,
        payload: &[u8],
    ) -> u32 {
        let transfer = self.delivery(handle, settled);
        self.send(0, &transfer, payload).await;
        transfer.delivery_id.unwrap()
    }

    /// The next delivery, to be sent by the caller.
    pub(crate) fn delivery(&mut self, handle: u32, settled: Option<bool>) -> Transfer {
        let id = self.next_delivery;
        self.next_delivery += 1;
        Transfer {
            handle: Handle(handle),
            delivery_id: Some(id),
            delivery_tag: Some(id.to_be_bytes().to_vec().into()),
            message_format: Some(0),
            settled,
            more: false,
            rcv_settle_mode: None,
            state: None,
            resume: false,
            aborted: false,
            batchable: false,
        }
    }

    /// The next disposition.
    pub(crate) async fn disposition(&mut self) -> Disposition {
        let frame = self.beside_flows().await;
        let Frame::Disposition(disposition) = frame else { panic!("no disposition but {frame:?}") };
        disposition
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> (Transfer, Message<Body<Value>>) {
        let frame = self.beside_flows().await;
        let Frame::Transfer(transfer, payload) = frame else { panic!("no message but {frame:?}") };
        (transfer, message(&payload))
    }

    pub(crate) async fn detach(&mut self) -> Detach {
        let frame = self.beside_flows().await;
        let Frame::Detach(detach) = frame else { panic!("no Detach but {frame:?}") };
        detach
    }

    /// The condition of the Detach that comes next, which closes the link.
    pub(crate) async fn refused(&mut self) -> ErrorCondition {
        let detach = self.detach().await;
        assert!(detach.closed);
        detach.error.unwrap().condition
    }

    /// The condition of the Close that comes next, which is the end.
    pub(crate) async fn closed(&mut self) -> ErrorCondition {
        let frame = self.beside_flows().await;
        let Frame::Close(close) = frame else { panic!("no Close but {frame:?}") };
        close.error.unwrap().condition
    }
}

pub(crate) fn frame(kind: u8, channel: u16, body: &impl Serialize, payload: &[u8]) -> Vec<u8> {
    let body = serde_amqp::to_vec(body).unwrap();
    let size = u32::try_from(8 + body.len() + payload.len()).unwrap();
    let mut frame = size.to_be_bytes().to_vec();
    frame.extend_from_slice(&[2, kind]);
    frame.extend_from_slice(&channel.to_be_bytes());
    frame.extend_from_slice(&body);
    frame.extend_from_slice(payload);
    frame
}

/// A performative, and what follows it.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> (T, Vec<u8>) {
    let mut cursor = Cursor::new(body);
    let value = serde_amqp::from_reader(&mut cursor).unwrap();
    let at = usize::try_from(cursor.position()).unwrap();
    (value, body[at..].to_vec())
}

pub(crate) fn encode(message: Message<Body<Value>>) -> Vec<u8> {
    serde_amqp::to_vec(&Serializable(message)).unwrap()
}

pub(crate) fn message(payload: &[u8]) -> Message<Body<Value>> {
    let message: Deserializable<Message<Body<Value>>> = serde_amqp::from_slice(payload).unwrap();
    message.0
}

pub(crate) fn open() -> Open {
    Open {
        container_id: "by-hand".into(),
        hostname: None,
        max_frame_size: 65_536.into(),
        channel_max: 10.into(),
        idle_time_out: None,
        outgoing_locales: None,
        incoming_locales: None,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}

pub(crate) fn flow(handle: u32, delivery_count: u32, credit: u32) -> Flow {
    Flow {
        next_incoming_id: Some(0),
        incoming_window: 2048,
        next_outgoing_id: 0,
        outgoing_window: 2048,
        handle: Some(Handle(handle)),
        delivery_count: Some(delivery_count),
        link_credit: Some(credit),
        available: None,
        drain: false,
        echo: false,
        properties: None,
    }
}

pub(crate) fn begin() -> Begin {
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

fn attach(handle: u32, role: Role) -> Attach {
    let name = match role {
        Role::Sender => format!("sender-{handle}"),
        Role::Receiver => format!("receiver-{handle}"),
    };
    Attach {
        name,
        handle: Handle(handle),
        initial_delivery_count: matches!(role, Role::Sender).then_some(0),
        role,
        snd_settle_mode: SenderSettleMode::Mixed,
        rcv_settle_mode: ReceiverSettleMode::First,
        source: Some(Box::new(Source::default())),
        target: Some(Box::new(TargetArchetype::Target(Target::default()))),
        unsettled: None,
        incomplete_unsettled: false,
        max_message_size: None,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}

/// Attaches a link over which the client sends.
pub(crate) fn sending(handle: u32, address: Option<&str>) -> Attach {
    let target = Target { address: address.map(str::to_owned), ..Target::default() };
    let target = Some(Box::new(TargetArchetype::Target(target)));
    Attach { target, ..attach(handle, Role::Sender) }
}

/// Attaches a link over which the client receives, from that source to that target.
pub(crate) fn receiving(handle: u32, source: Option<&str>, target: Option<&str>) -> Attach {
    let mut attach = attach(handle, Role::Receiver);
    let address = source.map(str::to_owned);
    attach.source =
        Some(Box::new(Source { dynamic: address.is_none(), address, ..Source::default() }));
    let target = Target { address: target.map(str::to_owned), ..Target::default() };
    attach.target = Some(Box::new(TargetArchetype::Target(target)));
    attach
}
