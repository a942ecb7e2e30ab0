//! Who takes part: the faces with their clients, the backends with their upstreams, and the programs that have them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use super::driver::Driver;
use crate::amqp::clients as amqp;
use crate::clients::{KEPT, SOURCES, environment};
use crate::go::Module;
use crate::oci;

/// A face, and the client that it is tried with.
pub(super) struct Front {
    /// What it is called, here and in `tests/clients/matrix/faces`.
    pub(super) name: &'static str,
    /// The client.
    pub(super) client: &'static str,
    /// The program that has it: faces with the same share one.
    pub(super) program: Program,
}

/// What runs clients and upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// Python with Google's clients; with nothing but its own library, too.
    Google,
    /// Python with Oracle's SDK.
    Oci,
    /// Python with clients of AMQP.
    Amqp,
    /// Go with Nexus's SDK.
    Nexus,
}

pub(super) const FRONTS: [Front; 7] = [
    Front {
        name: "grpc",
        client: "google-api-core over gRPC (`operations_v1`, `operation.Operation`)",
        program: Program::Google,
    },
    Front {
        name: "rest",
        client: "google-api-core over REST, starts by google-auth's session",
        program: Program::Google,
    },
    Front {
        name: "native",
        client: "opgate's own API as JSON over HTTP, as curl would call it",
        program: Program::Google,
    },
    Front { name: "oci", client: "Oracle's SDK for Python, redis", program: Program::Oci },
    Front {
        name: "nexus",
        client: "Nexus's SDK for Go, with a receiver of callbacks",
        program: Program::Nexus,
    },
    Front {
        name: "amqp",
        client: "python-qpid-proton's SyncRequestResponse at `$management`",
        program: Program::Amqp,
    },
    Front {
        name: "rabbit",
        client: "RabbitMQ's library for Python, HTTP over AMQP at `/management`",
        program: Program::Amqp,
    },
];

/// A backend, and who carries operations out behind it.
pub(super) struct Backend {
    /// What it is called, here and in `tests/clients/matrix/upstreams`.
    pub(super) name: &'static str,
    /// Who is behind it.
    pub(super) upstream: &'static str,
    pub(super) program: Program,
    /// Its settings; ENDPOINT is the address of the upstream.
    pub(super) kind: &'static str,
    /// What a route says of a call; ROUTE is its name.
    pub(super) call: &'static str,
    /// Where in the result of an operation that of the work is: a JSON pointer.
    pub(super) result: &'static str,
}

pub(super) const BACKENDS: [Backend; 6] = [
    Backend {
        name: "longrunning",
        upstream: "a service on grpcio whose method returns `google.longrunning.Operation`",
        program: Program::Google,
        kind: r#"
kind = "longrunning"
endpoint = "ENDPOINT"
poll_first = "50ms"
poll_longest = "200ms"
"#,
        call: r#"
[routes.ROUTE.longrunning_call]
method = "upstream.v1.Matrix/Start"
request_type = "google.protobuf.Struct"
idempotent = true
result = "json"
"#,
        result: "",
    },
    Backend {
        name: "oci",
        upstream: "an API of OCI's kind on Python's own HTTP server",
        program: Program::Google,
        kind: r#"
kind = "oci"
endpoint = "ENDPOINT"
signing = "none"
poll_first = "50ms"
poll_longest = "200ms"
"#,
        call: r#"
[routes.ROUTE.oci]
request = "POST /20220315/things"
body = "${}"
dialect = "modern"
"#,
        // The result is the work request.
        result: "/result",
    },
    Backend {
        name: "nexus",
        upstream: "a handler on Nexus's SDK for Go",
        program: Program::Nexus,
        kind: r#"
kind = "nexus"
endpoint = "ENDPOINT"
poll_first = "200ms"
poll_longest = "500ms"
"#,
        call: THING,
        result: "",
    },
    Backend {
        name: "amqp",
        upstream: "a management node on python-qpid-proton",
        program: Program::Amqp,
        kind: r#"
kind = "amqp"
endpoint = "ENDPOINT"
poll_first = "50ms"
poll_longest = "200ms"
"#,
        call: r#"
[routes.ROUTE.amqp_call]
operation = "START"
type = "com.example:work"
body = "${}"
completion = "poll"
idempotent = true
"#,
        result: "",
    },
    Backend {
        name: "worker",
        upstream: "a worker over opgate's own API, as JSON over HTTP",
        program: Program::Google,
        kind: r#"
kind = "worker"
lease = "5s"
"#,
        call: r#"
[routes.ROUTE.worker]
queue = "matrix"
"#,
        result: "",
    },
    Backend {
        name: "queue",
        upstream: "a worker on python-qpid-proton, as a receiver from a queue",
        program: Program::Amqp,
        // How long an operation stays with a worker that was there before a restart.
        kind: r#"
kind = "worker"
lease = "2s"
"#,
        call: r#"
[routes.ROUTE.worker]
queue = "matrix"
[[routes.ROUTE.resources]]
entity_type = "thing"
action = "CREATED"
identifier = "thing-${/key}"
"#,
        result: "",
    },
];

/// What an operation works on, where its upstream has no words for it.
const THING: &str = r#"
[[routes.ROUTE.resources]]
entity_type = "thing"
action = "CREATED"
identifier = "thing-${/key}"
"#;

static GOOGLE: LazyLock<PathBuf> = LazyLock::new(|| environment("requirements.txt").join("python"));
static NEXUS: LazyLock<PathBuf> = LazyLock::new(|| {
    let module = Module::of("matrix/nexus");
    module.vet();
    module.program(".").get_program().into()
});

impl Program {
    /// The clients of these faces.
    pub(super) fn fronts(self, faces: &[&str]) -> Driver {
        let mut command = self.command("front");
        Driver::start(&faces.join(" "), command.args(faces))
    }

    /// The upstream of this backend.
    pub(super) fn upstream(self, name: &str) -> Driver {
        Driver::start(name, self.command("upstream").arg(name))
    }

    fn command(self, what: &str) -> Command {
        let python = match self {
            Self::Google => &GOOGLE,
            Self::Oci => &oci::PYTHON,
            Self::Amqp => &amqp::PYTHON,
            Self::Nexus => {
                let mut command = Command::new(&*NEXUS);
                command.arg(what);
                return command;
            }
        };
        let mut command = Command::new(&**python);
        command
            .arg(format!("{what}.py"))
            .current_dir(Path::new(SOURCES).join("matrix"))
            .env_remove("PYTHONDONTWRITEBYTECODE")
            .env("PYTHONPYCACHEPREFIX", Path::new(KEPT).join("matrix-bytecode"))
            // The clients would otherwise look for the daemon behind the proxy of the package index.
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1");
        command
    }
}
