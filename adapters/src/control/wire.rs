//! Lines and what they mean.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::message::{ControlRequest, ControlResponse};

/// The version of the protocol that is spoken here, and the newest that is understood.
pub const PROTOCOL_VERSION: u64 = 1;

/// The longest line in bytes, its newline included.
pub const LINE_BYTES_MAX: usize = 64 * 1_024;

/// Stable codes of the protocol's own errors. Refusals and failures of the journal bring theirs.
pub mod code {
    /// The line is no request.
    pub const INVALID_REQUEST: &str = "invalid_request";
    /// The line is longer than [`LINE_BYTES_MAX`](super::LINE_BYTES_MAX).
    pub const LINE_TOO_LONG: &str = "line_too_long";
    /// The line speaks a newer version of the protocol.
    pub const NEWER_VERSION: &str = "newer_version";
    /// There is no request of this name.
    pub const UNKNOWN_REQUEST: &str = "unknown_request";
    /// The request is known and not answered on this socket.
    pub const NOT_ACCEPTED_HERE: &str = "not_accepted_here";
    /// The peer belongs to another user.
    pub const PEER_REFUSED: &str = "peer_refused";
    /// There are too many connections.
    pub const BUSY: &str = "busy";
    /// The supervisor has the journal and is not ready yet; nothing was asked.
    pub const STARTING: &str = "starting";
    /// The next line was not complete in time.
    pub const TOO_SLOW: &str = "too_slow";
}

/// The names of the requests that exist.
const REQUESTS: [&str; 5] = ["report", "cancel_snapshot", "kill", "destroy", "ping"];

/// How much of a foreign text is repeated to its sender.
const SHOWN_CHARS_MAX: usize = 64;

/// Whatever is sent, with the version before it.
#[derive(Serialize)]
struct Line<'a, T> {
    v: u64,
    #[serde(flatten)]
    content: &'a T,
}

impl ControlRequest {
    /// The request as its line, with the newline.
    pub fn to_line(&self) -> String {
        line(self)
    }

    /// Reads a line, with or without its newline.
    ///
    /// # Errors
    ///
    /// The response that its sender should get: `invalid_request`, `newer_version` or `unknown_request`.
    pub fn from_line(line: &[u8]) -> Result<Self, Box<ControlResponse>> {
        let object = object(line).map_err(|why| invalid(&why))?;
        match object.get("request") {
            Some(Value::String(name)) if REQUESTS.contains(&name.as_str()) => {}
            Some(Value::String(name)) => return Err(unknown(name)),
            _ => return Err(invalid(&Unreadable::Content("the field request must name the request".to_owned()))),
        }
        let given = Value::Object(object);
        let request = Self::deserialize(&given).map_err(|error| invalid(&Unreadable::Content(error.to_string())))?;
        // Variants without fields take any in silence, and `unconditional` with a runner means two things at once.
        match serde_json::to_value(&request).ok().and_then(|known| stray(&given, &known)) {
            Some(field) => Err(invalid(&Unreadable::Content(format!("unknown field {field:?}")))),
            None => Ok(request),
        }
    }
}

/// A field that was given and is none of those that are known.
fn stray(given: &Value, known: &Value) -> Option<String> {
    given.as_object()?.iter().find_map(|(field, value)| match known.get(field) {
        Some(known) => stray(value, known),
        None if value.is_null() => None,
        None => Some(field.chars().take(SHOWN_CHARS_MAX).collect()),
    })
}

impl ControlResponse {
    /// The response as its line, with the newline.
    pub fn to_line(&self) -> String {
        line(self)
    }

    /// Reads a line, with or without its newline.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn from_line(line: &[u8]) -> Result<Self, String> {
        let object = object(line).map_err(|why| why.to_string())?;
        Self::deserialize(Value::Object(object)).map_err(|error| error.to_string())
    }
}

fn line<T: Serialize>(content: &T) -> String {
    // All keys are texts and no value is a float, so there is nothing that JSON cannot hold.
    let mut line = serde_json::to_string(&Line { v: PROTOCOL_VERSION, content }).unwrap_or_default();
    line.push('\n');
    line
}

#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("{0}")]
    Content(String),
    #[error("the line has version {found}; this side understands up to {PROTOCOL_VERSION}")]
    Newer { found: u64 },
}

/// The object of a line, without its version.
fn object(line: &[u8]) -> Result<Map<String, Value>, Unreadable> {
    let content = |why: String| Unreadable::Content(why);
    let value: Value =
        serde_json::from_slice(line).map_err(|error| content(format!("the line is no JSON: {error}")))?;
    let Value::Object(mut object) = value else { return Err(content("the line is no JSON object".to_owned())) };
    match object.remove("v").as_ref().and_then(Value::as_u64) {
        Some(v) if (1..=PROTOCOL_VERSION).contains(&v) => Ok(object),
        Some(found) if found > PROTOCOL_VERSION => Err(Unreadable::Newer { found }),
        _ => Err(content("the field v must be the version of the protocol, a number from 1".to_owned())),
    }
}

fn invalid(why: &Unreadable) -> Box<ControlResponse> {
    Box::new(match why {
        Unreadable::Content(_) => ControlResponse::error(
            code::INVALID_REQUEST,
            why.to_string(),
            "send one JSON object per line, as docs/control.md shows it",
        ),
        Unreadable::Newer { .. } => ControlResponse::error(
            code::NEWER_VERSION,
            why.to_string(),
            format!("send v {PROTOCOL_VERSION}, or use a newer supervisor"),
        ),
    })
}

