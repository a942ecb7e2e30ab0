//! Peers that mean no good, against the daemon itself: each costs its own connection, and nobody anything else.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::raw::{
    Frames, NULL, Role, attach, begin, flow, frame, list, message, open, transfer, uint,
};
use crate::process::{Daemon, Launch, PATIENCE};

const HEADER: [u8; 8] = *b"AMQP\x00\x01\x00\x00";

/// An open connection with a session.
fn session(daemon: &Daemon) -> Frames {
    let mut frames = Frames::connect(daemon.amqp);
    frames.write(&[&HEADER[..], &open("peer"), &begin(0)].concat());
    frames.read_header();
    assert_eq!(frames.read().unwrap().code(), 0x10);
    assert_eq!(frames.read().unwrap().code(), 0x11);
    frames
}

/// Somebody who has nothing to do with it: begins and ends another session.
fn unharmed(bystander: &mut Frames) {
    bystander.write(&begin(1));
    bystander.until(0x11);
    bystander.write(&frame(1, &[0x00, 0x53, 0x17, 0x45]));
    bystander.until(0x17);
}

/// A number of the process, in KiB.
fn memory(daemon: &Daemon, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Lists in each other.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = vec![0x45];
    for _ in 0..depth {
        let size = u32::try_from(bytes.len() + 4).unwrap().to_be_bytes();
        bytes.splice(0..0, [&[0xd0], &size[..], &[0, 0, 0, 1]].concat());
    }
    bytes
}

#[test]
fn what_harms_ends_its_own_connection_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let mut bystander = session(&daemon);
    let before = memory(&daemon, "VmHWM:");
    let deep = |code: u8, depth: usize| [&[0x00, 0x53, code][..], &nested(depth)].concat();
    let many_frames = [begin(1), attach(1, "many", 0, Role::Sender)].concat();
    let pieces = deep(0x77, 20_000);
    let pieces = pieces.chunks(30_000).flat_map(|piece| transfer(1, 0, true, piece));
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("a frame of four bytes", vec![0, 0, 0, 4], "amqp:connection:framing-error"),
        ("a frame of seven bytes", vec![0, 0, 0, 7, 2, 0, 0], "amqp:connection:framing-error"),
        ("a frame of two gigabytes", vec![0x7f, 0xff, 0xff, 0xff], "amqp:connection:framing-error"),
        (
            "a descriptor of three gigabytes",
            frame(0, &[0x00, 0xb3, 0xc0, 0, 0, 0, b'a']),
            "amqp:decode-error",
        ),
        ("lists in a begin frame", frame(2, &deep(0x11, 6_000)), "amqp:decode-error"),
        ("lists in an attach frame", frame(0, &deep(0x12, 6_000)), "amqp:decode-error"),
        (
            "lists in a message of many frames",
            many_frames.into_iter().chain(pieces).collect(),
            "amqp:decode-error",
        ),
        (
            "a disposition of four billion deliveries",
            frame(
                0,
                &[0x00, 0x53, 0x15, 0xc0, 9, 4, 0x41, 0x43, 0x70, 0xff, 0xff, 0xff, 0xfe, 0x41],
            ),
            "amqp:resource-limit-exceeded",
        ),
        ("a channel above channel-max", begin(999), "amqp:connection:framing-error"),
    ];
    for (name, bytes, condition) in cases {
        let mut hostile = session(&daemon);
        hostile.write(&bytes);
        let last = hostile.last().unwrap_or_else(|| panic!("{name}: a mute cut"));
        assert_eq!(last.code(), 0x18, "{name}");
        let said = String::from_utf8_lossy(last.body());
        assert!(said.contains(condition), "{name}: {said}");
        unharmed(&mut bystander);
    }
    let after = memory(&daemon, "VmHWM:");
    assert!(after < before + 64 * 1024, "{before} KiB before, {after} KiB after");
}

