#!/usr/bin/env bash
# Builds dist/weir.wasm twice, in two folders of different names, with the crates in two different places, and compares.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
home=${CARGO_HOME:-$HOME/.cargo}

# One build after the other: in its own folder, with what it compiles and where its crates are.
build() { # folder, crates
	mkdir -p "$1"
	cp -r --parents Makefile Cargo.toml Cargo.lock .cargo src "$1"
	CARGO_HOME=$2 CARGO_TARGET_DIR=$1/target make --no-print-directory -C "$1" WASM="$1/target/wasm32-wasip1/release/weir.wasm" dist/weir.wasm >&2
	sha256sum <"$1/dist/weir.wasm" | cut -d' ' -f1
	rm -rf "$1/target"
}

crates="$work/another/place/for/crates"
mkdir -p "$crates"
for part in registry config.toml; do
	if [ -e "$home/$part" ]; then cp -al "$home/$part" "$crates/" 2>/dev/null || cp -a "$home/$part" "$crates/"; fi
done
first=$(build "$work/one" "$home")
second=$(build "$work/a/folder/of/a-longer-name" "$crates")
printf '%s  in one folder\n%s  in another\n' "$first" "$second"
rustc --version
[ "$first" = "$second" ]
