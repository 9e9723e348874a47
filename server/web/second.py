"""The second of two people: whoever stands beside the first one and proves with his own password who he is.

A name typed in by the first person proves nothing, so a name alone is never taken for a second person.
"""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from server.org import sessions
from server.store import units
from server.store.tables import Account
from server.web import rights
from server.web.auth import Principal
from server.web.problems import ProblemError
from server.web.rights import Action
from server.web.services import Services


@dataclass(frozen=True, slots=True)
class Second:
    """What the second person types: login, password, and the code where the account wants one."""

    login: str = ""
    password: str = ""
    code: str = ""


def second_person(services: Services, who: Principal, unit: str, second: Second) -> str:
    """His name; "" when nobody was named (the watch then refuses what needs two).

    Raises ProblemError 403 for a wrong password, for the first person again, and for somebody who may not do this at that place.
    """
    if not second.login:
        return ""
    try:
        other = sessions.vouch(services.db, second.login, second.password, services.clock(), services.settings.limits, code=second.code)
    except sessions.SignInRefusedError as refusal:
        raise _refused(f"第二人未通过验证：{refusal}") from refusal
    with services.db.read() as session:
        if other.account == who.account or _same_person(session, other.account, who.account):
            raise _refused("第二人须是另一个人。")
        reaches = units.within(session, unit, other.unit)
    if not reaches or not rights.allows(other.role, Action.SILENCE) or other.visitor or other.duty:
        raise _refused("第二人没有在这里停用告警的权限。")
    return other.name


def _refused(sentence: str) -> ProblemError:
    return ProblemError(403, sentence, code="second_refused", errors=[{"where": "second", "message": "not the second of two"}])


def _same_person(session: Session, one: int, other: int | None) -> bool:
    first, second = session.get(Account, one), session.get(Account, other) if other is not None else None
    return first is not None and second is not None and first.person is not None and first.person == second.person
