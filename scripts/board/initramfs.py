"""An initramfs: kernel modules with what they depend on, programs with their libraries, files; as newc cpio."""

import gzip
import lzma
import os
import stat
import subprocess
from pathlib import Path


class Archive:
    """Entries in the order in which they are added; folders come by themselves."""

    def __init__(self):
        self.parts = []
        self.folders = {""}
        self.names = set()
        self.count = 0

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        self.count += 1
        fields = (self.count, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        for part in (head, data):
            self.parts.append(part + b"\0" * (-len(part) % 4))

    def folder(self, name):
        name = name.strip("/")
        if name not in self.folders:
            self.folder(os.path.dirname(name))
            self.folders.add(name)
            self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        name = name.strip("/")
        self.folder(os.path.dirname(name))
        self.names.add(name)
        self._entry(name, stat.S_IFREG | mode, data)

    def device(self, name, major, minor):
        self.folder(os.path.dirname(name.strip("/")))
        self._entry(name.strip("/"), stat.S_IFCHR | 0o600, device=(major, minor))

    def tree(self, name, path, pattern="*"):
        """A folder with all that lies in it and fits the pattern."""
        for file in sorted(Path(path).rglob(pattern)):
            if file.is_file():
                self.file(f"{name}/{file.relative_to(path)}", file.read_bytes())

    def bytes(self):
        self._entry("TRAILER!!!", 0)
        return b"".join(self.parts)


def read_module(path):
    data = Path(path).read_bytes()
    if path.name.endswith(".xz"):
        return lzma.decompress(data)
    if path.name.endswith(".gz"):
        return gzip.decompress(data)
    return data


def modules(folder, wanted, more=None):
    """`[(name, bytes)]` of the wanted modules and all that they depend on, each after what it depends on. A module that
    is not there counts as built into the kernel, unless another one names it. `more`: another folder of them."""
    files = {}
    for path in [*Path(folder).rglob("*.ko*"), *(Path(more).rglob("*.ko*") if more else ())]:
        files[path.name.split(".ko")[0].replace("-", "_")] = path
    order, loaded = [], set()

    def add(name, needed_by):
        name = name.replace("-", "_")
        if name in loaded:
            return
        loaded.add(name)
        if name not in files:
            if needed_by:
                raise FileNotFoundError(f"{folder}: no module {name}, which {needed_by} needs")
            return
        data = read_module(files[name])
        start = data.find(b"\0depends=")
        depends = data[start + 9:data.index(b"\0", start + 1)].decode() if start >= 0 else ""
        for other in filter(None, depends.split(",")):
            add(other, name)
        order.append((name, data))

    for name in wanted:
        add(name, None)
    return order


def libraries(root, program):
    """`[(name in the image, file)]`: what a program is linked to, and its loader, from the board's own libraries."""
    found, waiting = {}, [Path(program)]
    places = [Path(root, place) for place in ("lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu", "lib", "usr/lib")]
    while waiting:
        dynamic = subprocess.run(["readelf", "-d", waiting.pop()], capture_output=True, text=True, check=True).stdout
        for line in dynamic.splitlines():
            if "(NEEDED)" in line:
                name = line.split("[")[1].split("]")[0]
                if name in found:
                    continue
                file = next((place / name for place in places if (place / name).exists()), None)
                if file is None:
                    raise FileNotFoundError(f"{root}: no {name}, which the program needs")
                found[name] = file
                waiting.append(file)
    return sorted((f"lib/{name}", file) for name, file in found.items())
