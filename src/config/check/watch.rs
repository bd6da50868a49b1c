//! `tracing`.

use crate::config::problem::Problems;
use crate::config::{Otlp, Tracing, written};

/// Where traces go, if it is right.
pub(super) fn tracing(written: &written::Tracing, problems: &mut Problems) -> Option<Tracing> {
    if !(0.0..=1.0).contains(&written.sample) {
        problems.note("tracing.sample", "must be between 0 and 1");
    }
    let mut endpoint: crate::config::Endpoint = problems.keep("tracing.otlp", written.otlp.parse())?;
    let protocol = match std::mem::take(&mut endpoint.path) {
        path if path.is_empty() => Otlp::Grpc,
        path => Otlp::Http(path),
    };
    Some(Tracing { endpoint, protocol, sample: written.sample })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::config::{Audience, Otlp, parse_json};
    use crate::test;

    fn problems(more: Value) -> String {
        let mut config = json!({"vendors": [{"name": "echo", "kind": "echo"}], "models": [{"name": "m", "serve": [{"vendor": "echo"}]}]});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parse_json(config.to_string().as_bytes()).map(|_| String::new()).unwrap_or_else(|problems| problems.to_string())
    }

    #[test]
    fn a_path_makes_it_http() {
        for (otlp, protocol) in [
            ("http://collector:4317", Otlp::Grpc),
            ("https://collector/", Otlp::Grpc),
            ("http://collector:4318/v1/traces", Otlp::Http("/v1/traces".to_owned())),
        ] {
            let written = crate::config::written::Tracing { otlp: otlp.to_owned(), sample: 0.5 };
            let tracing = super::tracing(&written, &mut Default::default()).unwrap();
            assert_eq!((tracing.protocol, tracing.endpoint.path.as_str()), (protocol, ""));
        }
    }

    #[test]
    fn names_what_is_wrong() {
        for (more, problem) in [
            (json!({"tracing": {"otlp": "collector:4317"}}), "tracing.otlp: must begin with https:// or http://"),
            (json!({"tracing": {}}), "tracing.otlp: must begin with https:// or http://"),
            (json!({"tracing": {"otlp": "http://c", "sample": 2}}), "tracing.sample: must be between 0 and 1"),
            (json!({"metrics": {"access": "nobody"}}), "metrics.access: unknown variant"),
            (json!({"log": {"prompts": true}}), "log.prompts: unknown key"),
        ] {
            assert!(problems(more).contains(problem), "{problem}");
        }
        assert_eq!(problems(json!({"metrics": {"access": "admin"}, "log": {"access": false}})), "");
        assert_eq!(Audience::default(), Audience::Everybody);
    }
}
