//! Content parts become Gemini's parts.

use std::borrow::Cow;

use crate::json::{Value, Writer};
use crate::vendor::Unsupported;
use crate::vendor::data_url::DataUrl;

/// One part of a turn.
pub(super) enum Part<'r> {
    /// A string of the client's body, copied as it is spelled there.
    Text(Value<'r>),
    /// Bytes in base64.
    Inline { media_type: Cow<'static, str>, data: Cow<'r, str> },
    /// A file that Google keeps; it knows the type itself.
    File(Cow<'r, str>),
}

/// Which parts a role may send.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Parts {
    /// Text, and refusals, which are text.
    Text,
    /// Text, images, sound and files.
    Any,
}

/// The parts of a message's `content`; `path` is the message's. Gemini refuses empty text, so it gives no part.
pub(super) fn read<'r>(message: Value<'r>, path: &str, parts: Parts) -> Result<Vec<Part<'r>>, Unsupported> {
    let Some(content) = message.given("content") else {
        return Ok(Vec::new());
    };
    let mut read: Vec<_> = text(content).into_iter().collect();
    for (i, part) in content.items().enumerate() {
        let found = read_part(part, parts).ok_or_else(|| Unsupported::new(format!("{path}.content[{i}]")))?;
        read.extend(Some(found).filter(|part| !matches!(part, Part::Text(text) if is_blank(*text))));
    }
    Ok(read)
}

/// A part of text; `None` for what is no string and for an empty one.
pub(super) fn text(text: Value<'_>) -> Option<Part<'_>> {
    (text.is_string() && !is_blank(text)).then_some(Part::Text(text))
}

fn is_blank(text: Value<'_>) -> bool {
    text.raw() == "\"\""
}

fn read_part<'r>(part: Value<'r>, parts: Parts) -> Option<Part<'r>> {
    match (&*part.text("type")?, parts) {
        (kind @ ("text" | "refusal"), _) => part.get(kind).filter(|text| text.is_string()).map(Part::Text),
        ("image_url", Parts::Any) => image(part.get("image_url")?.text("url")?),
        ("input_audio", Parts::Any) => audio(part.get("input_audio")?),
        ("file", Parts::Any) => file(part.get("file")?),
        _ => None,
    }
}

fn image(url: Cow<'_, str>) -> Option<Part<'_>> {
    if url.starts_with(FILES) {
        return Some(Part::File(url));
    }
    inline(DataUrl::parse(url)?).filter(
        |part| matches!(part, Part::Inline { media_type, .. } if media_type.starts_with("image/") || media_type == PDF),
    )
}

fn audio(audio: Value<'_>) -> Option<Part<'_>> {
    let media_type = match &*audio.text("format")? {
        "wav" => "audio/wav",
        "mp3" => "audio/mp3",
        _ => return None,
    };
    Some(Part::Inline { media_type: media_type.into(), data: audio.text("data")? })
}

/// A file by its bytes. A file id means something to the vendor that issued it only.
fn file(file: Value<'_>) -> Option<Part<'_>> {
    match file.given("file_id") {
        Some(_) => None,
        None => inline(DataUrl::parse(file.text("file_data")?)?),
    }
}

fn inline(url: DataUrl<'_>) -> Option<Part<'_>> {
    let kind = url.media_type.clone();
    let known = TYPES.contains(&kind.as_str()) || ["audio/", "video/"].iter().any(|start| kind.starts_with(start));
    known.then(|| Part::Inline { media_type: kind.into(), data: url.into_base64() })
}

/// Where files of Google's Files API live: the only URLs that generateContent takes for a picture.
const FILES: &str = "https://generativelanguage.googleapis.com/";

const PDF: &str = "application/pdf";

/// The types that Gemini reads, beside sound and film.
const TYPES: &[&str] = &["image/png", "image/jpeg", "image/webp", "image/heic", "image/heif", PDF, "text/plain"];

impl Part<'_> {
    /// Writes the part.
    pub(super) fn render(&self, w: &mut Writer) {
        w.object(|w| match self {
            Part::Text(text) => w.key("text").raw(text.raw()),
            Part::Inline { media_type, data } => w.key("inlineData").object(|w| {
                w.key("mimeType").string(media_type);
                w.key("data").string(data);
            }),
            Part::File(uri) => w.key("fileData").object(|w| w.key("fileUri").string(uri)),
        });
    }
}
