use super::*;

fn vars(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Config, Mistakes> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("central.toml");
    std::fs::write(&path, file).expect("written");
    Config::load(Some(&path), vars(environment).into_iter(), flags.iter().copied())
}

const LEAST: &str = "[database]\nurl = \"postgres://u:s3cret@h/d\"\n[sealing]\nkey = \"env:K\"\n";

#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let file =
        format!("{LEAST}[listen]\nconsole = \"127.0.0.1:1\"\ngrpc = \"127.0.0.1:1\"\nmetrics = \"127.0.0.1:1\"\n");
    let environment =
        [("SEALGATE_CENTRAL_LISTEN_CONSOLE", "127.0.0.1:2"), ("SEALGATE_CENTRAL_LISTEN_GRPC", "127.0.0.1:2")];
    let config = load(&file, &environment, &["listen.console=127.0.0.1:3"]).unwrap_or_else(|error| panic!("{error}"));
    let ports = [config.listen.console.port(), config.listen.grpc.port(), config.listen.metrics.port()];
    assert_eq!(ports, [3, 2, 1]);
    assert_eq!(config.database.connections, 20);
}

#[test]
fn every_mistake_is_told_at_once_with_its_path() {
    let file = "[database]\nconections = 5\nconnections = 0\n[sessions]\nidle = \"20h\"\n[bogus]\na = 1\n";
    let mistakes = load(file, &[("SEALGATE_CENTRAL_LISTEN_GRPC", "nowhere")], &["gateways.report_interval=soon"])
        .err()
        .expect("mistakes");
    let paths: Vec<&str> = mistakes.0.iter().map(|mistake| mistake.path.as_str()).collect();
    for path in [
        "database.url",
        "database.connections",
        "database.conections",
        "sealing.key",
        "sessions.idle",
        "bogus.a",
        "listen.grpc",
        "gateways.report_interval",
    ] {
        assert!(paths.contains(&path), "{path} is not among {paths:?}");
    }
    assert!(mistakes.to_string().contains("environment SEALGATE_CENTRAL_LISTEN_GRPC"), "{mistakes}");
}

#[test]
fn variables_of_other_programs_are_passed_over_and_unknown_keys_of_ours_are_not() {
    assert!(load(LEAST, &[("SEALGATE_CENTRAL_URL", "x"), ("SEALGATE_CENTRAL_TOKEN", "y")], &[]).is_ok());
    assert!(load(LEAST, &[("SEALGATE_CENTRAL_DATABASE_BOGUS", "x")], &[]).is_err());
}

#[test]
fn the_printed_configuration_reads_back_and_shows_no_secret() {
    let flags = ["admin.password=correct horse battery", "gateways.report_interval=500ms", "public.names=a,b"];
    let config = load(LEAST, &[], &flags).unwrap_or_else(|error| panic!("{error}"));
    let printed = config.to_string();
    assert!(!printed.contains("s3cret") && !printed.contains("horse"), "{printed}");
    let printed = printed.replace("password = \"(redacted)\"", "password = \"another password\"");
    let again = load(&printed, &[], &[]).unwrap_or_else(|error| panic!("{error}: {printed}"));
    assert_eq!(again.gateways.report_interval, Duration::from_millis(500));
    assert_eq!(again.public.names, ["a", "b"]);
}

#[test]
fn a_mistake_does_not_repeat_a_secret() {
    let mistakes = load("", &[("SEALGATE_CENTRAL_ADMIN_PASSWORD", "short-one")], &["database.url=mysql://u:s3cret@h"])
        .err()
        .expect("mistakes");
    let text = mistakes.to_string();
    assert!(!text.contains("short-one") && !text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn the_settings_in_force_are_shown_with_where_they_come_from_and_without_secrets() {
    use crate::routes::testing::{PASSWORD, Rest};
    let rest = Rest::start_with(&["gateways.report_interval=1500ms", "public.names=a,b"]).await;
    let token = rest.token(crate::caller::Role::Admin).await;
    let answer = rest.ask(&token, "GET /settings", &[], "").await;
    assert!(!answer.text.contains(PASSWORD), "{}", answer.text);
    let shown = answer.json();
    let setting = |section: &str, key: &str| {
        let sections = shown["sections"].as_array().expect("sections");
        let section = sections.iter().find(|known| known["name"] == section).expect("the section");
        let settings = section["settings"].as_array().expect("settings");
        settings.iter().find(|known| known["key"] == key).expect("the setting").clone()
    };
    let is = |value: serde_json::Value, from: &str, key: &str| serde_json::json!({ "key": key, "value": value, "from": from });
    assert_eq!(setting("gateways", "report_interval"), is("1500ms".into(), "flag", "report_interval"));
    assert_eq!(setting("gateways", "heartbeat_interval"), is("5s".into(), "default", "heartbeat_interval"));
    assert_eq!(setting("public", "names"), is(serde_json::json!(["a", "b"]), "flag", "names"));
    assert_eq!(setting("admin", "password"), is("(redacted)".into(), "flag", "password"));
    assert_eq!(setting("admin", "token_file"), is(serde_json::Value::Null, "default", "token_file"));
    assert_eq!(setting("retention", "statistics"), is("1096d".into(), "default", "statistics"));
}