/// A binary of these bytes, with a length of four.
fn binary(bytes: &[u8]) -> Vec<u8> {
    [&[0xb0][..], &u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// As the crate writes enumerations, a list of two: `first`, and a binary at whose end another performative, `fake`,
/// seems to begin for whoever takes the list's head for a descriptor.
fn disguised(first: &[u8], body: &[u8], fake: &[u8]) -> Vec<u8> {
    let size = 0x8000_usize;
    let mut content = body.to_vec();
    content.resize(size - 4 - first.len() - 5 - 8, 0);
    content.extend([0, 0, 0, 0, 0, 0, 0, 0x14]);
    let head = [&[0xd0][..], &u32::try_from(size).unwrap().to_be_bytes(), &[0, 0, 0, 2]].concat();
    [&head, first, &binary(&content), fake].concat()
}

#[test]
fn a_frame_is_not_one_thing_to_the_fence_and_another_to_what_is_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let mut bystander = session(&daemon);
    let null = || NULL.to_vec();
    // Ten thousand lists in each other, where only a binary was walked over.
    let deep = [0xc0, 0xff, 0x01].repeat(10_000);
    let zero = uint(0);
    let begun = list(0x14, &[&zero, &zero, &[0xa0, 1, 0], &zero, &[0x41], &[0x41]]);
    // A list of two: a binary of the five bytes that begin another binary, and what comes then.
    let opens = |size: u32| {
        [&[0x00, 0x53, 0x77, 0xd0][..], &size.to_be_bytes(), &[0, 0, 0, 2, 0xa0, 5]].concat()
    };
    let rest = |more: Vec<Vec<u8>>| {
        let first = vec![zero.clone(), null(), null(), null(), vec![0x41], vec![0x42]];
        let fields = [first, more].concat();
        list(0x14, &fields.iter().map(Vec::as_slice).collect::<Vec<_>>())
    };
    let surplus = rest(vec![null(), null(), null(), null(), null(), binary(&deep)]);
    let state = rest(vec![null(), list(0x24, &[&binary(&deep)])]);
    let end = [0, 0, 0, 0, 0, 0x45];
    // A transfer on a handle that is there, of nothing.
    let fake = [0xc0, 10, 6, 0x52, 0, 0x43, 0xa0, 1, 0, 0x43, 0x41, 0x42];
    let disposition = list(0x15, &[&[0x41], &zero, &uint(1_000_000_000), &[0x41]]);
    let cases: [(&str, Vec<Vec<u8>>); 4] = [
        (
            "a transfer of twelve fields",
            vec![[&begun[..], &opens(12)].concat(), [&surplus[..], &end].concat()],
        ),
        (
            "a transfer whose state has a field",
            vec![[&begun[..], &opens(12)].concat(), [&state[..], &end].concat()],
        ),
        (
            "a transfer in a list of two",
            vec![
                [&begun[..], &opens(0x1_0000)].concat(),
                disguised(&rest(Vec::new()), &deep, &fake),
            ],
        ),
        ("a disposition in a list of two", vec![disguised(&disposition, &[], &fake)]),
    ];
    for (name, bodies) in cases {
        let mut hostile = session(&daemon);
        hostile.write(&attach(0, "requests", 0, Role::Sender));
        hostile.until(0x13);
        for body in bodies {
            hostile.write(&frame(0, &body));
        }
        let last = hostile.last().unwrap_or_else(|| panic!("{name}: a mute cut"));
        assert_eq!(last.code(), 0x18, "{name}");
        let said = String::from_utf8_lossy(last.body());
        assert!(said.contains("amqp:decode-error"), "{name}: {said}");
        unharmed(&mut bystander);
    }
}

#[test]
fn as_many_links_as_there_may_be_are_answered_though_they_come_in_one_breath() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let mut frames = session(&daemon);
    let links = (0..1_000).map(|handle| {
        let role = if handle % 2 == 0 { Role::Sender } else { Role::Receiver };
        attach(0, &format!("link-{handle}"), handle, role)
    });
    frames.write(&links.collect::<Vec<_>>().concat());
    for _ in 0..1_000 {
        frames.until(0x12);
    }
    unharmed(&mut frames);
}

#[test]
fn who_asks_a_thousand_times_for_an_answer_in_one_breath_gets_a_thousand() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let mut frames = session(&daemon);
    frames.write(&attach(0, "replies", 0, Role::Receiver));
    frames.until(0x12);
    let zero = uint(0);
    let fields: [&[u8]; 10] =
        [&zero, &uint(2048), &zero, &uint(2048), &zero, &zero, &zero, NULL, &[0x42], &[0x41]];
    let echo = frame(0, &list(0x13, &fields));
    frames.write(&echo.repeat(5_000));
    for _ in 0..5_000 {
        frames.until(0x13);
    }
    unharmed(&mut frames);
}

#[test]
fn links_with_much_to_say_of_themselves_cost_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let mut bystander = session(&daemon);
    let before = memory(&daemon, "VmRSS:");
    let mut hostile = session(&daemon);
    let filter = |nulls: usize| {
        let nulls = list(0x01, &vec![NULL; nulls]);
        let entry = [&[0xa3, 1, b'f'][..], &nulls].concat();
        let size = u32::try_from(entry.len() + 4).unwrap().to_be_bytes();
        [&[0xd1][..], &size, &[0, 0, 0, 2], &entry].concat()
    };
    let with = |handle: u32, filter: &[u8]| {
        let node = [0xa1, 4, b'$', b'c', b'b', b's'];
        let source = list(0x28, &[&node, NULL, NULL, NULL, NULL, NULL, NULL, filter]);
        let target = list(0x29, &[&node]);
        let name = [&[0xa1, 4][..], format!("{handle:04}").as_bytes()].concat();
        let fields: [&[u8]; 10] =
            [&name, &uint(handle), &[0x42], NULL, NULL, &source, &target, NULL, NULL, &uint(0)];
        frame(0, &list(0x12, &fields))
    };
    let some = filter(900);
    for handle in 0..100 {
        hostile.write(&with(handle, &some));
        hostile.until(0x12);
    }
    unharmed(&mut bystander);
    let after = memory(&daemon, "VmRSS:");
    assert!(after < before + 32 * 1024, "{before} KiB before, {after} KiB after");
    // More values than any link has a use for.
    hostile.write(&with(100, &filter(2_000)));
    assert_eq!(hostile.last().map(|last| last.code()), Some(0x18));
    unharmed(&mut bystander);
}

