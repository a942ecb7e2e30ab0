//! What the guard keeps from being called. The network is scripted: a connection that is begun is
//! noted, wherever it would lead.

use std::sync::Arc;

use http::Uri;
use opgate_egress::{Guard, Problem, Trust};

use super::support::*;

/// URLs that name the address themselves, or hide something in their form.
const BY_FORM: &[&str] = &[
    // This machine and its surroundings, plainly.
    "http://127.0.0.1/",
    "http://127.0.0.1:8080/",
    "http://127.255.255.254/",
    "http://0.0.0.0/",
    "http://0.1.2.3/",
    "http://10.0.0.1/",
    "http://10.255.255.255/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.0.1/",
    "http://192.168.255.255/",
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/v2/credentials",
    "http://168.63.129.16/machine",
    "http://100.100.100.200/latest/meta-data/",
    "http://100.64.0.1/",
    "http://100.127.255.255/",
    "http://192.0.0.192/",
    "http://192.0.0.8/",
    "http://192.0.2.1/",
    "http://192.88.99.1/",
    "http://198.18.0.1/",
    "http://198.19.255.255/",
    "http://198.51.100.1/",
    "http://203.0.113.1/",
    "http://224.0.0.1/",
    "http://239.255.255.255/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://127.0.0.1./",
    // By name, as a matter of definition.
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://localhost:9464/metrics",
    "http://a.localhost/",
    // In the odd forms that resolvers take.
    "http://2130706433/",
    "http://4294967295/",
    "http://0/",
    "http://0x7f000001/",
    "http://0X7F000001/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://0x7f.1/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0177.0000.0000.0001/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.0.0.01/",
    "http://127.0.0.1.1/",
    "http://10.1/",
    "http://3232235521/",
    "http://0xa9fea9fe/",
    "http://2852039166/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://425.510.425.510/",
    "http://256.256.256.256/",
    "http://4294967296/",
    "http://0x100000000/",
    "http://1.2.3.08/",
    "http://a.0x7f/",
    "http://0x/",
    "http://2130706433./",
    // IPv6.
    "http://[::]/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]:80/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::10.0.0.1]/",
    "http://[64:ff9b:1:ffff::8.8.8.8]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[2001:0:7f00:1::]/",
    "http://[2001:0:5ef5:79fd:0:59d:80ff:fffe]/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "http://[2001:2::1]/",
    "http://[100::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[febf::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[5f00::1]/",
    "http://[2a00::5efe:127.0.0.1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[::1%251]/",
    "http://[v1.x]/",
    "http://[]/",
    // Who is called is not who seems to be.
    "http://public.example@127.0.0.1/",
    "http://user:pass@public.example/",
    "http://@public.example/",
    "http://127.0.0.1\\@public.example/",
    "http://public.example\\.evil/",
    "http://public.example#@127.0.0.1/",
    "http://public.example/#",
    "http://127.0.0.1%2f@public.example/",
    "http://127.0.0.1%00.public.example/",
    "http://%31%32%37.0.0.1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://public.example /",
    "http://public.example\t/",
    "http://public.example\r\nhost: x/",
    " http://public.example/",
    "http:// public.example/",
    "http:public.example/",
    "http:/public.example/",
    "http:///public.example/",
    "//public.example/",
    "public.example/",
    "http://",
    "http://:80/",
    "http://.public.example/",
    "http://public..example/",
    "",
    // Ports that are none.
    "http://public.example:/",
    "http://public.example:0/",
    "http://public.example:65536/",
    "http://public.example:99999999999/",
    "http://public.example:-1/",
    "http://public.example:+80/",
    "http://public.example:80:80/",
    "http://public.example:0x50/",
    "http://[::1]80/",
    // Other schemes.
    "file:///etc/passwd",
    "ftp://public.example/",
    "gopher://public.example:25/x",
    "dict://public.example:11211/stat",
    "unix:///run/docker.sock",
    "ws://public.example/",
    "javascript:alert(1)",
    "data:text/plain,x",
];

/// Names that lead somewhere else than their URL says.
const BY_ADDRESS: &[&[&str]] = &[
    &["127.0.0.1"],
    &["::1"],
    &["0.0.0.0"],
    &["::"],
    &["10.1.2.3"],
    &["172.20.0.1"],
    &["192.168.1.1"],
    &["169.254.169.254"],
    &["168.63.129.16"],
    &["100.64.1.1"],
    &["192.0.0.192"],
    &["198.18.0.1"],
    &["224.0.0.1"],
    &["255.255.255.255"],
    &["fd00:ec2::254"],
    &["fe80::1"],
    &["::ffff:127.0.0.1"],
    &["64:ff9b::7f00:1"],
    &["2002:7f00:1::1"],
    // One address that is fine does not excuse the other.
    &["93.184.216.34", "127.0.0.1"],
    &["127.0.0.1", "93.184.216.34"],
    &["93.184.216.34", "2606:4700::1111", "::ffff:10.0.0.1"],
];

/// Everything that rules alone can allow is allowed.
fn lax() -> Guard {
    guard(&["*"], true, &[])
}

