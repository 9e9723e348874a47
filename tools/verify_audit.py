"""Check an exported audit log without the product: `verify_audit.py LOG.jsonl [ANCHORS.jsonl …]`. Standard library only, Python 3.8 or later.

Finds an entry that was changed, removed, added or moved, and with anchors also a chain that was rewritten as a whole or cut at its end. Prints what
it found; exit code 0 when everything fits, 1 when not, 2 when a file cannot be read.

An entry's chain value is SHA-256 of: chain value of the entry before, "|", version, "|", id, "|", at, "|", and then every further column as
LENGTH:TEXT| (a missing document as -|). LENGTH counts characters. Documents (detail, before, after) are hashed as the text that is stored.
Entries of version 1 were hashed as a JSON list of [chain before, at, actor, action, subject, detail], keys sorted, without blanks.
"""

import hashlib
import json
import operator
import sys

COLUMNS = operator.itemgetter(
    "version", "id", "at", "actor", "action", "subject", "detail", "unit", "address", "session", "before", "after", "reason"
)


def sha256(text):
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def chained(previous, entry):
    """The chain value that an entry must have."""
    version, ident, at, actor, action, subject, detail, unit, address, session, before, after, reason = COLUMNS(entry)
    if version == 1:
        old = [previous, at, actor, action, subject, json.loads(detail)]
        return sha256(json.dumps(old, ensure_ascii=False, sort_keys=True, separators=(",", ":")))
    # Documents may be missing. No loop and no call per column: logs have millions of lines.
    detail = "-" if detail is None else f"{len(detail)}:{detail}"
    before = "-" if before is None else f"{len(before)}:{before}"
    after = "-" if after is None else f"{len(after)}:{after}"
    return sha256(
        f"{previous}|{version}|{ident}|{at}|{len(actor)}:{actor}|{len(action)}:{action}|{len(subject)}:{subject}|{detail}"
        f"|{len(unit)}:{unit}|{len(address)}:{address}|{len(session)}:{session}|{before}|{after}|{len(reason)}:{reason}|"
    )


def entries(path):
    """The lines of a file."""
    decode = json.JSONDecoder().raw_decode
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            if line.isspace():
                continue
            entry, end = decode(line)
            if not line[end:].isspace() and end != len(line):
                raise ValueError(f"more than one value in a line of {path}")
            yield entry


def check_log(path):
    """(rows, sentence or None, {id: (unit, chain)})"""
    previous, expected, seen = "0" * 64, 1, {}
    for entry in entries(path):
        if entry["id"] != expected:
            return len(seen), f"entry {entry['id']} stands where entry {expected} should be: removed, added or moved", seen
        try:
            fits = chained(previous, entry) == entry["chain"]
        except (TypeError, ValueError):
            fits = False
        if not fits:
            return len(seen), f"entry {expected} does not follow from what stands before it: changed", seen
        previous = entry["chain"]
        seen[expected] = (entry["unit"], previous)
        expected += 1
    return len(seen), None, seen


def check_day(lines, seen):
    """Sentences about the anchors of one day, `lines`, that do not fit the log."""
    units = {line["unit"] for line in lines}
    chains = {}
    for ident in range(lines[0]["first"], lines[0]["last"] + 1):
        unit, chain = seen.get(ident, ("", ""))
        chains.setdefault(unit if unit in units else "", []).append(chain)
    told = [check_anchor(line, seen, chains, len(units) > 1) for line in lines]
    return [sentence for sentence in told if sentence]


def check_anchor(line, seen, chains, several):
    """A sentence about one anchor, or None. `chains`: of that day by unit; `several`: whether more units than one have an anchor here."""
    where = f"anchor of {line['day']} for unit {line['unit'] or '(whole province)'}"
    under = ",".join(f"{code}:{node}" for code, node in line["children"])
    fields = [str(line[name]) for name in ("day", "unit", "first", "last", "chain", "count", "own")]
    if sha256("|".join(fields) + "|" + under) != line["node"]:
        return where + " was itself changed"
    if seen.get(line["last"], (None, None))[1] != line["chain"]:
        return f"{where}: entry {line['last']} is missing or another one: the log was cut or rewritten"
    # Which entries belong to no unit's branch is known only where the branches are given.
    if line["unit"] or several or not line["children"]:
        mine = chains.get(line["unit"], [])
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
        days = {}
        for line in (line for path in arguments[1:] for line in entries(path)):
            days.setdefault((line["day"], line["first"], line["last"]), []).append(line)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"cannot be read: {error}")
        return 2
    faults = [fault] if fault else []
    for lines in days.values():
        faults += check_day(lines, seen)
    for told in faults:
        print(told)
    print(f"{rows} entries, {sum(map(len, days.values()))} anchors: {'NOT as written' if faults else 'as written'}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
