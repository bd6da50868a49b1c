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
        if name.bytes().fold(true, |plain, byte| plain & (byte.is_ascii_alphanumeric() | (byte == b'_'))) {
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
        self.separate();
        self.digits(number, 1);
    }

    /// A number of thousandths as a decimal number.
    pub fn thousandths(&mut self, number: u64) {
        self.separate();
        self.digits(number / 1000, 1);
        self.out.push(b'.');
        self.digits(number % 1000, 3);
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

    /// So many digits at least, without the detour of a format string.
    fn digits(&mut self, mut number: u64, least: usize) {
        let mut digits = [b'0'; 20];
        let mut count = 0;
        for place in digits.iter_mut().rev() {
            if number == 0 && count >= least {
                break;
            }
            *place = b'0' + (number % 10) as u8;
            number /= 10;
            count += 1;
        }
        self.out.extend_from_slice(digits.get(digits.len() - count..).unwrap_or_default());
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
    fn writes_numbers_in_full() {
        let mut w = Writer::default();
        w.array(|w| {
            [0, 7, 10, 907, u64::MAX].into_iter().for_each(|number| w.number(number));
            [0, 7, 90, 1000, 12_345].into_iter().for_each(|number| w.thousandths(number));
        });
        let text = String::from_utf8(w.finish()).unwrap();
        assert_eq!(text, "[0,7,10,907,18446744073709551615,0.000,0.007,0.090,1.000,12.345]");
    }

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
