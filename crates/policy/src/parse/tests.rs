use super::*;

pub(crate) const SAMPLE: &str = r#"apiVersion: sealgate.dev/v1
kind: GovernancePolicy
metadata: { name: payroll-secure-handling, description: Payroll data is always encrypted }
spec:
  mode: enforce            # enforce | audit (count and report only) | disabled
  priority: 100
  gateways: { region: [eu-1, eu-2] }        # labels: AND across keys, OR within; empty = all
  buckets: ["hr-*", "finance"]
  when: >-                  # CEL
    object.key.startsWith("payroll/") || object.tags["classification"] in ["pii", "secret"]
  effect: encrypt           # encrypt | deny
  existing: leave           # leave | encrypt: also what is stored already
"#;

/// `line:column:code` of everything that is wrong.
fn problems(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.0.iter().map(|p| format!("{}:{}:{}", p.line, p.column, p.code)).collect(),
    }
}

/// A document with this `spec`, which begins on line 4.
fn with_spec(spec: &str) -> String {
    format!("apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: {{ name: a }}\n{spec}")
}

#[test]
fn the_sample_policy_says_what_it_says() {
    let policy = parse_one(SAMPLE).expect("the sample is a policy");
    let spec = &policy.document().spec;
    assert_eq!(policy.name(), "payroll-secure-handling");
    assert_eq!(policy.document().metadata.description, "Payroll data is always encrypted");
    assert_eq!(
        (spec.mode, spec.priority, spec.effect, spec.existing),
        (Mode::Enforce, 100, Effect::Encrypt, Existing::Leave)
    );
    assert_eq!(spec.gateways["region"], ["eu-1", "eu-2"]);
    assert_eq!(spec.buckets, ["hr-*", "finance"]);
    assert_eq!(policy.source(), SAMPLE);
    assert_eq!(validate(&policy), []);
}

#[test]
fn json_is_read_like_yaml_and_what_is_left_out_has_its_default() {
    let policy = parse_one(
        r#"{"apiVersion": "sealgate.dev/v1", "kind": "GovernancePolicy", "metadata": {"name": "a"},
           	"spec": {"effect": "deny", "when": "object.key == \"\ud83d\ude00\""}}"#,
    )
    .expect("JSON is a policy");
    let spec = &policy.document().spec;
    assert_eq!((spec.mode, spec.priority, spec.existing), (Mode::Enforce, 0, Existing::Leave));
    assert!(spec.gateways.is_empty() && spec.buckets.is_empty());
    assert_eq!(spec.when.as_deref(), Some("object.key == \"😀\""));
}

#[test]
fn malformed_documents_are_refused_at_their_place() {
    let spec = |text: &str| with_spec(&format!("spec:\n  effect: encrypt\n  {text}\n"));
    let table: Vec<(String, &[&str])> = vec![
        (String::new(), &["1:1:document-count"]),
        ("# nothing\n---\n".into(), &["1:1:document-count"]),
        ("- a\n".into(), &["1:1:wrong-type"]),
        ("just text".into(), &["1:1:wrong-type"]),
        ("a: [1, 2".into(), &["1:4:syntax"]),
        ("a: b: c\n".into(), &["1:5:syntax"]),
        ("a: &x 1\nb: *x\n".into(), &["1:7:syntax"]),
        (
            "kind: GovernancePolicy\n".into(),
            &["1:1:missing-field", "1:1:missing-field", "1:1:missing-field"],
        ),
        (
            "apiVersion: sealgate.dev/v2\nkind: Policy\nmetadata: {name: a}\nspec: {effect: deny}\n".into(),
            &["1:13:unknown-version", "2:7:unknown-version"],
        ),
        (spec("efect: deny"), &["6:3:unknown-field"]),
        (spec("effect: deny"), &["6:3:duplicate"]),
        (spec("mode: on"), &["6:9:invalid-value"]),
        (spec("mode: 1"), &["6:9:wrong-type"]),
        (spec("priority: -1"), &["6:13:invalid-value"]),
        (spec("priority: 1000001"), &["6:13:invalid-value"]),
        (spec("priority: 1.5"), &["6:13:wrong-type"]),
        (spec("priority: \"1\""), &["6:13:wrong-type"]),
        (spec("priority: 99999999999999999999"), &["6:13:wrong-type"]),
        (spec("gateways: [a]"), &["6:13:wrong-type"]),
        (spec("gateways: {region: eu-1}"), &["6:22:wrong-type"]),
        (spec("gateways: {region: []}"), &["6:22:invalid-value"]),
        (spec("gateways: {-x: [a, 'b c', a]}"), &["6:14:invalid-label", "6:22:invalid-label", "6:29:duplicate"]),
        (spec("buckets: hr-*"), &["6:12:wrong-type"]),
        (spec("buckets: [hr-?, '', x*, x*, 7]"), &[
            "6:13:invalid-pattern",
            "6:19:invalid-pattern",
            "6:27:duplicate",
            "6:31:wrong-type",
        ]),
        (spec("when:"), &["6:7:wrong-type"]),
        (spec("when: true"), &["6:9:wrong-type"]),
        (spec("when: ''"), &["6:9:cel-syntax"]),
        (spec("existing: no"), &["6:13:invalid-value"]),
        (with_spec("spec: {}\n"), &["4:7:missing-field"]),
        (with_spec("spec: {effect: deny}\nstatus: {}\n"), &["5:1:unknown-field"]),
        (
            "apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: {name: Payroll_1, labels: {}}\nspec: {effect: deny}\n"
                .into(),
            &["3:18:invalid-name", "3:29:unknown-field"],
        ),
    ];
    for (text, expected) in table {
        assert_eq!(problems(&text), expected, "{text}");
    }
}

