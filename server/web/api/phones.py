"""Numbers that are proven to reach their person, and the test message before the first shift."""

from typing import Annotated, Literal

from fastapi import Depends, Path
from pydantic import Field, StringConstraints, field_validator
from sqlalchemy.orm import Session

from server.duty import phones
from server.notify.texts import default_texts
from server.store import people, units
from server.store.tables import Person
from server.web.api.common import PROBLEMS
from server.web.api.models import Body, Done
from server.web.auth import Principal, ServicesOf, require
from server.web.problems import NO_RIGHT, ProblemError
from server.web.rights import Action
from server.web.routers import api_router

router = api_router("duty", refusals=PROBLEMS)
Phoning = Annotated[Principal, Depends(require(Action.PHONES))]


class CodeBody(Body):
    """The code that came by text or call."""

    code: Annotated[str, StringConstraints(min_length=4, max_length=12, strip_whitespace=True)]


class WaysBody(Body):
    """Ways in order; each at most once."""

    ways: Annotated[list[Literal["sms", "voice", "email"]], Field(max_length=3)]

    @field_validator("ways")
    @classmethod
    def _once(cls, ways: list[str]) -> list[str]:
        if len(set(ways)) != len(ways):
            raise ValueError("each way at most once")
        return ways


def _person(session: Session, asker: Principal, code: str) -> Person:
    person = people.get(session, code)
    if person is None:
        raise ProblemError(404, "没有这个人员编号。")
    if not units.within(session, person.unit, asker.unit):
        raise ProblemError(403, NO_RIGHT)
    return person


@router.post("/people/{code}/phone/code", operation_id="sendPhoneCode")
def phone_code(code: Annotated[str, Path(max_length=32)], asker: Phoning, services: ServicesOf) -> Done:
    """Send a code to a person's number."""
    with services.db.write() as session:
        person = _person(session, asker, code)
        try:
            phones.send_code(
                session,
                person,
                sms="sms",
                voice="voice",
                text=default_texts().with_marks("verify", "code", "number"),
                by=asker.name,
                now=services.clock(),
            )
        except phones.PhoneError as error:
            raise ProblemError(409, str(error)) from error
    return Done(sentence="验证码已发出，10 分钟内有效。")


@router.post("/people/{code}/phone/confirm", operation_id="confirmPhone")
def phone_confirm(code: Annotated[str, Path(max_length=32)], body: CodeBody, asker: Phoning, services: ServicesOf) -> Done:
    """The code has come back: the number is proven."""
    with services.db.write() as session:
        person = _person(session, asker, code)
        try:
            phones.confirm(session, person, body.code, asker.name, services.clock())
        except phones.PhoneError as error:
            problem = ProblemError(409, str(error))
        else:
            return Done(sentence="号码已验证。")
    raise problem  # outside of the transaction, so that a wrong attempt is counted


@router.post("/people/{code}/phone/test", operation_id="testPhone")
def phone_test(code: Annotated[str, Path(max_length=32)], asker: Phoning, services: ServicesOf) -> Done:
    """The test message before the first shift."""
    with services.db.write() as session:
        person = _person(session, asker, code)
        try:
            phones.send_test(
                session, person, sms="sms", voice="voice", text=default_texts().with_marks("test", "number"), by=asker.name, now=services.clock()
            )
        except phones.PhoneError as error:
            raise ProblemError(409, str(error)) from error
    return Done(sentence="试发短信已发出。")


@router.put("/people/{code}/ways", operation_id="setWays")
def set_ways(code: Annotated[str, Path(max_length=32)], body: WaysBody, asker: Phoning, services: ServicesOf) -> Done:
    """The order in which a person is reached; an empty list gives the product's own: texts, calls, letters."""
    with services.db.write() as session:
        person = _person(session, asker, code)
        try:
            phones.set_ways(session, person, body.ways, asker.name, services.clock())
        except phones.PhoneError as error:
            raise ProblemError(409, str(error)) from error
    return Done(sentence="通知方式的顺序已保存。")
