//! Where settings come from, and how the layers become one table.

use std::path::PathBuf;

use config::{Config, ConfigError, Map, Source, Value, ValueKind};
use toml::de::{DeTable, DeValue};

use super::problem::Problem;

/// A table of the merged configuration.
pub(super) type Table = Map<String, Value>;

/// The shipped defaults: the file operators read is the file the daemon reads.
const DEFAULTS: &str = include_str!("../../config/opgate.toml");
/// What the names of environment variables that set a key begin with.
const PREFIX: &str = "OPGATE__";
/// Sections whose keys are names an operator gives.
const NAMED: [&str; 2] = ["backends", "routes"];

/// The origin of what nobody set.
pub(super) const SHIPPED: &str = "default";

/// What is laid over the shipped defaults, lowest first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Files, each over the one before.
    pub files: Vec<PathBuf>,
    /// Environment variables; those that do not begin with `OPGATE__` are passed over.
    pub environment: Vec<(String, String)>,
    /// `key=value` texts, each over the one before.
    pub set: Vec<String>,
}

/// One layer. Everything lies beneath one root, so that `config` never takes a key apart.
#[derive(Clone, Debug)]
struct Layer(Table);

const ROOT: &str = "root";

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Table, ConfigError> {
        Ok(Table::from_iter([(ROOT.to_owned(), Value::new(None, self.0.clone()))]))
    }
}

/// Lays all sources over one another. Each value keeps its origin.
pub(super) fn merge(sources: &Sources, problems: &mut Vec<Problem>) -> Table {
    let mut layers = Vec::new();
    match document(DEFAULTS, &|_| SHIPPED.to_owned()) {
        Ok(table) => layers.push(Layer(table)),
        Err((line, reason)) => {
            problems.push(Problem::with_source(format!("default:{line}"), reason));
        }
    }
    for path in &sources.files {
        let name = path.display();
        match std::fs::read_to_string(path) {
            Err(error) => problems.push(Problem::with_source(name.to_string(), error.to_string())),
            Ok(text) => match document(&text, &|line| format!("{name}:{line}")) {
                Ok(table) => layers.push(Layer(table)),
                Err((line, reason)) => {
                    problems.push(Problem::with_source(format!("{name}:{line}"), reason));
                }
            },
        }
    }
    let declared = flatten(&layers, problems);
    for (name, text) in &sources.environment {
        layers.extend(variable(name, text, &declared, problems));
    }
    for assignment in &sources.set {
        layers.extend(flag(assignment, problems));
    }
    flatten(&layers, problems)
}

fn flatten(layers: &[Layer], problems: &mut Vec<Problem>) -> Table {
    let merged = layers
        .iter()
        .fold(Config::builder(), |builder, layer| builder.add_source(layer.clone()))
        .build()
        .and_then(|config| config.cache.into_table())
        .and_then(|mut root| root.remove(ROOT).unwrap_or_default().into_table());
    merged.unwrap_or_else(|error| {
        problems.push(Problem::with_source("configuration", error.to_string()));
        Table::new()
    })
}

/// A TOML document as a table, each value with the origin `origin` gives for its line (from 1).
fn document(text: &str, origin: &dyn Fn(usize) -> String) -> Result<Table, (usize, String)> {
    let line = |offset: usize| {
        1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
    };
    match DeTable::parse(text) {
        Ok(table) => Ok(convert_table(table.into_inner(), &|offset| origin(line(offset)))),
        Err(error) => {
            Err((line(error.span().map_or(0, |span| span.start)), error.message().to_owned()))
        }
    }
}

fn convert_table(table: DeTable<'_>, origin: &dyn Fn(usize) -> String) -> Table {
    let entry = |(key, value): (toml::Spanned<_>, toml::Spanned<_>)| {
        let origin_here = origin(key.span().start);
        let key: std::borrow::Cow<'_, str> = key.into_inner();
        (key.into_owned(), convert(value.into_inner(), &origin_here, origin))
    };
    table.into_iter().map(entry).collect()
}

