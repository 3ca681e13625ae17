use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt as _, stream};
use http_body_util::StreamBody;

use super::*;

/// A body that comes in pieces of so many bytes.
fn body(bytes: &[u8], piece: usize) -> Body {
    let frames: Vec<_> =
        bytes.chunks(piece).map(|chunk| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(chunk)))).collect();
    StreamBody::new(stream::iter(frames)).map_err(|never| match never {}).boxed_unsync()
}

fn part(disposition: &str, content: &str) -> String {
    format!("--x\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
}

/// The fields, the name of the file and the file; or the code of the refusal.
async fn read_all(form: &[u8], piece: usize) -> Result<(Fields, String, Bytes), &'static str> {
    let (fields, file) = read(body(form, piece), "x").await.map_err(|error| error.code)?;
    let name = file.file_name.clone();
    let bytes = crate::upstream::collect(file.boxed(), 1 << 20).await.map_err(|error| broken(&error).code)?;
    Ok((fields, name, bytes.expect("it is short")))
}

#[tokio::test]
async fn a_form_is_read_however_it_is_cut() {
    let content = "\r\n--\r\n--y\r\n-\r\r\n--";
    let form = [
        &part("name=\"kEy\"", "a \u{e4}"),
        &part("name=policy", ""),
        &part("name=\"file\"; filename=\"C:\\dir\\say \\\"hi\\\".txt\"", content),
        &part("name=\"submit\"", "go"),
        "--x--\r\n",
    ]
    .concat();
    for piece in (1..60).chain([form.len()]) {
        let (fields, name, bytes) = read_all(form.as_bytes(), piece).await.unwrap();
        assert_eq!(fields.get("key"), Some("a \u{e4}"), "{piece}");
        assert_eq!(fields.get("policy"), Some(""));
        assert_eq!(fields.0.len(), 2);
        assert_eq!(name, "C:\\dir\\say \"hi\".txt");
        assert_eq!(bytes, content);
    }
}

#[tokio::test]
async fn a_form_that_is_cut_off_anywhere_is_malformed() {
    let form = [&part("name=\"key\"", "k"), &part("name=\"file\"", "content"), "--x--"].concat();
    assert!(read_all(form.as_bytes(), 7).await.is_ok());
    for len in 0..form.len() {
        assert_eq!(read_all(&form.as_bytes()[..len], 7).await, Err("MalformedPOSTRequest"), "{}", &form[..len]);
    }
}

#[tokio::test]
async fn what_is_no_form_is_refused() {
    let key = part("name=\"key\"", "k");
    let file = part("name=\"file\"", "content");
    for (form, code) in [
        ("nothing of the kind".to_owned(), "MalformedPOSTRequest"),
        (format!("{key}--x--\r\n"), "IncorrectNumberOfFilesInPostRequest"),
        (format!("{file}{file}--x--\r\n"), "IncorrectNumberOfFilesInPostRequest"),
        (format!("{file}--x--\r\nmore"), "MalformedPOSTRequest"),
        (format!("{file}--x--{file}"), "MalformedPOSTRequest"),
        (format!("{file}--x\r\nno header\r\n\r\n\r\n--x--\r\n"), "MalformedPOSTRequest"),
        (format!("{key}{key}{file}--x--\r\n"), "InvalidArgument"),
        ("--x\r\nContent-Type: text/plain\r\n\r\na\r\n--x--".to_owned(), "MalformedPOSTRequest"),
        ("--x\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\na\r\n--x--".to_owned(), "MalformedPOSTRequest"),
        (format!("--x\r\n{}", "A: b\r\n".repeat(100_000)), "MalformedPOSTRequest"),
        (format!("--x\r\nContent-Disposition: {}", "a".repeat(1 << 20)), "MalformedPOSTRequest"),
        (format!("{}{file}--x--", part("name=\"a\"", &"b".repeat(1 << 20))), "MaxPostPreDataLengthExceeded"),
        ((0..100_000).map(|n| part(&format!("name=\"n{n}\""), "")).collect::<String>(), "MaxPostPreDataLengthExceeded"),
    ] {
        assert_eq!(read_all(form.as_bytes(), 4096).await, Err(code), "{}", form.get(..200).unwrap_or(&form));
    }
    assert_eq!(read_all(&[key.as_bytes(), b"\xff"].concat(), 4096).await, Err("MalformedPOSTRequest"));
    let binary = [&b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n\xff\r\n"[..], file.as_bytes()].concat();
    assert_eq!(read_all(&binary, 4096).await, Err("InvalidArgument"));
}

#[tokio::test]
async fn a_header_without_an_end_is_not_taken_in() {
    let start = part("name=\"key\"", "k");
    for header in ["A: b\r\n".repeat(100_000), "a".repeat(1 << 20)] {
        let form = format!("{start}--x\r\nContent-Disposition: {header}");
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&taken);
        let frames: Vec<_> = form.as_bytes().chunks(4096).map(Bytes::copy_from_slice).collect();
        let frames = stream::iter(frames).map(move |frame| {
            counted.fetch_add(frame.len(), Ordering::Relaxed);
            Ok::<_, Infallible>(Frame::data(frame))
        });
        let body = StreamBody::new(frames).map_err(|never| match never {}).boxed_unsync();
        assert_eq!(read(body, "x").await.err().map(|error| error.code), Some("MalformedPOSTRequest"));
        let taken = taken.load(Ordering::Relaxed);
        assert!(taken <= MAX_HEADER + 2 * 4096, "{taken} bytes were taken in");
    }
}