#[test]
fn a_problem_in_a_condition_is_placed_on_its_character_in_every_style() {
    let spec = |text: &str| with_spec(&format!("spec:\n  effect: encrypt\n{text}"));
    let table: Vec<(String, &str)> = vec![
        (spec("  when: object.kee == 'a'\n"), "6:15:cel-unknown-name"),
        (spec("  when: 'object.key == ''a'' && objekt.key == ''b'''\n"), "6:33:cel-unknown-name"),
        (spec("  when: \"object.key == \\\"\\u00e4\\x41\\\" && objekt.key == 'b'\"\n"), "6:42:cel-unknown-name"),
        (spec("  when: \"object.key == \\\"\\ud83d\\ude00\\\" && objekt.key == 'b'\"\n"), "6:44:cel-unknown-name"),
        (spec("  when: \"object.key == 'a' &&\\\n    \\  objekt.key == 'b'\"\n"), "7:8:cel-unknown-name"),
        (spec("  when: |\n    object.key == 'ä' &&\n    objekt.key == 'b'\n"), "8:5:cel-unknown-name"),
        (spec("  when: >-   # why\n    object.key == 'ä'\n\n    && objekt.key == 'b'\n"), "9:8:cel-unknown-name"),
        (spec("  when: object.key == 'ä' &&\n    objekt.key == 'b'\n"), "7:5:cel-unknown-name"),
        (spec("  when: object.key == 'ä' && 😀\n"), "6:30:cel-syntax"),
        (spec("  when: >-\n    object.key ==\n"), "7:18:cel-syntax"),
        ("{\"apiVersion\":\"sealgate.dev/v1\",\"kind\":\"GovernancePolicy\",\"metadata\":{\"name\":\"a\"},\n\"spec\":{\"effect\":\"deny\",\"when\":\"object.key == \\\"a\\\" && x\"}}".into(), "2:56:cel-unknown-name"),
    ];
    for (text, expected) in table {
        assert_eq!(problems(&text).first().map(String::as_str), Some(expected), "{text}");
    }
}

#[test]
fn a_comment_may_not_hide_the_lines_below_it() {
    let with = |style: &str| {
        with_spec(&format!(
            "spec:\n  effect: deny\n  when: {style}\n    object.key == 'a//b' // why\n    || object.size > 1 // last\n"
        ))
    };
    assert_eq!(problems(&with(">-")), ["7:26:cel-syntax"]);
    assert!(problems(&with("|")).is_empty());
    assert!(problems(&with_spec("spec: {effect: deny, when: \"object.key == 'a' // why\"}\n")).is_empty());
}

#[test]
fn all_independent_mistakes_are_told_at_once() {
    let text = with_spec("spec:\n  mode: x\n  when: object.a == 1 && foo\n  buckets: ['?']\n  colour: red\n");
    assert_eq!(
        problems(&text),
        [
            "5:3:missing-field",
            "5:9:invalid-value",
            "6:15:cel-unknown-name",
            "6:26:cel-unknown-name",
            "7:13:invalid-pattern",
            "8:3:unknown-field"
        ]
    );
}

