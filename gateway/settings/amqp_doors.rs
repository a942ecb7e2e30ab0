//! `[routes.NAME.amqp]`: the AMQP management request that starts a route.

use std::collections::BTreeMap;

use opgate_amqp::management::{DoorSettings, Management, ReplyWhen};

use super::section::Section;
use super::{HOUR, MS, Settings, text};

/// Reads the section of a route; none where it has none. Whether it can be a door, and is not another's,
/// is told when all are known.
pub(super) fn door(name: &str, route: &Section<'_>) -> Option<DoorSettings> {
    route.optional("amqp", |route, key| read(name, &route.section(key)))
}

fn read(name: &str, section: &Section<'_>) -> DoorSettings {
    let replies = [("accepted", ReplyWhen::Accepted), ("completed", ReplyWhen::Completed)];
    let door = DoorSettings {
        route: name.to_owned(),
        node: section.optional("node", Section::text),
        entity_type: section.optional("type", Section::text),
        operation: section.text("operation"),
        reply: section
            .optional("reply", |section, key| section.choice(key, &replies))
            .unwrap_or_default(),
        input: section.value("input").map(text::json),
        timeout: section.optional("timeout", |section, key| section.duration(key, MS..=HOUR)),
    };
    section.finish();
    door
}

/// Notes every problem of the doors.
pub(super) fn check(settings: &Settings, routes: &BTreeMap<String, Section<'_>>) {
    for problem in Management::check(&settings.amqp_doors()).err().into_iter().flatten() {
        let Some(route) = routes.get(&problem.route) else { continue };
        let section = route.section("amqp");
        // A value that cannot even be read is noted already.
        if !section.is_refused(problem.key) {
            section.refuse(problem.key, problem.text);
        }
    }
}
