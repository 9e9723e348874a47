"""Check an exported audit log without the product: `verify_audit.py LOG.jsonl [ANCHORS.jsonl …]`. Standard library only, Python 3.8 or later.

Finds an entry that was changed, removed, added or moved, and with anchors also a chain that was rewritten as a whole or cut at its end. Prints what
it found; exit code 0 when everything fits, 1 when not, 2 when a file cannot be read.

An entry's chain value is SHA-256 of: chain value of the entry before, "|", version, "|", id, "|", at, "|", and then every further column as
LENGTH:TEXT| (a missing document as -|). LENGTH counts characters. Documents (detail, before, after) are hashed as the text that is stored.
Entries of version 1 were hashed as a JSON list of [chain before, at, actor, action, subject, detail], keys sorted, without blanks.
"""

import hashlib
import json
import sys

TEXTS = ("actor", "action", "subject", "detail", "unit", "address", "session", "before", "after", "reason")


def sha256(text):
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def chained(previous, entry):
    """The chain value that an entry must have."""
    if entry["version"] == 1:
        old = [previous, entry["at"], entry["actor"], entry["action"], entry["subject"], json.loads(entry["detail"])]
        return sha256(json.dumps(old, ensure_ascii=False, sort_keys=True, separators=(",", ":")))
    texts = [entry[name] for name in TEXTS]
    body = "|".join(["-" if text is None else f"{len(text)}:{text}" for text in texts])
    return sha256(f"{previous}|{entry['version']}|{entry['id']}|{entry['at']}|{body}|")


def entries(path):
    """The lines of a file."""
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            if line.strip():
                yield json.loads(line)


def check_log(path):
    """(rows, sentence or None, {id: (unit, chain)})"""
    previous, expected, seen = "0" * 64, 1, {}
    for entry in entries(path):
        if entry["id"] != expected:
            return len(seen), f"entry {entry['id']} stands where entry {expected} should be: removed, added or moved", seen
        if chained(previous, entry) != entry["chain"]:
            return len(seen), f"entry {expected} does not follow from what stands before it: changed", seen
        previous = entry["chain"]
        seen[expected] = (entry["unit"], previous)
        expected += 1
    return len(seen), None, seen


def check_anchor(line, seen, units):
    """`units` are all units that have an anchor of the same day."""
    where = f"anchor of {line['day']} for unit {line['unit'] or '(whole province)'}"
    under = ",".join(f"{code}:{node}" for code, node in line["children"])
    fields = [str(line[name]) for name in ("day", "unit", "first", "last", "chain", "count", "own")]
    if sha256("|".join(fields) + "|" + under) != line["node"]:
        return where + " was itself changed"
    if seen.get(line["last"], (None, None))[1] != line["chain"]:
        return f"{where}: entry {line['last']} is missing or another one: the log was cut or rewritten"
    # Which entries belong to no unit's branch is known only where the branches are given.
    if line["unit"] or len(units) > 1 or not line["children"]:
        mine = [
            chain
            for ident, (unit, chain) in ((ident, seen[ident]) for ident in range(line["first"], line["last"] + 1) if ident in seen)
            if unit == line["unit"] or (not line["unit"] and unit not in units)
        ]
        if len(mine) != line["count"] or sha256("".join(mine)) != line["own"]:
            return where + ": the entries of this unit are not those of that day"
    return None


def main(arguments):
    """Check the files that are named; returns the exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 2
    try:
        rows, fault, seen = check_log(arguments[0])
        lines = [line for path in arguments[1:] for line in entries(path)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"cannot be read: {error}")
        return 2
    faults = [fault] if fault else []
    for line in lines:
        told = check_anchor(line, seen, {other["unit"] for other in lines if other["day"] == line["day"]})
        if told:
            faults.append(told)
    for told in faults:
        print(told)
    print(f"{rows} entries, {len(lines)} anchors: {'NOT as written' if faults else 'as written'}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
