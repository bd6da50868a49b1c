//! What the fuzzer found to lead somewhere, read again by every decoder: the corpora in `fuzz/corpus`.
//!
//! `make fuzz` goes on from them. An input that once broke a law is one of them, too, and has a test of its own where
//! the mistake was.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "a test may panic; clippy takes the functions that tests share for traffic's"
)]

#[path = "../fuzz/src/lib.rs"]
mod laws;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use laws::DECODERS;
use weir::vendor::FORMATS;

#[test]
fn every_decoder_keeps_its_laws() {
    let mut wrong = Vec::new();
    for decoder in DECODERS {
        let corpus = files(&folder().join(decoder.name));
        assert!(corpus.len() >= FEWEST, "the corpus of {} is lost", decoder.name);
        for path in corpus {
            let bytes = fs::read(&path).unwrap();
            if std::panic::catch_unwind(|| decoder.run(&bytes)).is_err() {
                wrong.push(path.display().to_string());
            }
        }
    }
    assert!(wrong.is_empty(), "these break a law:\n{}", wrong.join("\n"));
}

#[test]
fn every_corpus_has_a_decoder_and_every_format_two() {
    let known: BTreeSet<String> = DECODERS.iter().map(|decoder| decoder.name.to_owned()).collect();
    let kept: BTreeSet<String> = fs::read_dir(folder()).unwrap().map(|entry| name(&entry.unwrap().path())).collect();
    assert_eq!(kept, known);
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/src/lib.rs")).unwrap();
    for format in FORMATS.iter().filter(|format| format.kind() != "echo") {
        assert!(source.contains(&format!("\"{}\"", format.kind())), "no decoder is of {}", format.kind());
    }
}

/// The laws hold something: a decoder that takes too much memory, or reads otherwise when cut, is found.
#[test]
fn a_law_can_be_broken() {
    let greedy = std::panic::catch_unwind(|| laws::memory::bounded(1, || drop(vec![0_u8; 1 << 20])));
    assert!(greedy.is_err());
    laws::memory::bounded(1 << 12, || drop(vec![0_u8; 1 << 20]));
    assert_eq!(laws::memory::held(|| vec![0_u8; 1000]).1, 1000);
}

/// A corpus that holds less was not copied whole.
const FEWEST: usize = 2;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
