//! The image: what can be said of it without building it. Where there is a Docker daemon, `docker build` runs the two
//! smoke runs in it as well; none is needed here.

use std::path::Path;

use super::{complaints, shipped};

const DOCKERFILE: &str = "deploy/container/Dockerfile";

/// The instructions, continued lines joined, each with its arguments.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let joined = joined.lines().filter(|line| !line.trim().is_empty());
    joined
        .map(|line| {
            let (name, rest) = line.trim().split_once(' ').unwrap();
            (name.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect()
}

#[test]
fn the_image_has_no_shell_no_root_and_says_its_version_before_it_is_one() {
    let all = instructions(&shipped(DOCKERFILE));
    let stages: Vec<usize> = (0..all.len()).filter(|&at| all[at].0 == "FROM").collect();
    assert_eq!(stages.len(), 2, "{all:?}");
    let (build, image) = all.split_at(stages[1]);
    let of = |name: &str| -> Vec<&str> {
        let named = image.iter().filter(|(known, _)| known == name);
        named.map(|(_, arguments)| &**arguments).collect()
    };
    // Built with the oldest compiler that is promised, from the lock file.
    let manifest = shipped("Cargo.toml");
    let oldest = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"")).unwrap();
    assert_eq!(build[0].1, format!("rust:{}-bookworm AS build", oldest.trim_end_matches('"')));
    assert!(build.iter().any(|(name, text)| name == "RUN" && text.contains("--release --locked")));
    assert_eq!(of("FROM"), ["gcr.io/distroless/cc-debian12:nonroot"]);
    assert_eq!(of("USER"), ["65532:65532"]);
    assert_eq!(of("COPY"), ["--from=build /out/ /"]);
    // There is nothing that could run anything but a list of words.
    assert_eq!(of("RUN"), [r#"["/usr/bin/opgate", "version"]"#, r#"["/usr/bin/opgate", "check"]"#]);
    assert_eq!(of("ENTRYPOINT"), [r#"["/usr/bin/opgate"]"#]);
    assert_eq!(of("CMD"), [r#"["run"]"#]);
    assert_eq!(of("VOLUME"), ["/var/lib/opgate"]);
    assert_eq!(of("EXPOSE"), ["8080 5672 9464"]);
    assert!(of("ADD").is_empty());
    // The user is the one that owns the data directory, before the volume is declared.
    let made = "install -d -m 0700 -o 65532 -g 65532 /out/var/lib/opgate";
    assert!(build.iter().any(|(_, text)| text.contains(made)));
    let place = |name: &str| image.iter().position(|(known, _)| known == name).unwrap();
    assert!(place("USER") < place("RUN") && place("ENV") < place("RUN"));
    // What is copied into it is there.
    for (_, text) in build.iter().filter(|(name, _)| name == "RUN") {
        for path in text.split(' ').filter(|word| word.starts_with("deploy/") || *word == "LICENSE")
        {
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists(), "{path}");
        }
    }
}

#[test]
fn its_settings_are_sound() {
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/container/opgate.toml");
    assert_eq!(complaints(&settings), None);
}
