//! `[http.tls]` and its like: what a listener proves itself with, and whom it asks to.

use std::fs::File;
use std::io::Read as _;

use opgate_edge::tls::{Certificates, ClientAuthorities, Part, Pem};

use super::section::Section;

/// How the keys begin whose values, and whose files, are read again while the gateway serves.
pub(super) const RELOADED: [&str; 3] = ["admin.tls", "amqp.tls", "http.tls"];
/// Largest file: a bundle of all the world's authorities has a quarter of that.
const FILE_BYTES: u64 = 1 << 20;

/// TLS of one listener.
#[derive(Clone, Debug)]
pub struct Tls {
    /// From the files, which fit together.
    pub certificates: Certificates,
    /// Whether the port takes connections without TLS, too.
    pub plaintext: bool,
    /// Whether connections with TLS need a client's certificate.
    pub clients: bool,
}

impl Tls {
    /// Whether every connection is somebody's with a certificate.
    pub(super) const fn knows_clients(&self) -> bool {
        self.clients && !self.plaintext
    }
}

/// Reads the table `tls` of a listener's section, where there is one; `plaintext` is what the section says
/// of connections without. A problem is noted, and leaves `None`, too.
pub(super) fn tls(listener: &Section<'_>, plaintext: bool) -> Option<Tls> {
    if !listener.has("tls") {
        return None;
    }
    let section = listener.section("tls");
    let chain = contents(&section, "cert_file");
    let key = contents(&section, "key_file");
    let clients = section.optional("client_ca_file", contents);
    let required = section.optional("client_certificates", |section, key| {
        section.choice(key, &[("optional", false), ("required", true)])
    });
    section.finish();
    if required.is_some() && clients.is_none() {
        section.refuse("client_certificates", "needs client_ca_file: who vouches for clients");
    }
    // A file that could not be read was told of, and is looked at no further.
    let clients = match clients {
        None => None,
        Some(None) => return None,
        Some(Some(pem)) => Some((pem, required.unwrap_or_default())),
    };
    let needed = clients.as_ref().is_some_and(|(_, required)| *required);
    let clients =
        clients.as_ref().map(|(pem, required)| ClientAuthorities { pem, required: *required });
    let (chain, key) = (chain?, key?);
    match Certificates::new(Pem { chain: &chain, key: &key, clients }) {
        Ok(certificates) => Some(Tls { certificates, plaintext, clients: needed }),
        Err(problems) => {
            for problem in problems {
                let key = match problem.part {
                    Part::Chain => "cert_file",
                    Part::Key => "key_file",
                    Part::Clients => "client_ca_file",
                };
                section.refuse(key, problem.problem);
            }
            None
        }
    }
}

/// What is in the file that a key names; none if that cannot be read, which is noted.
fn contents(section: &Section<'_>, key: &'static str) -> Option<Vec<u8>> {
    let path = section.text(key);
    if section.is_refused(key) {
        return None;
    }
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > FILE_BYTES => {
            section.refuse(key, format!("is larger than {FILE_BYTES} bytes"));
            None
        }
        Ok(_) => Some(bytes),
        Err(error) => {
            section.refuse(key, error.to_string());
            None
        }
    }
}
