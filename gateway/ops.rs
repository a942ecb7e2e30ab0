//! `opgate ops`: operations from the command line, over opgate's own API.

mod args;
mod backends;
mod client;
mod events;
mod filter;
mod show;
mod watch;

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use opgate::settings::{Settings, Sources};
use serde_json::{Map, Value, json};

pub(crate) use args::Ops;
use args::{Action, Complete, Content, End, List, Output, Start};
use client::{Client, Refusal, WAIT, path};

use crate::progress::Progress;

/// Largest page of a list.
const PAGE: u32 = 1000;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
enum Failed {
    /// The operation ended without success, and has been shown.
    #[error("the operation ended without success")]
    Ended,
    /// It had not ended in time, and has been shown.
    #[error("the operation has not ended yet")]
    Unended,
    /// The command line cannot be carried out.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Request(#[from] Refusal),
    /// The result could not be written.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl Failed {
    /// As `--help` has them.
    const fn code(&self) -> u8 {
        match self {
            Self::Ended => 1,
            Self::Request(Refusal::Refused { .. }) => 2,
            Self::Usage(_) => 64,
            Self::Request(Refusal::Unreachable { .. }) => 69,
            Self::Output(_) => 74,
            Self::Unended => 75,
        }
    }
}

/// Carries a command out.
pub(crate) fn run(ops: &Ops, sources: &Sources, ready_file: Option<&Path>) -> ExitCode {
    let of_backends = matches!(ops.action, Action::Backends);
    let asked = if of_backends { Asked::Admin } else { Asked::Api };
    let done = address(ops, asked, sources, ready_file)
        .and_then(|address| Client::new(&address, ops.ca_file.as_ref()))
        .map_err(Failed::Usage)
        .and_then(|client| {
            // One request at a time: one thread does.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(Box::pin(Session { client, output: ops.output }.act(&ops.action)))
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has read enough.
        Err(Failed::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failed) => match writeln!(io::stderr(), "opgate: {failed}") {
            Ok(()) => failed.code().into(),
            Err(_) => 74.into(),
        },
    }
}

/// Which of its listeners is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Api,
    Admin,
}

/// Where the gateway is: as said, else as a running one wrote, else as one would be configured.
fn address(
    ops: &Ops,
    asked: Asked,
    sources: &Sources,
    ready_file: Option<&Path>,
) -> Result<String, String> {
    let (said, listener, flag) = match asked {
        Asked::Api => (&ops.address, "http", "--address"),
        Asked::Admin => (&ops.admin_address, "admin", "--admin-address"),
    };
    if let Some(address) = said {
        return Ok(address.clone());
    }
    if let Some(path) = ready_file {
        let unread = |why: String| format!("{}: {why}", path.display());
        let ready = fs::read(path).map_err(|error| unread(error.to_string()))?;
        let ready: Value = serde_json::from_slice(&ready)
            .map_err(|error| unread(format!("not a ready file: {error}")))?;
        let at = ready[listener].as_str().ok_or_else(|| unread("not a ready file".to_owned()))?;
        return Ok(url(ready[format!("{listener}_tls")] == true, at));
    }
    let (settings, _) = Settings::load(sources).map_err(|problems| problems.to_string())?;
    let (mut listen, tls) = match asked {
        Asked::Api => (settings.http.listen, settings.http.tls.is_some()),
        Asked::Admin => (settings.admin.listen, settings.admin.tls.is_some()),
    };
    if listen.port() == 0 {
        return Err(format!(
            "the settings have it listen on a free port: say {flag} or --ready-file"
        ));
    }
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(url(tls, listen))
}

fn url(tls: bool, authority: impl std::fmt::Display) -> String {
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{authority}")
}

struct Session {
    client: Client,
    output: Output,
}

impl Session {
    async fn act(&self, action: &Action) -> Result<(), Failed> {
        match action {
            Action::Start(start) => self.start(start).await,
            Action::Get { name } => {
                let operation = self.get(&path(name, "")).await?;
                self.show(&operation)
            }
            Action::List(list) => self.list(list).await,
            Action::Wait { name, timeout } => self.wait(name, *timeout).await,
            Action::Watch { name: Some(name), .. } => self.watch(name).await,
            Action::Watch { name: None, parent, filter } => self.watch_all(parent, filter).await,
            Action::Backends => self.backends().await,
            Action::Cancel { name, reason } => {
                let body = json!({ "reason": reason });
                let operation = self.post(&path(name, ":cancel"), &body).await?;
                self.show(&operation)
            }
            Action::Delete { name } => {
                let (path, no_wait) = (path(name, ""), Duration::ZERO);
                let done = self.client.call(Method::DELETE, &path, None, no_wait).await?;
                match self.output {
                    Output::Table | Output::Wide => Ok(()),
                    Output::Json => write(&format!("{done}\n")),
                }
            }
            Action::Complete(complete) => self.complete(complete).await,
            Action::Redrive { names } => {
                for name in names {
                    let operation = self.post(&path(name, ":redrive"), &json!({})).await?;
                    self.show(&operation)?;
                }
                Ok(())
            }
        }
    }

    async fn start(&self, start: &Start) -> Result<(), Failed> {
        let mut body = json!({
            "route": start.route.as_deref().unwrap_or_default(),
            "service": start.service.as_deref().unwrap_or_default(),
            "operation": start.operation.as_deref().unwrap_or_default(),
            "parent": start.parent,
            "requestId": start.request_id,
        });
        if let Some(input) = payload(&start.input)? {
            body["input"] = input;
        }
        if let Some(timeout) = start.timeout {
            body["timeout"] = seconds(timeout).into();
        }
        let operation = self.post("/opgate/v1/operations", &body).await?;
        if !start.wait {
            return self.show(&operation);
        }
        let id = operation["id"].as_str().unwrap_or_default();
        self.wait(id, None).await
    }

