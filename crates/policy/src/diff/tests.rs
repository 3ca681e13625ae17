use ids::Lineage;
use serde_json::json;

use super::*;
use crate::parse::parse_one;
use crate::set::Item;

fn policy(name: &str, spec: &str) -> Policy {
    parse_one(&format!(
        "apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: {{name: {name}}}\nspec:\n{spec}"
    ))
    .expect("a policy")
}

#[test]
fn an_edit_is_told_by_field_and_by_line() {
    let before = policy("a", "  effect: encrypt\n  priority: 1\n  gateways: {region: [eu]}\n");
    let after = policy("a", "  effect: deny\n  priority: 1\n  when: object.size > 1\n");
    let diff = diff(Some(&before), Some(&after));
    assert_eq!((diff.name.as_str(), diff.change), ("a", Change::Changed));
    let fields: Vec<_> = diff.fields.iter().map(|f| (f.path.as_str(), f.before.clone(), f.after.clone())).collect();
    assert_eq!(
        fields,
        [
            ("spec.effect", Some(json!("encrypt")), Some(json!("deny"))),
            ("spec.gateways", None, Some(json!({}))),
            ("spec.gateways.region", Some(json!(["eu"])), None),
            ("spec.when", None, Some(json!("object.size > 1"))),
        ]
    );
    assert!(diff.text.contains("-  effect: encrypt\n") && diff.text.contains("+  effect: deny\n"), "{}", diff.text);
    assert!(diff.text.contains("\n   priority: 1\n"), "{}", diff.text);
}

#[test]
fn comments_are_a_rewording_and_nothing_is_nothing() {
    let plain = policy("a", "  effect: deny\n");
    let commented = policy("a", "  effect: deny # for now\n");
    assert_eq!(diff(Some(&plain), Some(&commented)).change, Change::Reworded);
    assert_eq!(diff(Some(&plain), Some(&plain)).change, Change::Unchanged);
    assert_eq!(diff(None, Some(&plain)).change, Change::Added);
    let removed = diff(Some(&plain), None);
    assert_eq!((removed.change, removed.name.as_str()), (Change::Removed, "a"));
    assert!(removed.fields.iter().all(|field| field.after.is_none()));
}

#[test]
fn sets_are_compared_by_uid() {
    let set = |number, policies: &[(u128, Policy)]| {
        let item = |(uid, policy): &(u128, Policy)| Item {
            uid: PolicyUid(uuid::Uuid::from_u128(*uid)),
            policy: policy.clone(),
        };
        let revision = Revision { lineage: Lineage(uuid::Uuid::nil()), number };
        PolicySet::new(revision, policies.iter().map(item).collect()).expect("a set")
    };
    let deny = |name| policy(name, "  effect: deny\n");
    let from = set(1, &[(1, deny("same")), (2, deny("old-name")), (3, deny("gone")), (4, deny("again"))]);
    let to = set(2, &[(1, deny("same")), (2, deny("new-name")), (5, deny("fresh")), (6, deny("again"))]);
    let told: Vec<_> = diff_sets(&from, &to).policies.into_iter().map(|p| (p.name, p.change)).collect();
    let expected = [
        ("again", Change::Removed),
        ("again", Change::Added),
        ("fresh", Change::Added),
        ("gone", Change::Removed),
        ("new-name", Change::Changed),
    ];
    assert_eq!(told, expected.map(|(name, change)| (name.to_owned(), change)));
    assert!(diff_sets(&from, &from).policies.is_empty());
}
