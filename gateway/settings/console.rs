//! `[admin.console]`.

use opgate_bus::core::Tenant;
pub use opgate_native::ConsoleSettings as Console;

use super::section::Section;
use super::{Http, Listener, Tls, is_loopback};

/// When there is a console.
#[derive(Clone, Copy)]
enum Enabled {
    Auto,
    Yes,
    No,
}

/// The console; none where it is off.
pub(super) fn console(section: &Section<'_>, admin: &Listener, http: &Http) -> Option<Console> {
    let words = [("auto", Enabled::Auto), ("yes", Enabled::Yes), ("no", Enabled::No)];
    let enabled = section.choice("enabled", &words);
    let console = Console {
        tenant: tenant(section),
        actions: section.flag("actions"),
        // The listener has 64 connections, and others need some.
        streams: section.count("streams", 1..=32),
        hosts: hosts(section),
        ..Console::default()
    };
    section.finish();
    let on = match enabled {
        Enabled::Yes => true,
        Enabled::No => false,
        Enabled::Auto => is_guarded(admin, http),
    };
    on.then_some(console)
}

/// Whether who reaches this listener may read the same at the other, or has proved who it is.
fn is_guarded(admin: &Listener, http: &Http) -> bool {
    let known = |tls: &Option<Tls>| tls.as_ref().is_some_and(Tls::knows_clients);
    known(&admin.tls) || (is_loopback(admin.listen) && !known(&http.tls))
}

fn tenant(section: &Section<'_>) -> Tenant {
    Tenant::new(&section.text("tenant")).unwrap_or_else(|error| {
        if !section.is_refused("tenant") {
            section.refuse("tenant", error.problem);
        }
        Tenant::anonymous()
    })
}

fn hosts(section: &Section<'_>) -> Vec<String> {
    let hosts = section.texts("hosts");
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if !hosts.iter().all(|host| !host.is_empty() && host.bytes().all(letter)) {
        let reason = "must be names of hosts, without scheme and port, such as \"ops.example.org\"";
        section.refuse("hosts", reason);
    }
    hosts
}
