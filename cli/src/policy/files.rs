//! Policies and requests in files, with every problem at its place.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use policy::Policy;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::failure::{Context, Failure};

/// The policies of all files, valid and with different names.
#[derive(Debug)]
pub(super) struct Files(Vec<(String, Policy)>);

impl Files {
    /// `{"valid","policies":[names],"advice":[{"file","line","column","path","code","message"}]}`.
    pub(super) fn report(&self) -> Value {
        let names: Vec<&str> = self.0.iter().map(|(_, policy)| policy.name()).collect();
        let advice: Vec<Value> = self
            .0
            .iter()
            .flat_map(|(file, policy)| policy::validate(policy).into_iter().map(move |advice| place(file, &advice)))
            .collect();
        json!({ "valid": true, "policies": names, "advice": advice })
    }

    /// One text with all documents, as they were written.
    pub(super) fn text(&self) -> Result<String, Failure> {
        let sources: Vec<&str> = self.0.iter().map(|(_, policy)| policy.source().trim_end()).collect();
        let text = sources.join("\n---\n") + "\n";
        // Central reads the joined text: it must say what the files say.
        let joined = policy::parse(&text).or_refuse(|| "the files cannot be sent as one text".to_owned())?;
        if joined.iter().map(Policy::document).ne(self.0.iter().map(|(_, policy)| policy.document())) {
            return Err(Failure::refused("the files cannot be sent as one text; apply them one by one"));
        }
        Ok(text)
    }
}

/// Reads and checks all files; all that is wrong in any of them is told at once.
pub(super) fn read(paths: &[PathBuf]) -> Result<Files, Failure> {
    let mut files = Vec::new();
    let mut errors = Vec::new();
    let mut seen: HashMap<String, String> = HashMap::new();
    for path in paths {
        let file = path.display().to_string();
        let text = read_text(path, policy::limits::MAX_TEXT_BYTES)?;
        match policy::parse(&text) {
            Err(problems) => errors.extend(problems.0.iter().map(|problem| place(&file, problem))),
            Ok(policies) => {
                for policy in policies {
                    if let Some(other) = seen.insert(policy.name().to_owned(), file.clone()) {
                        let message = format!("the policy `{}` is in {other} as well", policy.name());
                        errors.push(json!({
                            "file": file, "line": 1, "column": 1, "path": "metadata.name",
                            "code": policy::Code::Duplicate.as_str(), "message": message,
                        }));
                    }
                    files.push((file.clone(), policy));
                }
            }
        }
    }
    if errors.is_empty() {
        return Ok(Files(files));
    }
    Err(Failure::invalid("the policies are not valid; nothing was changed", &errors))
}

/// A request of `explain`, checked here so that problems name the file.
pub(super) fn read_request(path: &Path) -> Result<String, Failure> {
    let text = read_text(path, policy::limits::MAX_DOCUMENT_BYTES)?;
    let now_ms = i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
    let file = path.display().to_string();
    policy::ExplainRequest::parse(&text, now_ms).map_err(|problems| {
        let errors: Vec<_> = problems.0.iter().map(|problem| place(&file, problem)).collect();
        Failure::invalid("the request is not valid", &errors)
    })?;
    Ok(text)
}

fn place(file: &str, problem: &policy::Problem) -> Value {
    json!({
        "file": file, "line": problem.line, "column": problem.column, "path": problem.path,
        "code": problem.code.as_str(), "message": problem.message,
    })
}

/// One byte more than `max` at most: the reader of the text says that it is too long.
fn read_text(path: &Path, max: usize) -> Result<String, Failure> {
    let refused = || format!("{} cannot be read", path.display());
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).or_refuse(refused)?;
    file.take(max as u64 + 1).read_to_end(&mut bytes).or_refuse(refused)?;
    if bytes.len() > max {
        return Err(Failure::refused(format!("{} has more than {max} bytes", path.display())));
    }
    String::from_utf8(bytes).or_refuse(|| format!("{} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str) -> String {
        format!(
            "apiVersion: {}\nkind: {}\nmetadata:\n  name: {name}\nspec:\n  mode: enforce\n  effect: encrypt\n  buckets: [\"*\"]\n",
            policy::API_VERSION,
            policy::KIND
        )
    }

    fn files(texts: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = texts.iter().enumerate().map(|(at, text)| {
            let path = folder.path().join(format!("{at}.yaml"));
            std::fs::write(&path, text).expect("written");
            path
        });
        let paths = paths.collect();
        (folder, paths)
    }

    fn problem(failure: Failure) -> String {
        match failure {
            Failure::Refused(problem) => format!("{problem:?}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn files_are_sent_as_one_text_that_says_the_same() {
        let (_folder, paths) = files(&[&policy("a"), &format!("---\n{}---\n{}", policy("b"), policy("c"))]);
        let read = read(&paths).expect("valid");
        assert_eq!(read.report()["policies"], json!(["a", "b", "c"]));
        let names: Vec<String> = policy::parse(&read.text().expect("one text"))
            .expect("valid")
            .iter()
            .map(|p| p.name().to_owned())
            .collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn problems_of_all_files_are_told_with_file_line_and_column() {
        let wrong = policy("a").replace("effect: encrypt", "effect: burn");
        let (_folder, paths) = files(&[&wrong, &policy("b"), "nonsense: ["]);
        let told = problem(read(&paths).expect_err("invalid"));
        assert!(told.contains("0.yaml") && told.contains("2.yaml"), "{told}");
        assert!(told.contains("\"line\": Number(7)"), "{told}");
    }

    #[test]
    fn a_policy_may_be_in_one_file_only() {
        let (_folder, paths) = files(&[&policy("a"), &policy("a")]);
        let told = problem(read(&paths).expect_err("twice"));
        assert!(told.contains("duplicate"), "{told}");
    }
}
