//! Who a peer is, and what it may do before that is known.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fe2o3_amqp_types::definitions::AmqpError;
use fe2o3_amqp_types::messaging::{AmqpValue, ApplicationProperties, Body, Message, Properties};
use fe2o3_amqp_types::primitives::{SimpleValue, Symbol};
use fe2o3_amqp_types::sasl::{SaslCode, SaslInit, SaslMechanisms, SaslOutcome};
use opgate_amqp::{Anonymous, Settings, User};
use opgate_bus::WorksOn;
use opgate_core::Tenant;
use ring::hmac;
use serde_amqp::Value;
use tokio::task::JoinSet;

use crate::raw::{Frame, Raw, SASL, begin, decode, frame, receiving, sending};
use crate::replies::request;
use crate::server::{Server, settings};

fn with_a_user() -> Settings {
    let user = User {
        password: Some("secret".into()),
        tenant: Tenant::new("acme").unwrap(),
        certificate_names: Vec::new(),
        works_on: WorksOn::Named(std::sync::Arc::new(["work".to_owned()].into())),
    };
    let mut settings = settings();
    settings.users.insert("ada".into(), user);
    settings
}

/// What is offered, and how that mechanism ended.
async fn sign_in(
    raw: &mut Raw,
    mechanism: &str,
    response: Option<&[u8]>,
) -> (Vec<String>, SaslCode) {
    raw.bytes(&SASL).await;
    let mut header = [0; 8];
    raw.read(&mut header).await;
    assert_eq!(header, SASL);
    let mechanisms: SaslMechanisms = decode(&raw.frame(1).await.1).0;
    let init = SaslInit {
        mechanism: Symbol::from(mechanism),
        initial_response: response.map(|response| response.to_vec().into()),
        hostname: Some("localhost".into()),
    };
    raw.bytes(&frame(1, 0, &init, &[])).await;
    let outcome: SaslOutcome = decode(&raw.frame(1).await.1).0;
    let mechanisms = mechanisms.sasl_server_mechanisms.0;
    (mechanisms.into_iter().map(|name| name.to_string()).collect(), outcome.code)
}

async fn session(raw: &mut Raw) {
    raw.open(|_| {}).await;
    raw.send(0, &begin(), &[]).await;
    let Frame::Begin(begun) = raw.next().await else { panic!("no Begin") };
    assert_eq!(begun.remote_channel, Some(0));
}

/// As whom a request is served.
async fn whoami(raw: &mut Raw) -> (SimpleValue, SimpleValue) {
    raw.attach(receiving(0, Some("$management"), None)).await;
    raw.credit(0, 0, 10).await;
    raw.sender(1, Some("$management")).await;
    raw.request(1, request(1.into(), None)).await;
    raw.disposition().await;
    let properties = raw.message().await.1.application_properties.unwrap();
    (properties.get("principal").unwrap().clone(), properties.get("tenant").unwrap().clone())
}

#[tokio::test]
async fn a_user_with_its_password_is_that_user() {
    let server = Server::with(with_a_user()).await;
    for response in [&b"\0ada\0secret"[..], b"ada\0ada\0secret"] {
        let mut raw = Raw::connect(&server).await;
        let (offered, code) = sign_in(&mut raw, "PLAIN", Some(response)).await;
        assert_eq!(offered, ["PLAIN", "ANONYMOUS", "MSSBCBS"]);
        assert_eq!(code, SaslCode::Ok);
        session(&mut raw).await;
        assert_eq!(whoami(&mut raw).await, ("ada".into(), "acme".into()));
    }
}

#[tokio::test]
async fn a_user_works_on_the_queues_that_are_its_own() {
    let mut settings = with_a_user();
    let ada = settings.users["ada"].clone();
    settings.users.insert("any".into(), User { works_on: WorksOn::All, ..ada.clone() });
    let none = WorksOn::nothing();
    settings.users.insert("none".into(), User { works_on: none, ..ada });
    let server = Server::with(settings).await;
    for (user, queue, refused) in [
        ("ada", "work", None),
        ("ada", "other", Some("UnauthorizedAccess")),
        ("none", "work", Some("UnauthorizedAccess")),
        ("any", "work", None),
        // Its own, but not there.
        ("any", "other", Some("NotFound")),
    ] {
        let mut raw = Raw::connect(&server).await;
        let response = format!("\0{user}\0secret");
        assert_eq!(sign_in(&mut raw, "PLAIN", Some(response.as_bytes())).await.1, SaslCode::Ok);
        session(&mut raw).await;
        let address = format!("queue/{queue}");
        let works = raw.attach(receiving(0, Some(&address), None)).await;
        assert_eq!(works.source.is_none(), refused.is_some(), "{user} on {queue}");
        let answer = format!("{:?}", raw.detach().await.error.map(|error| error.condition));
        assert!(answer.contains(refused.unwrap_or("None")), "{user} on {queue}: {answer}");
        let sends = raw.attach(sending(1, Some(&address))).await;
        assert_eq!(sends.target.is_none(), refused.is_some(), "{user} to {queue}");
    }
}

