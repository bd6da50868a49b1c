//! Writing JSON by calls, so that no body is ever made with a format string.

/// Appends JSON to a buffer; commas are its own business.
///
/// ```
/// let mut w = weir::json::Writer::default();
/// w.object(|w| {
///     w.key("model").string("gpt-4");
///     w.key("stop").array(|w| w.string("\n"));
/// });
/// assert_eq!(w.finish(), br#"{"model":"gpt-4","stop":["\n"]}"#);
/// ```
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// A writer that appends to what is in `out`.
    pub fn onto(out: Vec<u8>) -> Writer {
        Writer { out }
    }

    /// The text written.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// An object whose members `fill` writes.
    pub fn object(&mut self, fill: impl FnOnce(&mut Writer)) {
        self.separate();
        self.out.push(b'{');
        fill(self);
        self.out.push(b'}');
    }

    /// An array whose items `fill` writes.
    pub fn array(&mut self, fill: impl FnOnce(&mut Writer)) {
        self.separate();
        self.out.push(b'[');
        fill(self);
        self.out.push(b']');
    }

    /// The name of the member whose value is written next.
    pub fn key(&mut self, name: &str) -> &mut Writer {
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.separate();
            self.out.push(b'"');
            self.out.extend_from_slice(name.as_bytes());
            self.out.push(b'"');
        } else {
            self.string(name);
        }
        self.out.push(b':');
        self
    }

    /// A string.
    pub fn string(&mut self, text: &str) {
        self.separate();
        // Writing a string into a vector cannot fail.
        let _ = serde_json::to_writer(&mut self.out, text);
    }

    /// JSON text that is known to be valid, most often [`Value::raw`](super::Value::raw).
    pub fn raw(&mut self, json: &str) {
        self.separate();
        self.out.extend_from_slice(json.as_bytes());
    }

    /// An integer.
    pub fn number(&mut self, number: u64) {
        self.raw(&number.to_string());
    }

    /// A Boolean.
    pub fn bool(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    /// `null`.
    pub fn null(&mut self) {
        self.raw("null");
    }

    /// A string, or `null`.
    pub fn string_or_null(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.string(text),
            None => self.null(),
        }
    }

    /// A comma, unless this is the first thing inside brackets, a member's value, or the first thing of a line.
    /// No value ends in one of these bytes, so the last byte tells.
    fn separate(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[' | b':' | b' ' | b'\n')) {
            self.out.push(b',');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    #[test]
    fn separates_and_escapes() {
        let mut w = Writer::default();
        w.object(|w| {
            w.key("a").array(|w| {
                w.number(1);
                w.string("[\"\n{");
                w.string("x");
                w.array(|_| {});
                w.object(|w| w.key("b").null());
            });
            w.key("c").raw("1e2");
            w.key("d").string_or_null(None);
            w.key("e:").bool(true);
            w.key("f").object(|_| {});
        });
        let text = String::from_utf8(w.finish()).unwrap();
        assert_eq!(text, r#"{"a":[1,"[\"\n{","x",[],{"b":null}],"c":1e2,"d":null,"e:":true,"f":{}}"#);
    }
}
