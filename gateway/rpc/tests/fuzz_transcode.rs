//! Fuzz targets of transcoding: what a peer sends in a path, a query, a body or a mask never panics,
//! and what is read is written and reads back. A plain `cargo test` tries a second's worth of random
//! bytes; CONTRIBUTING.md says how to look for longer.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::LazyLock;

use http::Method;
use opgate_rpc::transcode::{
    Binding, Json, Mask, Parameters, Rules, Template, encode, from_json, query_pairs,
};
use prost_reflect::{DescriptorPool, MessageDescriptor};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut compiler =
        protox::Compiler::new([concat!(env!("CARGO_MANIFEST_DIR"), "/proto")]).unwrap();
    let files = [
        "google/api/annotations.proto",
        "google/rpc/status.proto",
        "google/rpc/error_details.proto",
    ];
    compiler.include_imports(true).open_files(files).unwrap();
    DescriptorPool::decode(&*compiler.encode_file_descriptor_set()).unwrap()
});

fn message(full_name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(full_name).unwrap()
}

/// Text of these words, one for each byte: random bytes hardly ever make sense.
fn words(bytes: &[u8], words: &[&str]) -> String {
    bytes.iter().map(|byte| words[usize::from(*byte) % words.len()]).collect()
}

const PATH: [&str; 16] =
    ["/", "/", "*", "**", "{", "}", "=", ":", ".", "a", "b", "%2F", "%", "é", "{a=", "/v1"];

#[test]
fn a_template_is_read_or_refused_and_takes_any_path() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let (template, path) = bytes.split_at(bytes.len() / 2);
        let path = words(path, &PATH);
        for text in [words(template, &PATH), String::from_utf8_lossy(template).into_owned()] {
            let Ok(template) = Template::parse(&text) else { continue };
            let alone = template.matches(&path);
            let mut rules = Rules::default();
            rules.insert(Some(Method::GET), template.clone(), ()).unwrap();
            let among = rules.find(&Method::GET, &path);
            assert_eq!(alone.is_err(), among.is_err(), "{text} {path}");
            if let (Ok(alone), Ok(among)) = (alone, among) {
                assert_eq!(alone, among.map(|found| found.captured), "{text} {path}");
            }
        }
    });
}

const QUERY: [&str; 16] = [
    "&",
    "=",
    ".",
    "selector",
    "body",
    "custom",
    "kind",
    "additionalBindings",
    "get",
    "+",
    "%20",
    "%",
    "$alt",
    "json",
    "fields",
    "x",
];

#[test]
fn a_query_is_read_or_refused() {
    let binding = Binding::new("GET /v1", None, message("google.api.HttpRule")).unwrap();
    let captured = binding.template().matches("/v1").unwrap().unwrap();
    bolero::check!().for_each(|bytes: &[u8]| {
        for query in [words(bytes, &QUERY), String::from_utf8_lossy(bytes).into_owned()] {
            let read = binding.message(&captured, Some(&query), b"", Parameters::is_one);
            if read.is_ok() {
                query_pairs(Some(&query)).unwrap();
            }
            drop(Parameters::read(Some(&query), &http::HeaderMap::new()));
        }
    });
}

const BODY: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"selector\"",
    "\"custom\"",
    "\"kind\"",
    "\"details\"",
    "\"@type\"",
    "\"x/google.rpc.Status\"",
    "\"x/google.protobuf.Duration\"",
    "\"value\"",
    "\"1.5s\"",
    "null",
    "true",
    "-1",
    "1e9",
    "\"metadata\"",
    "\"code\"",
    "\"message\"",
    "\"\\ud800\"",
    "é",
];

#[test]
fn a_body_is_read_or_refused_and_what_is_read_is_written_and_read_again() {
    let kinds = ["google.api.HttpRule", "google.rpc.Status", "google.rpc.ErrorInfo"].map(message);
    bolero::check!().for_each(|bytes: &[u8]| {
        for body in [words(bytes, &BODY).into_bytes(), bytes.to_vec()] {
            for kind in &kinds {
                let Ok(read) = from_json(kind, &body) else { continue };
                // An Any may hold what has no JSON at this depth: then it is its bytes.
                let Ok(written) = Json::default().message(&read) else { continue };
                serde_json::from_slice::<serde_json::Value>(&written).unwrap();
                if let Ok(again) = from_json(kind, &written) {
                    assert_eq!(encode(&again), encode(&read));
                }
            }
        }
    });
}

#[test]
fn any_bytes_of_a_message_are_written_or_refused() {
    let kind = message("google.rpc.Status");
    bolero::check!().for_each(|bytes: &[u8]| {
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        if let Ok(written) = Json::default().encoded(&kind, bytes) {
            serde_json::from_slice::<serde_json::Value>(&written).unwrap();
        }
    });
}

const MASK: [&str; 12] = ["a", "b", "code", "details", ",", "/", ".", "(", ")", "*", " ", "@type"];

#[test]
fn a_mask_is_read_or_refused_and_only_takes_away() {
    let kind = message("google.rpc.Status");
    let json = br#"{"code":1,"details":[{"@type":"x/google.rpc.Status","code":2}]}"#;
    let status = from_json(&kind, json).unwrap();
    let whole = Json::default().message(&status).unwrap();
    bolero::check!().for_each(|bytes: &[u8]| {
        for text in [words(bytes, &MASK), String::from_utf8_lossy(bytes).into_owned()] {
            let Ok(mask) = Mask::parse("fields", &text) else { continue };
            drop(mask.check("fields", &kind));
            let masked = Json { mask: Some(&mask), ..Json::default() }.message(&status).unwrap();
            assert!(masked.len() <= whole.len(), "{text}");
            serde_json::from_slice::<serde_json::Value>(&masked).unwrap();
        }
    });
}