#[tokio::test]
async fn whoever_cannot_prove_it_is_told_so_and_closed() {
    let server = Server::with(with_a_user()).await;
    let mut attempts = JoinSet::new();
    for (mechanism, response) in [
        ("PLAIN", &b"\0ada\0wrong"[..]),
        ("PLAIN", b"\0ada\0"),
        ("PLAIN", b"\0nobody\0secret"),
        ("PLAIN", b"\0nobody\0"),
        ("PLAIN", b"root\0ada\0secret"),
        ("PLAIN", b"\0ada\0secret\0"),
        ("PLAIN", b""),
        ("EXTERNAL", b""),
        ("EXTERNAL", b"ada"),
        ("GSSAPI", b"x"),
        // More than a frame of SASL may have.
        ("PLAIN", &[b'x'; 5000]),
    ] {
        let mut raw = Raw::connect(&server).await;
        attempts.spawn(async move {
            let begun = Instant::now();
            let (_, code) = sign_in(&mut raw, mechanism, Some(response)).await;
            assert_eq!(code, SaslCode::Auth, "{mechanism} {response:?}");
            // Whatever is wrong, so that passwords cannot be tried quickly.
            assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
            assert!(raw.is_closed().await);
        });
    }
    while let Some(attempt) = attempts.join_next().await {
        attempt.unwrap();
    }
    // Nobody is locked out.
    let mut raw = Raw::connect(&server).await;
    assert_eq!(sign_in(&mut raw, "PLAIN", Some(b"\0ada\0secret")).await.1, SaslCode::Ok);
}

#[tokio::test]
async fn a_frame_that_is_none_or_too_large_is_told_its_outcome() {
    let server = Server::with(with_a_user()).await;
    for size in [7_u32, 4097, 9000, 1 << 20, u32::MAX] {
        let mut raw = Raw::connect(&server).await;
        raw.bytes(&SASL).await;
        let mut header = [0; 8];
        raw.read(&mut header).await;
        let _mechanisms: SaslMechanisms = decode(&raw.frame(1).await.1).0;
        let mut init = size.to_be_bytes().to_vec();
        init.extend_from_slice(&[2, 1, 0, 0]);
        let rest = usize::try_from(size).unwrap().saturating_sub(init.len()).min(100_000);
        init.resize(init.len() + rest, 0);
        raw.bytes(&init).await;
        let outcome: SaslOutcome = decode(&raw.frame(1).await.1).0;
        assert_eq!(outcome.code, SaslCode::Auth, "{size}");
        assert!(raw.is_closed().await);
    }
}

#[tokio::test]
async fn without_users_this_machine_needs_no_name() {
    let server = Server::start().await;
    for mechanism in ["ANONYMOUS", "MSSBCBS"] {
        let mut raw = Raw::connect(&server).await;
        let (offered, code) = sign_in(&mut raw, mechanism, None).await;
        assert_eq!(offered, ["ANONYMOUS", "MSSBCBS"]);
        assert_eq!(code, SaslCode::Ok);
        session(&mut raw).await;
        assert_eq!(whoami(&mut raw).await, ("anonymous".into(), "default".into()));
    }
    let mut off = settings();
    off.anonymous = Anonymous::Off;
    let server = Server::with(off).await;
    let mut raw = Raw::connect(&server).await;
    assert_eq!(sign_in(&mut raw, "ANONYMOUS", None).await.1, SaslCode::Auth);
    assert!(raw.is_closed().await);
}

#[tokio::test]
async fn users_can_be_replaced() {
    let server = Server::start().await;
    let Settings { anonymous, users, .. } = with_a_user();
    server.users.replace(anonymous, users);
    let mut raw = Raw::connect(&server).await;
    assert_eq!(sign_in(&mut raw, "PLAIN", Some(b"\0ada\0secret")).await.1, SaslCode::Ok);
}