    /// Shows each page as it comes, so that no list is too long.
    async fn list(&self, list: &List) -> Result<(), Failed> {
        let (mut shown, mut token, mut pages) = (0, String::new(), 0);
        let (filter, mut progress) = (filter::filter(list, filter::now()), Progress::new());
        loop {
            let size = if list.all { PAGE } else { PAGE.min(list.limit - shown) };
            let page = self.page(&list.parent, &filter, size, &token).await?;
            let operations = page["operations"].as_array().map_or(&[][..], Vec::as_slice);
            page["nextPageToken"].as_str().unwrap_or_default().clone_into(&mut token);
            let is_first = shown == 0;
            shown += u32::try_from(operations.len()).unwrap_or(size);
            let is_last = token.is_empty() || (!list.all && shown >= list.limit);
            // A page that a filter has left empty says nothing, unless it is all there is.
            if !operations.is_empty() || is_last {
                progress.wipe();
                write(&match self.output {
                    Output::Table => show::list(operations, is_first),
                    Output::Wide => show::wide(operations, is_first, filter::now()),
                    Output::Json => show::json_list(operations, is_first, is_last),
                })?;
            }
            if is_last {
                return Ok(());
            }
            pages += 1;
            progress.say(None, &format!("{pages} pages looked through, {shown} found"), false);
        }
    }

    async fn page(
        &self,
        parent: &str,
        filter: &str,
        size: u32,
        token: &str,
    ) -> Result<Value, Refusal> {
        let mut query = format!("/opgate/v1/operations?pageSize={size}");
        for (key, value) in [("parent", parent), ("filter", filter), ("pageToken", token)] {
            if !value.is_empty() {
                query = format!("{query}&{key}={}", client::value(value));
            }
        }
        self.get(&query).await
    }

    async fn wait(&self, name: &str, limit: Option<Duration>) -> Result<(), Failed> {
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let this = left.map_or(WAIT, |left| left.min(WAIT));
            let asked = format!("{}?timeout={}", path(name, ":wait"), seconds(this));
            let operation = self.client.call(Method::GET, &asked, None, this).await?;
            if operation["done"] == true {
                self.show(&operation)?;
                let succeeded = operation["state"] == "SUCCEEDED";
                return if succeeded { Ok(()) } else { Err(Failed::Ended) };
            }
            if left.is_some_and(|left| left <= this) {
                self.show(&operation)?;
                return Err(Failed::Unended);
            }
        }
    }

    async fn complete(&self, complete: &Complete) -> Result<(), Failed> {
        let result = payload(&complete.result)?;
        let outcome = match complete.outcome {
            End::Succeeded => {
                if complete.code.is_some() || complete.message.is_some() {
                    let text = "--code and --message belong to an outcome without success";
                    return Err(Failed::Usage(text.to_owned()));
                }
                json!({ "succeeded": result.unwrap_or_else(|| Value::Object(Map::new())) })
            }
            End::Failed | End::Canceled => {
                if result.is_some() {
                    return Err(Failed::Usage("only a success has a result".to_owned()));
                }
                let canceled = complete.outcome == End::Canceled;
                let otherwise = if canceled { "CANCELLED" } else { "UNKNOWN" };
                let failure = json!({
                    "code": complete.code.unwrap_or(otherwise),
                    "message": complete.message.as_deref().unwrap_or_default(),
                });
                json!({ (if canceled { "canceled" } else { "failed" }): failure })
            }
        };
        let body = json!({ "outcome": outcome });
        let operation = self.post(&path(&complete.name, ":complete"), &body).await?;
        self.show(&operation)
    }

    async fn get(&self, path: &str) -> Result<Value, Refusal> {
        self.client.call(Method::GET, path, None, Duration::ZERO).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, Refusal> {
        self.client.call(Method::POST, path, Some(body), Duration::ZERO).await
    }

    fn show(&self, operation: &Value) -> Result<(), Failed> {
        match self.output {
            Output::Table | Output::Wide => write(&show::one(operation)),
            Output::Json => write(&pretty(operation)),
        }
    }
}

/// The content that was given, as the API takes it.
fn payload(content: &Content) -> Result<Option<Value>, Failed> {
    if let Some(json) = &content.json {
        return Ok(Some(json!({ "json": json })));
    }
    if let Some(text) = &content.text {
        return Ok(Some(json!({ "text": text })));
    }
    let bytes = match (&content.file, &content.value_base64) {
        (Some(path), _) => {
            read(path).map_err(|error| Failed::Usage(format!("{}: {error}", path.display())))?
        }
        (None, Some(text)) => STANDARD
            .decode(text)
            .map_err(|error| Failed::Usage(format!("--value-base64: not base64: {error}")))?,
        (None, None) => return Ok(None),
    };
    let media_type = match (&content.type_url, &content.media_type) {
        (Some(url), _) => {
            let name = url.rsplit('/').next().unwrap_or_default();
            format!("application/x-protobuf; message-type=\"{name}\"")
        }
        (None, Some(media_type)) => media_type.clone(),
        (None, None) => "application/octet-stream".to_owned(),
    };
    Ok(Some(json!({ "mediaType": media_type, "data": STANDARD.encode(bytes) })))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if path != Path::new("-") {
        return fs::read(path);
    }
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A duration as protobuf's JSON has it.
fn seconds(duration: Duration) -> String {
    format!("{}.{:09}s", duration.as_secs(), duration.subsec_nanos())
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn write(text: &str) -> Result<(), Failed> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
