//! What the crate does without a fence. Where one of these fails, the crate has become better, and the fence may do less.

use std::process::{Command, Stdio};

use fe2o3_amqp_types::performatives::Performative;
use serde_amqp::Value;
use tokio::io::duplex;
use tokio::sync::mpsc;

use super::peer::{Peer, attach, begin, frame, nested, open, raw, serve};

/// The environment variable that makes a test its own victim.
const VICTIM: &str = "OPGATE_FENCE_VICTIM";

#[tokio::test]
async fn a_frame_of_five_bytes_makes_it_panic() {
    let (near, far) = duplex(4096);
    let (sender, _got) = mpsc::unbounded_channel();
    drop(tokio::spawn(serve(far, sender)));
    let mut peer = Peer(near);
    peer.open(&open()).await;
    peer.write(&[0, 0, 0, 5, 2]).await;
    // Cut without a word.
    assert!(peer.read().await.is_none());
}

#[tokio::test]
async fn the_second_link_of_a_pair_is_never_answered() {
    use fe2o3_amqp_types::definitions::Role;
    let (near, far) = duplex(4096);
    let (sender, _got) = mpsc::unbounded_channel();
    drop(tokio::spawn(serve(far, sender)));
    let mut peer = Peer(near);
    peer.open(&open()).await;
    peer.write(&frame(0, &begin(), &[])).await;
    peer.write(&frame(0, &attach("pair", 0, Role::Sender), &[])).await;
    peer.until(|frame| matches!(frame, Performative::Flow(_))).await;
    peer.write(&frame(0, &attach("pair", 1, Role::Receiver), &[])).await;
    let (_, next, _) = peer.read().await.unwrap();
    assert!(!matches!(next, Performative::Attach(_)), "{next:?}");
}

#[test]
fn nested_lists_overflow_its_stack() {
    if std::env::var_os(VICTIM).is_some() {
        drop(serde_amqp::from_reader::<Value>(&nested(100_000)[..]));
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fence::tests::bare::nested_lists_overflow_its_stack"])
        .env(VICTIM, "1")
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("overflowed its stack"));
}

#[test]
fn a_length_is_believed_before_the_bytes_are_there() {
    // 64 MiB here; the whole of 4 GiB could be asked for.
    let bomb = raw(0, &[0x00, 0xb3, 4, 0, 0, 0]);
    let before = resident();
    drop(serde_amqp::from_reader::<Performative>(&bomb[8..]));
    assert!(resident() >= before + 60 * 1024, "{before} KiB, then {} KiB", resident());
}

/// The most memory that the process ever had, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
