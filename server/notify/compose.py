"""From the settings to a dispatcher: channels in order of preference, groups, the escalation table, the calendar."""

from server.duty.calendar import Workdays, load_workdays
from server.duty.escalation import EscalationTable, default_escalation, load_escalation
from server.notify.channels import Channel, ChannelSettings, open_channel
from server.notify.claims import SendSettings
from server.notify.dispatch import Dispatcher, DispatchSettings
from server.notify.expand import Count
from server.notify.lines import Broadcast
from server.notify.situation import Knowledge
from server.notify.throttle import Cap
from server.secret_files import secret
from server.settings import ChannelEntry, Settings
from server.store.session import Database


def workdays(settings: Settings) -> Workdays:
    """The calendar of the settings. Raises CalendarError."""
    return load_workdays(settings.holidays) if settings.holidays is not None else Workdays()


def table(settings: Settings) -> EscalationTable:
    """The escalation table of the settings. Raises EscalationError."""
    return load_escalation(settings.escalation) if settings.escalation is not None else default_escalation()


def dispatcher(settings: Settings, db: Database, count: Count, knowledge: Knowledge) -> Dispatcher | None:
    """The dispatcher, None where nothing is to be sent. Raises ValueError for a channel that cannot be opened."""
    sms = settings.sms
    if sms.kind == "none" and not settings.channels:
        return None
    channels, groups = _channels(settings, db)
    send = SendSettings(claim_ms=int(sms.claim_s * 1000), grace_ms=int(sms.lookup_grace_s * 1000))
    return Dispatcher(
        db, channels, table(settings),
        settings=DispatchSettings(send=send, poll_receipts=sms.poll_receipts, reply_hint=sms.reply_hint),
        broadcasts=groups, workdays=workdays(settings), knowledge=knowledge, count=count,
        throttle=Cap(sms.cap, int(sms.cap_minutes * 60_000)) if sms.cap else None,
    )  # fmt: skip


def open_channels(settings: Settings, db: Database) -> list[Channel]:
    """Every channel of the settings, in order of preference; the caller closes them. Raises ValueError for one that cannot be opened."""
    return _channels(settings, db)[0]


def _channels(settings: Settings, db: Database) -> tuple[list[Channel], list[Broadcast]]:
    sms, channels, groups = settings.sms, list[Channel](), list[Broadcast]()
    if sms.kind != "none":
        common = ChannelSettings(
            account_sid=sms.account_sid, token=secret(sms.token_file), sender=sms.sender, base_url=sms.base_url,
            status_callback=sms.status_callback, outbox=settings.data_dir / "outbox.jsonl",
            options={"poll_replies": str(sms.poll_replies).lower()},
        )  # fmt: skip
        channels.append(open_channel(sms.kind, common))
    for entry in settings.channels:
        channel = _open(entry, settings, db)
        channels.append(channel)
        if channel.abilities.way == "group" or entry.to:
            address = ",".join(entry.to) if channel.abilities.way == "email" else channel.name
            groups.append(
                Broadcast(
                    channel=channel.name, address=address, name=entry.title or channel.name, unit=entry.unit, levels=entry.levels,
                    sounds_s=channel.abilities.sounds_s,
                )
            )  # fmt: skip
    return channels, groups


def _open(entry: ChannelEntry, settings: Settings, db: Database) -> Channel:
    made = ChannelSettings(
        name=entry.name, account_sid=entry.account_sid, token=secret(entry.token_file), sender=entry.sender, base_url=entry.base_url,
        timeout_s=entry.timeout_s, outbox=settings.data_dir / "outbox.jsonl", public_url=settings.public_url or "", options=dict(entry.options),
        networks=settings.outgoing_networks, db=db,
    )  # fmt: skip
    return open_channel(entry.kind, made)
