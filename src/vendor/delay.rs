//! How long a vendor asks to be left alone, in every way in which vendors say it.
//!
//! | who | how |
//! |---|---|
//! | OpenAI, Azure | the header `retry-after-ms`, milliseconds |
//! | everybody | the header `retry-after`: seconds, with a fraction at some, or a date (RFC 9110, 10.2.3) |
//! | Gemini | `retryDelay` in the `details` of the error (`google.rpc.RetryInfo`), as `34.4s` |
//! | Azure, OpenAI | the text: `Please retry after 6 seconds.`, `Please try again in 1m30.5s.` |
//!
//! A header says it better than a body, and a body's member better than its text. What cannot be read is as good as not
//! said.

use std::time::{Duration, SystemTime};

use crate::json::Value;

/// The headers that say it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'h> {
    /// `retry-after-ms`.
    pub milliseconds: Option<&'h str>,
    /// `retry-after`.
    pub after: Option<&'h str>,
    /// `date`: the time on the vendor's clock.
    pub date: Option<&'h str>,
}

/// What the headers say. `now` is since the Unix epoch; it counts only for a date of a vendor that does not tell what
/// time it is there.
pub fn from_headers(headers: &Headers<'_>, now: Duration) -> Option<Duration> {
    let number = |text: Option<&str>| text?.trim().parse::<f64>().ok();
    let milliseconds = number(headers.milliseconds).and_then(|ms| seconds(ms / 1000.0));
    let after = || number(headers.after).and_then(seconds);
    let until = || {
        let then = date(headers.after?)?;
        Some(then.saturating_sub(headers.date.and_then(date).unwrap_or(now))).filter(|wait| *wait <= LONGEST)
    };
    milliseconds.or_else(after).or_else(until)
}

/// What an error's body says.
pub(super) fn from_error(error: Value<'_>, message: &str) -> Option<Duration> {
    google(error).or_else(|| text(message))
}

/// The `retryDelay` in the details of Google's error, a number of seconds such as `34.4s`.
fn google(error: Value<'_>) -> Option<Duration> {
    let delay = error.given("details")?.items().find_map(|detail| detail.text("retryDelay"))?;
    seconds(delay.strip_suffix('s')?.parse().ok()?)
}

/// A text that says when to come again.
fn text(message: &str) -> Option<Duration> {
    let (_, rest) = BEFORE.iter().find_map(|before| message.split_once(before))?;
    let mut words = rest.split_whitespace();
    let (amount, unit) = (words.next()?, words.next().unwrap_or_default());
    let named = UNITS.iter().find(|(name, _)| unit.starts_with(name));
    match (amount.parse::<f64>(), named) {
        (Ok(amount), Some((_, length))) => seconds(amount * length),
        _ => go(amount.trim_end_matches(['.', ','])),
    }
}

/// A length of time as the language Go prints one: `6m0s`, `1.5s`, `120ms`.
fn go(text: &str) -> Option<Duration> {
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let (amount, tail) = rest.split_at_checked(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?)?;
        let unit = tail.split(|c: char| c.is_ascii_digit()).next()?;
        let (_, length) = GO.iter().find(|(name, _)| *name == unit)?;
        sum += amount.parse::<f64>().ok()? * length;
        rest = tail.strip_prefix(unit)?;
    }
    seconds(sum).filter(|_| !text.is_empty())
}

/// A date as HTTP writes one, `Wed, 21 Oct 2015 07:28:00 GMT`, since the Unix epoch. The two older forms that readers
/// should know are sent by nobody.
fn date(text: &str) -> Option<Duration> {
    let mut words = text.trim().strip_suffix(" GMT")?.split(' ').skip(1);
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let instant = humantime::parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z")).ok()?;
    instant.duration_since(SystemTime::UNIX_EPOCH).ok().filter(|_| words.next().is_none())
}

fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().filter(|wait| *wait <= LONGEST)
}

/// What is above is a mistake: no quota takes longer than a month to come back.
const LONGEST: Duration = Duration::from_secs(31 * 24 * 60 * 60);
const BEFORE: [&str; 6] = ["retry after ", "Retry after ", "try again in ", "Try again in ", "retry in ", "Retry in "];
const UNITS: [(&str, f64); 4] = [("millisecond", 0.001), ("second", 1.0), ("minute", 60.0), ("hour", 3600.0)];
const GO: [(&str, f64); 4] = [("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 0.001)];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Doc;
    use crate::test;

    /// Wed, 21 Oct 2015 07:28:00 GMT.
    const NOW: Duration = Duration::from_secs(1_445_412_480);

    #[test]
    fn reads_every_header() {
        let date =
            |after: &'static str, date: Option<&'static str>| Headers { after: Some(after), date, milliseconds: None };
        let plain = |after| date(after, None);
        let both = Headers { milliseconds: Some("1500"), after: Some("2"), date: None };
        for (headers, millis) in [
            (both, Some(1500)),
            (Headers { milliseconds: Some("soon"), ..both }, Some(2000)),
            (plain("7"), Some(7000)),
            (plain(" 0.25 "), Some(250)),
            (plain("0"), Some(0)),
            (plain("Wed, 21 Oct 2015 07:28:12 GMT"), Some(12_000)),
            (plain("Wed, 21 Oct 2015 07:27:00 GMT"), Some(0)),
            (date("Wed, 21 Oct 2015 08:28:05 GMT", Some("Wed, 21 Oct 2015 08:28:00 GMT")), Some(5000)),
            (date("Wed, 21 Oct 2015 07:28:05 GMT", Some("today")), Some(5000)),
            (plain("Fri, 21 Oct 2095 07:28:05 GMT"), None),
            (plain("Wed, 21 Okt 2015 07:28:05 GMT"), None),
            (plain("Wed, 21 Oct 2015 07:28:05 CET"), None),
            (plain("Wed, 99 Oct 2015 07:28:05 GMT"), None),
            (plain(" GMT"), None),
            (plain("-1"), None),
            (plain("nan"), None),
            (plain("inf"), None),
            (plain("1e300"), None),
            (plain(""), None),
            (Headers::default(), None),
        ] {
            assert_eq!(from_headers(&headers, NOW), millis.map(Duration::from_millis), "{headers:?}");
        }
    }

    #[test]
    fn reads_every_body() {
        let nothing = Doc::parse(b"{}".to_vec()).unwrap();
        for (message, millis) in [
            (
                "Requests to the API have exceeded the call rate limit. Please retry after 6 seconds. Please go here",
                Some(6000),
            ),
            ("Please retry after 1 second.", Some(1000)),
            ("Rate limit is exceeded. Try again in 86400 seconds.", Some(86_400_000)),
            ("Rate limit reached for gpt-4o. Limit 3, Used 3. Please try again in 20s. Visit", Some(20_000)),
            ("Please try again in 1m30.5s.", Some(90_500)),
            ("Please try again in 120ms.", Some(120)),
            ("please retry in 34.4s", Some(34_400)),
            ("Please try again in 2 minutes", Some(120_000)),
            ("Please try again in a while", None),
            ("Please retry after ", None),
            ("Please retry after 1e300 seconds", None),
            ("Please try again in -5s", None),
            ("", None),
        ] {
            assert_eq!(from_error(nothing.root(), message), millis.map(Duration::from_millis), "{message}");
        }
        let google = br#"{"details":[{"reason":"x"},{"retryDelay":"34.4s"}]}"#.to_vec();
        let google = Doc::parse(google).unwrap();
        assert_eq!(from_error(google.root(), "retry after 6 seconds"), Some(Duration::from_millis(34_400)));
    }
}