#[tokio::test]
async fn a_length_that_was_computed_from_the_form_must_come_true() {
    let start = part("name=\"key\"", "k") + &part("name=\"file\"", &"c".repeat(1000));
    for (end, expected) in [
        ("--x--\r\n".to_owned(), Ok(1000)),
        ("--x--".to_owned(), Err("InvalidArgument")),
        (part("name=\"submit\"", "go") + "--x--\r\n", Err("InvalidArgument")),
        (part("name=\"submit\"", &"c".repeat(3000)) + "--x--\r\n", Err("InvalidArgument")),
    ] {
        let form = start.clone() + &end;
        for piece in [1, 50, 5000] {
            let (_, mut file) = read(body(form.as_bytes(), piece), "x").await.unwrap();
            let rest = file.rest(form.len() as u64).unwrap();
            let announced = file.expect_last(rest).unwrap();
            let bytes = crate::upstream::collect(file.boxed(), 1 << 20).await.map_err(|error| broken(&error).code);
            let found = bytes.map(|bytes| bytes.unwrap().len());
            assert_eq!(found, expected, "{piece} {end}");
            assert!(found.is_err() || announced == 1000);
        }
    }
}

#[test]
fn a_boundary_is_found_in_its_header() {
    let found = |text: &str| boundary(text).ok();
    assert_eq!(found("multipart/form-data; boundary=abc"), Some("abc".into()));
    assert_eq!(found("multipart/form-data; charset=utf-8; Boundary=\"a b\""), Some("a b".into()));
    for bad in [
        "multipart/form-data".to_owned(),
        "multipart/form-data; boundary=".to_owned(),
        format!("multipart/form-data; boundary={}", "a".repeat(71)),
        "multipart/form-data; boundary=\"a\u{e4}\"".to_owned(),
    ] {
        assert_eq!(found(&bad), None, "{bad}");
    }
}

#[test]
fn the_name_of_the_file_is_filled_in_without_its_folder() {
    let pairs = [("key", "up/${filename}"), ("policy", "${filename}"), ("x-amz-meta-n", "${filename}${filename}")];
    let mut fields = Fields(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect());
    fields.fill_in("C:\\a/b\\c.txt");
    assert_eq!(fields.get("key"), Some("up/c.txt"));
    assert_eq!(fields.get("policy"), Some("${filename}"));
    assert_eq!(fields.get("x-amz-meta-n"), Some("c.txtc.txt"));
}
