//! Why a command did not do what it was asked, and the exit status that says so.

use std::process::ExitCode;

use serde_json::{Value, json};

/// A command that was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The service, a file or the state of things says no. Exit status 1.
    Refused(Problem),
    /// The words of the command do not fit. Exit status 2.
    Usage(String),
    /// The service does not answer. Exit status 3.
    Unreachable(String),
}

/// An RFC 9457 problem.
#[derive(Debug)]
pub(crate) struct Problem(Value);

impl Problem {
    /// As a service answered it.
    pub(crate) fn from_service(value: Value) -> Self {
        Self(value)
    }

    /// `errors` of the problem as `line:column: code: message` lines, where it has them.
    fn lines(&self) -> Vec<String> {
        let errors = self.0.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        errors
            .iter()
            .map(|error| {
                let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
                let number = |name: &str| error.get(name).and_then(Value::as_u64).unwrap_or_default();
                let file = error.get("file").and_then(Value::as_str).map(|f| format!("{f}:")).unwrap_or_default();
                format!("{file}{}:{}: {}: {}", number("line"), number("column"), text("code"), text("message"))
            })
            .collect()
    }
}

impl Failure {
    /// A refusal with one sentence for a person.
    pub(crate) fn refused(detail: impl Into<String>) -> Self {
        let detail: String = detail.into();
        Self::Refused(Problem(json!({ "type": "about:blank", "title": "Refused", "detail": detail })))
    }

    /// A refusal with places in files: `errors` of {file, line, column, code, message}.
    pub(crate) fn invalid(detail: impl Into<String>, errors: &[Value]) -> Self {
        let detail: String = detail.into();
        Self::Refused(Problem(json!({ "type": "about:blank", "title": "Invalid", "detail": detail, "errors": errors })))
    }

    /// The sentence for a person.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Refused(Problem(problem)) => ["detail", "title"]
                .iter()
                .find_map(|name| problem.get(name)?.as_str())
                .unwrap_or("the service refused without a reason"),
            Self::Usage(detail) | Self::Unreachable(detail) => detail,
        }
    }

    /// Writes the failure to standard error and gives its exit status.
    #[expect(clippy::print_stderr, reason = "this is what standard error is for")]
    pub(crate) fn report(self, as_json: bool) -> ExitCode {
        let (status, problem) = match self {
            Self::Refused(problem) => (1, problem),
            Self::Usage(detail) => (2, Problem(json!({ "type": "about:blank", "title": "Usage", "detail": detail }))),
            Self::Unreachable(detail) => {
                (3, Problem(json!({ "type": "about:blank", "title": "Unreachable", "detail": detail })))
            }
        };
        if as_json {
            eprintln!("{}", problem.0);
        } else {
            for line in problem.lines() {
                eprintln!("{line}");
            }
            let text = |name: &str| problem.0.get(name).and_then(Value::as_str);
            let said = text("detail").or_else(|| text("title")).unwrap_or("the service refused without a reason");
            eprintln!("sealgate: {said}");
        }
        ExitCode::from(status)
    }
}

/// Any error of the operating system or of a library, in a sentence that says what was tried.
pub(crate) trait Context<T> {
    /// `Refused` with `what` and the cause.
    fn or_refuse(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: std::fmt::Display> Context<T> for Result<T, E> {
    fn or_refuse(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::refused(format!("{}: {error}", what())))
    }
}
