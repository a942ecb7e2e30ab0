// Package gateway holds what Nexus's SDK v0.1.1 expects of a Nexus service over HTTP: operations are
// named by an id in the path, and the words "token" and "retryable" are unknown. It is put to the
// SDK's own handler, to opgate's showcase, and to the SDK's handler behind opgate.
//
// The daemon and the handler behind it are started by the Rust suite (tests/suite/nexus.rs), which
// gives the daemon's address in the environment, OPGATE_HTTP. With -short only the SDK's own handler
// is asked: the cases against themselves.
package gateway
