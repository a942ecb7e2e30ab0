//! `[[routes.NAME.resources]]`: what a route's operations work on.

use opgate_bus::ResourceRule;
use opgate_core::limits;

use super::section::Section;

const KEY: &str = "resources";
/// What opgate says by itself of what is worked on, while that lasts and after it failed.
const OWN: [&str; 3] = ["IN_PROGRESS", "FAILED", "CANCELED"];

/// Reads the rules of a route.
pub(super) fn rules(route: &Section<'_>) -> Vec<ResourceRule> {
    let sections = route.tables(KEY);
    if sections.len() > limits::RESOURCES {
        let allowed = limits::RESOURCES;
        route.refuse(KEY, format!("are {}, at most {allowed} are allowed", sections.len()));
    }
    sections.iter().map(rule).collect()
}

fn rule(section: &Section<'_>) -> ResourceRule {
    let rule = ResourceRule {
        entity_type: section.text("entity_type"),
        action: action(section, "action"),
        identifier: section.text("identifier"),
        uri: section.optional("uri", Section::text).unwrap_or_default(),
    };
    section.finish();
    if let Err((key, problem)) = rule.check()
        && !section.is_refused(key)
    {
        section.refuse(key, problem);
    }
    rule
}

fn action(section: &Section<'_>, key: &'static str) -> String {
    let action = section.text(key);
    let letter = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    let is_word = action.len() <= 64 && action.bytes().all(letter);
    if !is_word || OWN.contains(&&*action) {
        section.refuse(
            key,
            "must be what a success has done, such as CREATED, UPDATED, DELETED or RELATED",
        );
    }
    action
}
