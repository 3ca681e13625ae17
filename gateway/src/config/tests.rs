use super::*;

fn load(text: &str, env: &[(&str, &str)], flags: &[&str]) -> Result<Config, Mistakes> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    Config::load(Some(&file), env, &flags)
}

const LEAST: &str = r#"
state_dir = "state"
sealing_key = "env:KEY"
[backends.disk]
kind = "directory"
path = "data"
"#;

#[test]
fn flags_win_over_the_environment_and_that_over_the_file_and_that_over_defaults() {
    let text = format!("region = \"file\"\n{LEAST}[listen]\ns3 = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:2\"\n");
    let env = [("SEALGATE_GATEWAY_LISTEN__S3", "127.0.0.1:3"), ("SEALGATE_GATEWAY_LISTEN__ADMIN", "127.0.0.1:4")];
    let config = load(&text, &env, &["listen.admin=127.0.0.1:5"]).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.region, "file");
    assert_eq!(config.listen.s3.port(), 3);
    assert_eq!(config.listen.admin.port(), 5);
    assert_eq!(config.listen.metrics.port(), 9002);
    assert_eq!(config.storage.home, "disk");
    assert!(config.central.is_none());
}

#[test]
fn all_mistakes_are_told_at_once_with_their_paths() {
    let text = r#"
sealing_key = "32 bytes"
flor = "encrypt"
[listen]
s3 = "nowhere"
[limits]
drain = "soon"
[backends.a]
kind = "s3"
endpoint = "ftp://x"
access_key = "AK"
[backends.b]
kind = "tape"
robot = 1
"#;
    let Err(Mistakes(mistakes)) = load(text, &[], &["storage.home=c"]) else { panic!("accepted") };
    let paths: Vec<_> = mistakes.iter().map(|mistake| mistake.path.as_str()).collect();
    for path in [
        "sealing_key",
        "flor",
        "state_dir",
        "listen.s3",
        "limits.drain",
        "backends.a.endpoint",
        "backends.a.secret_key",
        "backends.b.kind",
    ] {
        assert!(paths.contains(&path), "{path} is missing in {paths:?}");
    }
    assert!(!paths.contains(&"backends.b.robot"));
}

#[test]
fn uploads_are_never_aborted_unless_it_says_after_how_long() {
    let config = load(LEAST, &[], &[]).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.uploads.abort_after, None);
    let config = load(LEAST, &[], &["uploads.abort_after=7d"]).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.uploads.abort_after, Some(Duration::from_hours(7 * 24)));
    for wrong in ["uploads.abort_after=soon", "uploads.abort_after=0", "uploads.repeatable=1ms"] {
        assert!(load(LEAST, &[], &[wrong]).is_err(), "{wrong}");
    }
}

#[test]
fn secrets_are_masked_in_what_is_printed() {
    let text = format!(
        "{LEAST}[backends.far]\nkind = \"s3\"\nendpoint = \"https://s3.example\"\naccess_key = \"AK\"\nsecret_key = \"hush\"\n\
         [storage]\nhome = \"far\"\n[central]\ntoken = \"hush2\"\n"
    );
    let config = load(&text, &[], &[]).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let printed = config.effective();
    assert!(!printed.contains("hush"), "{printed}");
    assert!(printed.contains("secret_key = \"(set)\""), "{printed}");
    assert!(printed.contains("region = \"us-east-1\""), "{printed}");
    let Some(Backend::S3(far)) = config.storage.backends.get("far") else { panic!("no backend") };
    assert_eq!(far.secret_key.expose(), "hush");
}

#[test]
fn a_file_that_is_not_toml_is_told_by_line_without_its_text() {
    let Err(mistakes) = load("a = 1\nsecret_key = hush hush\n", &[], &[]) else { panic!("accepted") };
    let printed = mistakes.to_string();
    assert!(printed.contains("gateway.toml:2:"), "{printed}");
    assert!(!printed.contains("hush hush"), "{printed}");
}

#[test]
fn variables_of_the_command_lines_are_not_settings() {
    let env = [("SEALGATE_GATEWAY_URL", "http://x"), ("SEALGATE_GATEWAY_TOKEN", "t")];
    assert!(load(LEAST, &env, &[]).is_ok());
    assert!(load(LEAST, &[("SEALGATE_GATEWAY_NONSENSE", "1")], &[]).is_err());
}
