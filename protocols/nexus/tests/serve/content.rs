//! Content passes byte for byte, with its type and no other header.

use crate::gateway::{Gateway, send};

#[tokio::test]
async fn content_of_any_type_comes_back_as_it_was_sent() {
    let (gateway, _dir) = Gateway::start().await;
    let shapes: [(Option<&str>, &[u8]); 9] = [
        (None, b""),
        (None, b"\0untyped\xff"),
        (Some("application/json"), b"{\"n\": 1e400, \"a\":1, \"a\": 2}"),
        (Some("application/json"), b""),
        (Some("application/json; charset=utf-8"), b"1"),
        (Some("application/json; format=protobuf; message-type=\"a.B\""), b"{}"),
        (Some("application/x-protobuf; message-type=\"a.B\""), b"\x98\x06\x01"),
        (Some("application/octet-stream"), b"\0\x01"),
        (Some("text/plain; charset=iso-8859-1"), b"\xe9"),
    ];
    for (media_type, body) in shapes {
        let headers: Vec<_> = media_type.iter().map(|media| ("content-type", *media)).collect();
        let reply = send(gateway.address, "POST", "/nexus/s/echo", &headers, body).await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (200, body), "{media_type:?}");
        assert_eq!(reply.header("content-type"), media_type);
        let content = reply.headers.keys().filter(|name| name.as_str().starts_with("content-"));
        let expected = 1 + usize::from(media_type.is_some());
        assert_eq!(content.count(), expected, "{:?}", reply.headers);
    }
    gateway.stop().await;
}
