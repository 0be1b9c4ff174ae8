"""What the program is made of: an SBOM in CycloneDX's format, and the licences of everything in it.

    inventory.py --target TRIPLE --program FILE --version VERSION --commit COMMIT --epoch SECONDS --bundles FOLDER
                 --sbom FILE --licences FILE

Both come from one walk over the crates that cargo builds into polyp-edge for the target. The output depends on nothing but
the arguments, Cargo.lock and the crates: no clock, no random number. Needs cargo, with the crates in its cache.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import uuid
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LICENCE_FILE = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)([-_.].*)?$", re.IGNORECASE)
# Texts for crates that are published without one.
STANDARD = {"MIT": ROOT / "LICENSE-MIT", "Apache-2.0": ROOT / "LICENSE-APACHE",
            "CC0-1.0": ROOT / "scripts/cart/CC0-1.0.txt"}


def cargo(*arguments):
    done = subprocess.run(["cargo", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"cargo {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def tree(target):
    """`{(name, version): set of (name, version)}`: the crates in the program, and what each of them needs.

    Of `cargo tree`, because `cargo metadata` unites the features of all programs of the workspace."""
    text = cargo("tree", "--locked", "--offline", "-p", "polyp-edge", "--edges", "normal", "--target", target,
                 "--prefix", "depth", "--charset", "ascii")
    needs, above = {}, []
    for line in text.splitlines():
        depth, name, version = re.match(r"(\d+)(\S+) v(\S+)", line).groups()
        crate = (name, version)
        needs.setdefault(crate, set())
        del above[int(depth):]
        if above:
            needs[above[-1]].add(crate)
        above.append(crate)
    return needs


def described():
    """`{(name, version): package}` of all packages, as cargo describes them; with the digests that Cargo.lock has."""
    packages = json.loads(cargo("metadata", "--locked", "--offline", "--format-version", "1"))["packages"]
    digests = {}
    for block in (ROOT / "Cargo.lock").read_text().split("[[package]]"):
        fields = dict(re.findall(r'^(name|version|checksum) = "(.*)"$', block, re.MULTILINE))
        if "checksum" in fields:
            digests[fields["name"], fields["version"]] = fields["checksum"]
    return {(one["name"], one["version"]): {**one, "checksum": digests.get((one["name"], one["version"]))} for one in packages}


def licence(package):
    # As crates wrote it before there was a grammar for it.
    return (package["license"] or "").replace("/", " OR ").replace("  ", " ")


def purl(name, version):
    return f"pkg:cargo/{name}@{version}"


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def rust():
    """The compiler's release and commit: its standard library is in the program."""
    said = dict(re.findall(r"^(release|commit-hash): (.*)$", subprocess.check_output(["rustc", "-vV"], text=True), re.MULTILINE))
    return said["release"], said["commit-hash"]