fn convert(value: DeValue<'_>, here: &String, origin: &dyn Fn(usize) -> String) -> Value {
    let kind = match value {
        DeValue::String(text) => ValueKind::String(text.into_owned()),
        // What does not fit stays text, and is refused where a number is wanted.
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => ValueKind::I64(number),
            Err(_) => ValueKind::String(integer.to_string()),
        },
        DeValue::Float(float) => match float.as_str().parse::<f64>() {
            Ok(number) if number.is_finite() => ValueKind::Float(number),
            _ => ValueKind::String(float.to_string()),
        },
        DeValue::Boolean(flag) => ValueKind::Boolean(flag),
        DeValue::Datetime(datetime) => ValueKind::String(datetime.to_string()),
        DeValue::Array(array) => ValueKind::Array(
            array.into_iter().map(|item| convert(item.into_inner(), here, origin)).collect(),
        ),
        DeValue::Table(table) => ValueKind::Table(convert_table(table, origin)),
    };
    Value::new(Some(here), kind)
}

/// The layer of one environment variable; nothing when it is not one of ours or is refused.
fn variable(
    name: &str,
    text: &str,
    declared: &Table,
    problems: &mut Vec<Problem>,
) -> Option<Layer> {
    let path = name.strip_prefix(PREFIX)?.to_lowercase();
    let origin = format!("environment variable {name}");
    let mut keys: Vec<String> = path.split("__").map(str::to_owned).collect();
    if let [section, entry, ..] = keys.as_mut_slice()
        && NAMED.contains(&section.as_str())
    {
        // A name holds no "_", and the name of a variable no "-": the one stands for the other.
        *entry = entry.replace('_', "-");
        let known = match declared.get(section).map(|section| &section.kind) {
            Some(ValueKind::Table(section)) => section.contains_key(entry),
            _ => false,
        };
        if !known {
            let key = format!("{section}.{entry}");
            problems.push(Problem {
                key,
                value: None,
                origin: Some(origin),
                reason: format!(
                    "a variable cannot add to [{section}]: declare the entry in a file"
                ),
                nearest: None,
            });
            return None;
        }
    }
    nested(&keys, text, &origin, problems)
}

/// The layer of one `--set key=value`.
fn flag(assignment: &str, problems: &mut Vec<Problem>) -> Option<Layer> {
    let origin = "--set".to_owned();
    let Some((path, text)) = assignment.split_once('=') else {
        let reason = format!("{assignment:?} is not key=value, such as http.listen=127.0.0.1:0");
        problems.push(Problem::with_source(origin, reason));
        return None;
    };
    let keys: Vec<String> = path.trim().split('.').map(str::to_owned).collect();
    nested(&keys, text, &origin, problems)
}

/// `text` beneath the path `keys`. It is read as TOML where it is a TOML value, such as `true`,
/// `64` or `["a", "b"]`, and taken as it stands otherwise: `127.0.0.1:0` needs no quotes.
fn nested(
    keys: &[String],
    text: &str,
    origin: &String,
    problems: &mut Vec<Problem>,
) -> Option<Layer> {
    if keys.len() < 2 || keys.iter().any(String::is_empty) {
        let reason = format!("{:?} does not name a key inside a section", keys.join("."));
        problems.push(Problem::with_source(origin.clone(), reason));
        return None;
    }
    let value = match DeValue::parse(text) {
        Ok(value) => convert(value.into_inner(), origin, &|_| origin.clone()),
        Err(_) => Value::new(Some(origin), text),
    };
    let (section, keys) = keys.split_first()?;
    let inner = keys
        .iter()
        .rev()
        .fold(value, |inner, key| Value::new(None, Table::from_iter([(key.clone(), inner)])));
    Some(Layer(Table::from_iter([(section.clone(), inner)])))
}