fn unknown(name: &str) -> Box<ControlResponse> {
    let shown: String = name.chars().take(SHOWN_CHARS_MAX).collect();
    let message = format!("there is no request {shown:?}");
    Box::new(ControlResponse::error(code::UNKNOWN_REQUEST, message, format!("there are {}", REQUESTS.join(", "))))
}

/// That a line is too long, told to whoever sent it.
pub(super) fn too_long() -> ControlResponse {
    let message = format!("the line has more than {LINE_BYTES_MAX} bytes");
    ControlResponse::error(code::LINE_TOO_LONG, message, "send a shorter line")
}

#[cfg(test)]
mod tests {
    use tachograph_engine::domain::testing::ids;

    use super::*;
    use crate::control::{ControlGuard, RunReport};

    #[track_caller]
    fn refused(line: &str) -> (String, String) {
        match *ControlRequest::from_line(line.as_bytes()).unwrap_err() {
            ControlResponse::Error { code, message, .. } => (code, message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_survives_its_line() {
        let (command, run, attempt) =
            (tachograph_engine::domain::CommandId::from_u128(7), ids::run(1), ids::attempt(2));
        let report = |report| ControlRequest::Report { command, run, attempt, report };
        for request in [
            report(RunReport::Waiting { on: "a \"review\"\nby night".to_owned(), deadline_in_ms: Some(5) }),
            report(RunReport::Waiting { on: "x".to_owned(), deadline_in_ms: None }),
            report(RunReport::Resume),
            report(RunReport::Snapshot { after_ms: Some(0) }),
            report(RunReport::Snapshot { after_ms: None }),
            ControlRequest::CancelSnapshot { command, run, guard: ControlGuard::Unconditional },
            ControlRequest::CancelSnapshot { command, run, guard: ControlGuard::Runner { runner: "r/1".to_owned() } },
            ControlRequest::Kill { run, attempt, grace_ms: 0 },
            ControlRequest::Destroy { command, run, force: true, why: "it hangs".to_owned() },
            ControlRequest::Ping,
        ] {
            let line = request.to_line();
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert_eq!(ControlRequest::from_line(line.as_bytes()), Ok(request), "{line}");
        }
    }

    #[test]
    fn a_newer_version_is_refused_by_name_and_none_is_an_error() {
        let (code, message) = refused(r#"{"v":2,"request":"ping"}"#);
        assert_eq!(code, code::NEWER_VERSION);
        assert_eq!(message, "the line has version 2; this side understands up to 1");
        for line in [r#"{"request":"ping"}"#, r#"{"v":0,"request":"ping"}"#, r#"{"v":"1","request":"ping"}"#] {
            assert_eq!(refused(line).0, code::INVALID_REQUEST, "{line}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused_with_the_reason() {
        let (code, message) = refused(&format!(r#"{{"v":1,"request":"{}"}}"#, "x".repeat(1_000)));
        assert_eq!(code, code::UNKNOWN_REQUEST);
        assert!(message.len() < 100, "{message}");
        for (line, says) in [
            ("", "no JSON"),
            ("[1]", "no JSON object"),
            ("{\"v\":1}", "field request"),
            (r#"{"v":1,"request":"cancel_snapshot"}"#, "missing field"),
            (r#"{"v":1,"request":"cancel_snapshot","command":"7","run":"x"}"#, "expected a ULID"),
            (r#"{"v":1,"request":"ping","loudly":true}"#, "unknown field \"loudly\""),
        ] {
            let (code, message) = refused(line);
            assert_eq!(code, code::INVALID_REQUEST, "{line}");
            assert!(message.contains(says), "{line}: {message}");
        }
    }

    #[test]
    fn an_unconditional_cancel_that_names_a_runner_is_neither() {
        let id = ids::run(1);
        let line = |guard: &str| {
            format!(r#"{{"v":1,"request":"cancel_snapshot","command":"{id}","run":"{id}","guard":{{{guard}}}}}"#)
        };
        assert!(ControlRequest::from_line(line(r#""kind":"unconditional""#).as_bytes()).is_ok());
        assert!(refused(&line(r#""kind":"unconditional","runner":"r""#)).1.contains("unknown field \"runner\""));
        assert!(refused(&line(r#""kind":"runner""#)).1.contains("missing field"));
        assert!(refused(&line("")).1.contains("missing field"));
    }

    #[test]
    fn a_misspelt_deadline_is_no_wait_without_one() {
        let id = ids::run(1);
        let line = format!(
            r#"{{"v":1,"request":"report","command":"{id}","run":"{id}","attempt":"{id}","report":{{"kind":"waiting","on":"x","deadline_ms":5}}}}"#
        );
        assert!(refused(&line).1.contains("deadline_ms"));
    }

    #[test]
    fn a_response_survives_its_line_and_what_it_has_more_is_ignored() {
        let error = ControlResponse::error("busy", "m", "r");
        assert_eq!(ControlResponse::from_line(error.to_line().as_bytes()), Ok(error));
        let pong = br#"{"v":1,"response":"pong","pid":7,"version":"0.1.0","mood":"good"}"#;
        assert_eq!(ControlResponse::from_line(pong), Ok(ControlResponse::Pong { pid: 7, version: "0.1.0".to_owned() }));
        assert!(ControlResponse::from_line(br#"{"v":9,"response":"pong"}"#).unwrap_err().contains("version 9"));
    }
}
