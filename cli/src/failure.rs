//! Why a command did not do what it was asked, and the exit status that says so.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::output::complain;

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

    /// The sentence for a person.
    fn text(&self) -> &str {
        let text = |name: &str| self.0.get(name).and_then(Value::as_str);
        text("detail").or_else(|| text("title")).unwrap_or("the service refused without a reason")
    }

    /// `errors` of the problem as `file:line:column: code: message` lines, where it has them; without a position where
    /// there is none. What the sentence says already is not said again.
    fn lines(&self) -> Vec<String> {
        let errors = self.0.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let line = |error: &Value| {
            let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
            let number = |name: &str| error.get(name).and_then(Value::as_u64).unwrap_or_default();
            let (code, message) = (text("code"), text("message"));
            let file = error.get("file").and_then(Value::as_str).map(|file| format!("{file}:")).unwrap_or_default();
            // Lines are counted from 1.
            match number("line") {
                0 if self.text().contains(message) => None,
                0 if text("path").is_empty() => Some(format!("{code}: {message}")),
                0 => Some(format!("{}: {code}: {message}", text("path"))),
                line => Some(format!("{file}{line}:{}: {code}: {message}", number("column"))),
            }
        };
        errors.iter().filter_map(line).collect()
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

    /// Of a precondition that does not hold any more, what happened and what to do about it here, in place of what to do
    /// about it by REST; any other failure as it is.
    pub(crate) fn overtaken(mut self, advice: &str) -> Self {
        if let Self::Refused(problem) = &mut self
            && problem.0.get("status").and_then(Value::as_u64) == Some(412)
        {
            let happened = problem.text().split_inclusive(". ").next().unwrap_or_default().trim_end();
            problem.0["detail"] = json!(format!("{happened} {advice}"));
        }
        self
    }

    /// The sentence for a person.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Refused(problem) => problem.text(),
            Self::Usage(detail) | Self::Unreachable(detail) => detail,
        }
    }

    /// Writes the failure to standard error and gives its exit status.
    pub(crate) fn report(self, as_json: bool) -> ExitCode {
        let (status, problem) = match self {
            Self::Refused(problem) => (1, problem),
            Self::Usage(detail) => (2, Problem(json!({ "type": "about:blank", "title": "Usage", "detail": detail }))),
            Self::Unreachable(detail) => {
                (3, Problem(json!({ "type": "about:blank", "title": "Unreachable", "detail": detail })))
            }
        };
        if as_json {
            complain(&problem.0.to_string());
        } else {
            for line in problem.lines() {
                complain(&line);
            }
            complain(&format!("sealgate: {}", problem.text()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_a_position_where_there_is_one_and_says_each_sentence_once() {
        let lines = |errors: Value| {
            Problem::from_service(json!({ "detail": "Nothing was changed: a name has no space.", "errors": errors }))
                .lines()
        };
        let issue = |line: u64, message: &str| json!([{ "line": line, "column": 3, "path": "name", "code": "name-invalid", "message": message }]);
        assert_eq!(lines(issue(0, "a name has no space")), [""; 0]);
        assert_eq!(lines(issue(0, "it is too long")), ["name: name-invalid: it is too long"]);
        assert_eq!(lines(issue(7, "a name has no space")), ["7:3: name-invalid: a name has no space"]);
        assert_eq!(lines(json!([{ "code": "x", "message": "y" }])), ["x: y"]);
    }
}
