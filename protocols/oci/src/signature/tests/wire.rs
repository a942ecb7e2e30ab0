//! Requests as the three official clients sent them, without their `user-agent`. The keys that signed
//! them are gone; all that is judged before and beside the key must be right.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::signature::sign::content_sha256;
use crate::signature::{Keyring, Presented, Reason};

const SAMPLES: &str = include_str!("../../../tests/wire-samples.txt");

#[test]
fn of_what_official_clients_send_only_the_key_is_unknown() {
    let mut seen = 0;
    for sample in SAMPLES.split("### ").filter(|sample| !sample.is_empty()) {
        let mut lines = sample.lines().skip(1);
        let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
        let (mut headers, mut body) = (HeaderMap::new(), "");
        for line in lines.filter(|line| !line.is_empty()) {
            if line.starts_with('{') {
                body = line;
                continue;
            }
            let (name, value) = line.split_once(": ").unwrap();
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let date = httpdate::parse_http_date(headers["date"].to_str().unwrap()).unwrap();
        let (method, uri) = (method.parse::<Method>().unwrap(), target.parse::<Uri>().unwrap());
        let body = body.as_bytes();
        let presented = Presented { method: &method, uri: &uri, headers: &headers, body };
        let authorization = headers["authorization"].to_str().unwrap();
        let (_, key_id) = authorization.split_once("keyId=\"").unwrap();
        let (key_id, _) = key_id.split_once('"').unwrap();
        let unknown = Keyring::default().verify(&presented, date);
        assert_eq!(unknown, Err(Reason::Key(key_id.to_owned())), "{sample}");
        if let Some(sum) = headers.get("x-content-sha256") {
            assert_eq!(sum.to_str().unwrap(), content_sha256(body), "{sample}");
        }
        seen += 1;
    }
    assert_eq!(seen, 12);
}
