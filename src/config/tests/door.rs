//! How clients come in.

use serde_json::{Value, json};

use super::{good, problems};
use crate::config::door::{Cidr, Cors, Origins, Tls};
use crate::config::{Config, Form, parse_json};
use crate::test;

fn with(section: &str, value: Value) -> Value {
    let mut config = good();
    config[section] = value;
    config
}

fn checked(section: &str, value: Value) -> Config {
    parse_json(with(section, value).to_string().as_bytes()).unwrap()
}

#[test]
fn a_door_is_plain_unless_something_is_said() {
    let config = parse_json(good().to_string().as_bytes()).unwrap();
    assert_eq!((config.tls, config.cors, config.trusted_proxies), (None, None, Vec::new()));
}

#[test]
fn what_is_right_is_taken_as_it_is() {
    let files = Tls { cert_file: "/c".to_owned(), key_file: "/k".to_owned() };
    assert_eq!(checked("tls", json!({"cert_file": "/c", "key_file": "/k"})).tls, Some(files));
    let cors = |origins, seconds| Cors { origins, max_age: std::time::Duration::from_secs(seconds) };
    assert_eq!(checked("cors", json!({"origins": ["*"]})).cors, Some(cors(Origins::All, 600)));
    let several =
        ["https://app.example", "http://localhost:5173", "http://[::1]:8080", "chrome-extension://abcdefgh", "null"];
    let expected = Origins::Only(several.map(str::to_owned).to_vec());
    assert_eq!(checked("cors", json!({"origins": several, "max_age": "1h"})).cors, Some(cors(expected, 3600)));
    let ranges = json!(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1"]);
    let range = |first: &str, bits| Cidr { first: first.parse().unwrap(), bits };
    let expected = [range("10.0.0.0", 8), range("192.0.2.1", 32), range("2001:db8::", 32), range("::1", 128)];
    assert_eq!(checked("trusted_proxies", ranges).trusted_proxies, expected);
}

#[test]
fn mistakes_are_named() {
    let a_range = "must be a range of addresses, for example 10.0.0.0/8, or one address";
    let an_origin =
        "must be a scheme and a host, as browsers send them: https://app.example.com, http://localhost:5173";
    for (section, value, problem) in [
        ("tls", json!({}), "tls.cert_file: missing\ntls.key_file: missing".to_owned()),
        ("tls", json!({"cert_file": "c.pem", "key_file": "/k"}), "tls.cert_file: must be an absolute path".to_owned()),
        ("tls", json!({"cert_file": "/c", "key_file": "/k", "ca": "/a"}), "tls.ca: unknown key".to_owned()),
        ("cors", json!({}), "cors.origins: at least one is needed, for example https://app.example.com".to_owned()),
        ("cors", json!({"origins": ["*"], "max_age": "25h"}), "cors.max_age: must be at most 24h".to_owned()),
        (
            "cors",
            json!({"origins": ["https://a", "*"]}),
            "cors.origins[1]: stands for all origins and must stand alone".to_owned(),
        ),
        (
            "cors",
            json!({"origins": ["https://a/"]}),
            "cors.origins[0]: must end after the host, without a path".to_owned(),
        ),
        (
            "cors",
            json!({"origins": ["https://a:443"]}),
            "cors.origins[0]: browsers leave out :443 here, so must this".to_owned(),
        ),
        (
            "cors",
            json!({"origins": ["http://a:80"]}),
            "cors.origins[0]: browsers leave out :80 here, so must this".to_owned(),
        ),
        (
            "cors",
            json!({"origins": ["https://App.example"]}),
            "cors.origins[0]: must be in lower case, as browsers send it".to_owned(),
        ),
        ("cors", json!({"origins": ["app.example"]}), format!("cors.origins[0]: {an_origin}")),
        ("cors", json!({"origins": ["https://*.example"]}), format!("cors.origins[0]: {an_origin}")),
        ("cors", json!({"origins": ["https://u@a"]}), format!("cors.origins[0]: {an_origin}")),
        ("cors", json!({"origins": ["://a"]}), format!("cors.origins[0]: {an_origin}")),
        ("trusted_proxies", json!(["10.0.0.0/33"]), format!("trusted_proxies[0]: {a_range}")),
        ("trusted_proxies", json!(["proxy.internal"]), format!("trusted_proxies[0]: {a_range}")),
        ("trusted_proxies", json!(["10.0.0.0/+8"]), format!("trusted_proxies[0]: {a_range}")),
        ("trusted_proxies", json!(["::1", "10.1.2.3/8"]), "trusted_proxies[1]: must be 10.0.0.0/8".to_owned()),
        (
            "trusted_proxies",
            json!(["0.0.0.0/0"]),
            "trusted_proxies[0]: trusts everybody, so anybody could claim to be anybody".to_owned(),
        ),
    ] {
        assert_eq!(problems(&with(section, value.clone()), Form::File), problem, "{value}");
    }
}
