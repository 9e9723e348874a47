"""Writes at the wire: unlocking, priority, read-back, lost answers, and the outcome in the logbook. Nothing is written twice by itself."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.profile_models import Unlock, Write
from contract.writing import Order, WriteRefusedError, check, problems, steps
from edge.guard import LocalAlarm
from edge.logbook import Logbook
from edge.orders import Orders
from edge.settings import SirenSettings
from edge.siren import Siren
from simulators.faults import Fault
from tests.edge.relay_site import NOW, RELAY, ROOM, Site, on_site, order


@pytest.mark.parametrize("kind", ["tcp", "rtu_over_tcp"])
def test_a_relay_is_switched_before_any_reading_and_read_back(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(site: Site) -> None:
        site.loop.order(order(), *site.clock())
        outcome = await site.until_told()
        assert (outcome["outcome"], outcome["read_back"], outcome["by"]) == ("done", 1.0, "zhang")
        assert site.relay.coils == {0: 1}
        assert site.asked[:2] == [5, 1]
        assert any(sample.point.device == "relay" and sample.value == 1 for sample in site.samples)
        site.loop.order(order(False, id="o2"), *site.clock())
        assert (await site.until_told("o2"))["read_back"] == 0.0
        assert site.relay.coils == {0: 0}

    on_site(tmp_path, monkeypatch, story, kind)


def test_an_order_is_carried_out_once_however_often_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(site: Site) -> None:
        for _ in range(3):
            site.loop.order(order(), *site.clock())
            await site.until_told()
        assert site.asked.count(5) == 1
        assert len(site.logbook) == 3  # told again each time

    on_site(tmp_path, monkeypatch, story)


def test_after_a_restart_the_outcome_is_still_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def first(site: Site) -> None:
        site.loop.order(order(), *site.clock())
        await site.until_told()

    async def second(site: Site) -> None:
        site.loop.order(order(), *site.clock())
        await site.run(3)
        assert 5 not in site.asked

    on_site(tmp_path, monkeypatch, first)
    on_site(tmp_path, monkeypatch, second)


def test_a_lost_answer_is_settled_by_reading_back_and_not_by_writing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(site: Site) -> None:
        site.bus.set_fault(1, Fault("no_reply", count=1))
        answered = site.relay.answer
        site.loop.order(order(), *site.clock())
        outcome = await site.until_told()
        assert outcome["outcome"] == "done"
        assert site.asked.count(5) == 1
        assert answered is site.relay.answer

    on_site(tmp_path, monkeypatch, story, "rtu_over_tcp")


def test_a_device_that_says_yes_and_does_nothing_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(site: Site) -> None:
        monkeypatch.setattr(site.relay, "_store", lambda *_: None)
        site.loop.order(order(), *site.clock())
        outcome = await site.until_told()
        assert (outcome["outcome"], outcome["read_back"]) == ("failed", 0.0)

    on_site(tmp_path, monkeypatch, story)


def test_a_device_that_is_not_there_is_unknown_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(site: Site) -> None:
        site.bus.set_fault(1, Fault("no_reply"))
        site.loop.order(order(expires_at=NOW + 1_000), *site.clock())
        for _ in range(40):
            await site.run(1)
            site.mono += 2_000
            if site.logbook.outcomes():
                break
        assert site.logbook.outcomes()["o1"]["outcome"] == "unknown"
        assert site.asked.count(5) == 1

    on_site(tmp_path, monkeypatch, story)


def test_a_setpoint_is_unlocked_first_and_a_pulse_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlocked = RELAY.writes[0].model_copy(update={"unlock": (Unlock(fc=5, address=7, value=0xFF00),), "pulse_ms": 200})
    profile = RELAY.model_copy(update={"writes": (unlocked,)})

    async def story(site: Site) -> None:
        site.loop.order(order(), *site.clock())
        assert (await site.until_told())["outcome"] == "done"
        assert site.asked[:3] == [5, 5, 1]
        assert (await site.until_told("o1-off"))["outcome"] == "done"
        assert site.relay.coils == {7: 1, 0: 0}

    on_site(tmp_path, monkeypatch, story, profile=profile)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"write": "self_destruct"}, "unknown"),
        ({"value": 7}, "value"),
        ({"value": 1}, "value"),
        ({"role": "inspector"}, "role"),
        ({"expires_at": NOW - 1}, "expired"),
        ({"device": "nobody"}, "unknown"),
    ],
)
def test_what_must_not_be_written_never_reaches_the_line(change: dict[str, Any], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(site: Site) -> None:
        site.loop.order(replace_order(order(), change), *site.clock())
        outcome = site.logbook.outcomes()["o1"]
        assert outcome["outcome"] == "refused"
        assert outcome["reason"].startswith(kind)
        assert not {5, 6, 15, 16} & set(site.asked)

    on_site(tmp_path, monkeypatch, story)


def replace_order(given: Order, change: dict[str, Any]) -> Order:
    return Order(**({name: getattr(given, name) for name in given.__struct_fields__} | change))


def test_a_write_that_devices_yaml_does_not_allow_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(site: Site) -> None:
        tight = tuple(replace(device, settings=device.settings.model_copy(update={"writes": ()})) for device in site.devices)
        orders = Orders(tight, site.logbook.add)
        orders.take(order(), *site.clock())
        assert site.logbook.outcomes()["o1"]["reason"].startswith("not_enabled")
        orders.take(order(id="o2", role="guard"), *site.clock())  # the local watch was configured on the spot
        assert orders.due == 0.0

    on_site(tmp_path, monkeypatch, story)


def test_a_dangerous_write_needs_a_second_person() -> None:
    write = Write(id="discharge", fc=5, address=0, type="bool", values={True: 0xFF00}, role="in_charge", danger="high")
    for second in ("", "zhang"):
        with pytest.raises(WriteRefusedError, match="第二个人"):
            check(write, order(role="in_charge", second=second))
    check(write, order(role="in_charge", second="li"))
    with pytest.raises(WriteRefusedError, match="in_charge 下达"):
        check(write, order(role="duty", second="li"))


def test_setpoints_are_scaled_and_bounded() -> None:
    write = Write(id="rh", fc=6, address=4, type="u16", range=(40, 95), scale="1/10", role="in_charge", danger="medium")
    assert steps(write, 55.5)[0].frame(1).hex(" ") == "01 06 00 04 02 2b 89 74"
    for wrong in (39.9, 95.1, 55.55, True, "55"):
        with pytest.raises(WriteRefusedError):
            steps(write, wrong)


def test_every_packaged_write_makes_a_frame() -> None:
    from contract.profile import catalogue  # noqa: PLC0415

    assert [sentence for profile in catalogue().values() for sentence in problems(profile)] == []


def test_the_siren_sounds_until_all_is_clear_or_its_time_is_up() -> None:
    given: list[bool | int | float | str] = []
    siren = Siren(SirenSettings(device="relay", write="relay1", siren_s=100), lambda one: given.append(one.value))
    raised = LocalAlarm(NOW, ROOM, "s/smoke", "smoke", "critical", "raised", 1.0)
    cleared = LocalAlarm(NOW, ROOM, "s/smoke", "smoke", "critical", "cleared", None)
    siren.run_once([], NOW, 0)
    assert given == []
    siren.run_once([raised], NOW, 1_000)
    siren.run_once([], NOW, 2_000)
    siren.run_once([cleared], NOW, 3_000)
    assert given == [True, False]
    siren.run_once([raised], NOW, 4_000)
    siren.run_once([], NOW, 40_000)  # said once more, in case the relay missed it
    siren.run_once([], NOW, 104_001)
    assert given == [True, False, True, True, False]


def test_the_logbook_survives_and_forgets_what_the_server_has(tmp_path: Path) -> None:
    book = Logbook(tmp_path / "logbook.json")
    book.add("spool_renewed", NOW, reason="damaged")
    book.add("write", NOW + 1, order="o1", outcome="done")
    again = Logbook(tmp_path / "logbook.json")
    assert again.waiting(20) == book.waiting(20)
    ident = again.waiting(1)[0].split('"id": "')[1][:16]
    again.acknowledged([ident, "unknown"])
    assert [len(again), len(Logbook(tmp_path / "logbook.json"))] == [1, 1]
    (tmp_path / "logbook.json").write_text("[{", encoding="utf-8")
    assert len(Logbook(tmp_path / "logbook.json")) == 0
