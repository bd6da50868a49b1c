//! `envoy/envoy.yaml` is what `weir render` makes of the shipped `weir.yaml` where no vendor has a credential.

use std::fs;
use std::process::Command;

#[test]
fn the_shipped_envoy_configuration_is_in_step() {
    let root = env!("CARGO_MANIFEST_DIR");
    let rendered = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["render", "--for", "envoy"])
        .current_dir(root)
        .env_clear()
        .output()
        .unwrap();
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    let kept = fs::read_to_string(format!("{root}/envoy/envoy.yaml")).unwrap_or_default();
    assert!(
        String::from_utf8_lossy(&rendered.stdout) == kept,
        "envoy/envoy.yaml is out of step; refresh it with\n  \
         env -i target/debug/weir render --for envoy > envoy/envoy.yaml"
    );
}
