//! The node that the test plays. By itself it does nothing with a request: it neither takes nor answers it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use fe2o3_amqp::acceptor::{
    ConnectionAcceptor, LinkAcceptor, LinkEndpoint, SaslAnonymousMechanism, SessionAcceptor,
};
use fe2o3_amqp::link::delivery::DeliveryInfo;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::{Receiver, Sendable, Sender};
use fe2o3_amqp_types::definitions;
use fe2o3_amqp_types::messaging::{
    AmqpValue, ApplicationProperties, Body, Message, MessageId, Modified, Properties, Source,
};
use fe2o3_amqp_types::primitives::SimpleValue;
use opgate_amqp::wire::{json, text};
use serde_amqp::Value;
use serde_json::Value as Json;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, copy, copy_bidirectional, duplex, sink};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How long a test waits for what is to come.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// What the node is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nature {
    /// Whether it makes addresses for replies.
    pub(crate) dynamic: bool,
    /// How many requests it lets come at a time.
    pub(crate) credit: u32,
}

impl Default for Nature {
    fn default() -> Self {
        Self { dynamic: true, credit: 100 }
    }
}

/// What the test has it do.
enum Deed {
    Accept(DeliveryInfo),
    Release(DeliveryInfo),
    Reject(DeliveryInfo, Option<definitions::Error>),
    Modify(DeliveryInfo, Modified),
    Send(Box<Message<Body<Value>>>),
    Credit(u32),
    /// Ends the link that requests come by.
    DetachRequests,
    /// Ends the link that replies go by.
    DetachReplies,
}

/// The node.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    calls: mpsc::UnboundedReceiver<Call>,
    connections: Arc<AtomicUsize>,
    /// What it gives to the next link of requests.
    credit: Arc<AtomicU32>,
    /// Drives it, and is dropped with it.
    _serving: JoinSet<()>,
}

/// A request that waits for what is to become of it.
pub(crate) struct Call {
    pub(crate) message: Message<Body<Value>>,
    info: DeliveryInfo,
    deeds: mpsc::UnboundedSender<(Deed, oneshot::Sender<()>)>,
    cut: CancellationToken,
    mute: CancellationToken,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        Self::of(Nature::default()).await
    }

    pub(crate) async fn of(nature: Nature) -> Self {
        Self::with(nature, None).await
    }

    /// One that speaks TLS only.
    pub(crate) async fn over_tls(tls: TlsAcceptor) -> Self {
        Self::with(Nature::default(), Some(tls)).await
    }

    async fn with(nature: Nature, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, calls) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let mut serving = JoinSet::new();
        let count = Arc::clone(&connections);
        let credit = Arc::new(AtomicU32::new(nature.credit));
        let given = Arc::clone(&credit);
        serving.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let (near, far) = duplex(1 << 20);
                let (cut, mute) = (CancellationToken::new(), CancellationToken::new());
                let wires = Wires {
                    calls: sender.clone(),
                    credit: Arc::clone(&given),
                    cut: cut.clone(),
                    mute: mute.clone(),
                };
                let tls = tls.clone();
                open.spawn(async move {
                    match tls {
                        // One that is not let in has no more to say.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                carry(stream, near, cut, mute).await;
                            }
                        }
                        None => carry(stream, near, cut, mute).await,
                    }
                });
                open.spawn(async move {
                    // A connection that is cut ends somewhere in the middle.
                    serve(far, nature, wires).await.unwrap_or_default();
                });
            }
        });
        Self { address, calls, connections, credit, _serving: serving }
    }

    /// What it gives to links of requests from now on.
    pub(crate) fn gives(&self, credit: u32) {
        self.credit.store(credit, Ordering::SeqCst);
    }

    /// The next request.
    pub(crate) async fn call(&mut self) -> Call {
        tokio::time::timeout(LONG, self.calls.recv()).await.unwrap().unwrap()
    }

    /// The next request, which must be for this.
    pub(crate) async fn expect(&mut self, operation: &str) -> Call {
        let call = self.call().await;
        assert_eq!(call.property("operation").as_deref(), Some(operation));
        call
    }

    /// Whether no request waits.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }

    /// How often it was connected to.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Carries bytes between a peer and the node.
async fn carry(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut near: DuplexStream,
    cut: CancellationToken,
    mute: CancellationToken,
) {
    tokio::select! {
        _ = copy_bidirectional(&mut stream, &mut near) => {}
        () = cut.cancelled() => {}
        // What the peer says is taken and thrown away; it is told nothing.
        () = mute.cancelled() => {
            copy(&mut stream, &mut sink()).await.unwrap_or_default();
        }
    }
}

/// What one connection shares with the test.
struct Wires {
    calls: mpsc::UnboundedSender<Call>,
    credit: Arc<AtomicU32>,
    cut: CancellationToken,
    mute: CancellationToken,
}

