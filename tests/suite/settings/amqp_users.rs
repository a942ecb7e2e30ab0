//! `[amqp.users]`: who may work on which queues.

use std::sync::Arc;

use opgate_bus::WorksOn;

use super::{file, load, problem};

fn user(queues: &str) -> String {
    format!("[amqp.users.ann]\npassword = \"x\"\ntenant = \"acme\"\n{queues}")
}

#[test]
fn a_user_works_on_the_queues_that_it_is_told_to() {
    let named =
        |names: &[&str]| WorksOn::Named(Arc::new(names.iter().map(ToString::to_string).collect()));
    for (queues, expected) in [
        ("", WorksOn::nothing()),
        ("queues = []", named(&[])),
        ("queues = [\"paint\", \"paint-2\"]", named(&["paint", "paint-2"])),
        ("queues = [\"paint\", \"*\"]", WorksOn::All),
    ] {
        let (_file, sources) = file(&user(queues));
        assert_eq!(load(&sources).0.amqp.users["ann"].works_on, expected, "{queues}");
    }
}

#[test]
fn what_is_no_name_of_a_queue_is_refused() {
    for queues in ["[\"\"]", "[\"paint\", \"pa*\"]", "[\"Paint\"]", "\"paint\"", "[1]"] {
        let (_file, sources) = file(&user(&format!("queues = {queues}")));
        assert_eq!(problem(&sources).key, "amqp.users.ann.queues", "{queues}");
    }
}
