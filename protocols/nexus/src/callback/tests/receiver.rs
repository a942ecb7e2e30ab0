//! With a real receiver.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A receiver that answers one request, and what it read.
async fn receive(listener: TcpListener, answer: &'static str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            stream.write_all(answer.as_bytes()).await.unwrap();
            return text;
        }
    }
}

fn callbacks(networks: &[&str], timeout: Duration) -> Callbacks {
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    let guard = Guard::new(vec!["*".parse().unwrap()], true, networks);
    let client = Client::new(&opgate_egress::Settings::default()).unwrap();
    Callbacks::new(client, Settings { guard, timeout, receivers: Vec::new() })
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_receiver_is_told_at_exactly_its_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = "HTTP/1.1 204 No Content\r\n\r\n";
    let received = tokio::spawn(receive(listener, answer));
    let url = format!("http://{address}/cb/%2F%zz?x=%20&y=a+b");
    let operation = ended(Outcome::Succeeded(None), Callback::new(url, vec![header("Token", "t")]));
    let sender = callbacks(&["127.0.0.0/8"], LONG);
    assert_eq!(*sender.destination(&operation.callbacks[0]), format!("http://{address}"));
    assert_eq!(sender.notify(notice(operation)).await, Told::Taken);
    let text = received.await.unwrap();
    assert!(text.starts_with("POST /cb/%2F%zz?x=%20&y=a+b HTTP/1.1\r\n"), "{text}");
    for line in ["token: t", "content-length: 0", "nexus-operation-state: succeeded"] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    assert!(!text.contains("content-type") && text.contains("\r\nuser-agent: opgate/"), "{text}");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_receivers_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 22\r\n\r\n{\"message\":\"was over\"}";
    let received = tokio::spawn(receive(listener, answer));
    let sender = callbacks(&["127.0.0.0/8"], LONG);
    let told = sender.notify(notice(ended(json("1"), Callback::new(url, vec![])))).await;
    assert_eq!(told, Told::Gone { problem: "answered 404: was over".to_owned() });
    received.await.unwrap();
}

#[tokio::test]
async fn nobody_and_nothing_are_tried_again_and_what_is_not_allowed_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let told = |networks: &'static [&'static str], timeout| {
        let callback = Callback::new(&*url, vec![]);
        callbacks(networks, timeout).notify(notice(ended(json("1"), callback)))
    };
    let refused = told(&[], LONG).await;
    assert!(
        matches!(&refused, Told::Refused { problem } if problem.contains("loopback")),
        "{refused:?}"
    );
    // It listens, and never answers.
    let late = told(&["127.0.0.0/8"], Duration::from_millis(20)).await;
    assert!(
        matches!(&late, Told::Later { problem, after: None } if problem.contains("20ms")),
        "{late:?}"
    );
    drop(listener);
    let nobody = told(&["127.0.0.0/8"], LONG).await;
    assert!(matches!(nobody, Told::Later { .. }), "{nobody:?}");
    assert!(
        TcpStream::connect(url.trim_start_matches("http://").trim_end_matches('/')).await.is_err()
    );
}
