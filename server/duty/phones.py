"""Numbers that are proven to reach their person: a code goes out by text or call, and comes back."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.duty.numbers import number
from server.duty.routing import e164, landline
from server.store import audit
from server.store.tables import Notification, Person
from server.store.tables_duty import PhoneCheck

VALID_MS = 10 * 60_000
TEST_VALID_MS = 7 * 86_400_000
"""How long a test message may be answered."""
ATTEMPTS = 5
PER_HOUR = 5
_NUMBERS = 70_000_000 + 75_000  # see looks.py


class PhoneError(ValueError):
    """A number cannot be proven so; `str` is one Chinese sentence."""


def send_code(session: Session, person: Person, *, sms: str, voice: str, text: str, by: str, now: int) -> PhoneCheck:
    """Send a code. `text` is the registered text with {code} and {number}. Raises PhoneError: no number, or too many codes in an hour."""
    phone, channel = _reach(person, sms, voice)
    recent = select(func.count()).select_from(PhoneCheck).where(PhoneCheck.person == person.id, PhoneCheck.sent_at > now - 3_600_000)
    if (session.scalar(recent) or 0) >= PER_HOUR:
        raise PhoneError("验证码发得太多，请一小时后再试。")
    code = f"{secrets.randbelow(1_000_000):06d}"
    check = PhoneCheck(person=person.id, phone=phone, code_hash=_hash(phone, code), sent_at=now, expires_at=now + VALID_MS)
    session.add(check)
    session.flush()
    _queue(session, person, phone, channel, "verify", text.format(code=code, number=number(_NUMBERS + check.id)), check.id, now)
    audit.append(session, by, "phone.code", f"person:{person.code}", {}, now)
    return check


def confirm(session: Session, person: Person, code: str, by: str, now: int) -> None:
    """The code has come back: the number is proven. Raises PhoneError for a wrong, old or used one, or when the number has changed since."""
    check = session.scalar(select(PhoneCheck).where(PhoneCheck.person == person.id).order_by(PhoneCheck.id.desc()).limit(1).with_for_update())
    if check is None or check.expires_at <= now or check.attempts >= ATTEMPTS or check.verified_at is not None:
        raise PhoneError("验证码已失效，请重新获取。")
    check.attempts += 1
    if not hmac.compare_digest(check.code_hash, _hash(check.phone, code.strip())):
        session.flush()
        raise PhoneError("验证码不对。")
    if check.phone not in (e164(person.phone), landline(person.phone)):
        raise PhoneError("号码已更改，请重新获取验证码。")
    check.verified_at = person.phone_verified_at = now
    audit.append(session, by, "phone.verified", f"person:{person.code}", {}, now)


def send_test(session: Session, person: Person, *, sms: str, voice: str, text: str, by: str, now: int) -> None:
    """The test message before the first shift. Raises PhoneError without a number."""
    phone, channel = _reach(person, sms, voice)
    _queue(session, person, phone, channel, "test", text.format(number=number(_NUMBERS + person.id)), 0, now)
    audit.append(session, by, "phone.test", f"person:{person.code}", {}, now)


def answered_test(session: Session, phone: str, digits: str, by: str, now: int) -> bool:
    """收到请回1: the answer to a test message proves the number as a code does. False when no test message to this phone has this number."""
    query = select(Notification.person).where(Notification.reason == "test", Notification.phone == phone, Notification.sent_at.is_not(None))
    query = query.where(Notification.created_at > now - TEST_VALID_MS)
    if digits:
        query = query.where(Notification.number == digits)
    ident = session.scalar(query.order_by(Notification.id.desc()).limit(1))
    person = session.get(Person, ident) if ident is not None else None
    if person is None or phone not in (e164(person.phone), landline(person.phone)):
        return False
    if person.phone_verified_at is None:
        person.phone_verified_at = now
        audit.append(session, by, "phone.verified", f"person:{person.code}", {"via": "test"}, now)
    return True


def _reach(person: Person, sms: str, voice: str) -> tuple[str, str]:
    mobile, fixed = e164(person.phone), landline(person.phone)
    if mobile is not None and sms:
        return mobile, sms
    if fixed is not None and voice:
        return fixed, voice
    raise PhoneError("没有可以发送的号码。")


def _queue(session: Session, person: Person, phone: str, channel: str, reason: str, text: str, step: int, now: int) -> None:
    session.add(
        Notification(
            escalation_step=None, alarm=None, unit=person.unit, number=text[-6:], reason=reason, step=step, person=person.id,
            person_name=person.name[:60], phone=phone, channel=channel, text=text, created_at=now, due=now, state="queued",
        )
    )  # fmt: skip


def _hash(phone: str, code: str) -> str:
    return hashlib.sha256(f"{phone}|{code}".encode()).hexdigest()


def set_ways(session: Session, person: Person, ways: Sequence[str], by: str, now: int) -> None:
    """The order in which a person is reached, () = the product's own. Raises PhoneError for letters to somebody without a mailbox."""
    if "email" in ways and not person.email:
        raise PhoneError("此人没有登记邮箱。")
    before, person.ways = list(person.ways), list(ways)
    audit.append(session, by, "person.ways", f"person:{person.code}", {}, now, unit=person.unit, before={"ways": before}, after={"ways": list(ways)})
