// Package gateway holds what Nexus's SDK v0.4.0 expects of a Nexus service over HTTP, put to the
// SDK's own handler, to opgate's showcase, and to the SDK's handler behind opgate.
//
// The daemon and the handler behind it are started by the Rust suite (tests/suite/nexus.rs), which
// gives their addresses in the environment: OPGATE_HTTP and OPGATE_UPSTREAM as
// host:port. With -short only the SDK's own handler is asked: the cases against themselves.
package gateway