/// Somebody with a session.
async fn signed_in(server: &Server, response: &[u8]) -> Raw {
    let mut raw = Raw::connect(server).await;
    assert_eq!(sign_in(&mut raw, "PLAIN", Some(response)).await.1, SaslCode::Ok);
    session(&mut raw).await;
    raw
}

#[tokio::test]
async fn a_user_that_is_gone_is_closed_and_one_with_another_password_stays() {
    let Settings { anonymous, mut users, .. } = with_a_user();
    let [ada, mut bob] = [users["ada"].clone(), users["ada"].clone()];
    users.insert("bob".into(), bob.clone());
    let mut both = settings();
    both.users = users.clone();
    let server = Server::with(both).await;
    let mut hers = signed_in(&server, b"\0ada\0secret").await;
    let mut his = signed_in(&server, b"\0bob\0secret").await;

    users.insert("ada".into(), User { password: Some("another".into()), ..ada });
    server.users.replace(anonymous, users.clone());
    let mut late = signed_in(&server, b"\0ada\0another").await;
    assert_eq!(whoami(&mut late).await, ("ada".into(), "acme".into()));
    assert_eq!(whoami(&mut hers).await, ("ada".into(), "acme".into()));
    let mut raw = Raw::connect(&server).await;
    assert_eq!(sign_in(&mut raw, "PLAIN", Some(b"\0ada\0secret")).await.1, SaslCode::Auth);

    users.remove("ada");
    server.users.replace(anonymous, users.clone());
    for mut gone in [hers, late] {
        assert_eq!(gone.closed().await, AmqpError::UnauthorizedAccess.into());
    }
    assert_eq!(whoami(&mut his).await, ("bob".into(), "acme".into()));

    bob.tenant = Tenant::new("other").unwrap();
    users.insert("bob".into(), bob);
    server.users.replace(anonymous, users);
    assert_eq!(his.closed().await, AmqpError::UnauthorizedAccess.into());
}

#[tokio::test]
async fn whoever_came_without_a_name_is_closed_where_that_is_no_longer_enough() {
    let server = Server::start().await;
    let mut nobody = Raw::begin(&server).await;
    let Settings { users, .. } = with_a_user();
    server.users.replace(Anonymous::Loopback, users.clone());
    assert_eq!(whoami(&mut nobody).await, ("anonymous".into(), "default".into()));
    server.users.replace(Anonymous::Auto, users);
    assert_eq!(nobody.closed().await, AmqpError::UnauthorizedAccess.into());
}

#[tokio::test]
async fn other_headers_are_answered_with_what_is_spoken_here() {
    let server = Server::with(with_a_user()).await;
    for header in
        [*b"AMQP\x00\x01\x00\x00", *b"AMQP\x02\x01\x00\x00", *b"AMQP\x00\x00\x09\x01", *b"GET / HT"]
    {
        let mut raw = Raw::connect(&server).await;
        raw.bytes(&header).await;
        let mut answer = [0; 8];
        raw.read(&mut answer).await;
        assert_eq!(answer, SASL);
        assert!(raw.is_closed().await);
    }
}

#[tokio::test]
async fn whoever_says_nothing_is_cut_in_time() {
    let mut hasty = settings();
    hasty.limits.handshake_timeout = Duration::from_millis(50);
    let server = Server::with(hasty).await;
    for begun in [&b""[..], b"AMQP", &SASL, b"AMQP\x00\x01\x00\x00"] {
        let mut raw = Raw::connect(&server).await;
        raw.bytes(begun).await;
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut raw.stream, &mut rest).await.unwrap_or_default();
    }
}

fn token(name: &str, key: &str, resource: &str, expiry: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let signature = hmac::sign(&key, format!("{resource}\n{expiry}").as_bytes());
    let signature = BASE64_STANDARD.encode(signature).replace('+', "%2B").replace('/', "%2F");
    let signature = signature.replace('=', "%3D");
    format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={name}")
}

fn put_token(token: &str) -> Message<Body<Value>> {
    Message::builder()
        .properties(Properties { message_id: Some(0.into()), ..Properties::default() })
        .application_properties(
            ApplicationProperties::builder()
                .insert("operation", "put-token")
                .insert("type", "servicebus.windows.net:sastoken")
                .insert("name", "amqp://localhost/q")
                .build(),
        )
        .body(Body::Value(AmqpValue(Value::from(token))))
        .build()
}

