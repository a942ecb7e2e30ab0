//! A management node that does as the test says. By itself it takes requests, and answers none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver as Heard, Sender as Telling, channel};

use fe2o3_amqp::acceptor::{
    ConnectionAcceptor, LinkAcceptor, LinkEndpoint, SaslAnonymousMechanism, SessionAcceptor,
};
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::{Receiver, Sender};
use fe2o3_amqp_types::messaging::{
    AmqpValue, ApplicationProperties, Body, Message, MessageId, Properties, Source,
};
use fe2o3_amqp_types::primitives::SimpleValue;
use serde_amqp::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::process::PATIENCE;

/// The node.
pub(super) struct Node {
    pub(super) address: SocketAddr,
    credit: Arc<AtomicU32>,
    attached: Heard<()>,
    requests: Heard<Request>,
    _runtime: Runtime,
}

/// A request that came.
pub(super) struct Request {
    message: Message<Body<Value>>,
    replies: mpsc::UnboundedSender<Message<AmqpValue<Value>>>,
}

/// What a connection tells the test.
#[derive(Clone)]
struct Wires {
    credit: Arc<AtomicU32>,
    attached: Telling<()>,
    requests: Telling<Request>,
}

impl Node {
    /// One that lets so many requests come over a link.
    pub(super) fn start(credit: u32) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let credit = Arc::new(AtomicU32::new(credit));
        let (attached, hears_links) = channel();
        let (requests, hears_requests) = channel();
        let wires = Wires { credit: Arc::clone(&credit), attached, requests };
        runtime.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let wires = wires.clone();
                // One whose peer was killed ends somewhere in the middle.
                open.spawn(async move { serve(stream, wires).await.unwrap_or_default() });
            }
        });
        Self { address, credit, attached: hears_links, requests: hears_requests, _runtime: runtime }
    }

    /// How many requests may come over a link from now on.
    pub(super) fn gives(&self, credit: u32) {
        self.credit.store(credit, Ordering::SeqCst);
    }

    /// Waits for a link that requests come by.
    pub(super) fn attached(&self) {
        self.attached.recv_timeout(PATIENCE).unwrap();
    }

    /// The next request.
    pub(super) fn request(&self) -> Request {
        self.requests.recv_timeout(PATIENCE).unwrap()
    }

    /// Whether no request has come that was not looked at.
    pub(super) fn is_quiet(&self) -> bool {
        self.requests.try_recv().is_err()
    }
}

async fn serve(stream: TcpStream, wires: Wires) -> Option<()> {
    let acceptor = ConnectionAcceptor::builder()
        .container_id("node")
        .sasl_acceptor(SaslAnonymousMechanism {})
        .build();
    let mut connection = acceptor.accept(stream).await.ok()?;
    let mut session = SessionAcceptor::default().accept(&mut connection).await.ok()?;
    let (replies, mut replying) = mpsc::unbounded_channel();
    let mut requests: Option<Receiver> = None;
    let mut answers: Option<Sender> = None;
    let named = |mut source: Source| {
        source.address = Some("replies".to_owned());
        Some(source)
    };
    loop {
        let received = async {
            match &mut requests {
                Some(requests) => requests.recv::<Body<Value>>().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            attach = session.next_incoming_attach() => {
                let acceptor = LinkAcceptor::builder().on_dynamic_source(named).build();
                match acceptor.accept_incoming_attach(attach?, &mut session).await.ok()? {
                    LinkEndpoint::Sender(link) => answers = Some(link),
                    LinkEndpoint::Receiver(mut link) => {
                        link.set_credit_mode(CreditMode::Manual);
                        link.set_credit(wires.credit.load(Ordering::SeqCst)).await.ok()?;
                        requests = Some(link);
                        wires.attached.send(()).ok()?;
                    }
                }
            }
            received = received => {
                let delivery = received.ok()?;
                requests.as_mut()?.accept(&delivery).await.ok()?;
                let (message, replies) = (delivery.into_message(), replies.clone());
                wires.requests.send(Request { message, replies }).ok()?;
            }
            reply = replying.recv() => {
                let outcome = answers.as_mut()?.send_batchable(reply?).await.ok()?;
                drop(outcome);
            }
        }
    }
}

impl Request {
    /// The id of the operation that it is made for.
    pub(super) fn key(&self) -> String {
        let properties = self.message.application_properties.as_ref().unwrap();
        let key = properties.get("idempotency-key");
        let Some(SimpleValue::String(key)) = key else { panic!("{key:?}") };
        key.clone()
    }

    /// Answers it.
    pub(super) fn answer(&self, text: &str) {
        self.reply(self.message.properties.as_ref().unwrap().message_id.clone().unwrap(), text);
    }

    /// Answers a request that nobody made.
    pub(super) fn stray(&self) {
        self.reply(MessageId::from("nobody".to_owned()), "stray");
    }

    fn reply(&self, correlation: MessageId, text: &str) {
        let mut told = ApplicationProperties::default();
        told.insert("statusCode".to_owned(), SimpleValue::Int(200));
        let properties = Properties::builder().correlation_id(correlation).build();
        let message = Message::builder()
            .properties(properties)
            .application_properties(told)
            .value(Value::from(text))
            .build();
        self.replies.send(message).unwrap();
    }
}