def sbom(options, needs, packages):
    components = []
    own = ("polyp-edge", next(version for name, version in needs if name == "polyp-edge"))
    for crate in sorted(needs):
        if crate == own:
            continue
        package = packages[crate]
        component = {"type": "library", "bom-ref": purl(*crate), "name": crate[0], "version": crate[1], "purl": purl(*crate),
                     "licenses": [{"expression": licence(package)}]}
        if package["checksum"]:
            component["hashes"] = [{"alg": "SHA-256", "content": package["checksum"]}]
        if package["repository"]:
            component["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
        components.append(component)
    release, commit = rust()
    components.append({"type": "library", "bom-ref": f"rust-std@{release}", "name": "rust-std", "version": release,
                       "licenses": [{"expression": "MIT OR Apache-2.0"}], "purl": f"pkg:github/rust-lang/rust@{commit}"})
    bundles = sorted(path.parent for path in Path(options.bundles).glob("*/manifest.toml"))
    for bundle in bundles:
        version = re.search(r'^model_version = "(.*)"$', (bundle / "manifest.toml").read_text(), re.MULTILINE).group(1)
        components.append({"type": "machine-learning-model", "bom-ref": f"bundle-{bundle.name}", "name": bundle.name,
                           "version": version, "hashes": [{"alg": "SHA-256", "content": sha256(bundle / "model.onnx")}]})
    inside = [purl(*crate) for crate in sorted(needs[own])]
    inside += [f"rust-std@{release}"] + [f"bundle-{bundle.name}" for bundle in bundles]
    dependencies = [{"ref": "polyp-edge", "dependsOn": inside}]
    dependencies += [{"ref": purl(*crate), "dependsOn": [purl(*other) for other in sorted(needs[crate])]}
                     for crate in sorted(needs) if crate != own]
    when = datetime.fromtimestamp(options.epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, options.commit + options.target + options.version)}",
        "metadata": {
            "timestamp": when,
            "component": {
                "type": "application", "bom-ref": "polyp-edge", "name": "polyp-edge", "version": options.version,
                "licenses": [{"expression": "MIT OR Apache-2.0"}],
                "hashes": [{"alg": "SHA-256", "content": sha256(options.program)}],
                "properties": [{"name": "polyp-edge:commit", "value": options.commit},
                               {"name": "polyp-edge:target", "value": options.target}],
            },
        },
        "components": components, "dependencies": dependencies,
    }


def texts(package):
    """`[(file's name, text)]` of a crate's licence files."""
    folder = Path(package["manifest_path"]).parent
    found = []
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        is_text = LICENCE_FILE.match(path.name) and path.suffix.lower() not in (".rs", ".py", ".json")
        # Of the crate itself, and of what it carries with it: not those of its tests' data.
        if path.is_file() and is_text and len(inner.parts) <= 3 and not {"tests", "benches", "target"} & set(inner.parts):
            found.append((str(inner), path.read_text(errors="replace").strip()))
    return found


def licences(options, needs, packages):
    numbers, crates, without = {}, [], []
    for crate in sorted(needs):
        if crate[0] == "polyp-edge":
            continue
        package = packages[crate]
        found = texts(package)
        if not found:
            names = re.findall(r"[A-Za-z0-9.-]+", licence(package))
            standard = [(name, STANDARD[name]) for name in names if name in STANDARD]
            if not standard:
                without.append(f"{crate[0]} {crate[1]} ({licence(package)})")
            # The terms without somebody else's copyright line.
            found = [(f"the standard text of {name}", re.sub(r"^Copyright .*$\n*", "", path.read_text(), flags=re.MULTILINE).strip())
                     for name, path in standard]
        marks = []
        for name, text in found:
            # The same text in other lines is the same text.
            number = numbers.setdefault(" ".join(text.split()), (len(numbers) + 1, text))[0]
            marks.append(f"[{number}] {name}")
        authors = ", ".join(package["authors"]) or "its authors"
        crates.append(f"{crate[0]} {crate[1]}\n    licence: {licence(package)}\n    by: {authors}\n    "
                      + "\n    ".join(marks))
    if without:
        sys.exit("no licence text for " + ", ".join(without) + ": add one to STANDARD in scripts/cart/inventory.py")
    release, _ = rust()
    parts = [f"Licences of what is in polyp-edge {options.version} for {options.target}, beside its own (MIT OR Apache-2.0).\n"
             "First the crates, each with the numbers of its texts; then the texts.\n"
             f"Rust's standard library {release} has a file of its own: rust-standard-library.html.gz.",
             *crates]
    for number, text in numbers.values():
        parts.append(f"{'=' * 40} [{number}]\n\n{text}")
    return "\n\n".join(parts) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("target", "program", "version", "commit", "bundles", "sbom", "licences"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--epoch", type=int, required=True)
    options = parser.parse_args()
    needs, packages = tree(options.target), described()
    Path(options.sbom).write_text(json.dumps(sbom(options, needs, packages), indent=1, sort_keys=True) + "\n")
    Path(options.licences).write_text(licences(options, needs, packages))


if __name__ == "__main__":
    main()
