//! Content parts become content blocks.

use std::borrow::Cow;

use crate::json::{Value, Writer};
use crate::vendor::Unsupported;
use crate::vendor::data_url::DataUrl;

/// One content block of a message.
pub(super) struct Block<'r> {
    content: Content<'r>,
    /// Anthropic's `cache_control`, where the client's part has one.
    mark: Option<Value<'r>>,
}

enum Content<'r> {
    /// A string of the client's body, copied as it is spelled there.
    Text(Value<'r>),
    Image(Source<'r>),
    Document {
        source: Source<'r>,
        title: Option<Value<'r>>,
    },
}

enum Source<'r> {
    Url(Cow<'r, str>),
    Base64 {
        media_type: &'static str,
        data: Cow<'r, str>,
    },
    Plain(String),
    /// The same, as it is spelled in the client's body.
    Text(Value<'r>),
}

/// Which parts a role may send.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Parts {
    /// Text, and refusals, which are text.
    Text,
    /// Text, images and files.
    Any,
}

/// The blocks of a message's `content`; `path` is the message's. Anthropic refuses blank text, so it gives no block.
pub(super) fn read<'r>(message: Value<'r>, path: &str, parts: Parts) -> Result<Vec<Block<'r>>, Unsupported> {
    let Some(content) = message.given("content") else {
        return Ok(Vec::new());
    };
    let mut blocks = Vec::new();
    blocks.extend(Block::text(content));
    for (i, part) in content.items().enumerate() {
        match read_part(part, parts) {
            Some(Part::Block(content)) => blocks.push(Block { content, mark: part.given("cache_control") }),
            Some(Part::Blank) => {}
            None => return Err(Unsupported::new(format!("{path}.content[{i}]"))),
        }
    }
    Ok(blocks)
}

/// Whether a string holds nothing but white space. Reads the spelling, so that long texts need not be unescaped.
pub(in crate::vendor) fn blank(text: Value<'_>) -> bool {
    let raw = text.raw();
    let mut rest = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).unwrap_or(raw);
    while let Some(shorter) = SPACES.iter().find_map(|space| rest.strip_prefix(space)) {
        rest = shorter;
    }
    rest.is_empty()
}

/// White space as it stands in JSON.
const SPACES: &[&str] = &[" ", "\\n", "\\r", "\\t"];

enum Part<'r> {
    Block(Content<'r>),
    Blank,
}

fn read_part<'r>(part: Value<'r>, parts: Parts) -> Option<Part<'r>> {
    let content = match (&*part.text("type")?, parts) {
        (kind @ ("text" | "refusal"), _) => {
            let text = part.get(kind).filter(|text| text.is_string())?;
            if blank(text) {
                return Some(Part::Blank);
            }
            match part.given("document").filter(|_| parts == Parts::Any) {
                Some(document) => Content::Document { source: Source::Text(text), title: title(document, "title") },
                None => Content::Text(text),
            }
        }
        ("image_url", Parts::Any) => image(part.get("image_url")?.text("url")?)?,
        ("file", Parts::Any) => file(part.get("file")?)?,
        _ => return None,
    };
    Some(Part::Block(content))
}

fn image(url: Cow<'_, str>) -> Option<Content<'_>> {
    if ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Some(Content::Image(Source::Url(url)));
    }
    let url = DataUrl::parse(url)?;
    match IMAGES.iter().find(|known| **known == url.media_type) {
        Some(media_type) => Some(Content::Image(Source::Base64 { media_type, data: url.into_base64() })),
        None => pdf(url, None),
    }
}

/// The image types that Anthropic reads.
const IMAGES: &[&str] = &["image/jpeg", "image/png", "image/gif", "image/webp"];

/// A file by its bytes. A file id means something to the vendor that issued it only.
fn file<'r>(file: Value<'r>) -> Option<Content<'r>> {
    if file.given("file_id").is_some() {
        return None;
    }
    let title = title(file, "filename");
    let url = DataUrl::parse(file.text("file_data")?)?;
    match url.media_type.as_str() {
        "text/plain" => Some(Content::Document { source: Source::Plain(url.into_text()?), title }),
        _ => pdf(url, title),
    }
}

fn title<'r>(holder: Value<'r>, name: &str) -> Option<Value<'r>> {
    holder.given(name).filter(|name| name.is_string() && !blank(*name))
}

fn pdf<'r>(url: DataUrl<'r>, title: Option<Value<'r>>) -> Option<Content<'r>> {
    const PDF: &str = "application/pdf";
    let known = url.media_type == PDF;
    known.then(|| Content::Document { source: Source::Base64 { media_type: PDF, data: url.into_base64() }, title })
}

impl<'r> Block<'r> {
    /// A block of text; `None` for what is no string and for a blank one.
    pub(super) fn text(text: Value<'r>) -> Option<Block<'r>> {
        let full = text.is_string() && !blank(text);
        full.then_some(Block { content: Content::Text(text), mark: None })
    }

    /// Writes the block.
    pub(super) fn render(&self, w: &mut Writer) {
        w.object(|w| {
            match &self.content {
                Content::Text(text) => {
                    w.key("type").string("text");
                    w.key("text").raw(text.raw());
                }
                Content::Image(source) => {
                    w.key("type").string("image");
                    source.render(w);
                }
                Content::Document { source, title } => {
                    w.key("type").string("document");
                    source.render(w);
                    copy("title", *title, w);
                }
            }
            copy("cache_control", self.mark, w);
        });
    }
}

impl Source<'_> {
    fn render(&self, w: &mut Writer) {
        w.key("source").object(|w| match self {
            Source::Url(url) => {
                w.key("type").string("url");
                w.key("url").string(url);
            }
            Source::Base64 { media_type, data } => {
                w.key("type").string("base64");
                w.key("media_type").string(media_type);
                w.key("data").string(data);
            }
            Source::Plain(text) => plain(w).string(text),
            Source::Text(text) => plain(w).raw(text.raw()),
        });
    }
}

/// The place of a plain text's data.
fn plain(w: &mut Writer) -> &mut Writer {
    w.key("type").string("text");
    w.key("media_type").string("text/plain");
    w.key("data")
}

/// Writes a member as the client spelled its value, if there is one.
pub(in crate::vendor) fn copy(name: &str, value: Option<Value<'_>>, w: &mut Writer) {
    if let Some(value) = value {
        w.key(name).raw(value.raw());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Doc;
    use crate::test;

    #[test]
    fn knows_blank_text_by_its_spelling() {
        for (text, expected) in
            [(r#""""#, true), (r#"" \n\t\r ""#, true), (r#""\\n""#, false), (r#"" a ""#, false), (r#""\"""#, false)]
        {
            assert_eq!(blank(Doc::parse(text.as_bytes().to_vec()).unwrap().root()), expected, "{text}");
        }
    }
}
