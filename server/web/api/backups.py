"""Backups and exports by the running server, for the command line on the same machine: it alone holds both stores open."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends
from pydantic import Field

from server.history import backup, carry
from server.series import SeriesError
from server.store import audit
from server.web.api.common import PROBLEMS
from server.web.api.models import Body
from server.web.auth import Principal, ServicesOf, require
from server.web.problems import ProblemError
from server.web.rights import Action
from server.web.routers import api_router

router = api_router("backup", refusals=PROBLEMS)


class Target(Body):
    """A new or empty folder of the server's machine, as an absolute path."""

    folder: str = Field(min_length=1, max_length=1000)

    @property
    def path(self) -> Path:
        """Raises ProblemError 409 for a relative one: the server's own folder is nobody's business."""
        if not Path(self.folder).is_absolute():
            raise ProblemError(409, "文件夹要写完整路径。")
        return Path(self.folder)


class Month(Target):
    """A month of all points."""

    month: str = Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")


@router.post("/backups", operation_id="makeBackup")
def make(body: Target, who: Annotated[Principal, Depends(require(Action.BACKUP))], services: ServicesOf) -> dict[str, Any]:
    """Database, history and stills at one journal cursor; answers with the manifest."""
    now, target = services.clock(), body.path
    try:
        made = backup.save(services.db, services.store, services.settings.data_folder, target, now, services.settings.version)
    except (backup.BackupError, SeriesError, OSError) as error:
        raise ProblemError(409, f"备份没有完成：{error}") from error
    with services.db.write() as session:
        audit.append(session, who.name, "backup", target.name, {"cursor": made.cursor, "samples": made.samples}, now)
    return backup.describe(made)


@router.post("/history-exports", operation_id="exportHistory")
def export(body: Month, who: Annotated[Principal, Depends(require(Action.BACKUP))], services: ServicesOf) -> dict[str, Any]:
    """One month of samples as Parquet with its checksum."""
    target = body.path
    try:
        made = carry.export_month(services.db, services.store, body.month, target)
    except (SeriesError, OSError) as error:
        raise ProblemError(409, f"导出没有完成：{error}") from error
    with services.db.write() as session:
        audit.append(session, who.name, "history.export", body.month, {"file": made.file, "sha256": made.sha256}, services.clock())
    return made._asdict()
