//! Content parts become content blocks.

use std::borrow::Cow;

use crate::json::{Value, Writer};
use crate::vendor::Unsupported;
use crate::vendor::anthropic::parts::blank;
use crate::vendor::data_url::DataUrl;

/// One content block of a message.
pub(super) struct Block<'r> {
    content: Content<'r>,
    /// Whether the vendor is to keep what ends here in its prompt cache.
    pub(super) mark: Mark,
}

enum Content<'r> {
    /// A string of the client's body, copied as it is spelled there.
    Text(Value<'r>),
    Image {
        format: &'static str,
        data: Cow<'r, str>,
    },
    Document {
        format: &'static str,
        name: String,
        data: Cow<'r, str>,
    },
}

/// Whether the prompt up to a place is worth keeping.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    CachePoint,
}

impl Mark {
    /// Of a part, a message or a tool: Anthropic's `cache_control`.
    pub(super) fn of(holder: Value<'_>) -> Mark {
        if holder.given("cache_control").is_some() { Mark::CachePoint } else { Mark::None }
    }

    /// Writes a block of its own, if there is a mark.
    pub(super) fn render(self, w: &mut Writer) {
        if self == Mark::CachePoint {
            w.object(|w| w.key("cachePoint").object(|w| w.key("type").string("default")));
        }
    }
}

/// Which parts a role may send.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Parts {
    /// Text, and refusals, which are text.
    Text,
    /// Text, images and files.
    Any,
}

/// The blocks of the `content` of the `number`th message. Bedrock refuses blank text, so it gives no block.
pub(super) fn read<'r>(message: Value<'r>, number: usize, parts: Parts) -> Result<Vec<Block<'r>>, Unsupported> {
    let Some(content) = message.given("content") else {
        return Ok(Vec::new());
    };
    let mut blocks = Vec::new();
    blocks.extend(Block::text(content));
    for (i, part) in content.items().enumerate() {
        match read_part(part, parts, &format!("{number}-{i}")) {
            Some(Part::Block(content)) => blocks.push(Block { content, mark: Mark::of(part) }),
            Some(Part::Blank) => {}
            None => return Err(Unsupported::new(format!("messages[{number}].content[{i}]"))),
        }
    }
    Ok(blocks)
}

enum Part<'r> {
    Block(Content<'r>),
    Blank,
}

fn read_part<'r>(part: Value<'r>, parts: Parts, place: &str) -> Option<Part<'r>> {
    let content = match (&*part.text("type")?, parts) {
        (kind @ ("text" | "refusal"), _) => {
            let text = part.get(kind).filter(|text| text.is_string())?;
            if blank(text) {
                return Some(Part::Blank);
            }
            Content::Text(text)
        }
        ("image_url", Parts::Any) => image(DataUrl::parse(part.get("image_url")?.text("url")?)?, place)?,
        ("file", Parts::Any) => file(part.get("file")?, place)?,
        _ => return None,
    };
    Some(Part::Block(content))
}

fn image<'r>(url: DataUrl<'r>, place: &str) -> Option<Content<'r>> {
    match known(IMAGES, &url.media_type) {
        Some(format) => Some(Content::Image { format, data: url.into_base64() }),
        None => document(url, "", place),
    }
}

/// A file by its bytes. A file id means something to the vendor that issued it only.
fn file<'r>(file: Value<'r>, place: &str) -> Option<Content<'r>> {
    match file.given("file_id") {
        Some(_) => None,
        None => document(DataUrl::parse(file.text("file_data")?)?, &file.text("filename").unwrap_or_default(), place),
    }
}

/// The names of documents must differ, so each has its place behind it.
fn document<'r>(url: DataUrl<'r>, file: &str, place: &str) -> Option<Content<'r>> {
    let format = known(DOCUMENTS, &url.media_type)?;
    Some(Content::Document { format, name: format!("{} {place}", tidy(file)), data: url.into_base64() })
}

fn known(types: &[(&str, &'static str)], media_type: &str) -> Option<&'static str> {
    types.iter().find(|(known, _)| *known == media_type).map(|(_, format)| *format)
}

/// The image types of `ImageFormat`.
const IMAGES: &[(&str, &str)] =
    &[("image/png", "png"), ("image/jpeg", "jpeg"), ("image/gif", "gif"), ("image/webp", "webp")];

/// The document types of `DocumentFormat`.
const DOCUMENTS: &[(&str, &str)] = &[
    ("application/pdf", "pdf"),
    ("text/csv", "csv"),
    ("application/msword", "doc"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("text/html", "html"),
    ("text/plain", "txt"),
    ("text/markdown", "md"),
];

/// A file's name in the letters of a document's: letters, digits, hyphens, brackets and single spaces, and no more than a
/// part of the 200 that there may be.
fn tidy(file: &str) -> String {
    const MOST: usize = 100;
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-()[]".contains(letter);
    let words: String = stem.chars().take(MOST).map(|letter| if allowed(letter) { letter } else { ' ' }).collect();
    match words.split_whitespace().collect::<Vec<_>>().join(" ") {
        none if none.is_empty() => "document".to_owned(),
        name => name,
    }
}

impl<'r> Block<'r> {
    /// A block of text; `None` for what is no string and for a blank one.
    pub(super) fn text(text: Value<'r>) -> Option<Block<'r>> {
        let full = text.is_string() && !blank(text);
        full.then_some(Block { content: Content::Text(text), mark: Mark::None })
    }

    /// Writes the block, without its mark.
    pub(super) fn render(&self, w: &mut Writer) {
        w.object(|w| match &self.content {
            Content::Text(text) => w.key("text").raw(text.raw()),
            Content::Image { format, data } => w.key("image").object(|w| source(format, data, w)),
            Content::Document { format, name, data } => w.key("document").object(|w| {
                w.key("name").string(name);
                source(format, data, w);
            }),
        });
    }
}

fn source(format: &str, data: &str, w: &mut Writer) {
    w.key("format").string(format);
    w.key("source").object(|w| w.key("bytes").string(data));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn a_document_has_a_name_that_bedrock_takes() {
        for (file, name) in [
            ("report.pdf", "report"),
            ("Q3 results (final)_v2.tar.gz", "Q3 results (final) v2 tar"),
            ("", "document"),
            (".pdf", "document"),
            ("\u{65e5}\u{672c}.pdf", "document"),
            ("a  b\n\tc", "a b c"),
        ] {
            assert_eq!(tidy(file), name, "{file}");
        }
        assert_eq!(tidy(&"x".repeat(1000)).len(), 100);
    }
}