#[tokio::test]
async fn a_token_makes_somebody_of_whoever_came_without_a_name() {
    let server = Server::with(with_a_user()).await;
    let mut raw = Raw::connect(&server).await;
    assert_eq!(sign_in(&mut raw, "ANONYMOUS", None).await.1, SaslCode::Ok);
    session(&mut raw).await;
    // Nothing is open before.
    raw.attach(sending(9, Some("$management"))).await;
    let refused = raw.detach().await;
    assert!(format!("{:?}", refused.error.unwrap().condition).contains("UnauthorizedAccess"));
    raw.send(
        0,
        &fe2o3_amqp_types::performatives::Detach { handle: 9.into(), closed: true, error: None },
        &[],
    )
    .await;

    raw.attach(receiving(2, Some("$cbs"), None)).await;
    raw.credit(2, 0, 100).await;
    let tokens = raw.attach(sending(3, Some("$cbs"))).await;
    let Frame::Flow(given) = raw.next().await else { panic!("no credit") };
    assert_eq!(given.link_credit, Some(8));
    assert_eq!(tokens.max_message_size, Some(16 << 10));
    // It needs no third.
    raw.attach(receiving(4, Some("$cbs"), None)).await;
    let refused = raw.detach().await;
    assert!(format!("{:?}", refused.error.unwrap().condition).contains("ResourceLimitExceeded"));
    let detach =
        fe2o3_amqp_types::performatives::Detach { handle: 4.into(), closed: true, error: None };
    raw.send(0, &detach, &[]).await;
    let resource = "sb%3a%2f%2flocalhost%2fq";
    let right = token("ada", "secret", resource, "99999999999");
    for (token, status) in [("x".repeat(10_000), 400), (right, 202)] {
        raw.request(3, put_token(&token)).await;
        raw.disposition().await;
        let properties = raw.message().await.1.application_properties.unwrap();
        assert_eq!(properties.get("status-code"), Some(&status.into()), "{token}");
        assert_eq!(properties.get("statusCode"), Some(&status.into()), "{token}");
    }
    assert_eq!(whoami(&mut raw).await, ("ada".into(), "acme".into()));
}

#[tokio::test]
async fn a_token_that_is_not_valid_is_refused_and_the_next_one_waits() {
    let server = Server::with(with_a_user()).await;
    let resource = "sb%3a%2f%2flocalhost%2fq";
    let mut attempts = JoinSet::new();
    for bad in [
        token("ada", "another", resource, "99999999999"),
        token("bob", "secret", resource, "99999999999"),
        token("bob", "", resource, "99999999999"),
        token("ada", "secret", resource, "1000000000"),
        token("ada", "secret", resource, "soon"),
        "SharedAccessSignature sr=x".to_owned(),
        "SharedAccessSignature ".to_owned(),
    ] {
        let mut raw = Raw::connect(&server).await;
        attempts.spawn(async move {
            assert_eq!(sign_in(&mut raw, "ANONYMOUS", None).await.1, SaslCode::Ok);
            session(&mut raw).await;
            raw.attach(receiving(2, Some("$cbs"), None)).await;
            raw.credit(2, 0, 100).await;
            raw.sender(3, Some("$cbs")).await;
            let begun = Instant::now();
            // The right one at once behind the wrong one.
            let right = token("ada", "secret", resource, "99999999999");
            for token in [&bad, &right] {
                raw.request(3, put_token(token)).await;
                raw.disposition().await;
            }
            for status in [401, 202] {
                let properties = raw.message().await.1.application_properties.unwrap();
                assert_eq!(properties.get("status-code"), Some(&status.into()), "{bad}");
            }
            assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
        });
    }
    while let Some(attempt) = attempts.join_next().await {
        attempt.unwrap();
    }
}

#[tokio::test]
async fn whoever_puts_no_token_in_time_is_closed_with_the_reason() {
    let mut hasty = with_a_user();
    hasty.limits.handshake_timeout = Duration::from_secs(1);
    let server = Server::with(hasty).await;
    let mut raw = Raw::connect(&server).await;
    assert_eq!(sign_in(&mut raw, "MSSBCBS", None).await.1, SaslCode::Ok);
    session(&mut raw).await;
    let Frame::Close(close) = raw.next().await else { panic!("no Close") };
    assert!(format!("{:?}", close.error.unwrap().condition).contains("UnauthorizedAccess"));
}

