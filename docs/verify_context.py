#!/usr/bin/env python3
"""An independent implementation of docs/hash-format.md: standard library and the `blake3` package of PyPI.

    verify_context.py hash DIRECTORY       hash of everything in a directory (a stage, an unpacked archive)
    verify_context.py list DIRECTORY       the same with the text form of the manifest
    verify_context.py vectors FILE..       checks golden vectors; exit code 1 if one does not hold
"""

import json
import os
import stat
import struct
import sys

from blake3 import blake3

KINDS = {"file": 0, "executable": 1, "symlink": 2, "empty-dir": 3, "gitlink": 4}
FIELDS = {
    "scheme": 1, "context": 2, "recipe": 3, "target": 4, "args": 5, "platform": 6,
    "bases": 7, "dependencies": 8, "named-contexts": 9, "image-options": 10, "salt": 11,
}
SPELLED = {0x5C: "\\\\", 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}
HIDDEN = [(0x00, 0x1F), (0x7F, 0x9F), (0x200E, 0x200F), (0x2028, 0x202E), (0x2066, 0x2069)]


def derive(context, data):
    return blake3(data, derive_key_context=context).digest()


def encode(entries):
    """Entries are (path, kind, size, digest)."""
    entries = sorted(entries)
    paths = {path for path, _, _, _ in entries}
    if len(paths) != len(entries):
        raise ValueError("a path occurs twice")
    body = struct.pack("<Q", len(entries))
    for path, kind, size, digest in entries:
        parts = path.split(b"/")
        if b"\0" in path or any(part in (b"", b".", b"..") for part in parts):
            raise ValueError(f"bad path {path!r}")
        if any(b"/".join(parts[:count]) in paths for count in range(1, len(parts))):
            raise ValueError(f"{path!r} lies below another entry")
        body += struct.pack("<I", len(path)) + path + struct.pack("<BQ", KINDS[kind], size) + digest
    return body


def context_hash(entries):
    return "ctx1-" + derive("shipper 2026 context manifest v1", encode(entries)).hex()


def escape(path):
    text = ""
    # Bytes that are no UTF-8 become lone surrogates.
    for character in path.decode("utf-8", "surrogateescape"):
        code = ord(character)
        if code in SPELLED:
            text += SPELLED[code]
        elif 0xDC80 <= code <= 0xDCFF or any(first <= code <= last for first, last in HIDDEN):
            text += "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
        else:
            text += character
    return text


def manifest_text(entries):
    return "".join(f"{digest.hex()} {kind} {size} {escape(path)}\n" for path, kind, size, digest in sorted(entries))


def entry(path, kind, content):
    return path, kind, len(content), blake3(content).digest()


def walk(root, below=b""):
    """Everything in a directory."""
    entries = []
    for name in os.listdir(os.path.join(root, below)):
        path = os.path.join(below, name)
        full = os.path.join(root, path)
        mode = os.lstat(full).st_mode
        if stat.S_ISLNK(mode):
            entries.append(entry(path, "symlink", os.readlink(full)))
        elif stat.S_ISDIR(mode):
            entries += walk(root, path) or [entry(path, "empty-dir", b"")]
        elif stat.S_ISREG(mode):
            with open(full, "rb") as file:
                entries.append(entry(path, "executable" if mode & stat.S_IXUSR else "file", file.read()))
        else:
            raise ValueError(f"{full!r} is neither a file nor a directory nor a link")
    return entries


def encode_list(items):
    return struct.pack("<I", len(items)) + b"".join(struct.pack("<I", len(item)) + item for item in items)


def encode_fields(fields):
    """Fields are values by name: bytes, a list of bytes, or a dict of bytes by bytes."""
    data = b""
    for name, value in sorted(fields.items(), key=lambda field: FIELDS[field[0]]):
        if not value:
            continue
        if isinstance(value, list):
            value = encode_list(value)
        elif isinstance(value, dict):
            value = encode_list([part for pair in sorted(value.items()) for part in pair])
        data += struct.pack("<BI", FIELDS[name], len(value)) + value
    return data


def build_key(fields):
    return derive("shipper 2026 build key v1", encode_fields(fields))


def combine(keys):
    return derive("shipper 2026 platform keys v1", b"".join(sorted(keys)))


def content(vector):
    if "repeat" in vector:
        return bytes.fromhex(vector["content"]) * vector["repeat"]
    return bytes.fromhex(vector["content"])


def field(value):
    if isinstance(value, str):
        return bytes.fromhex(value)
    if isinstance(value, list):
        return [bytes.fromhex(item) for item in value]
    return {bytes.fromhex(name): bytes.fromhex(item) for name, item in value.items()}


def check(vector):
    """What does not hold."""
    if "entries" in vector:
        entries = [entry(bytes.fromhex(one["path"]), one["kind"], content(one)) for one in vector["entries"]]
        found = {"body": encode(entries).hex(), "text": manifest_text(entries), "context": context_hash(entries)}
    elif "keys" in vector:
        found = {"key": combine([bytes.fromhex(key) for key in vector["keys"]]).hex()}
    else:
        fields = {name: field(value) for name, value in vector["fields"].items()}
        found = {"encoded": encode_fields(fields).hex(), "key": build_key(fields).hex()}
    return [name for name, value in found.items() if vector[name] != value]


def main(arguments):
    if len(arguments) == 2 and arguments[0] in ("hash", "list"):
        entries = walk(os.fsencode(arguments[1]))
        if arguments[0] == "list":
            sys.stdout.buffer.write(manifest_text(entries).encode())
        print(context_hash(entries))
        return 0
    if len(arguments) > 1 and arguments[0] == "vectors":
        count = failed = 0
        for name in arguments[1:]:
            with open(name, encoding="utf-8") as file:
                for vector in json.load(file)["vectors"]:
                    count += 1
                    for wrong in check(vector):
                        failed += 1
                        print(f"{name}: {vector['name']}: {wrong} differs", file=sys.stderr)
        print(f"{count} vectors, {failed} differences")
        return 1 if failed else 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
