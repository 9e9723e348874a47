"""Papers that were ordered, and scores, as the API shows them."""

from datetime import datetime

from pydantic import BaseModel, Field


class ExportView(BaseModel):
    """An order for a paper or a data export. `sha256` is that of the file, `digest` that of the content."""

    id: int
    kind: str
    title: str
    unit: str
    code: str
    period: str
    format: str
    state: str = Field(description="queued, running, done or failed")
    done: int
    total: int
    asked_by: str
    asked_at: datetime
    finished_at: datetime | None
    file_name: str
    bytes: int
    sha256: str
    digest: str
    error: str


class ScorePartView(BaseModel):
    """One part of a score: numerator and denominator are ms, for `answering` numbers of alarms; percent is null without a denominator."""

    name: str
    percent: float | None
    numerator: int
    denominator: int


class ScoreView(BaseModel):
    """The score of a unit with everything below it; null while its rooms have no coverage ledger."""

    unit: str
    name: str
    period: str
    since: datetime
    until: datetime
    measured_at: datetime
    rooms: int
    score: float | None
    parts: list[ScorePartView]
