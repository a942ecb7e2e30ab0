"""Takes a Debian package apart (deb(5): an ar archive of two tar archives), and shows it as JSON."""

import gzip
import io
import json
import sys
import tarfile


def members(archive: bytes) -> dict[str, bytes]:
    """The members of an ar archive."""
    assert archive[:8] == b"!<arch>\n", "no ar archive"
    found, at = {}, 8
    while at < len(archive):
        head = archive[at : at + 60]
        assert head[58:] == b"`\n", head
        name, size = head[:16].decode().rstrip("/ "), int(head[48:58])
        found[name] = archive[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
    return found


def files(packed: bytes) -> dict[str, tuple[int, bytes]]:
    """The files of a tar archive, whatever compressed it, with their modes."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        return {
            entry.name.removeprefix("./"): (entry.mode, archive.extractfile(entry).read())
            for entry in archive
            if entry.isfile()
        }


def text(name: str, content: bytes) -> tuple[str, str]:
    """A file as it was before the package had it compressed; of a program nothing."""
    if name.endswith(".gz"):
        name, content = name.removesuffix(".gz"), gzip.decompress(content)
    return name, "" if content.startswith(b"\x7fELF") else content.decode()


def main() -> None:
    with open(sys.argv[1], "rb") as file:
        parts = members(file.read())
    assert parts["debian-binary"] == b"2.0\n", parts["debian-binary"]
    (control,) = (parts[name] for name in parts if name.startswith("control.tar"))
    (data,) = (parts[name] for name in parts if name.startswith("data.tar"))
    scripts = {name: content.decode() for name, (_, content) in files(control).items()}
    lines = (line for line in scripts["control"].splitlines() if line[:1].strip())
    fields = (line.split(": ", 1) for line in lines)
    shown = {}
    for name, (mode, content) in files(data).items():
        name, content = text(name, content)
        shown[name] = {"mode": mode & 0o7777, "text": content}
    json.dump({"control": dict(fields), "members": scripts, "files": shown}, sys.stdout)


if __name__ == "__main__":
    main()
