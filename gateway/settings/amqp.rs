//! `[amqp]`: the AMQP listener, and its users.

use std::collections::BTreeMap;
use std::sync::Arc;

use opgate_amqp::queue;
use opgate_amqp::{Anonymous, Limits, Product, Settings, User};
use opgate_bus::WorksOn;
use opgate_core::Tenant;

use super::nexus::secret;
use super::routes::{NAME, is_name};
use super::section::Section;
use super::{HOUR, KIB, Listener, MIB, MS, SECOND, Tls, listener, narrow};

/// How the keys begin whose values hold as soon as the settings were read again.
pub(super) const RELOADED: [&str; 2] = ["amqp.anonymous", "amqp.users"];
/// Names of client certificates that one user may have.
const CERTIFICATE_NAMES: usize = 100;
/// Queues that one user may be named for.
const QUEUES: usize = 1000;
/// Longest text of `[amqp.properties]`.
const PROPERTY_BYTES: usize = 100;

/// `[amqp.work]`: what the links of workers may have.
pub(super) fn work(section: &Section<'_>) -> queue::Settings {
    let bytes = |key| usize::try_from(section.size(key, KIB..=1024 * MIB)).unwrap_or(usize::MAX);
    let settings = queue::Settings {
        open: section.count("open", 1..=10_000),
        open_bytes: bytes("open_size"),
        held_bytes: bytes("held_size"),
        longest: section
            .optional("longest", |section, key| section.duration(key, SECOND..=24 * 7 * HOUR)),
    };
    section.finish();
    settings
}

pub(super) fn amqp(section: &Section<'_>) -> (Settings, Option<Tls>) {
    let Listener { listen, tls } = listener(section);
    // Read by itself.
    section.section("work");
    let settings = Settings {
        listen,
        anonymous: section.choice(
            "anonymous",
            &[
                ("auto", Anonymous::Auto),
                ("loopback", Anonymous::Loopback),
                ("off", Anonymous::Off),
            ],
        ),
        limits: Limits {
            connections: section.count("connections", 1..=1_000_000),
            sessions: u16::try_from(section.count("sessions", 1..=1024)).unwrap_or(u16::MAX),
            links: section.count("links", 1..=100_000),
            credit: narrow(section.count("credit", 1..=10_000) as u64),
            frame_bytes: narrow(section.size("frame_size", 512..=MIB)),
            message_bytes: section.size("message_size", 4 * KIB..=64 * MIB),
            idle_timeout: section.duration("idle_timeout", SECOND..=HOUR),
            handshake_timeout: section.duration("handshake_timeout", 10 * MS..=HOUR),
        },
        users: users(section),
        product: product(&section.section("properties")),
    };
    section.finish();
    (settings, tls)
}

/// What a listener says of itself; opgate's own version where none is given.
fn product(section: &Section<'_>) -> Product {
    let name = text(section, "product");
    let version = section.optional("version", text);
    section.finish();
    Product { name, version: version.unwrap_or_else(|| Product::default().version) }
}

/// A text that goes to every peer, hence a short one.
fn text(section: &Section<'_>, key: &'static str) -> String {
    let text = section.text(key);
    if text.len() > PROPERTY_BYTES {
        section.refuse(key, format!("at most {PROPERTY_BYTES} bytes"));
    }
    text
}

fn users(section: &Section<'_>) -> BTreeMap<String, User> {
    let sections = section.named("users");
    let users: BTreeMap<_, _> =
        sections.iter().map(|(name, section)| (name.clone(), user(section))).collect();
    let mut whose: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, user) in &users {
        for certificate in &user.certificate_names {
            if let Some(other) = whose.insert(certificate, name)
                && let Some(section) = sections.get(name)
            {
                let reason = format!("{certificate:?} is a name of {other:?} already");
                section.refuse("certificate_names", reason);
            }
        }
    }
    users
}

/// The queues that a user may work on.
fn works_on(section: &Section<'_>) -> WorksOn {
    let names = section.optional("queues", Section::texts).unwrap_or_default();
    if names.iter().any(|name| name == "*") {
        return WorksOn::All;
    }
    if names.len() > QUEUES {
        section.refuse("queues", format!("at most {QUEUES} names"));
    }
    if let Some(name) = names.iter().find(|name| !is_name(name)) {
        section.refuse("queues", format!("{name:?} is neither \"*\" nor {NAME}"));
    }
    WorksOn::Named(Arc::new(names.into_iter().collect()))
}

fn user(section: &Section<'_>) -> User {
    let tenant = section.optional("tenant", Section::text).unwrap_or_default();
    let tenant = match tenant.as_str() {
        "" => Tenant::anonymous(),
        text => Tenant::new(text).unwrap_or_else(|error| {
            section.refuse("tenant", error.problem);
            Tenant::anonymous()
        }),
    };
    let user = User {
        password: secret(section, "password", "password_file").map(Arc::from),
        tenant,
        certificate_names: section
            .optional("certificate_names", Section::texts)
            .unwrap_or_default(),
        works_on: works_on(section),
    };
    if user.certificate_names.len() > CERTIFICATE_NAMES {
        section.refuse("certificate_names", format!("at most {CERTIFICATE_NAMES} names"));
    }
    let proof = ["password", "password_file", "certificate_names"];
    if user.password.is_none()
        && user.certificate_names.is_empty()
        && !proof.iter().any(|key| section.is_refused(key))
    {
        section.refuse(
            "password_file",
            "is missing: a user needs password_file, password or certificate_names",
        );
    }
    section.finish();
    user
}
