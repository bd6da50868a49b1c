//! What is wrong with a configuration: all of it at once, each with the path of the field to mend.

use std::fmt;

/// Everything that is wrong with a configuration; one line each when shown.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `vendors[1].kind`, `line 3, column 7`, or empty for the file as a whole.
    pub path: String,
    /// What, without the path and never with a secret.
    pub text: String,
}

impl Problems {
    /// The only problem.
    pub fn one(path: impl Into<String>, text: impl Into<String>) -> Problems {
        let mut problems = Problems::default();
        problems.note(path, text);
        problems
    }

    /// Adds a problem.
    pub fn note(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.0.push(Problem { path: path.into(), text: text.into() });
    }

    /// The value; an error becomes a problem at `path`.
    pub fn keep<T>(&mut self, path: impl Into<String>, outcome: Result<T, String>) -> Option<T> {
        outcome.map_err(|text| self.note(path, text)).ok()
    }

    /// These, and then those.
    pub fn and(mut self, more: Problems) -> Problems {
        self.0.extend(more.0);
        self
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems in the order of the file's sections.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.text),
            path => write!(f, "{path}: {}", self.text),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Problems {}
