//! Operations over HTTP with JSON, beside the same over gRPC.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::client::Client;
use super::gateway::{ECHO, Gateway};

/// What came back on a connection.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Sends bytes as they are, and reads until the other side closes.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Refused halfway, the rest may not be taken any more.
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    answer
}

pub(crate) fn parsed(answer: &[u8]) -> Answer {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: answer[end + 4..].to_vec() }
}

/// One request without a body, on a connection of its own.
pub(crate) async fn ask(gateway: &Gateway, method: &str, target: &str) -> Answer {
    let head = format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    parsed(&exchange(gateway.address, head.as_bytes()).await)
}

/// The names of the operations on a page.
pub(crate) fn names(page: &Answer) -> Vec<String> {
    let page = page.json();
    let operations = page["operations"].as_array().cloned().unwrap_or_default();
    operations.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_type_that_nobody_knows_breaks_no_list() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let known = client.make("a", "nothing now").await.name;
    let unknown = client.make("a", "named acme.v1.Nobody").await.name;
    let expected = json!({
        "name": unknown,
        "done": true,
        "response": { "@type": "type.googleapis.com/acme.v1.Nobody", "value": "CAE=" },
    });
    assert_eq!(ask(&gateway, "GET", &format!("/v1/{unknown}")).await.json(), expected);
    let empty = json!({ "@type": "type.googleapis.com/google.protobuf.Empty" });
    let empty = json!({ "name": known, "done": true, "response": empty });
    let listed = ask(&gateway, "GET", "/v1/a/operations").await.json();
    assert_eq!(listed, json!({ "operations": [expected, empty] }));
    gateway.stop().await;
}

/// As Google's generated clients for Java say who they are over REST.
const GAX_JAVA: &str = "x-goog-api-client: gl-java/17.0.15 gapic/2.63.1 gax/2.63.1 rest/";

#[tokio::test]
async fn whose_reader_knows_no_details_is_given_none() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let name = client.make("a", "fail no such file").await.name;
    for target in [format!("/v1/{name}"), "/v1/a/operations".to_owned()] {
        let as_java =
            format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{GAX_JAVA}\r\n\r\n");
        let answers = [
            ask(&gateway, "GET", &target).await,
            parsed(&exchange(gateway.address, as_java.as_bytes()).await),
        ];
        let error = |answer: &Answer| {
            let shown = answer.json();
            let one =
                if shown["operations"].is_null() { shown } else { shown["operations"][0].clone() };
            one["error"].clone()
        };
        let [plain, bare] = answers.each_ref().map(error);
        let details = plain["details"].as_array().unwrap();
        assert_eq!(details[0]["reason"], "NOT_FOUND", "{plain}");
        assert_eq!(bare, json!({ "code": 5, "message": "no such file" }));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_result_without_a_declared_type_is_what_it_is_over_grpc() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let made = client.make("a", r#"json {"n":1}"#).await;
    let response = ask(&gateway, "GET", &format!("/v1/{}", made.name)).await.json();
    assert_eq!(
        response["response"],
        json!({
            "@type": "type.googleapis.com/google.api.HttpBody",
            "contentType": "application/json",
            "data": "eyJuIjoxfQ==",
        })
    );
    assert_eq!(response.get("metadata"), None, "none was declared");
    gateway.stop().await;
}

#[tokio::test]
async fn pages_stay_within_what_a_grpc_client_takes() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let mut names = Vec::new();
    for script in ["zeros 1400000", "zeros 1400000", "zeros 1400000", "zeros 4100000", "fail x"] {
        names.insert(0, client.make("a", script).await.name);
    }
    for query in ["", "&prettyPrint=false"] {
        let (mut found, mut token, mut sizes) = (Vec::new(), String::new(), Vec::new());
        loop {
            let target = format!("/v1/a/operations?pageToken={token}{query}");
            let page = ask(&gateway, "GET", &target).await;
            sizes.push(page.body.len());
            let operations = self::names(&page);
            assert!(sizes.last().unwrap() <= &(4 << 20) || operations.len() == 1);
            found.extend(operations);
            match page.json().get("nextPageToken") {
                Some(next) => token = next.as_str().unwrap().to_owned(),
                None => break,
            }
        }
        assert_eq!(found, names);
        assert_eq!(sizes.len(), 4, "{sizes:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn json_that_grows_gives_way_to_bytes() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let request = super::client::scripted(prost_types::Struct::default(), "a", "growing 600000");
    let started: super::client::Operation = client.call(ECHO, request).await.unwrap().into_inner();
    let name = started.name;
    let shown = ask(&gateway, "GET", &format!("/v1/{name}")).await;
    // Six hundred thousand bytes, each number on a line of its own, are less than the bound.
    assert!(shown.json()["response"]["@type"].as_str().unwrap().ends_with(".Struct"));
    assert!(shown.body.len() > 2_000_000 && shown.body.len() <= 6_200_000, "{}", shown.body.len());
    gateway.stop().await;
}

#[tokio::test]
async fn both_faces_see_the_same_changes() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let name = client.make("projects/p", "").await.name;
    let path = format!("/v1/{name}");
    assert_eq!(ask(&gateway, "GET", &path).await.json(), json!({ "name": name }));
    let canceled = ask(&gateway, "POST", &format!("{path}:cancel")).await;
    assert_eq!((canceled.status, &*canceled.body), (200, &b"{}"[..]));
    assert!(canceled.head.contains("\r\nopgate-durability: memory"), "{}", canceled.head);
    let waited = ask(&gateway, "GET", &format!("{path}:wait")).await.json();
    assert_eq!(waited["error"]["code"], 1);
    assert_eq!(client.get(&name).await.unwrap().error.unwrap().code, 1);
    assert_eq!(ask(&gateway, "DELETE", &path).await.status, 200);
    assert_eq!(ask(&gateway, "GET", &path).await.status, 404);
    assert!(client.get(&name).await.is_err());
    gateway.stop().await;
}

#[tokio::test]
async fn a_wait_is_answered_at_the_drain() {
    let gateway = Gateway::start().await;
    let client = Client::connect(gateway.address).await;
    let name = client.make("a", "").await.name;
    let address = gateway.address;
    let head = format!("GET /v1/{name}:wait HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let waiting = tokio::spawn(async move { exchange(address, head.as_bytes()).await });
    let metrics = gateway.exporter.metrics();
    while metrics.requests.in_flight(opgate_telemetry::Protocol::Http) == 0 {
        tokio::task::yield_now().await;
    }
    gateway.stop().await;
    let answer = parsed(&waiting.await.unwrap());
    assert_eq!((answer.status, answer.json()), (200, json!({ "name": name })));
}