#[tokio::test]
async fn no_connection_is_begun_to_what_is_refused() {
    let public: &[&[&str]] = &[&["93.184.216.34"]];
    let network = Arc::new(Scripted::default().named("public.example", public));
    let (client, guard) = (on(&network), lax());
    let mut cases = 0;
    for url in BY_FORM {
        assert!(guard.admit(url).is_err(), "{url}");
        // What is no URL, or loses a part when it is read, is refused as a text only.
        let read = url.parse().map(|url: Uri| url.to_string());
        if read.is_ok_and(|read| read == *url) {
            let request = post(url, "x");
            let answer = client.send(Trust::Guarded(&guard), request, LIMITS).await;
            assert!(matches!(answer, Err(Problem::Refused(_))), "{url}: {answer:?}");
        }
        cases += 1;
    }
    assert!(network.lookups.lock().unwrap().is_empty());
    for (index, addresses) in BY_ADDRESS.iter().enumerate() {
        let name = format!("n{index}.example");
        let answer = addresses.iter().map(|text| text.parse().unwrap()).collect();
        network.names.lock().unwrap().insert(name.clone(), vec![answer]);
        let url = format!("http://{name}/");
        // Its form is fine: only the lookup tells.
        guard.admit(&url).unwrap();
        let answer = client.send(Trust::Guarded(&guard), post(&url, "x"), LIMITS).await;
        assert!(matches!(answer, Err(Problem::Refused(_))), "{addresses:?}: {answer:?}");
        cases += 1;
    }
    assert!(cases >= 100, "{cases}");
    assert!(network.connects().is_empty(), "{:?}", network.connects());
    // And the script would have noted it.
    let answer = client.send(Trust::Guarded(&guard), post("http://public.example/", "x"), LIMITS);
    assert!(matches!(answer.await, Err(Problem::Unreachable(_))));
    assert_eq!(network.connects(), ["93.184.216.34:80".parse().unwrap()]);
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_connected_where_that_led() {
    // A name that changes its mind with every lookup.
    let answers: [&[&str]; 2] = [&["93.184.216.34"], &["127.0.0.1"]];
    let network = Arc::new(Scripted::default().named("a.example", &answers));
    let (client, guard) = (on(&network), lax());
    let answer = client.send(Trust::Guarded(&guard), post("http://a.example/", ""), LIMITS).await;
    assert!(matches!(answer, Err(Problem::Unreachable(_))), "{answer:?}");
    assert_eq!(network.lookups.lock().unwrap().len(), 1);
    let answer = client.send(Trust::Guarded(&guard), post("http://a.example/", ""), LIMITS).await;
    assert!(matches!(answer, Err(Problem::Refused(_))), "{answer:?}");
    assert_eq!(network.connects(), ["93.184.216.34:80".parse().unwrap()]);
}

#[test]
fn the_list_decides_over_names_and_ports() {
    let guard = guard(&["a.example", "*.b.example:8443", "93.184.216.34:*"], false, &[]);
    for url in ["https://a.example/x?y", "https://c.b.example:8443/", "https://93.184.216.34:5/"] {
        guard.admit(url).unwrap();
    }
    for url in [
        "https://a.example:8443/",
        "https://b.example:8443/",
        "https://c.b.example/",
        "https://a.example.evil/",
        "https://evila.example/",
        "https://93.184.216.35/",
        "https://127.0.0.1/",
    ] {
        let refusal = guard.admit(url).unwrap_err().to_string();
        assert!(refusal.contains("a.example, *.b.example:8443, 93.184.216.34:*"), "{refusal}");
    }
    let refusal = guard.admit("http://a.example/").unwrap_err().to_string();
    assert!(refusal.contains("https"), "{refusal}");
}

#[test]
fn without_a_list_nothing_is_taken() {
    let refusal = guard(&[], true, &["0.0.0.0/0"]).admit("https://a.example/").unwrap_err();
    assert!(refusal.to_string().contains("callbacks.allow"), "{refusal}");
}

#[test]
fn a_network_can_be_allowed_and_only_that_one() {
    let guard = guard(&["*"], true, &["127.0.0.0/8", "10.1.0.0/16", "fd00:1::/32"]);
    for url in [
        "http://127.0.0.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://10.1.2.3/",
        "http://[fd00:1::1]/",
        "http://localhost:1/",
    ] {
        guard.admit(url).unwrap();
    }
    // An odd form stays odd, and the same address through a translator is another one.
    for url in [
        "http://10.2.0.1/",
        "http://[::1]/",
        "http://[fd00:2::1]/",
        "http://2130706433/",
        "http://[64:ff9b::7f00:1]/",
    ] {
        assert!(guard.admit(url).is_err(), "{url}");
    }
}

#[test]
fn a_url_has_at_most_1000_bytes() {
    let url = |length: usize| format!("http://a.example/{}", "x".repeat(length - 17));
    lax().admit(&url(1000)).unwrap();
    assert!(lax().admit(&url(1001)).unwrap_err().to_string().contains("1000"));
}