/// Serves one connection: one session, and its links.
async fn serve(stream: DuplexStream, nature: Nature, wires: Wires) -> Option<()> {
    let acceptor = ConnectionAcceptor::builder()
        .container_id("upstream")
        .sasl_acceptor(SaslAnonymousMechanism {})
        .build();
    let mut connection = acceptor.accept(stream).await.ok()?;
    let mut session = SessionAcceptor::default().accept(&mut connection).await.ok()?;
    let (deeds, mut doing) = mpsc::unbounded_channel();
    let mut requests: Option<Receiver> = None;
    let mut replies: Option<Sender> = None;
    let named = |mut source: Source| {
        source.address = Some("replies-here".to_owned());
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
                let attach = attach?;
                let acceptor = LinkAcceptor::builder()
                    .on_dynamic_source(move |source| if nature.dynamic { named(source) } else { None })
                    .build();
                match acceptor.accept_incoming_attach(attach, &mut session).await {
                    Ok(LinkEndpoint::Sender(link)) => replies = Some(link),
                    Ok(LinkEndpoint::Receiver(mut link)) => {
                        link.set_credit_mode(CreditMode::Manual);
                        link.set_credit(wires.credit.load(Ordering::SeqCst)).await.ok()?;
                        requests = Some(link);
                    }
                    // One that it does not take.
                    Err(_) => {}
                }
            }
            received = received => {
                // A link that ended; another may come.
                let Ok(delivery) = received else { requests = None; continue };
                let info = DeliveryInfo::from(&delivery);
                let (cut, mute) = (wires.cut.clone(), wires.mute.clone());
                let (deeds, message) = (deeds.clone(), delivery.into_message());
                wires.calls.send(Call { message, info, deeds, cut, mute }).ok()?;
            }
            deed = doing.recv() => {
                let (deed, done) = deed?;
                match (deed, &mut requests, &mut replies) {
                    (Deed::Accept(info), Some(link), _) => link.accept(info).await.ok()?,
                    (Deed::Release(info), Some(link), _) => link.release(info).await.ok()?,
                    (Deed::Reject(info, error), Some(link), _) => link.reject(info, error).await.ok()?,
                    (Deed::Modify(info, how), Some(link), _) => link.modify(info, how).await.ok()?,
                    (Deed::Credit(credit), Some(link), _) => link.set_credit(credit).await.ok()?,
                    (Deed::Send(message), _, Some(link)) => {
                        let sendable = Sendable::builder().message(*message).build();
                        drop(link.send_batchable(sendable).await.ok()?);
                    }
                    (Deed::DetachRequests, link, _) => link.take()?.close().await.ok()?,
                    (Deed::DetachReplies, _, link) => link.take()?.close().await.ok()?,
                    // Of a link that is gone.
                    (_, None, _) | (_, _, None) => {}
                }
                done.send(()).ok();
            }
        }
    }
}

impl Call {
    async fn deed(&self, deed: Deed) {
        let (done, wait) = oneshot::channel();
        self.deeds.send((deed, done)).ok();
        // The connection may be gone.
        wait.await.ok();
    }

    pub(crate) fn property(&self, name: &str) -> Option<String> {
        let value = self.message.application_properties.as_ref()?.get(name)?.clone();
        text::of(&text::value(value)).map(str::to_owned)
    }

    pub(crate) fn properties(&self) -> &ApplicationProperties {
        self.message.application_properties.as_ref().unwrap()
    }

    pub(crate) fn reply_to(&self) -> Option<&str> {
        self.message.properties.as_ref()?.reply_to.as_deref()
    }

    pub(crate) fn id(&self) -> MessageId {
        self.message.properties.as_ref().unwrap().message_id.clone().unwrap()
    }

    /// The body as JSON.
    pub(crate) fn body(&self) -> Json {
        match &self.message.body {
            Body::Value(AmqpValue(value)) => json::of(value),
            other @ (Body::Data(_) | Body::Sequence(_) | Body::Empty) => panic!("{other:?}"),
        }
    }

    pub(crate) async fn accept(&self) {
        self.deed(Deed::Accept(self.info.clone())).await;
    }

    pub(crate) async fn release(self) {
        self.deed(Deed::Release(self.info.clone())).await;
    }

    pub(crate) async fn reject(self, error: Option<definitions::Error>) {
        self.deed(Deed::Reject(self.info.clone(), error)).await;
    }

    pub(crate) async fn modify(self, how: Modified) {
        self.deed(Deed::Modify(self.info.clone(), how)).await;
    }

    pub(crate) async fn credit(&self, credit: u32) {
        self.deed(Deed::Credit(credit)).await;
    }

    pub(crate) async fn detach_requests(&self) {
        self.deed(Deed::DetachRequests).await;
    }

    pub(crate) async fn detach_replies(&self) {
        self.deed(Deed::DetachReplies).await;
    }

    /// Ends the connection without a word.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }

    /// Has the connection take whatever comes, and say nothing more.
    pub(crate) fn mute(&self) {
        self.mute.cancel();
    }

    /// Takes the request and answers it.
    pub(crate) async fn answer(self, status: i32, body: Json) {
        self.accept().await;
        let id = self.id();
        self.reply(Some(id), status, "", body).await;
    }

    /// Takes the request and answers it, with a condition.
    pub(crate) async fn refuse(self, status: i32, condition: &str) {
        self.accept().await;
        let id = self.id();
        self.reply(Some(id), status, condition, Json::Null).await;
    }

    /// Sends a reply to whatever request.
    pub(crate) async fn reply(
        &self,
        id: Option<MessageId>,
        status: i32,
        condition: &str,
        body: Json,
    ) {
        let mut told = ApplicationProperties::default();
        told.insert("statusCode".to_owned(), SimpleValue::Int(status));
        told.insert("statusDescription".to_owned(), SimpleValue::String("as it is".to_owned()));
        if !condition.is_empty() {
            told.insert("errorCondition".to_owned(), SimpleValue::Symbol(condition.into()));
        }
        self.send(id, Some(told), Body::Value(AmqpValue(json::value(&body)))).await;
    }

    /// Sends a message over the link of replies.
    pub(crate) async fn send(
        &self,
        id: Option<MessageId>,
        properties: Option<ApplicationProperties>,
        body: Body<Value>,
    ) {
        let message = Message {
            header: None,
            delivery_annotations: None,
            message_annotations: None,
            properties: Some(Properties { correlation_id: id, ..Properties::default() }),
            application_properties: properties,
            body,
            footer: None,
        };
        self.deed(Deed::Send(Box::new(message))).await;
    }
}
