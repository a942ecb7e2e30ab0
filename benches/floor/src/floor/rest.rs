//! Bare hyper, HTTP/1.1 and HTTP/2 on one port, answering constant JSON.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;

pub(crate) async fn serve(listener: TcpListener, size: u32) -> anyhow::Result<()> {
    let padding = "x".repeat(usize::try_from(size)?.saturating_sub(r#"{"name":""}"#.len()));
    let body = Bytes::from(format!(r#"{{"name":"{padding}"}}"#));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let body = body.clone();
        let service = service_fn(move |_: Request<Incoming>| {
            let mut response = Response::new(Full::new(body.clone()));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            async { Ok::<_, Infallible>(response) }
        });
        // A broken connection is the client's affair: the generator counts it.
        drop(tokio::spawn(async move {
            Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
        }));
    }
}
