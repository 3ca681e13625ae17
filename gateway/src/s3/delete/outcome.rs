//! What a deletion of many made of each key.

use std::collections::{BTreeMap, BTreeSet};

use quick_xml::Reader;
use quick_xml::events::Event;

use super::super::list::push_reference;

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deleted {
    /// Its bucket keeps no versions: nothing is left.
    All,
    /// One version is gone, or a delete marker hides them all.
    Version,
}

/// What became of the keys of a request, as the answer tells; a quiet one tells only what stayed. What cannot be read is
/// not told: sizes that are kept too long are bound to their `ETags`, and do no harm.
pub(super) fn deleted(request: &[u8], answer: &[u8]) -> BTreeMap<String, Deleted> {
    let answered = items(answer);
    let named = |element: &'static [u8]| answered.iter().filter(move |item| item.element == element);
    let failed: BTreeSet<_> = named(b"Error").map(|item| (&item.key, &item.version)).collect();
    let hidden: BTreeSet<_> = named(b"Deleted").filter(|item| item.marker).map(|item| &item.key).collect();
    let mut deleted = BTreeMap::new();
    for item in items(request).iter().filter(|item| item.element == b"Object") {
        if failed.contains(&(&item.key, &item.version)) {
            continue;
        }
        let version = item.version.is_some() || hidden.contains(&item.key);
        let what = if version { Deleted::Version } else { Deleted::All };
        deleted.entry(item.key.clone()).and_modify(|before| *before = what).or_insert(what);
    }
    deleted
}

/// An element below the root, with what it says.
#[derive(Debug, Default)]
struct Item {
    element: Vec<u8>,
    key: String,
    version: Option<String>,
    marker: bool,
}

fn items(document: &[u8]) -> Vec<Item> {
    let mut reader = Reader::from_reader(document);
    let (mut items, mut item, mut text, mut depth) = (Vec::new(), Item::default(), String::new(), 0);
    let mut step = |event: Event<'_>| -> Result<bool, quick_xml::Error> {
        match event {
            Event::Start(start) => {
                depth += 1;
                text.clear();
                if depth == 2 {
                    item = Item { element: start.local_name().as_ref().to_vec(), ..Item::default() };
                }
            }
            Event::Text(part) => text.push_str(&part.decode()?),
            Event::CData(part) => text.push_str(&part.decode()?),
            Event::GeneralRef(reference) => push_reference(&reference, &mut text)?,
            Event::End(end) => {
                match (depth, end.local_name().as_ref()) {
                    (2, _) => items.push(std::mem::take(&mut item)),
                    (3, b"Key") => item.key.clone_from(&text),
                    (3, b"VersionId") => item.version = Some(text.clone()).filter(|version| !version.is_empty()),
                    (3, b"DeleteMarker") => item.marker = text == "true",
                    _ => {}
                }
                depth -= 1;
            }
            Event::Eof => return Ok(false),
            _ => {}
        }
        Ok(true)
    };
    while reader.read_event().and_then(&mut step).is_ok_and(|more| more) {}
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deleted_is_told_by_request_and_answer() {
        let request =
            b"<Delete><Object><Key>all</Key></Object><Object><Key>a&amp;b</Key><VersionId>v</VersionId></Object>\
            <Object><Key>hidden</Key></Object><Object><Key>kept</Key></Object></Delete>";
        let answer = b"<DeleteResult><Deleted><Key>all</Key></Deleted>\
            <Deleted><Key>hidden</Key><DeleteMarker>true</DeleteMarker><DeleteMarkerVersionId>m</DeleteMarkerVersionId></Deleted>\
            <Error><Key>kept</Key><Code>AccessDenied</Code></Error></DeleteResult>";
        let of = |key: &str, what| (key.to_owned(), what);
        let expected = [of("a&b", Deleted::Version), of("all", Deleted::All), of("hidden", Deleted::Version)];
        assert_eq!(deleted(request, answer), BTreeMap::from(expected));
        let expected = [of("a&b", Deleted::Version), of("all", Deleted::All), of("hidden", Deleted::All)];
        let quiet = b"<DeleteResult><Error><Key>kept</Key></Error></DeleteResult>";
        assert_eq!(deleted(request, quiet), BTreeMap::from(expected));
        assert!(deleted(b"<Delete><Object><Key>a", answer).is_empty());
    }
}
