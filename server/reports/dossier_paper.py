"""告警处置单: the paper of a closed incident, which names the SHA-256 of the same as data (dossier_data)."""

from collections.abc import Iterable, Mapping

from contract.quantities import QUANTITIES
from server.duty.incident_file import Whole
from server.duty.incident_work import CODES
from server.duty.words import CHANNELS, EVENTS, INCIDENT_ENTRIES, LEVELS, NOTIFICATION_STATES, REASONS, TRANSITIONS
from server.reports.dossier_data import Record, done_by
from server.reports.paper import Block, Column, Curve, Facts, Line, Paper, Picture, Pictures, Sheet, Table, Text, sealed
from server.reports.period import local
from server.reports.words import duration
from server.series import GOOD
from server.store.tables import Alarm

TITLE = "告警处置单"
_MOST_STEPS = 240
_DRAWN = ("temperature", "humidity")


def paper(record: Record, data_sha256: str, generator: str, now: int, pictures: Mapping[str, bytes]) -> Paper:
    """The same for people. `pictures`: what can be shown, by the SHA-256 of the original, already covered where something is to be covered."""
    incident = record.whole.incident
    subject = f"{record.unit_name}{record.room_name.removeprefix(record.unit_name)}"
    sheet = Sheet(
        title=TITLE,
        subject=subject,
        pairs=(("事件号", str(incident.id)), ("单位", record.unit_name), ("库房", f"{record.room_name} {incident.room}" if incident.room else "—")),
        blocks=tuple(_blocks(record, pictures)),
        notes=(
            f"与本单同时归档的完整数据（JSON）SHA-256：{data_sha256}",
            "本单由系统在办结时自动生成，为电子形式原件（PDF/A-2u）；文件的 SHA-256 记在审计日志里，可以独立核对。",
            f"保存到 {_clock(incident.keep_until, day=True)}。年限为系统缺省，以本单位文件材料归档范围和保管期限表为准。",
        ),
        signatures=("处置人", "库房责任人", "审核"),
    )
    made = Paper(
        kind="dossier", title=TITLE, subject=subject, subject_code=incident.room or incident.unit, unit=record.unit_name,
        period=f"{local(incident.opened_at):%Y-%m-%d}", period_label=f"{local(incident.opened_at):%Y年%m月%d日}",
        since=incident.opened_at, until=incident.closed_at or now, generated_at=now, generator=generator, sheets=(sheet,),
    )  # fmt: skip
    return sealed(made)


def _blocks(record: Record, pictures: Mapping[str, bytes]) -> Iterable[Block]:
    yield _facts(record)
    yield _closure(record)
    yield from _curves(record)
    yield _steps(record.whole)
    yield _course(record.whole)
    yield _messages(record)
    if record.whole.holdings:
        yield Text(title="六、库内档案", paragraphs=tuple(record.whole.holdings))
    yield from _pictures(record, pictures)


def _facts(record: Record) -> Facts:
    incident, found = record.whole.incident, record.whole.alarms
    first = min((alarm.raised_at for alarm in found), default=incident.opened_at)
    took = min((line.at for line in record.whole.timeline if line.kind == "acknowledged"), default=None)  # also one that ran out later
    pairs = (
        ("事由", EVENTS.get(incident.event, incident.event)), ("级别", LEVELS.get(incident.level, incident.level)),
        ("开始", _clock(incident.opened_at)), ("办结", _clock(incident.closed_at)),
        ("接手", "没有记录" if took is None else f"{_clock(took)}（{duration(max(took - first, 0))}）"), ("负责人", incident.owner or "—"),
        ("告警编号", "、".join(f"{alarm.number[:3]} {alarm.number[3:]}" for alarm in found)),
        ("读数", "、".join(filter(None, map(_value, found))) or "—"),
    )  # fmt: skip
    return Facts(title="一、基本情况", pairs=pairs)


def _value(alarm: Alarm) -> str:
    known = QUANTITIES.get(alarm.quantity)
    if known is None or alarm.raised_value is None or alarm.kind in ("state", "camera"):
        return ""
    return f"{known.zh} {alarm.raised_value:.1f} {known.unit.replace('°C', '℃')}"


def _closure(record: Record) -> Text:
    incident = record.whole.incident
    closed = next((line.text for line in reversed(record.whole.timeline) if line.kind == "closed" and line.text), "")
    again = f"其间传感器与报告不符退回 {incident.reopened} 次。" if incident.reopened else ""
    said = f"{incident.reported_by}于{_clock(incident.reported_at)}报告：{CODES.get(incident.code, incident.code)}。{incident.note}"
    return Text(title="二、处置结论", paragraphs=(said, f"核实：{closed or '—'}{again}"))


