//! One call: what is sent, and what becomes of the answer.

use std::time::Duration;

use http::Request;
use opgate_egress::{Limits, Problem, Trust};
use tokio::net::TcpListener;

use super::support::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_request_arrives_as_it_was_made() {
    let mut server = Server::start(vec![vec![Act::Answer(OK)]]).await;
    let request = Request::post(server.url("/a%2Fb/%zz?x=%20&y=/?"))
        .header("X-One", "1")
        .header("x-more", "a")
        .header("x-more", "b")
        .body("body".into())
        .unwrap();
    let answer = client().send(Trust::Configured, request, LIMITS).await.unwrap();
    assert_eq!((answer.status().as_u16(), &**answer.body()), (200, &b"ok"[..]));
    let seen = server.request().await.text;
    let expected = format!(
        "POST /a%2Fb/%zz?x=%20&y=/? HTTP/1.1\r\nx-one: 1\r\nx-more: a\r\nx-more: b\r\nhost: {}\r\nuser-agent: opgate/{}\r\ncontent-length: 4\r\n\r\nbody",
        server.address,
        env!("CARGO_PKG_VERSION"),
    );
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
        lines[1..].sort();
        lines
    };
    assert_eq!(sorted(&seen), sorted(&expected));
}

#[tokio::test]
async fn a_request_cannot_frame_itself() {
    let mut server = Server::start(vec![vec![Act::Answer(OK)]]).await;
    let request = Request::post(server.url("/"))
        .header("host", "elsewhere")
        .header("connection", "close, x-one")
        .header("transfer-encoding", "chunked")
        .header("content-length", "0")
        .header("expect", "100-continue")
        .header("te", "trailers")
        .header("upgrade", "h2c")
        .header("keep-alive", "1")
        .header("trailer", "x")
        .header("user-agent", "me")
        .body("GET /hidden HTTP/1.1\r\n\r\n".into())
        .unwrap();
    client().send(Trust::Configured, request, LIMITS).await.unwrap();
    let seen = server.request().await.text;
    let (head, _) = seen.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.lines().collect();
    lines.sort_unstable();
    let host = format!("host: {}", server.address);
    assert_eq!(lines, ["POST / HTTP/1.1", "content-length: 24", &host, "user-agent: me"]);
}

#[tokio::test]
async fn an_empty_body_has_a_length_and_no_type() {
    let mut server = Server::start(vec![vec![Act::Answer(OK)]]).await;
    client().send(Trust::Configured, post(&server.url(""), ""), LIMITS).await.unwrap();
    let seen = server.request().await.text;
    assert!(seen.starts_with("POST / HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("content-length: 0") && !seen.contains("content-type"), "{seen}");
}

#[tokio::test]
async fn a_redirection_is_an_answer() {
    for status in [301, 302, 303, 307, 308] {
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let text = format!(
            "HTTP/1.1 {status} Go\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n",
            target.local_addr().unwrap()
        );
        let server = Server::start(vec![vec![Act::Answer(text.leak())]]).await;
        let answer = client().send(Trust::Configured, post(&server.url("/"), "x"), LIMITS).await;
        assert_eq!(answer.unwrap().status().as_u16(), status);
        // Nobody has connected: what would have is in the backlog by now.
        target.into_std().map(|target| assert!(target.accept().is_err())).unwrap();
    }
}

#[tokio::test]
async fn an_answer_has_its_limits() {
    let limits = Limits { reply_bytes: 4, ..LIMITS };
    let many = "HTTP/1.1 200 OK\r\n".to_owned() + &"x: y\r\n".repeat(200) + "\r\n";
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let cases: [(&str, bool); 7] = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", false),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            false,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nabcde", false),
        (&many, false),
        (&long, false),
    ];
    for (text, taken) in cases {
        let act = Act::AnswerAndClose(text.to_owned().leak());
        let server = Server::start(vec![vec![act]]).await;
        let answer = client().send(Trust::Configured, post(&server.url("/"), ""), limits).await;
        match answer {
            Ok(answer) => assert!(taken && answer.body() == "abcd", "{text}"),
            Err(problem) => {
                let within = matches!(&problem, Problem::Cut { status, problem }
                    if *status == 200 && matches!(**problem, Problem::TooLarge(_)));
                let expected = within || matches!(problem, Problem::TooLarge(_));
                assert!(!taken && expected && problem.sent(), "{problem:?} for {text}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_http_breaks_the_call_and_nothing_else() {
    for text in [
        "",
        "\0\0\0\0",
        "HTTP/1.1 999999 x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        "SSH-2.0-x\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/2 200\r\n\r\n",
    ] {
        let server = Server::start(vec![vec![Act::AnswerAndClose(text)]]).await;
        let answer = client().send(Trust::Configured, post(&server.url("/"), ""), LIMITS).await;
        let problem = answer.expect_err(text);
        let broken = matches!(problem, Problem::Broken(_) | Problem::Cut { .. });
        assert!(broken && problem.sent(), "{problem:?} for {text:?}");
    }
}

#[tokio::test]
async fn a_slow_answer_runs_out_of_time() {
    let total = Duration::from_millis(500);
    let limits = Limits { total, ..LIMITS };
    for begun in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"] {
        let mut server = Server::start(vec![vec![Act::Hold(begun)]]).await;
        let answer = client().send(Trust::Configured, post(&server.url("/"), ""), limits).await;
        let late = Problem::TimedOut { within: total, sent: true };
        let problem = answer.unwrap_err();
        if begun.ends_with("abc") {
            let problem = matches!(problem, Problem::Cut { problem, .. } if *problem == late);
            assert!(problem);
        } else {
            assert_eq!(problem, late);
        }
        // The connection is closed, not kept.
        assert_eq!(server.gone.recv().await, Some(0));
    }
}

#[tokio::test]
async fn nobody_there_is_told_from_nobody_answering() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    for url in [&*url, "http://no-such-name.invalid/"] {
        let problem = client().send(Trust::Configured, post(url, ""), LIMITS).await.unwrap_err();
        assert!(matches!(problem, Problem::Unreachable(_)) && !problem.sent(), "{problem:?}");
    }
    for url in ["/relative", "ftp://h/", "http://user:secret@127.0.0.1/"] {
        let problem = client().send(Trust::Configured, post(url, ""), LIMITS).await.unwrap_err();
        assert!(matches!(problem, Problem::Refused(_)), "{problem:?}");
        assert!(!problem.to_string().contains("secret"));
    }
}
