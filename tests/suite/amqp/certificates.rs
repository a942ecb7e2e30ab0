//! An authority, and certificates of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};

/// Fills a directory: `ca.pem` is whom to trust, `server.pem` the daemon's certificate for 127.0.0.1;
/// `carol` and `mallory` are clients, known by the names `carol.example` and `mallory.example`. Each
/// has its key beside it, as in `server.key`.
pub(super) fn make(directory: &Path) {
    let mut params = named("authority", Vec::new());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(directory.join("ca.pem"), authority.pem()).unwrap();

    let loopback = SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST));
    for (name, purpose) in [
        ("server", ExtendedKeyUsagePurpose::ServerAuth),
        ("carol", ExtendedKeyUsagePurpose::ClientAuth),
        ("mallory", ExtendedKeyUsagePurpose::ClientAuth),
    ] {
        let mut params = named(name, vec![format!("{name}.example")]);
        params.extended_key_usages = vec![purpose];
        if name == "server" {
            params.subject_alt_names.push(loopback.clone());
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        std::fs::write(directory.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

/// A subject of its own. By default all have one and the same, and `OpenSSL` takes a certificate whose
/// issuer has its name for one that signed itself.
fn named(name: &str, dns: Vec<String>) -> CertificateParams {
    let mut params = CertificateParams::new(dns).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
