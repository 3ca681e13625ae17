//! Hostile vectors: one object for each sentence of the format's properties, which must be refused, and how.
//!
//! Each is read as the sentence demands (a whole GET, a GET of a range, a bare file) and the refusal must be word for word
//! the checked-in one: a defence that is gone shows as another refusal or as none.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fixtures::{KEK, Stored, decrypt, get, get_range};
use super::vectors::{compare, folder, named, text};
use crate::{Kek, Place, UserMetadata};

mod bodies;
mod footers;
mod headers;

/// A hostile object.
#[derive(Debug, Serialize, Deserialize)]
struct Vector {
    kek_hex: String,
    bucket: String,
    key: String,
    metadata: Vec<(String, String)>,
    stored: Vec<Piece>,
    /// The named vector whose plaintext nothing that comes out may differ from.
    plaintext_of: String,
    /// For each way to read it (`whole`, `file`, or a range `from-to`, end exclusive) what is said.
    refusals: BTreeMap<String, String>,
}

/// Some of the stored bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Piece {
    Hex { hex: String },
    Of { of: String, from: usize, to: usize },
}

/// A hostile object as the cases make it.
struct Case {
    sentence: String,
    base: &'static str,
    kek: [u8; 32],
    place: Place,
    metadata: UserMetadata,
    stored: Vec<Piece>,
    reads: Vec<&'static str>,
}

/// The named vectors, from which the cases are made.
struct Bases(BTreeMap<&'static str, Stored>);

impl Bases {
    fn get(&self, name: &str) -> &Stored {
        self.0.get(name).unwrap_or_else(|| panic!("there is no vector {name}"))
    }

    /// The unchanged vector as a case, read whole.
    fn case(&self, base: &'static str, sentence: &str) -> Case {
        let stored = self.get(base);
        Case {
            sentence: sentence.to_owned(),
            base,
            kek: KEK,
            place: stored.place.clone(),
            metadata: stored.metadata.clone(),
            stored: vec![of(base, 0, stored.bytes.len())],
            reads: vec!["whole", "file"],
        }
    }
}

impl Case {
    fn stored(self, stored: Vec<Piece>) -> Self {
        Self { stored, ..self }
    }

    fn reads(self, reads: &[&'static str]) -> Self {
        Self { reads: reads.to_vec(), ..self }
    }

    fn entry(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        let name = format!("x-amz-meta-gse-{name}");
        self.metadata.retain(|(kept, _)| *kept != name);
        self.metadata.push((name, value.into()));
        self
    }
}

fn of(name: &str, from: usize, to: usize) -> Piece {
    Piece::Of { of: name.to_owned(), from, to }
}

fn raw(bytes: &[u8]) -> Piece {
    Piece::Hex { hex: hex::encode(bytes) }
}

fn assemble(pieces: &[Piece], bases: &Bases) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Hex { hex } => out.extend(hex::decode(hex).unwrap()),
            Piece::Of { of, from, to } => out.extend_from_slice(&bases.get(of).bytes[*from..*to]),
        }
    }
    out
}

/// Reads one way. What came out must be authentic and less than all that was asked for; gives the refusal.
fn refusal(vector: &Vector, read: &str, bases: &Bases) -> String {
    let bytes = assemble(&vector.stored, bases);
    let kek = Kek::new(hex::decode(&vector.kek_hex).unwrap().as_slice().try_into().unwrap());
    let place = Place::new(vector.bucket.as_str(), vector.key.as_str()).unwrap();
    let metadata: UserMetadata =
        vector.metadata.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    let plaintext = &bases.get(&vector.plaintext_of).plaintext;
    let ((result, out), asked) = match read.split_once('-') {
        Some((from, to)) => {
            let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
            (get_range(&bytes, &metadata, &kek, &place, from as u64..to as u64), &plaintext[from..to])
        }
        None if read == "file" => (decrypt(&bytes, &kek), &plaintext[..]),
        None => (get(&bytes, &metadata, &kek, &place), &plaintext[..]),
    };
    assert!(asked.starts_with(&out), "{read}: what came out is not the plaintext");
    let Err(error) = result else { panic!("{read}: it was not refused") };
    assert!(out.len() < asked.len() || asked.is_empty(), "{read}: all of the plaintext came out");
    error.to_string()
}

fn bases() -> Bases {
    Bases(named().into_iter().map(|(name, _, stored)| (name, stored)).collect())
}

/// The checked-in hostile objects that a reader of bare files must refuse: sentence, KEK, stored bytes.
pub(super) fn files() -> Vec<(String, String, Vec<u8>)> {
    let bases = bases();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder().join("hostile")).unwrap() {
        let path = entry.unwrap().path();
        let vector: Vector = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        if vector.refusals.contains_key("file") {
            let sentence = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let bytes = assemble(&vector.stored, &bases);
            files.push((sentence, vector.kek_hex, bytes));
        }
    }
    files
}

#[test]
fn every_hostile_vector_is_refused_and_says_why() {
    let bases = bases();
    let mut cases = bodies::cases(&bases);
    cases.extend(headers::cases(&bases));
    cases.extend(footers::cases(&bases));
    let mut names = Vec::new();
    let mut wrong = Vec::new();
    for case in cases {
        let mut vector = Vector {
            kek_hex: hex::encode(case.kek),
            bucket: String::from_utf8(case.place.bucket().to_vec()).unwrap(),
            key: String::from_utf8(case.place.key().to_vec()).unwrap(),
            metadata: text(&case.metadata),
            stored: case.stored,
            plaintext_of: case.base.to_owned(),
            refusals: BTreeMap::new(),
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for read in &case.reads {
                vector.refusals.insert((*read).to_owned(), refusal(&vector, read, &bases));
            }
            compare(&folder().join(format!("hostile/{}.json", case.sentence)), &vector);
        }));
        if outcome.is_err() {
            wrong.push(case.sentence.clone());
        }
        names.push(format!("{}.json", case.sentence));
    }
    assert!(
        wrong.is_empty(),
        "{} of {} were not refused as they must be:\n{}",
        wrong.len(),
        names.len(),
        wrong.join("\n")
    );
    let mut kept: Vec<_> = std::fs::read_dir(folder().join("hostile"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    kept.sort();
    names.sort();
    assert_eq!(kept, names, "no hostile vector is left over");
}
