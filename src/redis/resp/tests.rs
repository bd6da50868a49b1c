//! The language, in every cut, and everything that is not it.

use super::*;
use crate::test;

fn read(bytes: &[u8]) -> Result<Vec<Reply>, Nonsense> {
    Parser::default().feed(bytes)
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

const TRANSCRIPT: &[u8] = b"+OK\r\n-ERR no\r\n:-5\r\n$3\r\na\r\n\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n\
    *3\r\n$1\r\n1\r\n-upstream failure\r\n*2\r\n:1\r\n*1\r\n$-1\r\n+OK\r\n";

fn transcript() -> Vec<Reply> {
    let inner = Reply::Array(vec![Reply::Integer(1), Reply::Array(vec![Reply::Nil])]);
    vec![
        Reply::Text("OK".into()),
        Reply::Error("ERR no".into()),
        Reply::Integer(-5),
        bulk("a\r\n"),
        bulk(""),
        Reply::Nil,
        Reply::Nil,
        Reply::Array(Vec::new()),
        Reply::Array(vec![bulk("1"), Reply::Error("upstream failure".into()), inner]),
        Reply::Text("OK".into()),
    ]
}

#[test]
fn writes_what_redis_reads() {
    let mut out = Vec::new();
    let commands = [Command::new(&[b"GET", b"a"]), Command::new(&[b"SET", b"a", b"\r\n\xff"])];
    commands.iter().for_each(|command| write(command, Naming::Text, &mut out));
    assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$3\r\n\r\n\xff\r\n");
    assert!(commands.iter().map(|command| size(command, Naming::Text)).sum::<usize>() >= out.len());
}

#[test]
fn reads_every_kind_of_reply() {
    assert_eq!(read(TRANSCRIPT), Ok(transcript()));
}

#[test]
fn a_cut_changes_nothing() {
    for cut in 0..=TRANSCRIPT.len() {
        let (first, second) = TRANSCRIPT.split_at(cut);
        let mut parser = Parser::default();
        let mut replies = parser.feed(first).unwrap();
        replies.extend(parser.feed(second).unwrap());
        assert_eq!(replies, transcript(), "{cut}");
        assert!(parser.is_between_replies());
    }
    let mut parser = Parser::default();
    let bytes = TRANSCRIPT.iter().flat_map(|byte| parser.feed(&[*byte]).unwrap());
    assert_eq!(bytes.collect::<Vec<_>>(), transcript());
}

#[test]
fn waits_for_what_is_missing() {
    for part in ["$3\r\nab", "$3\r\nabc\r", "*2\r\n:1\r\n", "+OK\r", "*", "$1048576\r\n"] {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(part.as_bytes()), Ok(Vec::new()), "{part:?}");
        assert!(!parser.is_between_replies());
        assert!(parser.rest.capacity() < 1024, "nothing is set aside for what is only announced");
    }
}

#[test]
fn refuses_nonsense() {
    for (bytes, nonsense) in [
        ("HTTP/1.1 503\r\n", Nonsense::Kind),
        ("%1\r\n", Nonsense::Kind),
        ("\r\n", Nonsense::Kind),
        (":x\r\n", Nonsense::Number),
        (":\r\n", Nonsense::Number),
        (":9223372036854775808\r\n", Nonsense::Number),
        ("$-2\r\n", Nonsense::Number),
        ("*-2\r\n", Nonsense::Number),
        ("$1e3\r\n", Nonsense::Number),
        ("$99999999999\r\n", Nonsense::Size),
        ("*99999999999\r\n", Nonsense::Size),
        ("*131073\r\n", Nonsense::Size),
        ("$1\r\nabc", Nonsense::End),
        ("+a\nb\r\n", Nonsense::End),
        (&"*1\r\n".repeat(9), Nonsense::Depth),
        (&format!("+{}", "x".repeat(MAX_LINE + 1)), Nonsense::Size),
        (&":1\r\n".repeat(MAX_VALUES + 1), Nonsense::Size),
    ] {
        assert_eq!(read(bytes.as_bytes()), Err(nonsense), "{:?}", bytes.get(..20));
    }
    assert_eq!(read("*1\r\n".repeat(8).as_bytes()), Ok(Vec::new()));
    let mut parser = Parser::default();
    assert_eq!(parser.feed(b"$33554432\r\n"), Ok(Vec::new()));
    let piece = vec![b'x'; 1 << 20];
    let refused = (0..40).find_map(|_| parser.feed(&piece).err());
    assert_eq!(refused, Some(Nonsense::Size));
}

/// Random bytes of the alphabet in which replies are written, in random cuts: no panic, and cuts change nothing.
#[test]
fn survives_anything() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    const ALPHABET: &[u8] = b"+-:$*0123\r\n\r\n\r\n$1a\xff";
    for _ in 0..20_000 {
        let length = (random() % 40) as usize;
        let bytes: Vec<u8> = (0..length).map(|_| ALPHABET[(random() % ALPHABET.len() as u64) as usize]).collect();
        let whole = read(&bytes);
        let mut parser = Parser::default();
        let (first, second) = bytes.split_at(length / 2);
        let parts = parser.feed(first).and_then(|mut replies| {
            replies.extend(parser.feed(second)?);
            Ok(replies)
        });
        assert_eq!(whole, parts, "{bytes:?}");
    }
}
