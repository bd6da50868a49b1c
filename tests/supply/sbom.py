"""Lists what is in dist/weir.wasm and in dist/weir: a CycloneDX 1.5 document each, from what cargo knows.

Only what is compiled in is listed, for the target it is compiled for: no tests, no build scripts. The checksums are
those of Cargo.lock. It needs nothing but cargo and Python's own library.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def said(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def main(folder):
    host = next(line.split()[1] for line in said("rustc", "-vV").splitlines() if line.startswith("host:"))
    made = {"weir.wasm": ("wasm32-wasip1", ["--no-default-features"]), "weir": (host, [])}
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {(crate["name"], crate["version"]): crate.get("checksum") for crate in lock}
    for name, (target, options) in made.items():
        file = Path(folder) / f"{name}.cdx.json"
        listed = document(name, metadata(target, options), compiled(target, options), checksums)
        file.write_text(json.dumps(listed, indent=2) + "\n")
        print(f"{file}: {len(listed['components'])} components")


def compiled(target, options):
    """The names and versions of what is compiled with the features of this target; the metadata knows those of all."""
    what = ["--locked", "--prefix", "none", "--edges", "normal,no-proc-macro"]
    lines = said("cargo", "tree", *what, "--target", target, *options).splitlines()
    return {tuple(line.replace(" v", " ", 1).split()[:2]) for line in lines if line}


def metadata(target, options):
    what = ["--format-version", "1", "--locked"]
    return json.loads(said("cargo", "metadata", *what, "--filter-platform", target, *options))


def document(name, known, compiled, checksums):
    crates = {crate["id"]: crate for crate in known["packages"]}
    needs = {node["id"]: linked(node, crates) for node in known["resolve"]["nodes"]}
    root = known["resolve"]["root"]
    on = {id for id in reached(root, needs) if (crates[id]["name"], crates[id]["version"]) in compiled}
    inside = sorted(on, key=lambda id: (crates[id]["name"], crates[id]["version"]))
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": {**component(crates[root], checksums), "type": "application", "name": name}},
        "components": [component(crates[crate], checksums) for crate in inside if crate != root],
        "dependencies": [{"ref": purl(crates[crate]), "dependsOn": sorted(purl(crates[other]) for other in needs[crate] & on)}
                         for crate in inside],
    }


def linked(node, crates):
    """The crates that end up in the same program: a procedural macro runs in the compiler."""
    used = {dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])}
    return {crate for crate in used if not any("proc-macro" in target["kind"] for target in crates[crate]["targets"])}


def reached(root, needs):
    found, ahead = set(), [root]
    while ahead:
        if (crate := ahead.pop()) not in found:
            found.add(crate)
            ahead += needs[crate]
    return found


def component(crate, checksums):
    checksum = checksums.get((crate["name"], crate["version"]))
    return {
        "type": "library", "bom-ref": purl(crate), "name": crate["name"], "version": crate["version"],
        "purl": purl(crate),
        **({"licenses": [{"expression": crate["license"].replace("/", " OR ")}]} if crate["license"] else {}),
        **({"hashes": [{"alg": "SHA-256", "content": checksum}]} if checksum else {}),
    }


def purl(crate):
    return f"pkg:cargo/{crate['name']}@{crate['version']}"


if __name__ == "__main__":
    main(sys.argv[1])
