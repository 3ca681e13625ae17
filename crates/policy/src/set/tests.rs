use super::*;

fn policy(name: &str, effect: &str) -> Policy {
    let text = format!(
        "apiVersion: sealgate.dev/v1 # kept\nkind: GovernancePolicy\nmetadata: {{name: {name}}}\nspec: {{effect: {effect}}}\n"
    );
    parse_one(&text).expect("a policy")
}

fn item(uid: u128, name: &str) -> Item {
    Item { uid: PolicyUid(uuid::Uuid::from_u128(uid)), policy: policy(name, "encrypt") }
}

fn revision(number: u64) -> Revision {
    Revision { lineage: Lineage(uuid::Uuid::from_u128(7)), number }
}

fn sample() -> PolicySet {
    PolicySet::new(revision(3), vec![item(2, "b"), item(1, "a")]).expect("a set")
}

#[test]
fn a_set_comes_back_from_its_bytes_whatever_the_order_it_was_made_in() {
    let set = sample();
    let other = PolicySet::new(revision(3), vec![item(1, "a"), item(2, "b")]).expect("a set");
    assert_eq!(set.encode(), other.encode());
    assert_eq!(set.digest(), other.digest());
    let back = PolicySet::decode(&set.encode()).expect("its own bytes");
    assert_eq!(back, set);
    assert_eq!(back.digest(), set.digest());
    assert!(back.get("a").expect("it is there").policy.source().contains("# kept"));
    assert_eq!(back.get("c"), None);
    assert_eq!(set.digest().to_string().parse(), Ok(set.digest()));
}

#[test]
fn the_bytes_of_format_1_are_what_they_always_were() {
    let bytes = PolicySet::new(revision(1), vec![item(1, "a")]).expect("a set").encode();
    assert_eq!(
        String::from_utf8(bytes).expect("JSON"),
        "{\"format\":1,\"lineage\":\"00000000-0000-0000-0000-000000000007\",\"number\":1,\"items\":[\
         {\"uid\":\"00000000-0000-0000-0000-000000000001\",\"name\":\"a\",\"text\":\"apiVersion: sealgate.dev/v1 # kept\\n\
         kind: GovernancePolicy\\nmetadata: {name: a}\\nspec: {effect: encrypt}\\n\"}]}"
    );
}

#[test]
fn two_policies_of_one_name_or_uid_are_refused() {
    let same_name = PolicySet::new(revision(1), vec![item(1, "a"), item(2, "a")]).expect_err("one name");
    let same_uid = PolicySet::new(revision(1), vec![item(1, "a"), item(1, "b")]).expect_err("one UID");
    assert_eq!((same_name.code, same_name.path.as_str()), (RefusalCode::Duplicate, "items[1] a"));
    assert_eq!((same_uid.code, same_uid.path.as_str()), (RefusalCode::Duplicate, "items[1] b"));
}

#[test]
fn a_bundle_that_is_not_what_was_announced_is_refused_with_its_reason() {
    let set = sample();
    let bytes = set.encode();
    let text = String::from_utf8(bytes.clone()).expect("JSON");
    let decode = |format, revision, bytes: &[u8]| {
        PolicySet::decode_bundle(format, revision, Digest::of(bytes), bytes, None).map_err(|refusal| refusal.code)
    };
    assert_eq!(decode(1, revision(3), &bytes), Ok(set.clone()));
    assert_eq!(decode(1, revision(4), &bytes), Err(RefusalCode::RevisionMismatch));
    assert_eq!(decode(2, revision(3), &bytes), Err(RefusalCode::UnknownFormat));
    let newer = text.replace("{\"format\":1,", "{\"format\":2,\"more\":[],");
    assert_eq!(decode(1, revision(3), newer.as_bytes()), Err(RefusalCode::UnknownFormat));
    for malformed in ["", "[]", "{\"format\":1}", &text[..text.len() - 1], &text.replace("\"number\"", "\"nummer\"")] {
        assert_eq!(decode(1, revision(3), malformed.as_bytes()), Err(RefusalCode::Malformed), "{malformed}");
    }
    let announced = PolicySet::decode_bundle(1, revision(3), Digest::of(b"other"), &bytes, None);
    assert_eq!(announced.expect_err("another digest").code, RefusalCode::DigestMismatch);
}

#[test]
fn a_refused_item_is_named_with_field_place_and_code() {
    let text = String::from_utf8(sample().encode()).expect("JSON");
    let broken =
        text.replace("metadata: {name: b}\\nspec: {effect: encrypt}", "metadata: {name: b}\\nspec: {effect: shred}");
    let refusal = PolicySet::decode(broken.as_bytes()).expect_err("not an effect");
    assert_eq!((refusal.code, refusal.path.as_str()), (RefusalCode::InvalidPolicy, "items[1] b: spec.effect"));
    assert!(refusal.reason.starts_with("4:16: invalid-value: "), "{}", refusal.reason);

    let renamed = text.replace("\"name\":\"b\"", "\"name\":\"c\"");
    let refusal = PolicySet::decode(renamed.as_bytes()).expect_err("another name");
    assert_eq!((refusal.code, refusal.path.as_str()), (RefusalCode::InvalidPolicy, "items[1] c: metadata.name"));
}

#[test]
fn known_texts_are_not_parsed_again_and_changed_ones_are() {
    let old = sample();
    let changed = Item { policy: policy("b", "deny"), ..item(2, "b") };
    let new = PolicySet::new(revision(4), vec![item(1, "a"), changed]).expect("a set");
    let back = PolicySet::decode_onto(&new.encode(), Some(&old)).expect("its own bytes");
    assert_eq!(back, new);
    let document = |set: &PolicySet, name: &str| std::ptr::from_ref(set.get(name).expect("there").policy.document());
    assert_eq!(document(&back, "a"), document(&old, "a"));
    assert_ne!(document(&back, "b"), document(&old, "b"));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 200, ..Default::default() })]

    #[test]
    fn any_set_comes_back_from_its_bytes(names in proptest::collection::btree_set("[a-z][a-z0-9]{0,8}", 0..6), number in 0u64..) {
        let items = names.iter().enumerate().map(|(uid, name)| item(uid as u128, name)).collect();
        let set = PolicySet::new(Revision { number, ..revision(0) }, items).expect("unique names");
        proptest::prop_assert_eq!(PolicySet::decode(&set.encode()), Ok(set));
    }

    #[test]
    fn no_bytes_make_decoding_panic(at in 0usize..400, byte: u8) {
        let mut bytes = sample().encode();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = PolicySet::decode(&bytes);
    }
}