#[test]
fn several_documents_keep_their_own_text_and_their_lines() {
    let one = with_spec("spec: {effect: deny}\n");
    let two = one.replace("name: a", "name: b");
    let text = format!("# first\n---\n{one}# trailing\n---\n# second\n{two}...\n---\n\n");
    let policies = parse(&text).expect("two policies");
    assert_eq!(policies.iter().map(Policy::name).collect::<Vec<_>>(), ["a", "b"]);
    assert!(policies[0].source().starts_with("# first\n---\n") && policies[0].source().contains("# trailing"));
    assert!(policies[1].source().starts_with("# second\n"), "the mark is none of its own text");
    assert!(!policies[1].source().contains("# trailing"));
    for policy in &policies {
        assert_eq!(parse_one(policy.source()).as_ref(), Ok(policy), "each text stands alone");
    }
    assert_eq!(parse_one(&text).expect_err("two").0[0].code, Code::DocumentCount);

    let text = format!("{one}---\nbroken: [\n---\n{one}---\n{}", two.replace("deny", "denny"));
    assert_eq!(problems(&text), ["6:9:syntax", "10:19:duplicate", "16:16:invalid-value"]);
}

#[test]
fn hostile_documents_are_refused_quickly() {
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let block = (0..200).map(|depth| " ".repeat(depth) + "a:\n").collect::<String>();
    let wide = format!("a: [{}]", "1,".repeat(30_000));
    let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n".to_owned();
    let merge = "a: {x: 1}\n<<: {y: 2}\n".to_owned();
    let tags = "!!python/object:os.system x\n".to_owned();
    let large = with_spec(&format!("spec: {{effect: deny}} # {}\n", "x".repeat(64 * 1024)));
    let many = "---\na: 1\n".repeat(1_001);
    for text in
        [deep, block, wide, bomb, merge, tags, large, many, "\0".into(), "\u{feff}".into(), "---\n---\n--- x".into()]
    {
        let start = &text[..text.len().min(40)];
        // The shortest of several times, so that a busy machine is not taken for a slow parser.
        let quick = (0..10).any(|_| {
            let begun = std::time::Instant::now();
            assert!(parse(&text).is_err(), "{start}");
            begun.elapsed() < std::time::Duration::from_secs(1)
        });
        assert!(quick, "{start}");
    }
}

#[test]
fn advice_names_what_cannot_do_what_it_seems_to() {
    let advice = |spec: &str| -> Vec<Code> {
        let policy = parse_one(&with_spec(spec)).expect("legal");
        validate(&policy).into_iter().map(|problem| problem.code).collect()
    };
    assert_eq!(advice("spec: {effect: encrypt, when: '1 > 2'}\n"), [Code::ConstantCondition]);
    assert_eq!(advice("spec: {effect: encrypt, when: 'object.key == \"a\" || 2 > 1'}\n"), [Code::ConstantCondition]);
    assert_eq!(advice("spec: {effect: encrypt, when: 'object.metadata[\"Owner\"] == \"x\"'}\n"), [Code::Ineffective]);
    assert_eq!(advice("spec: {effect: encrypt, buckets: [ab, 'hr-*', hr-x]}\n"), [Code::Ineffective; 2]);
    assert_eq!(advice("spec: {effect: deny, buckets: [abc], existing: encrypt}\n"), [Code::Ineffective]);
    assert_eq!(advice("spec: {effect: deny}\n"), [Code::ConstantCondition]);
    assert!(advice("spec: {effect: encrypt}\n").is_empty());
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 400, ..Default::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in "(?s).{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_mutation_of_the_sample_makes_the_parser_panic(
        at in 0..SAMPLE.len(), cut in 0usize..20, insert in "[\\-:>|&*!#{}\\[\\],'\"\\\\a \n\t0é]{0,6}"
    ) {
        if SAMPLE.is_char_boundary(at) {
            let end = (at + cut).min(SAMPLE.len());
            let text = format!("{}{insert}{}", &SAMPLE[..at], &SAMPLE[end..]);
            if let Err(problems) = parse(&text) {
                let lines = u32::try_from(text.lines().count()).expect("few lines") + 1;
                for problem in problems.0 {
                    proptest::prop_assert!(problem.line >= 1 && problem.line <= lines && problem.column >= 1, "{problem}");
                }
            }
        }
    }
}
