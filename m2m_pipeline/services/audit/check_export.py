"""Checks an export of the audit log. Needs Python 3.9 or later and nothing else: read it, then run it.

    python check_export.py FOLDER [--key PUBLIC_KEY]

It says what is proven, and names the first thing that is wrong; exit status 1 then. The keys in the manifest are those
of whoever made the export: give, with --key, the one (64 hex digits) that you were told in another way.
The algorithm is described in docs/audit.md. This file shares no code with the system that it checks.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBERS = ("id", "service_provider_id", "bulk_change_id", "device_change_id", "retry")
FIELDS = (
    *("id", "at", "kind", "actor", "service_provider_id", "bulk_change_id", "device_change_id", "retry", "iccid"),
    *("old_rate_plan", "new_rate_plan", "outcome", "reason", "message", "request", "response"),
)
MARK = 8

# Ed25519 (RFC 8032): the curve, in coordinates (x, y).
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
BASE_Y = 4 * pow(5, -1, P) % P


def recover_x(y: int, odd: int) -> int:
    """The x of a point, of the two that there are the odd or the even one."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and odd):
        raise ValueError("no point of the curve")
    return x if x % 2 == odd else P - x


def add(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    """The sum of two points."""
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P


def times(number: int, point: tuple[int, int]) -> tuple[int, int]:
    """A point, so many times."""
    total = (0, 1)
    while number:
        if number % 2:
            total = add(total, point)
        point, number = add(point, point), number // 2
    return total


def point_of(content: bytes) -> tuple[int, int]:
    """The point that 32 bytes stand for."""
    number = int.from_bytes(content, "little")
    y = number % 2**255
    if y >= P:
        raise ValueError("no point of the curve")
    return recover_x(y, number >> 255), y


def is_signed(statement: bytes, signature: bytes, key: bytes) -> bool:
    """Whether that key has signed the statement."""
    try:
        public, commitment = point_of(key), point_of(signature[:32])
    except ValueError:
        return False
    scalar = int.from_bytes(signature[32:], "little")
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + key + statement).digest(), "little") % ORDER
    base = (recover_x(BASE_Y, 0), BASE_Y)
    return len(signature) == 64 and scalar < ORDER and times(scalar, base) == add(commitment, times(challenge, public))


def digests_of(folder: Path, keys: dict[str, bytes], tenant_id: int) -> list[dict[str, Any]]:
    """The digests in the folder, in order; a SystemExit where one is not signed by one of the keys."""
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("digest-*.json")):
        statement, _, seal = path.read_bytes().partition(b"\n")
        signed = json.loads(seal)
        key = keys.get(signed["key"])
        if key is None or not is_signed(statement, bytes.fromhex(signed["signature"]), key):
            sys.exit(f"FAULT. {path.name} is not signed by the key.")
        digest = json.loads(statement)
        if digest["tenant_id"] != tenant_id:
            sys.exit(f"FAULT. {path.name} is another tenant's.")
        found.append(digest)
    return found


def entries_of(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of the export, one after the other."""
    if (folder / "entries.jsonl").exists():
        with (folder / "entries.jsonl").open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)
        return
    with (folder / "entries.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            entry: dict[str, Any] = {name: cell[1:] if cell[:1] == "'" else cell or None for name, cell in row.items()}
            for name in ("number", *NUMBERS):
                entry[name] = int(entry[name]) if entry[name] is not None else None
            yield entry


def link_of(previous: bytes, tenant_id: int, entry: dict[str, Any]) -> bytes:
    """The hash that the link of an entry must have."""
    content = [1, tenant_id, entry["number"], entry["sealed_at"], *(entry[name] for name in FIELDS)]
    return hashlib.sha256(
        previous + json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    ).digest()


def check(folder: Path, key: str | None) -> str:
    """What is proven; a SystemExit where something is wrong."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    told = [key] if key else manifest["public_keys"].values()
    keys = {hashlib.sha256(bytes.fromhex(one)).hexdigest()[:16]: bytes.fromhex(one) for one in told}
    tenant_id, number = manifest["tenant_id"], manifest["links_before"]
    head, digests = bytes.fromhex(manifest["head_before"]), digests_of(folder, keys, tenant_id)
    first, signed, waiting = number + 1, 0, list(digests)
    for entry in entries_of(folder):
        number += 1
        if entry["number"] != number:
            sys.exit(f"FAULT. Number {number} is missing.")
        head = link_of(head, tenant_id, entry)
        if head.hex() != entry["hash"]:
            sys.exit(f"FAULT. Number {number} (entry {entry['id']}) is not what was sealed.")
        if waiting and waiting[0]["first"] <= number:
            digest = waiting[0]
            place = (number - digest["first"]) * MARK
            if digest["marks"][place : place + MARK] != head.hex()[:MARK]:
                sys.exit(f"FAULT. Number {number} (entry {entry['id']}) is not what was signed {digest['made_at']}.")
            if number == digest["last"]:
                if digest["head"] != head.hex():
                    sys.exit(f"FAULT. What was signed {digest['made_at']} is not what is here.")
                signed, _ = number, waiting.pop(0)
    if waiting:
        sys.exit(f"FAULT. Number {number + 1} and what follows are missing: a digest counts to {waiting[0]['last']}.")
    proof = f"numbers {digests[0]['first']} to {signed} are signed" if signed else "nothing is signed"
    return f"{manifest['tenant']}: the chain holds from {first} to {number}; {proof}."


if __name__ == "__main__":
    arguments = sys.argv[1:]
    print(check(Path(arguments[0]), arguments[2] if arguments[1:2] == ["--key"] else None))
