"""代为接手: the desk records what a named person said by phone; by the person's own code, or as one of those who were called about the alarm."""

from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.store import alarms, units
from server.store.tables import Person
from server.web.auth import Principal
from server.web.problems import invalid
from server.web.services import Services


class Said(NamedTuple):
    """Who said it: a name, '' when the asker speaks for himself, and the person where that is certain."""

    name: str = ""
    person: int | None = None

    def by(self, who: Principal) -> str:
        """As it stands on the record."""
        return f"{self.name}（{who.name}代为答复）" if self.name else who.name


def called(session: Session, alarm: int) -> dict[int, str]:
    """Persons who were called about an alarm, by id, in the order of the calls."""
    return {row.person: row.person_name for row in alarms.notifications(session, alarm) if row.person is not None}


def said(services: Services, who: Principal, alarm: int, name: str, code: str) -> Said:
    """Whom the asker speaks for. Raises ProblemError 422 for a code that is unknown or belongs neither below the asker nor above him."""
    with services.db.read() as session:
        if code:
            person = session.scalar(select(Person).where(Person.code == code))
            known = person is not None and (units.within(session, person.unit, who.unit) or units.within(session, who.unit or "", person.unit))
            if person is None or not known:
                raise invalid("没有这个人员编号。", "body.code", "unknown")
            return Said(person.name, person.id)
        same = [ident for ident, called_name in called(session, alarm).items() if called_name == name]
    return Said(name, same[0] if len(same) == 1 else None)
