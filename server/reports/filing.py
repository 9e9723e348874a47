"""事毕档成: as soon as an incident is closed its dossier is made and filed by itself, and made anew when something is added later.

The files lie in the data folder under their SHA-256 (`dossiers/ab/<sha256>.pdf`, `.json`), are written once and never changed; the rows and the
audit log name them. A process that stops in between finds the incident unfiled and begins anew.
"""

import hashlib
import logging
from pathlib import Path

from sqlalchemy import update
from sqlalchemy.orm import Session

from server import stills, watermark
from server.duty import incident_file
from server.duty.cards import Cards
from server.duty.incident_file import Whole
from server.duty.incident_work import note
from server.files import write_whole
from server.reports import dossier_data, dossier_paper
from server.reports.desk import Runner
from server.reports.paper import Paper
from server.reports.render import render
from server.series import SeriesStore
from server.store import audit, incidents, snapshots
from server.store.session import Database
from server.store.snapshots import Area
from server.store.tables_incident import Dossier, Incident

log = logging.getLogger("server.reports")

FOLDER, PHOTOS = "dossiers", "photos"
SHOWN, WIDTH = 8, 720
"""A dossier shows so many pictures, so many pixels wide: enough to see, small enough to keep for decades."""
SETTLE_MS = 60_000
"""After closing: the last messages and receipts still come in."""


class Filing:
    """Files the dossiers of closed incidents. `run_once(now)` returns how many were filed; `forms` is the operator's folder of forms."""

    def __init__(
        self, db: Database, store: SeriesStore, cards: Cards, runner: Runner, folder: Path, generator: str, forms: Path | None = None
    ) -> None:
        self._db, self._store, self._cards, self._runner = db, store, cards, runner
        self._data, self._folder, self._generator, self._forms = folder, folder / FOLDER, generator, forms

    def run_once(self, now: int) -> int:
        """One round. An incident that cannot be filed does not hold up the others; it is tried again in the next round."""
        with self._db.read() as session:
            due = [row.id for row in incidents.unfiled(session) if (row.closed_at or 0) <= now - SETTLE_MS]
        return sum(self._try(ident, now) for ident in due)

    def _try(self, ident: int, now: int) -> bool:
        try:
            self._file(ident, now)
        except Exception:
            log.exception("the dossier of incident %d cannot be filed; trying again", ident)
            return False
        return True

    def _file(self, ident: int, now: int) -> None:
        with self._db.read() as session:
            incident = session.get_one(Incident, ident)
            upto = incidents.last_entry(session, ident)
            record = dossier_data.read(session, self._store, incident_file.read(session, self._store, self._cards, incident, now))
            content = dossier_data.data(record, now)
            data_sha256 = keep(self._folder, content, "json")
            pictures = self._pictures(session, record.whole)
            paper = dossier_paper.paper(record, data_sha256, self._generator, now, pictures)
        pdf_sha256 = keep(self._folder, self._runner.run(pdf, paper, self._forms), "pdf")
        with self._db.write() as session:
            self._record(session, ident, upto, pdf_sha256, data_sha256, now)

    def _pictures(self, session: Session, whole: Whole) -> dict[str, bytes]:
        """What the paper shows: photos of people first, then stills, covered as their cameras are. A picture that is gone or broken is left out:
        its hash stands in the table all the same."""
        wanted: list[tuple[str, Path, list[Area]]] = [(photo.sha256, self._data / PHOTOS, []) for photo in whole.photos]
        wanted += [(still.sha256, self._data, snapshots.areas(session, still)) for still in whole.stills]
        found: dict[str, bytes] = {}
        for sha256, folder, areas in wanted:
            kept = stills.find(folder, sha256) if len(found) < SHOWN and sha256 not in found else None
            if kept is not None:
                try:
                    found[sha256] = watermark.covered(kept[0].read_bytes(), areas, WIDTH)
                except OSError:
                    log.exception("the picture %s cannot be shown in a dossier", sha256)
        return found

    @staticmethod
    def _record(session: Session, ident: int, upto: int, pdf_sha256: str, data_sha256: str, now: int) -> None:
        incident = session.get_one(Incident, ident, with_for_update=True)
        session.execute(update(Dossier).where(Dossier.incident == ident).values(superseded=True))
        keep_until = incident.keep_until or now
        session.add(Dossier(incident=ident, filed_at=now, pdf_sha256=pdf_sha256, data_sha256=data_sha256, upto=upto, keep_until=keep_until))
        note(session, incident, "filed", now, by="系统", text=f"PDF {pdf_sha256[:12]}，数据 {data_sha256[:12]}")
        detail = {"pdf_sha256": pdf_sha256, "data_sha256": data_sha256, "keep_until": keep_until}
        audit.append(session, "系统", "incident.filed", f"incident:{ident}", detail, now, unit=incident.unit)


def pdf(paper: Paper, forms: Path | None) -> bytes:
    """The paper as PDF/A; runs in the worker process."""
    return render(paper, "pdf", forms)


def keep(folder: Path, content: bytes, ending: str) -> str:
    """Write a file durably under its SHA-256; one that is there already stays. Returns the hash."""
    sha256 = hashlib.sha256(content).hexdigest()
    target = path_of(folder, sha256, ending)
    if not target.exists():
        write_whole(target, content)
    return sha256


def path_of(folder: Path, sha256: str, ending: str) -> Path:
    """Where a file lies in the folder of dossiers."""
    return folder / sha256[:2] / f"{sha256}.{ending}"