#[test]
fn bombs_before_the_first_frame_is_answered_cost_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let mut bystander = session(&daemon);
    let before = memory(&daemon, "VmHWM:");
    let bomb = [0x00, 0xb3, 0xff, 0xff, 0xff, 0xf0, b'a'];
    let mut sasl = frame(0, &bomb);
    sasl[5] = 1;
    for _ in 0..50 {
        for (header, frame) in [(HEADER, frame(0, &bomb)), (*b"AMQP\x03\x01\x00\x00", sasl.clone())]
        {
            let mut hostile = Frames::connect(daemon.amqp);
            hostile.write(&[&header[..], &frame].concat());
            hostile.read_to_end();
        }
    }
    unharmed(&mut bystander);
    let after = memory(&daemon, "VmHWM:");
    assert!(after < before + 64 * 1024, "{before} KiB before, {after} KiB after");
}

#[test]
fn handshakes_that_never_end_are_ended() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).set("amqp.handshake_timeout=5s").start();
    let mut bystander = session(&daemon);
    let stages: [&[u8]; 5] = [
        b"",
        b"AMQ",
        &HEADER,
        b"AMQP\x03\x01\x00\x00",
        b"AMQP\x00\x01\x00\x00\x00\x00\x00\x20\x02",
    ];
    let mut waiting: Vec<Frames> = (0..200)
        .map(|number| {
            let mut frames = Frames::connect(daemon.amqp);
            frames.write(stages[number % stages.len()]);
            frames
        })
        .collect();
    unharmed(&mut bystander);
    // None of them waits for more than a moment beyond the time it has.
    for frames in &mut waiting {
        frames.read_to_end();
    }
    unharmed(&mut bystander);
}

#[test]
fn links_without_end_are_not_to_be_had() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let mut bystander = session(&daemon);
    let before = memory(&daemon, "VmRSS:");
    let mut hostile = session(&daemon);
    let mut sent = 0;
    'sending: for channel in 1..60 {
        let mut bytes = begin(channel);
        for handle in 0..200 {
            let mut name = String::new();
            write!(name, "link-{channel}-{handle}").unwrap();
            bytes.extend(attach(channel, &name, handle, Role::Sender));
            sent += 1;
        }
        if hostile.try_write(&bytes).is_err() {
            break 'sending;
        }
    }
    let last = hostile.last();
    assert!(sent > 1_024, "{sent} links");
    assert!(last.is_none_or(|last| last.code() == 0x18));
    unharmed(&mut bystander);
    let after = memory(&daemon, "VmRSS:");
    assert!(after < before + 256 * 1024, "{before} KiB before, {after} KiB after");
}

#[test]
fn a_peer_that_never_reads_does_not_make_memory_grow() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let mut bystander = session(&daemon);
    let before = memory(&daemon, "VmRSS:");
    let mut hostile = session(&daemon);
    hostile.write(&attach(0, "requests", 0, Role::Sender));
    hostile.until(0x13);
    hostile.write(&[attach(0, "replies", 1, Role::Receiver), flow(0, 1, 1_000_000)].concat());
    hostile.until(0x12);
    let stream: &mut TcpStream = hostile.stream();
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let request = message("GET-MGMT-NODES", "org.amqp.management", &"x".repeat(4_000));
    let mut refused = None;
    for id in 0..20_000 {
        if let Err(error) = stream.write_all(&transfer(0, id, false, &request)) {
            refused = Some(error.kind());
            break;
        }
    }
    // It was cut, or is not read from any more.
    let kinds = [ErrorKind::WouldBlock, ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
    assert!(refused.is_some_and(|kind| kinds.contains(&kind)), "{refused:?}");
    unharmed(&mut bystander);
    let after = memory(&daemon, "VmRSS:");
    assert!(after < before + 128 * 1024, "{before} KiB before, {after} KiB after");
}

#[test]
fn noise_of_any_kind_is_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start();
    let mut bystander = session(&daemon);
    // A small generator: the same noise each time.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut noise = move |length: usize| -> Vec<u8> {
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[0]
        };
        (0..length).map(next).collect()
    };
    for round in 0..100 {
        let mut hostile = session(&daemon);
        let body = noise(round);
        drop(hostile.try_write(&[frame(0, &body), noise(200)].concat()));
        hostile.stream().shutdown(std::net::Shutdown::Write).unwrap_or_default();
        hostile.stream().set_read_timeout(Some(PATIENCE)).unwrap();
        // Whatever is answered, it ends.
        drop(hostile.stream().read_to_end(&mut Vec::new()));
    }
    unharmed(&mut bystander);
}
