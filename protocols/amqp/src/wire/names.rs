//! Names on the wire: of OASIS AMQP Management (working drafts 9 to 16), of what clients make of it, and
//! opgate's own.

/// What a request asks for.
pub const OPERATION: &str = "operation";
/// The type of the entity that a request is about.
pub const TYPE: &str = "type";
/// Which entity: by its name,
pub const NAME: &str = "name";
/// or by its identity.
pub const IDENTITY: &str = "identity";
/// In which languages texts are wanted; opgate has one.
pub const LOCALES: &str = "locales";
/// Of a QUERY and the GET- operations: entities of this type only.
pub const ENTITY_TYPE: &str = "entityType";
/// Of a QUERY: how many rows to skip,
pub const OFFSET: &str = "offset";
/// and how many to answer with; of its reply how many these are.
pub const COUNT: &str = "count";
/// Of a QUERY, opgate's own: which rows, in the language of list filters (AIP-160).
pub const FILTER: &str = "filter";
/// In the body of a QUERY: the columns,
pub const ATTRIBUTE_NAMES: &str = "attributeNames";
/// and in its reply the rows.
pub const RESULTS: &str = "results";
/// Of a WAIT: how long, in milliseconds or as a text such as `30s`.
pub const TIMEOUT: &str = "timeout";
/// Of a CANCEL: why.
pub const REASON: &str = "reason";
/// Of what changes an operation: the version that it must have.
pub const VERSION: &str = "version";

/// How long the client waits for the reply, in milliseconds (Azure's clients).
pub const SERVER_TIMEOUT: &str = "com.microsoft:server-timeout";
/// What Azure's clients prove with who they are; of no use to anybody else.
pub const SECURITY_TOKEN: &str = "security_token";
/// By what a repeat of a start is known.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The same, by another name.
pub const REQUEST_ID: &str = "opgate-request-id";
/// The caller's place in its trace: W3C Trace Context for AMQP,
pub const TRACE_PARENT: &str = "traceparent";
/// what tracing systems add to it,
pub const TRACE_STATE: &str = "tracestate";
/// and what Azure's clients send instead.
pub const DIAGNOSTIC_ID: &str = "Diagnostic-Id";

/// The type of management nodes themselves.
pub const MANAGEMENT: &str = "org.amqp.management";
/// The name of a management node on itself.
pub const SELF: &str = "self";
/// The type of opgate's operations.
pub const OPERATION_TYPE: &str = "org.opgate.operation";
/// What Azure's clients ask an Event Hub's properties of,
pub const EVENT_HUB: &str = "com.microsoft:eventhub";
/// and those of one of its partitions.
pub const PARTITION: &str = "com.microsoft:partition";
/// What entity-scoped requests of Service Bus clients have for a type.
pub const ENTITY_MANAGEMENT: &str = "entity-mgmt";
