//! S3's XML: a writer for answers, and a bounded reader that gives a small tree.
//!
//! Text is taken as it is, white space too: a key may begin with a space. Control characters, which XML 1.0 cannot
//! carry, are written as character references, as S3 does.

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::error::{Code, S3Error};

/// The namespace of S3's documents.
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// Elements may not be nested deeper than this; S3's own requests have at most four levels.
const MAX_DEPTH: usize = 8;

/// Writes one document.
pub(crate) struct Writer {
    out: String,
}

impl Writer {
    /// A document that begins with the XML declaration.
    pub(crate) fn new() -> Self {
        Self { out: String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n") }
    }

    /// The outermost element of an answer, in S3's namespace.
    pub(crate) fn root(&mut self, name: &str) {
        self.out.push('<');
        self.out.push_str(name);
        self.out.push_str(" xmlns=\"");
        self.out.push_str(NAMESPACE);
        self.out.push_str("\">");
    }

    pub(crate) fn open(&mut self, name: &str) {
        self.out.push('<');
        self.out.push_str(name);
        self.out.push('>');
    }

    /// An element whose kind stands in an attribute, as that of a grantee.
    pub(crate) fn open_typed(&mut self, name: &str, kind: &str) {
        let space = "http://www.w3.org/2001/XMLSchema-instance";
        self.out.extend(["<", name, " xmlns:xsi=\"", space, "\" xsi:type=\"", kind, "\">"]);
    }

    pub(crate) fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// An element that holds text alone.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.open(name);
        escape(&mut self.out, text);
        self.close(name);
    }

    /// Text inside the element that is open.
    pub(crate) fn inner(&mut self, text: &str) {
        escape(&mut self.out, text);
    }

    /// An element that holds a number, a truth value or another text that needs no escaping.
    pub(crate) fn value(&mut self, name: &str, value: impl std::fmt::Display) {
        use std::fmt::Write as _;
        self.open(name);
        // Writing to a String cannot fail.
        let _ = write!(self.out, "{value}");
        self.close(name);
    }

    pub(crate) fn finish(self) -> String {
        self.out
    }
}

fn escape(out: &mut String, text: &str) {
    use std::fmt::Write as _;
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{0}'..='\u{1f}' | '\u{7f}' | '\u{fffe}' | '\u{ffff}' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "&#x{:x};", u32::from(character));
            }
            other => out.push(other),
        }
    }
}

/// One element of a request's document.
#[derive(Debug, Default)]
pub(crate) struct Element {
    /// The local name: without a namespace prefix.
    pub(crate) name: String,
    /// The text directly inside, with entities resolved and white space kept.
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// Reads a document whose outermost element is `root`; anything else is `MalformedXML`.
    pub(crate) fn parse(document: &[u8], root: &str) -> Result<Self, S3Error> {
        let text = std::str::from_utf8(document).map_err(|_| malformed())?;
        let element = read(text).ok_or_else(malformed)?;
        if element.name == root { Ok(element) } else { Err(malformed()) }
    }

    /// The children with this name, in order.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the only child with this name; `None` if there is none.
    pub(crate) fn child<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, S3Error> {
        let mut found = self.all(name);
        let first = found.next();
        if found.next().is_some() {
            return Err(malformed());
        }
        Ok(first.map(|child| child.text.as_str()))
    }

    /// The text of the child that must be there.
    pub(crate) fn required<'a>(&'a self, name: &'a str) -> Result<&'a str, S3Error> {
        self.child(name)?.ok_or_else(malformed)
    }
}

/// The document is not well formed, or is not what the operation takes.
pub(crate) fn malformed() -> S3Error {
    S3Error::new(
        Code::MalformedXml,
        "The XML you provided was not well-formed or did not validate against our published schema.",
    )
}

fn read(text: &str) -> Option<Element> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                if open.len() == MAX_DEPTH || root.is_some() {
                    return None;
                }
                open.push(Element { name: local(start.local_name().as_ref())?, ..Element::default() });
            }
            Event::Empty(start) => {
                let element = Element { name: local(start.local_name().as_ref())?, ..Element::default() };
                finish(element, &mut open, &mut root)?;
            }
            Event::End(_) => {
                let element = open.pop()?;
                finish(element, &mut open, &mut root)?;
            }
            Event::Text(text) => {
                let text = text.decode().ok()?;
                match open.last_mut() {
                    Some(element) => element.text.push_str(&text),
                    None if text.trim().is_empty() => {}
                    None => return None,
                }
            }
            Event::CData(data) => {
                let data = data.decode().ok()?;
                open.last_mut()?.text.push_str(&data);
            }
            Event::GeneralRef(reference) => {
                let character = match reference.resolve_char_ref() {
                    Ok(Some(character)) => character,
                    Ok(None) => match reference.decode().ok()?.as_ref() {
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "quot" => '"',
                        "apos" => '\'',
                        _ => return None,
                    },
                    Err(_) => return None,
                };
                open.last_mut()?.text.push(character);
            }
            // No document type: nothing of S3 has one, and entities of one's own are how XML readers are attacked.
            Event::DocType(_) => return None,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => return if open.is_empty() { root } else { None },
        }
    }
}

fn local(name: &[u8]) -> Option<String> {
    std::str::from_utf8(name).ok().map(str::to_owned)
}

fn finish(element: Element, open: &mut [Element], root: &mut Option<Element>) -> Option<()> {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None if root.is_none() => *root = Some(element),
        None => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_white_space_entities_and_control_characters() {
        let key = " a<b>&\"'\u{1}\r\n\u{7f}\tü ";
        let mut writer = Writer::new();
        writer.root("Delete");
        writer.text("Key", key);
        writer.close("Delete");
        let parsed = Element::parse(writer.finish().as_bytes(), "Delete").unwrap();
        assert_eq!(parsed.required("Key").unwrap(), key);
    }

    #[test]
    fn what_is_no_document_of_the_operation_is_malformed() {
        for document in [
            "",
            "<A/>",
            "<Delete>",
            "<Delete></A>",
            "<Delete/><Delete/>",
            "<Delete>&unknown;</Delete>",
            "<!DOCTYPE x [<!ENTITY a \"b\">]><Delete>&a;</Delete>",
            "x<Delete/>",
            "<Delete><a><a><a><a><a><a><a><a></a></a></a></a></a></a></a></a></Delete>",
        ] {
            let error = Element::parse(document.as_bytes(), "Delete").expect_err(document);
            assert_eq!(error.code(), Code::MalformedXml, "{document}");
        }
        assert!(Element::parse(b"\xff", "Delete").is_err());
    }

    #[test]
    fn a_child_that_must_be_single_is_not_taken_twice() {
        let twice = Element::parse(b"<D><K>a</K><K>b</K></D>", "D").unwrap();
        assert!(twice.child("K").is_err());
        assert_eq!(twice.all("K").count(), 2);
    }
}