def _steps(whole: Whole) -> Table:
    rows = tuple(
        (number, text, done_by(whole, number) or "—", _clock(whole.ticked[number].at) if number in whole.ticked else "没有记录")
        for number, text in enumerate(whole.filled.steps, 1)
    )
    columns = (
        Column(title="步", width=0.4), Column(title="处置卡", width=5, align="left"), Column(title="谁", width=1.2), Column(title="时间", width=1.7),
    )  # fmt: skip
    return Table(title=f"三、处置卡：{whole.filled.title}", columns=columns, rows=rows, notes=(f"算办完：{whole.filled.recovered}",))


def _course(whole: Whole) -> Table:
    rows = tuple(
        (_clock(line.at, seconds=True), INCIDENT_ENTRIES.get(line.kind) or TRANSITIONS.get(line.kind, line.kind), line.by or "—", line.text or "—")
        for line in whole.timeline
    )
    columns = (
        Column(title="时间", width=1.7), Column(title="变化", width=1.2), Column(title="谁", width=1.3), Column(title="说明", width=4, align="left"),
    )  # fmt: skip
    return Table(title="四、经过", columns=columns, rows=rows, small=True)


def _messages(record: Record) -> Block:
    rows = tuple(
        (
            _clock(row.sent_at or row.created_at, seconds=True), REASONS.get(row.reason, row.reason), row.person_name or "—",
            CHANNELS.get(row.channel, row.channel), NOTIFICATION_STATES.get(row.state, row.state), _clock(row.receipt_at, seconds=True), row.text,
        )
        for messages in record.messages.values()
        for row in messages
    )  # fmt: skip
    if not rows:
        return Text(title="五、通知", paragraphs=("没有发出通知。",))
    columns = (
        Column(title="时间", width=1.6), Column(title="原因", width=1), Column(title="谁", width=1.2), Column(title="通道", width=0.8),
        Column(title="结果", width=0.9), Column(title="回执", width=1.6), Column(title="内容", width=4, align="left"),
    )  # fmt: skip
    return Table(title="五、通知", columns=columns, rows=rows, small=True)


def _pictures(record: Record, pictures: Mapping[str, bytes]) -> Iterable[Block]:
    rows = [(_clock(still.taken_at, seconds=True), "画面", still.device, still.sha256) for still in record.whole.stills]
    rows += [(_clock(photo.at, seconds=True), "照片", f"{photo.by} {photo.note}".strip(), photo.sha256) for photo in record.whole.photos]
    if rows:
        columns = (
            Column(title="时间", width=1.6), Column(title="种类", width=0.6), Column(title="来源", width=1.5, align="left"),
            Column(title="SHA-256", width=5.3, align="left"),
        )  # fmt: skip
        yield Table(title="七、画面和照片（原件在数据目录，按 SHA-256 存放）", columns=columns, rows=tuple(rows), small=True)
    shown = tuple(
        Picture(image=pictures[sha256], words=f"{when} {kind} {source}　SHA-256 {sha256[:16]}…")
        for when, kind, source, sha256 in rows
        if sha256 in pictures
    )
    if shown:
        yield Pictures(title="画面和照片（按遮挡设置遮挡后缩小；其余只列校验值）", pictures=shown)


def _curves(record: Record) -> Iterable[Curve]:
    step = max(300_000, -(-(record.until - record.since) // _MOST_STEPS))
    for quantity in _DRAWN:
        drawn = [(point, _steps_of(record, point.id, step)) for point in record.points if point.quantity == quantity]
        lines = [
            Line(name="室外" if "outdoor" in (point.channel, point.device) else "库内", values=values)
            for point, values in drawn
            if any(value is not None for value in values)
        ]
        if lines:
            known = QUANTITIES[quantity]
            yield Curve(title=f"{known.zh} {known.unit.replace('°C', '℃')}", unit=known.unit, since=record.since, step_ms=step, lines=tuple(lines))


def _steps_of(record: Record, point: int, step: int) -> tuple[float | None, ...]:
    """The last good value of each step; a step without one is a gap."""
    values: list[float | None] = [None] * -(-(record.until - record.since) // step)
    for at, value, quality in record.readings[point]:
        if quality == GOOD and value is not None:
            values[(at - record.since) // step] = value
    return tuple(values)


def _clock(at: int | None, *, seconds: bool = False, day: bool = False) -> str:
    if at is None:
        return "—"
    return f"{local(at):%Y-%m-%d}" if day else f"{local(at):%m-%d %H:%M:%S}" if seconds else f"{local(at):%Y-%m-%d %H:%M}"