#[tokio::test]
async fn a_token_that_proves_nothing_takes_nothing_from_whoever_may_be_here() {
    let server = Server::start().await;
    let mut raw = Raw::begin(&server).await;
    raw.attach(receiving(2, Some("$cbs"), None)).await;
    raw.credit(2, 0, 100).await;
    raw.sender(3, Some("$cbs")).await;
    // As clients sign for an emulator.
    raw.request(3, put_token(&token("any", "any", "sb%3a%2f%2flocalhost", "99999999999"))).await;
    raw.disposition().await;
    let properties = raw.message().await.1.application_properties.unwrap();
    assert_eq!(properties.get("status-code"), Some(&202.into()));
    assert_eq!(whoami(&mut raw).await, ("anonymous".into(), "default".into()));
    // What is no token is told so.
    raw.request(3, put_token(&"x".repeat(10_000))).await;
    raw.disposition().await;
    let properties = raw.message().await.1.application_properties.unwrap();
    assert_eq!(properties.get("status-code"), Some(&400.into()));
}

/// A token of that user which expires in so many seconds.
fn lasting(name: &str, seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let expiry = now.checked_add_signed(seconds).unwrap();
    token(name, "secret", "sb%3a%2f%2flocalhost%2fq", &expiry.to_string())
}

/// Somebody with links to `$cbs`.
async fn with_cbs(server: &Server, mechanism: &str, response: Option<&[u8]>) -> Raw {
    let mut raw = Raw::connect(server).await;
    assert_eq!(sign_in(&mut raw, mechanism, response).await.1, SaslCode::Ok);
    session(&mut raw).await;
    raw.attach(receiving(2, Some("$cbs"), None)).await;
    raw.credit(2, 0, 100).await;
    raw.sender(3, Some("$cbs")).await;
    raw
}

/// The status that a token is answered with.
async fn put(raw: &mut Raw, token: &str) -> SimpleValue {
    raw.request(3, put_token(token)).await;
    raw.disposition().await;
    let properties = raw.message().await.1.application_properties.unwrap();
    properties.get("status-code").unwrap().clone()
}

fn with_two_users() -> Settings {
    let mut settings = with_a_user();
    let user = settings.users["ada"].clone();
    settings.users.insert("bob".into(), user);
    settings
}

#[tokio::test]
async fn what_is_no_proof_is_refused_where_one_is_needed() {
    let server = Server::with(with_two_users()).await;
    let ada = ("ada".into(), "acme".into());
    // Of nobody yet.
    let mut raw = with_cbs(&server, "MSSBCBS", None).await;
    for nothing in ["garbage", "eyJhbGciOiJub25lIn0.e30."] {
        assert_eq!(put(&mut raw, nothing).await, 401.into(), "{nothing}");
    }
    assert_eq!(put(&mut raw, &lasting("ada", 600)).await, 202.into());
    assert_eq!(put(&mut raw, &lasting("ada", 900)).await, 202.into());
    // Of somebody, by a token or by a password.
    let known = with_cbs(&server, "PLAIN", Some(b"\0ada\0secret")).await;
    for mut raw in [raw, known] {
        assert_eq!(put(&mut raw, "garbage").await, 401.into());
        assert_eq!(put(&mut raw, &lasting("ada", -5)).await, 401.into());
        assert_eq!(put(&mut raw, &lasting("bob", 600)).await, 403.into());
        assert_eq!(put(&mut raw, &lasting("ada", 600)).await, 202.into());
        assert_eq!(whoami(&mut raw).await, ada);
    }
}

#[tokio::test]
async fn who_is_somebody_by_tokens_is_closed_with_the_last_of_them() {
    let mut settings = with_a_user();
    settings.anonymous = Anonymous::Loopback;
    let server = Server::with(settings).await;
    let soon = lasting("ada", 5);
    let mut stay = Vec::new();
    for tokens in [[&soon, &lasting("ada", 600)], [&lasting("ada", 600), &soon]] {
        let mut renewed = with_cbs(&server, "ANONYMOUS", None).await;
        for token in tokens {
            assert_eq!(put(&mut renewed, token).await, 202.into());
        }
        stay.push(renewed);
    }
    let mut known = with_cbs(&server, "PLAIN", Some(b"\0ada\0secret")).await;
    assert_eq!(put(&mut known, &soon).await, 202.into());
    stay.push(known);
    let mut ends = with_cbs(&server, "ANONYMOUS", None).await;
    assert_eq!(put(&mut ends, &soon).await, 202.into());
    assert_eq!(whoami(&mut ends).await, ("ada".into(), "acme".into()));
    let close = loop {
        if let Frame::Close(close) = ends.next().await {
            break close;
        }
    };
    assert!(format!("{:?}", close.error.unwrap().condition).contains("UnauthorizedAccess"));
    for mut stays in stay {
        assert_eq!(whoami(&mut stays).await, ("ada".into(), "acme".into()));
    }
}
