//! Which link a reply goes over, for any order in which links come and go.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Outlet, Registered, Replies, ReplyLink, Wanted};
use crate::fence::{LinkWatch, Watch};
use crate::wire::address;

const NODES: [&str; 2] = ["$management", "parcels/$management"];
const NAMES: [&str; 3] = ["one", "two", "pair"];
/// Addresses that reply links have, and that requests ask for. Some are one for two spellings, some a name or a node.
const ADDRESSES: [&str; 6] = ["mine", "/mine", "amqp://host/yours", "yours", "pair", "$management"];

/// What a peer does on one of its connections. Links are by their rank among those attached.
#[derive(Clone, Debug)]
enum Step {
    AttachReplies {
        session: u64,
        name: &'static str,
        node: Option<&'static str>,
        target: &'static str,
    },
    AttachRequests {
        session: u64,
        name: &'static str,
        node: &'static str,
    },
    DetachReplies(usize),
    DetachRequests(usize),
    Request {
        link: usize,
        reply_to: Option<&'static str>,
        dynamic: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let session = 1..=2_u64;
    let name = prop::sample::select(&NAMES[..]);
    let node = prop::sample::select(&NODES[..]);
    let address = prop::sample::select(&ADDRESSES[..]);
    let rank = 0..8_usize;
    let me = prop::sample::select(&["", "$me"][..]);
    let step = prop_oneof![
        (session.clone(), name.clone(), prop::option::of(node.clone()), address.clone()).prop_map(
            |(session, name, node, target)| Step::AttachReplies { session, name, node, target }
        ),
        (session, name, node).prop_map(|(session, name, node)| Step::AttachRequests {
            session,
            name,
            node
        }),
        rank.clone().prop_map(Step::DetachReplies),
        rank.clone().prop_map(Step::DetachRequests),
        (rank.clone(), prop::option::of(address), any::<bool>())
            .prop_map(|(link, reply_to, dynamic)| Step::Request { link, reply_to, dynamic }),
        (rank, prop::option::of(me)).prop_map(|(link, reply_to)| Step::Request {
            link,
            reply_to,
            dynamic: false
        }),
    ];
    prop::collection::vec((0..2_usize, step), 1..60)
}

/// A link for replies, as the peer sees it.
struct Inbox {
    session: u64,
    name: &'static str,
    node: Option<&'static str>,
    addresses: [String; 2],
    link: LinkWatch,
    _registered: Registered,
}

impl Inbox {
    fn is_called(&self, address: &str) -> bool {
        let same = |own: &String| address::path(own) == address::path(address);
        self.addresses.iter().any(same)
    }
}

struct Outbox {
    session: u64,
    name: &'static str,
    node: &'static str,
    registered: Registered,
}

#[derive(Default)]
struct Peer {
    table: Arc<Replies>,
    inboxes: Vec<Inbox>,
    outboxes: Vec<Outbox>,
    dynamic: usize,
}

impl Peer {
    fn attach_replies(
        &mut self,
        session: u64,
        name: &'static str,
        node: Option<&'static str>,
        target: &'static str,
    ) {
        let link = Watch::default().lone_link(name);
        self.dynamic += 1;
        let source = node.map_or_else(|| format!("reply/1-{}", self.dynamic), str::to_owned);
        let registered = self.table.add(ReplyLink {
            id: 0,
            session,
            name: name.to_owned(),
            source: Some(source.clone()),
            target: Some(target.to_owned()),
            node: node.map(Arc::from),
            outlet: Outlet { link: link.clone(), settled: true },
        });
        let addresses = [source, target.to_owned()];
        self.inboxes.push(Inbox { session, name, node, addresses, link, _registered: registered });
    }

    /// Sends a reply where it is wanted. The inboxes that have got something.
    fn reply(&mut self, from: usize, reply_to: Option<&str>) -> Option<usize> {
        let outbox = &self.outboxes[from];
        let outlet = self.table.find(&Wanted {
            session: outbox.session,
            link: outbox.registered.id,
            link_name: outbox.name,
            node: outbox.node,
            reply_to,
        })?;
        let inboxes = self.inboxes.iter().enumerate();
        let got = inboxes.filter(|(_, inbox)| inbox.link.is(&outlet.link)).map(|(at, _)| at);
        let mut got: Vec<_> = got.collect();
        assert_eq!(got.len(), 1, "to a link of this connection, once");
        got.pop()
    }

    fn ask(&mut self, from: usize, reply_to: Option<&str>) {
        let got = self.reply(from, reply_to);
        let Outbox { session, name, node, .. } = self.outboxes[from];
        let here = |inbox: &Inbox| inbox.session == session;
        if let Some(address) = reply_to.filter(|address| !matches!(*address, "" | "$me")) {
            let called = |inbox: &Inbox| inbox.is_called(address);
            let named = |inbox: &Inbox| inbox.name == address;
            let by_address = self.inboxes.iter().any(called);
            let fits = |inbox: &Inbox| if by_address { called(inbox) } else { named(inbox) };
            let Some(got) = got else {
                assert!(!self.inboxes.iter().any(fits), "{address:?} is there");
                return;
            };
            assert!(fits(&self.inboxes[got]), "over a link that was not asked for");
            let nearer = self.inboxes.iter().any(|inbox| fits(inbox) && here(inbox));
            assert!(!nearer || here(&self.inboxes[got]), "its own session has one");
            let newer = |inbox: &&Inbox| fits(inbox) && here(inbox) == here(&self.inboxes[got]);
            assert_eq!(self.inboxes[got + 1..].iter().filter(newer).count(), 0, "the newest");
            return;
        }
        let paired = |inbox: &Inbox| inbox.name == name;
        let of_node = |inbox: &Inbox| inbox.node == Some(node);
        match got.map(|got| &self.inboxes[got]) {
            None => assert!(!self.inboxes.iter().any(|inbox| paired(inbox) || of_node(inbox))),
            Some(got) if self.inboxes.iter().any(paired) => assert!(paired(got)),
            Some(got) => {
                assert!(of_node(got));
                let nearer = self.inboxes.iter().any(|inbox| of_node(inbox) && here(inbox));
                assert!(!nearer || here(got), "its own session has one");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_reply_goes_once_over_the_link_that_is_there_and_named(steps in steps()) {
        let mut peers = [Peer::default(), Peer::default()];
        for (connection, step) in steps {
            let peer = &mut peers[connection];
            match step {
                Step::AttachReplies { session, name, node, target } => {
                    peer.attach_replies(session, name, node, target);
                }
                Step::AttachRequests { session, name, node } => {
                    let registered = peer.table.add_request(session, Arc::from(node));
                    peer.outboxes.push(Outbox { session, name, node, registered });
                }
                Step::DetachReplies(link) if link < peer.inboxes.len() => {
                    peer.inboxes.remove(link);
                }
                Step::DetachRequests(link) if link < peer.outboxes.len() => {
                    peer.outboxes.remove(link);
                }
                Step::Request { link, dynamic: true, .. } if link < peer.outboxes.len() => {
                    // Its own, one that is gone, or one that only the other connection may have.
                    let address = format!("reply/1-{}", link + 1);
                    peer.ask(link, Some(&address));
                }
                Step::Request { link, reply_to, .. } if link < peer.outboxes.len() => {
                    peer.ask(link, reply_to);
                }
                Step::DetachReplies(_) | Step::DetachRequests(_) | Step::Request { .. } => {}
            }
        }
    }
}
