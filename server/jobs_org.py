"""What the books want done by the calendar: calibrations, the people feed, dormant accounts, reviews, emergency access, stills whose time is over."""

from collections.abc import Callable, Container

from sqlalchemy import select

from server.jobs import Job
from server.org import calibration, chain_check, dormancy, emergency, feed, granting, review, still_keeping
from server.org.feed import drop
from server.settings import Settings
from server.store.session import Database
from server.store.tables import Alarm
from server.watch.commands import Command, Condition


class OrgJobs:
    """Looks, writes notices, and tells the watch what is an alarm. Methods take `now` (UTC ms)."""

    def __init__(self, db: Database, settings: Settings, tell: Callable[[Command], object], started_at: int) -> None:
        self._db, self._settings, self._tell, self._started_at = db, settings.people_feed, tell, started_at
        self._folder, self._still_days = settings.data_dir, settings.stills.keep_days

    def table(self) -> tuple[Job, ...]:
        """Rows of the job table."""
        found = [
            Job("calibrations", "校准提醒", self.calibrations, every_s=3600),
            Job("books", "账号与复核", self.books, every_s=3600),
            Job("emergency_access", "应急授权到期", self.emergencies, every_s=5),
            Job("stills", "画面到期清理", self.stills, at=(4, 40)),
            Job("audit_chain", "审计核对", self.audit_chain, at=(0, 1)),
            Job("audit_asked", "审计全链核对", self.audit_asked, every_s=2),
        ]
        if self._settings.folder is not None:
            found.append(Job("people_feed", "人员名单", self.people_drop, every_s=60))
        if self._settings.ldap is not None:
            found.append(Job("people_directory", "人员目录", self.people_directory, every_s=max(1, int(self._settings.every_h * 3600))))
        return tuple(found)

    def calibrations(self, now: int) -> int:
        """Notices, and for rooms with a sensor past its certificate an alarm of the lowest level that stands until a new one is entered."""
        with self._db.write() as session:
            new = calibration.remind(session, now)
        with self._db.read() as session:
            over = calibration.overdue(session, now)
        for room, sensors in over.items():
            names = "、".join(one.device for one in sensors)
            self._say(calibration.RULE, f"room:{room}", sensors[0].unit, "warn", note=f"{names} 校准已到期", room=room)
        self._clear(calibration.RULE, {f"room:{room}" for room in over})
        return new

    def books(self, now: int) -> None:
        """Accounts whose role has ended or that sleep, reviews that wait, a feed that has fallen silent."""
        with self._db.write() as session:
            granting.align(session, now, by="系统")
            dormancy.run_once(session, now)
            review.remind(session, now)
        if self._settings.folder is not None or self._settings.ldap is not None:
            feed.listen(self._db, self._started_at, now)

    def audit_chain(self, now: int) -> bool:
        """Walk the whole audit log before the day is anchored."""
        with self._db.write() as session:
            ident = chain_check.ask(session, "系统", now).id
        return chain_check.run(self._db, ident, now).broken is None

    def audit_asked(self, now: int) -> None:
        """Walk it because somebody has asked."""
        with self._db.read() as session:
            found = chain_check.waiting(session)
        if found is not None:
            chain_check.run(self._db, found.id, now)

    def stills(self, now: int) -> int:
        """Delete the camera stills whose time is over."""
        return still_keeping.expire(self._db, self._folder, self._still_days, now)

    def people_drop(self, now: int) -> int:
        """Lists in the folder."""
        return 0 if self._settings.folder is None else drop.run_once(self._db, self._settings.folder, now)

    def people_directory(self, now: int) -> bool:
        """The directory."""
        from server.org.feed import directory  # noqa: PLC0415 - only who has a directory pays for its library

        return self._settings.ldap is not None and directory.run_once(self._db, self._settings.ldap, now)

    def emergencies(self, now: int) -> None:
        """End what has run out; as long as one runs, its alarm stands."""
        with self._db.read() as session:
            over = emergency.overdue(session, now)
        if over:  # the lock of the database is not taken every few seconds for nothing
            with self._db.write() as session:
                emergency.expire(session, now)
        with self._db.read() as session:
            running = {row.id: row for row in emergency.standing(session, now) if row.granted_at is not None}
        told = self._clear(emergency.RULE, {f"{emergency.KIND}:{ident}" for ident in running})
        for ident, row in running.items():
            if f"{emergency.KIND}:{ident}" not in told:
                note = f"以“{emergency.ROLES[row.role]}”权限操作：{row.reason}"
                self._say(emergency.RULE, f"{emergency.KIND}:{ident}", row.unit, "urgent", note=note)

    def _clear(self, rule: str, true: Container[str]) -> set[str]:
        """Clear the alarms of a rule that are not true any more; returns the subjects of those that stand."""
        standing = select(Alarm).where(Alarm.rule == rule, Alarm.open_key.is_not(None), Alarm.cleared_at.is_(None))
        with self._db.read() as session:
            found = session.scalars(standing).all()
        for alarm in found:
            if alarm.subject not in true:
                self._say(rule, alarm.subject, alarm.unit, alarm.level, active=False, room=alarm.room)
        return {alarm.subject for alarm in found}

    def _say(self, rule: str, subject: str, unit: str, level: str, *, active: bool = True, note: str = "", room: str | None = None) -> None:
        self._tell(Condition(subject=subject, rule=rule, active=active, unit=unit, room=room, level=level, note=note, by="系统"))
