use super::*;

/// Lines as Central writes them.
fn log(records: u64) -> Vec<String> {
    let mut previous = "0".repeat(64);
    let mut lines = Vec::new();
    for sequence in 1..=records {
        let open = format!(
            "{{\"sequence\":{sequence},\"at\":\"2026-01-02T03:04:05.000006Z\",\"actor\":\"operator:admin\",\
             \"action\":\"policy.changed\",\"subject\":\"p{sequence}\",\"detail\":{{\"n\":1.0}},\
             \"previous_hash\":\"{previous}\""
        );
        previous = hex::encode(Sha256::digest(format!("{open}}}").as_bytes()));
        lines.push(format!("{open},\"hash\":\"{previous}\"}}\n"));
    }
    lines
}

fn verdict(lines: &[String]) -> Result<Value, (u64, &'static str)> {
    verify(lines.concat().as_bytes()).map_err(|broken| (broken.line, broken.code))
}

#[test]
fn an_exported_log_is_verified_to_its_head() {
    let result = verdict(&log(5)).expect("as written");
    assert_eq!(result["records"], 5);
    assert!(log(5)[4].contains(result["head"].as_str().expect("a hash")));
}

#[test]
fn a_changed_record_is_found() {
    let mut lines = log(4);
    lines[1] = lines[1].replace("operator:admin", "operator:other");
    assert_eq!(verdict(&lines), Err((2, "hash")));
    let mut lines = log(4);
    lines[1] = lines[1].replace("1.0", "1.00");
    assert_eq!(verdict(&lines), Err((2, "hash")), "not even a change that says the same");
}

#[test]
fn a_record_that_was_changed_and_hashed_again_breaks_the_chain_behind_it() {
    let mut lines = log(4);
    let changed = lines[1].replace("operator:admin", "operator:other");
    let body = &changed[..changed.len() - 1 - HASH_MEMBER];
    let hash = hex::encode(Sha256::digest(format!("{body}}}").as_bytes()));
    lines[1] = format!("{body},\"hash\":\"{hash}\"}}\n");
    assert_eq!(verdict(&lines), Err((3, "chain")));
}

#[test]
fn a_removed_added_or_moved_record_is_found() {
    let mut removed = log(4);
    removed.remove(1);
    assert_eq!(verdict(&removed), Err((2, "sequence")));
    assert_eq!(verdict(&log(4)[1..]), Err((1, "sequence")), "the first");
    let mut added = log(4);
    added.insert(1, added[1].clone());
    assert_eq!(verdict(&added), Err((3, "sequence")));
    let mut moved = log(4);
    moved.swap(1, 2);
    assert_eq!(verdict(&moved), Err((2, "sequence")));
}

#[test]
fn a_second_member_of_the_same_name_is_found() {
    let mut lines = log(2);
    lines[0] = lines[0].replacen("\"actor\":\"operator:admin\"", "\"actor\":\"x\",\"actor\":\"operator:admin\"", 1);
    assert_eq!(verdict(&lines), Err((1, "malformed")));
}

#[test]
fn a_cut_line_and_an_empty_file_are_no_log() {
    let mut lines = log(2);
    lines[1].pop();
    assert_eq!(verdict(&lines), Err((2, "cut-off")));
    assert_eq!(verdict(&[]), Err((1, "empty")));
}
