"""Twilio on the wire: the published signature vectors, segment counts, list filters, and the way of one message with time as an argument."""

import pytest
from twilio.request_validator import RequestValidator

from simulators.sms_core import Core, Delays, Fault
from simulators.sms_query import ListQuery
from simulators.sms_wire import ApiError, instant, rfc2822, segments, sign

_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
_FORM = {"To": "+8613912345678", "From": "+8613900009999", "Body": "编号483925", "StatusCallback": "http://127.0.0.1:9/s"}


def _call(number: str) -> dict[str, str]:
    return {"CallSid": "CA1234567890ABCDE", "Caller": number, "From": number, "Digits": "1234", "To": "+18005551212"}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (_call("+14158675309"), "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (_call("+12349013030"), "0/KCTR6DLpKmkAf8muzZqo1nDgQ="),
        ({"Sid": "CA123", "SidAccount": "AC123", "Digits": ["5678", "1234", "1234"]}, "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
    ],
)
def test_signature_vectors(form: dict[str, str | list[str]], expected: str) -> None:
    assert sign("12345", _URL, form) == expected


def test_signature_is_accepted_by_the_provider_library() -> None:
    assert RequestValidator("12345").validate(_URL, {"Body": "收到 1"}, sign("12345", _URL, {"Body": "收到 1"}))


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 152, 3),  # the escape does not fit into the first part, so the rest moves on
        ("档" * 70, 1),
        ("档" * 71, 2),
        ("档" * 134, 2),
        ("档" * 135, 3),
        ("🔥" * 35, 1),
        ("🔥" * 36, 2),
        ("🔥" * 66, 2),  # 67 units hold 33 pairs
        ("🔥" * 67, 3),
    ],
)
def test_segments(body: str, count: int) -> None:
    assert segments(body) == count


def test_dates() -> None:
    assert rfc2822(1_692_853_305_999) == "Thu, 24 Aug 2023 05:01:45 +0000"
    assert rfc2822(None) is None
    assert instant("2023-08-24T05:01:45Z") == 1_692_853_305_000
    assert instant("2023-08-24") == 1_692_835_200_000
    with pytest.raises(ApiError, match="20001"):
        instant("yesterday")


def test_list_query_keeps_filters_over_pages_and_refuses_nonsense() -> None:
    query = ListQuery.parse("To=%2B861&DateSent%3E=2023-08-24T05%3A01%3A45Z&PageSize=2")
    assert (query.size, query.filters["to"], query.filters["sent_from"], query.filters["sent_before"]) == (2, "+861", 1_692_853_305_000, None)
    assert ListQuery.parse("DateSent=2023-08-24T05:01:45Z").filters["sent_from"] == instant("2023-08-24")
    assert ListQuery.parse("PageSize=5000").size == 1000
    for wrong in ("PageSize=x", "PageToken=zz", "DateSent=x"):
        with pytest.raises(ApiError, match="20001"):
            ListQuery.parse(wrong)


def test_one_message_from_queue_to_handset() -> None:
    core = Core("AC1", delays=Delays(200, 800))
    made = core.accept(_FORM, None, 1000)
    assert (made.status, made.sent_at, made.due_at) == ("queued", None, 1200)
    assert core.run_once(1199) == []
    (first,) = core.run_once(1200)
    assert first.form["MessageStatus"] == "sent"
    assert "ErrorCode" not in first.form
    (second,) = core.run_once(2000)
    assert second.form["MessageStatus"] == "delivered"
    (kept,) = core.store.find()
    assert (kept.status, kept.sent_at, kept.updated_at, kept.due_at) == ("delivered", 1200, 2000, None)
    assert core.run_once(10_000) == []


@pytest.mark.parametrize(
    ("kind", "validity", "states"),
    [
        ("undelivered", None, [("sent", None), ("undelivered", 30003)]),
        ("failed", None, [("failed", 30008)]),
        ("hold", "5", [("failed", 30036)]),
    ],
)
def test_messages_that_do_not_arrive(kind: str, validity: str | None, states: list[tuple[str, int | None]]) -> None:
    core = Core("AC1")
    core.accept(_FORM if validity is None else {**_FORM, "ValidityPeriod": validity}, kind, 0)
    seen = []
    for now in range(0, 10_000, 100):
        for callback in core.run_once(now):
            code = callback.form.get("ErrorCode")
            seen.append((callback.form["MessageStatus"], int(code) if code else None))
    assert seen == states


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"To": ""}, 21604),
        ({"To": "13912345678"}, 21211),
        ({"From": ""}, 21603),
        ({"Body": " "}, 21602),
        ({"Body": "x" * 1601}, 21617),
        ({"ValidityPeriod": "0"}, 21624),
        ({"ValidityPeriod": "36001"}, 21624),
        ({"ValidityPeriod": "1h"}, 21624),
    ],
)
def test_forms_that_are_refused(change: dict[str, str], code: int) -> None:
    core = Core("AC1")
    with pytest.raises(ApiError, match=str(code)) as refused:
        core.accept({**_FORM, **change}, None, 0)
    assert refused.value.status == 400
    assert core.store.find() == []


def _statuses(kind: str) -> list[tuple[str, bool]]:
    core = Core("AC1", delays=Delays(100, 100))
    core.faults.order(Fault(kind, 1))
    core.accept(_FORM, None, 0)
    return [(c.form["MessageStatus"], c.forged) for now in (0, 100, 200, 300) for c in core.run_once(now)]


def test_callbacks_on_demand() -> None:
    assert _statuses("callback_duplicate") == [("sent", False), ("sent", False), ("delivered", False)]
    assert _statuses("callback_reorder") == [("delivered", False), ("sent", False)]
    assert _statuses("callback_drop") == [("delivered", False)]
    assert _statuses("callback_forged") == [("sent", True), ("delivered", False)]


def test_faults_count_down_and_keep_to_their_number() -> None:
    faults = Core("AC1").faults
    faults.order(Fault("503", 2, "+861"))
    faults.order(Fault("rate", -1, on="list"))
    assert [faults.take("create", to) for to in ("+862", "+861", "+861", "+861")] == [None, "503", "503", None]
    assert [faults.take("list", None) for _ in range(3)] == ["rate"] * 3
    assert faults.take("create", "+8613900000500") == "500"
    for wrong in (Fault("nonsense"), Fault("500", 0), Fault("500", on="delete")):
        with pytest.raises(ValueError, match=r"fault|count"):
            faults.order(wrong)
    faults.clear()
    assert faults.listing() == []
