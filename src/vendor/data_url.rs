//! Data URLs (RFC 2397): `data:image/png;base64,iVBOR...`, or percent-encoded without the `;base64`.

use std::borrow::Cow;

/// A data URL, cut into its media type and its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DataUrl<'u> {
    /// The media type in lower case, without parameters.
    pub(super) media_type: String,
    payload: Payload<'u>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Payload<'u> {
    Base64(Cow<'u, str>),
    Bytes(Vec<u8>),
}

impl<'u> DataUrl<'u> {
    /// Reads a URL; `None` for one of another scheme and for one without a comma.
    pub(super) fn parse(url: Cow<'u, str>) -> Option<DataUrl<'u>> {
        let (scheme, rest) = url.split_at_checked("data:".len())?;
        if !scheme.eq_ignore_ascii_case("data:") {
            return None;
        }
        let (kind, data) = rest.split_once(',')?;
        let media_type = kind.split(';').next()?.trim().to_ascii_lowercase();
        let base64 = kind.rsplit(';').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("base64"));
        let payload = match base64 && !data.contains('%') {
            true => Payload::Base64(tail(&url, data.len())),
            false if base64 => Payload::Base64(String::from_utf8(unescaped(data)).ok()?.into()),
            false => Payload::Bytes(unescaped(data)),
        };
        Some(DataUrl { media_type, payload })
    }

    /// The payload in base64.
    pub(super) fn into_base64(self) -> Cow<'u, str> {
        match self.payload {
            Payload::Base64(text) => text,
            Payload::Bytes(bytes) => encoded(&bytes).into(),
        }
    }

    /// The payload as text, where it is UTF-8.
    pub(super) fn into_text(self) -> Option<String> {
        let bytes = match self.payload {
            Payload::Base64(text) => decoded(&text)?,
            Payload::Bytes(bytes) => bytes,
        };
        String::from_utf8(bytes).ok()
    }
}

/// The last `length` bytes, borrowed as long as the whole is: images are large.
fn tail<'u>(url: &Cow<'u, str>, length: usize) -> Cow<'u, str> {
    let start = url.len().saturating_sub(length);
    match url {
        Cow::Borrowed(url) => Cow::Borrowed(url.get(start..).unwrap_or_default()),
        Cow::Owned(url) => Cow::Owned(url.get(start..).unwrap_or_default().to_owned()),
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escape = after.first_chunk().filter(|_| byte == b'%').and_then(hexadecimal);
        out.push(escape.unwrap_or(byte));
        rest = if escape.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    out
}

fn hexadecimal(&[high, low]: &[u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// RFC 4648, section 4.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encoded(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = ALPHABET.get(bits >> (18 - 6 * place) & 63).filter(|_| place <= group.len());
            out.push(digit.map_or('=', |digit| char::from(*digit)));
        }
    }
    out
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0usize, 0);
    for byte in text.trim_end_matches('=').bytes() {
        bits = (bits & 0xFFF) << 6 | ALPHABET.iter().position(|digit| *digit == byte)?;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xFF) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn reads_both_encodings() {
        for (url, media_type, base64) in [
            ("data:image/png;base64,AAEC", "image/png", "AAEC"),
            ("DATA:Image/PNG;BASE64,AAEC", "image/png", "AAEC"),
            ("data:image/png;name=a.png;base64,AA%3D%3D", "image/png", "AA=="),
            ("data:image/gif,GIF89a%00%ff", "image/gif", "R0lGODlhAP8="),
            ("data:,50%", "", "NTAl"),
        ] {
            let parsed = DataUrl::parse(url.into()).unwrap();
            assert_eq!((parsed.media_type.as_str(), &*parsed.clone().into_base64()), (media_type, base64), "{url}");
            assert_eq!(DataUrl::parse(url.to_owned().into()), Some(parsed));
        }
        for url in ["", "data", "data:image/png;base64", "https://example.com/a,b", "дата:,x"] {
            assert_eq!(DataUrl::parse(url.into()), None, "{url}");
        }
    }

    #[test]
    fn reads_text() {
        for (url, text) in [
            ("data:text/plain;base64,aMOpCg==", Some("hé\n")),
            ("data:text/plain,h%C3%A9", Some("hé")),
            ("data:text/plain;base64,/w==", None),
            ("data:text/plain;base64,a b", None),
        ] {
            assert_eq!(DataUrl::parse(url.into()).unwrap().into_text().as_deref(), text, "{url}");
        }
    }

    #[test]
    fn encodes_every_length() {
        for (bytes, base64) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(encoded(bytes.as_bytes()), base64);
            assert_eq!(decoded(base64).as_deref(), Some(bytes.as_bytes()));
        }
    }
}
