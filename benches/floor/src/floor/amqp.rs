//! A listener of nothing but fe2o3-amqp: each message is accepted and answered by a constant one over the link
//! that receives on the same session. What a client sends is decoded and not looked at.

use std::sync::Arc;

use fe2o3_amqp::acceptor::{
    ConnectionAcceptor, LinkAcceptor, LinkEndpoint, ListenerConnectionHandle,
    ListenerSessionHandle, SessionAcceptor,
};
use fe2o3_amqp::{Receiver, Sender};
use fe2o3_amqp_types::messaging::{
    AmqpValue, ApplicationProperties, Body, Message, MessageId, Properties,
};
use fe2o3_amqp_types::primitives::SimpleValue;
use serde_amqp::Value;
use serde_amqp::primitives::Binary;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Replies that wait for their link.
const QUEUE: usize = 10_000;
/// Bytes of a reply beside its body: properties with a long correlation id, the status, the body's header.
const OVERHEAD: usize = 20 + 23 + 8;

pub(crate) async fn serve(listener: &TcpListener, size: u32) -> anyhow::Result<()> {
    let body = usize::try_from(size)?.saturating_sub(OVERHEAD);
    // A short one has three bytes less of a header.
    let body = if body + 3 < 256 { body + 3 } else { body };
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(connection(stream, body));
    }
}

/// What begins a connection with a security layer: protocol 3, version 1.0.0.
const SASL: [u8; 8] = *b"AMQP\x03\x01\x00\x00";
/// The mechanisms there are: ANONYMOUS.
const MECHANISMS: &[u8] = b"\0\0\0\x19\x02\x01\0\0\0\x53\x40\xc0\x0c\x01\xa3\x09ANONYMOUS";
/// The outcome: whoever it is may come.
const WELCOME: &[u8] = b"\0\0\0\x10\x02\x01\0\0\0\x53\x44\xc0\x03\x01\x50\0";
/// Largest frame of such a layer (2.3.1 of the specification's transport part).
const SASL_FRAME: usize = 512;

/// Lets in whoever wants to say first who it is, as opgate does; others come without.
async fn greeted(stream: &mut TcpStream) -> Option<()> {
    let mut header = [0; SASL.len()];
    while stream.peek(&mut header).await.ok()? < header.len() {
        stream.readable().await.ok()?;
    }
    if header != SASL {
        return Some(());
    }
    stream.read_exact(&mut header).await.ok()?;
    stream.write_all(&[&SASL[..], MECHANISMS].concat()).await.ok()?;
    let rest = stream.read_u32().await.ok()?.checked_sub(4)?;
    let rest = usize::try_from(rest).ok().filter(|rest| *rest < SASL_FRAME)?;
    stream.read_exact(&mut vec![0; rest]).await.ok()?;
    stream.write_all(WELCOME).await.ok()
}

/// Whatever ends a connection is its client's business.
async fn connection(mut stream: TcpStream, body: usize) -> Option<()> {
    greeted(&mut stream).await?;
    let acceptor = ConnectionAcceptor::new("floor");
    let mut handle: ListenerConnectionHandle = acceptor.accept(stream).await.ok()?;
    loop {
        let incoming = handle.next_incoming_session().await?;
        let session =
            SessionAcceptor::new().accept_incoming_session(incoming, &mut handle).await.ok()?;
        tokio::spawn(links(session, body));
    }
}

async fn links(mut session: ListenerSessionHandle, body: usize) -> Option<()> {
    let (ask, asked) = mpsc::channel(QUEUE);
    let mut asked = Some(asked);
    let acceptor = Arc::new(LinkAcceptor::new());
    loop {
        match acceptor.accept(&mut session).await.ok()? {
            LinkEndpoint::Receiver(receiver) => {
                tokio::spawn(requests(receiver, ask.clone()));
            }
            LinkEndpoint::Sender(sender) => {
                if let Some(asked) = asked.take() {
                    tokio::spawn(replies(sender, asked, body));
                }
            }
        }
    }
}

async fn requests(mut receiver: Receiver, ask: mpsc::Sender<Option<MessageId>>) -> Option<()> {
    loop {
        let delivery = receiver.recv::<Body<Value>>().await.ok()?;
        receiver.accept(&delivery).await.ok()?;
        let properties = delivery.into_message().properties;
        ask.send(properties.and_then(|properties| properties.message_id)).await.ok()?;
    }
}

async fn replies(
    mut sender: Sender,
    mut asked: mpsc::Receiver<Option<MessageId>>,
    body: usize,
) -> Option<()> {
    while let Some(id) = asked.recv().await {
        // Its outcome is not waited for, or there could be one at a time.
        drop(sender.send_batchable(reply(id, body)).await.ok()?);
    }
    Some(())
}

fn reply(id: Option<MessageId>, body: usize) -> Message<Body<Value>> {
    let mut status = ApplicationProperties::default();
    status.insert("statusCode".to_owned(), SimpleValue::Int(200));
    Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: Some(Properties { correlation_id: id, ..Properties::default() }),
        application_properties: Some(status),
        body: Body::Value(AmqpValue(Value::Binary(Binary::from(vec![b'x'; body])))),
        footer: None,
    }
}
