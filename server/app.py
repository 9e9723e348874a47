"""The composition root: builds every part from the settings, starts and stops them in order, and holds no logic of its own."""

import asyncio
import contextlib
import gc
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from types import FrameType

import uvicorn
from fastapi import FastAPI
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from server import from_settings, wiring
from server.duty.cards import default_cards, load_cards
from server.duty.drills import Drills
from server.duty.incidents import Incidents
from server.duty.watch_checks import Settings as WatchCheckSettings
from server.duty.watch_checks import WatchChecks
from server.history import History, retention
from server.history.seals import seal
from server.ingest.accept import Acceptor
from server.ingest.downlink import Downlink
from server.ingest.line import Birth, Line
from server.ingest.mqtt import wall_clock
from server.interpreter import giving_way, tune
from server.jobs import Job, Jobs
from server.jobs_duty import DutyConditions
from server.jobs_health import Health, Trouble, trouble_of_history, troubles_of_jobs
from server.jobs_org import OrgJobs
from server.live.board import STATES, Board
from server.live.hub import Hub
from server.metrics import Metrics
from server.notify import compose
from server.notify.situation import Knowledge, on_delays
from server.org import imports, readings, search
from server.org.gateway_rules import GatewayRules
from server.org.judging import all_limits
from server.pool import Pool
from server.reports.filing import Filing
from server.reports.wiring import board_bands, open_desk
from server.secret_files import secret
from server.series import Limits
from server.series.choose import open_store
from server.settings import Settings, SettingsError
from server.store import anchors, gateway_events, gateways
from server.store.lock import StoreLock
from server.store.migrate import migrate
from server.store.session import Database
from server.store.tables import Gateway
from server.trials import Trials
from server.watch.commands import EndDrill, Reopen
from server.watch.loop import Watch
from server.watch.rulebook import RuleBook
from server.web import site
from server.web.inbox import Replies, inboxes
from server.web.services import Services

log = logging.getLogger("server")

JOIN_S = 15


class Parts:
    """Everything that runs, built but not started. `clock` is UTC ms; `line` makes the connection to the broker."""

    def __init__(self, settings: Settings, *, clock: Callable[[], int] = wall_clock, line: Callable[[Settings], Line] = from_settings.line) -> None:
        self.settings, self.clock = settings, clock
        self.metrics = Metrics()
        self.db = Database(settings.database_url)
        migrate(self.db)
        self.store = open_store(
            settings.series.kind, settings.data_dir / "series", url=settings.series.url, bucket=settings.series.bucket,
            org=settings.series.org, token=secret(settings.series.token_file),
        )  # fmt: skip
        self.board = Board()
        self.hub = Hub(self.board, self.clock(), on_clients=self.metrics.stream_clients.set)
        rules = from_settings.rules(settings)
        self.dispatcher = compose.dispatcher(
            settings, self.db, lambda name, result: self.metrics.notifications.labels(name, result).inc(), Knowledge(on_delays=on_delays(rules.rules))
        )
        self.workdays = compose.workdays(settings)
        self.rulebook = RuleBook(self.db, rules, self.clock(), lambda new: self.watch.adopt(new), self.workdays.given)  # noqa: PLW0108 - built below
        self.watch = Watch(
            self.db, self.rulebook.current, settings.watch, self.metrics, publish=self.hub.publish,
            nudge=self.dispatcher.nudge if self.dispatcher is not None else lambda: None,
        )  # fmt: skip
        self.transport = line(settings)
        self.acceptor = Acceptor(
            self.watch, self.transport.settle, self.transport.send, self.metrics, acknowledge=settings.watch.acknowledge_gateways,
            events=self._logbook,
        )  # fmt: skip
        self.downlink = Downlink(self.db, self.transport.send)
        self.history = History(self.db, self.store, limits=self._limits)
        self.cards = load_cards(settings.cards) if settings.cards is not None else default_cards()
        self.incidents = Incidents(self.db, self.store, self.cards, self._reopen)
        self.drills = Drills(self.db, self._end_drill, self.workdays)
        names = self.dispatcher.channel_names if self.dispatcher is not None else ()
        told = self.dispatcher is not None and (settings.sms.poll_receipts or settings.sms.status_callback is not None)
        channels = self.dispatcher.channels if self.dispatcher is not None and told else ()
        texts = [one.name for one in channels if one.abilities.receipts and one.abilities.way == "sms"]
        self.duty = DutyConditions(self.db, self.workdays, names, self.watch.submit, texts)
        self.checks = WatchChecks(
            self.db,
            lambda room, quantity: self.board.present(room, quantity, self.clock()),
            WatchCheckSettings(per_day=settings.watch_checks_per_day),
        )
        self.gateway_rules = GatewayRules(self.db, lambda: self.rulebook.current)
        self.trials = Trials(self.db, settings.watch, self.workdays.given)
        self.pool = Pool()
        self.desk = open_desk(settings, self.db, self.store, board_bands(self.board), self.pool)
        sources = self.desk.sources
        self.filing = Filing(self.db, self.store, self.cards, self.pool, settings.data_dir, sources.generator, sources.settings.forms)
        self.books = OrgJobs(self.db, settings, self.watch.submit, self.clock())
        self.health = Health(self.db, settings.data_dir, self._troubles, self.watch.submit, on_free=self.metrics.disk_free.set)
        self.jobs = Jobs(self._job_table(), self.metrics, self.clock)
        self.replies: Replies | None = None
        self._leaving, self._stop = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []

    def _limits(self) -> Mapping[int, Limits]:
        with self.db.read() as session:
            return all_limits(session, self.board, self.settings.watch.allowed_ms)

    def _logbook(self, gateway: str, entries: Sequence[str], now: int) -> Sequence[str]:
        """From the ingest thread: a logbook is no reading, so it does not wait for the watch."""
        with self.db.write() as session:
            return gateway_events.take(session, gateway, entries, now)

    def _births(self) -> Sequence[Birth]:
        with self.db.read() as session:
            return gateways.last_births(session)

    def _job_table(self) -> tuple[Job, ...]:
        return (
            Job("tidy_exports", "清理导出文件", self.desk.tidy, at=(3, 40)),
            Job("scores", "考评得分", self._scores, every_s=3600),
            Job("manual_readings", "人工抄录入库", lambda _now: readings.drain(self.db, self.store), every_s=30),
            Job("gauges", "运行指标", self._gauges, every_s=15),
            Job("checkpoint", "数据库日志整理", lambda _now: self.db.checkpoint(), every_s=2),
            Job("fill_search", "检索索引", self._fill_search, every_s=60),
            Job("rules", "规则更新", self.rulebook.run_once, every_s=5),
            Job("gateway_rules", "网关自己值守的规则", self.gateway_rules.run_once, every_s=60),
            Job("trials", "规则试行", self.trials.run_once, every_s=15),
            Job("incidents", "事件", self._incidents, every_s=2),
            Job("dossiers", "归档事件", self.filing.run_once, every_s=20),
            Job("drills", "演练与查岗", self._drills, every_s=1),
            Job("duty", "值班检查", self.duty.run_once, every_s=15),
            Job("looks", "派查再叫", self.duty.ask_again, every_s=15),
            Job("newcomers", "上岗前试发与演练", self.duty.prepare, every_s=300),
            Job("prune_journal", "流水清理", self.history.prune, every_s=3600),
            Job("compact_history", "历史压缩", self.history.compact, every_s=600),
            Job("seal_history", "历史封存", lambda now: seal(self.db, self.store, now), at=(3, 20)),
            Job("expire_history", "历史到期清理", self._expire, at=(4, 20)),
            Job("audit_anchor", "审计锚", self._anchor, at=(0, 5)),
            *self.books.table(),
            *self._access_job(),
            Job("health", "中心自检", self.health.run_once, every_s=30),
        )

    def _access_job(self) -> tuple[Job, ...]:
        access = wiring.access(self.settings, self.db)
        return () if access is None else (Job("broker_access", "消息服务器的权限文件", access.run_once, every_s=2),)

    def _troubles(self, now: int) -> Iterator[Trouble]:
        yield from troubles_of_jobs(self.jobs.failing(), now)
        with self.db.read() as session:
            waiting = self.history.waiting_since(session)
        if waiting is not None:
            yield from trouble_of_history(waiting, now)

    def _incidents(self, now: int) -> None:
        self.incidents.run_once(now)

    def _drills(self, now: int) -> None:
        self.drills.run_once(now)
        self.checks.run_once(now)

    def _end_drill(self, alarm: int) -> None:
        self.watch.submit(EndDrill(alarm=alarm, by="系统")).result(JOIN_S)

    def _reopen(self, alarm: int, sentence: str) -> None:
        # Waits for the commit: an incident goes back only when the next level is sure to be told.
        self.watch.submit(Reopen(alarm=alarm, by="系统", note=sentence)).result(JOIN_S)

    def _fill_search(self, _now: int) -> None:
        filled = 1
        while filled:
            with self.db.read() as session:
                if not search.missing(session):
                    return
            with self.db.write() as session:  # a few rows at a time: alarms wait for whoever writes before them
                filled = search.fill(session)

    def _expire(self, now: int) -> None:
        if self.settings.series.keep_days and self.settings.series.kind == "embedded":  # a server of the Influx family has its own retention
            retention.expire(self.store, self.settings.series.keep_days, now)

    def _anchor(self, now: int) -> None:
        with self.db.write() as session:
            anchors.make(session, now)
        with self.db.read() as session:
            newest = anchors.of_day(session, "", None)
        for folder in (self.settings.data_dir / "anchors", *self.settings.anchor_folders):
            anchors.write(folder, newest)

    def _scores(self, now: int) -> None:
        with giving_way(self._leaving.wait):
            self.desk.scores.refresh(now)

    def _gauges(self, now: int) -> None:
        with self.db.read() as session:
            self.metrics.journal_backlog.set(self.history.backlog(session))
            offline = select(func.count()).select_from(Gateway).where(Gateway.unit.is_not(None), Gateway.online.is_(False))
            self.metrics.gateways_offline.set(session.scalar(offline) or 0)
        if self.dispatcher is not None:
            self.metrics.outbox_oldest.set(self.dispatcher.oldest_waiting_ms(now) / 1000)
        counts = self.board.states(now)  # not giving way: it would rest with the board's lock in its hands, for which the watch waits
        for state in STATES:
            self.metrics.rooms.labels(state).set(counts[state])

    def ready(self) -> Mapping[str, str]:
        """What is not ready, with the reason; empty when everything is."""
        reasons: dict[str, str] = {}
        if not self.transport.connected:
            reasons["broker"] = "与消息服务器没有连接"
        for thread in self._threads:
            if not thread.is_alive():
                reasons[thread.name] = "线程已停止，请重启服务"
        try:
            with self.db.read() as session:
                session.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            reasons["database"] = str(error).splitlines()[0]
        return reasons

    def start(self) -> None:
        """Read memory back, then start the threads: the writer first, the transport last."""
        imports.recover(self.db, self.clock())
        self.watch.open(self.clock())
        gc.collect()
        gc.freeze()
        self._spawn("watch", self.watch.run)
        self._spawn("history", self.history.run)
        if self.dispatcher is not None:
            self._spawn("dispatch", self.dispatcher.run)
        if self.replies is not None:
            self._spawn("replies", self.replies.run)
        self._spawn("ingest", lambda stop, _clock: self.acceptor.run(stop))
        self._spawn("downlink", self.downlink.run)
        self._spawn("papers", self.desk.run)
        self.jobs.start()
        self.transport.start(self.acceptor.hear, self._births)

    def _spawn(self, name: str, body: Callable[[threading.Event, Callable[[], int]], None]) -> None:
        thread = threading.Thread(target=body, args=(self._stop, self.clock), name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        """Stop in the reverse order; what is not acknowledged will be sent again."""
        self._leaving.set()
        self.transport.stop()
        self.jobs.stop()
        self._stop.set()
        self.watch.wake()
        if self.dispatcher is not None:
            self.dispatcher.nudge()
        self.desk.nudge()
        for thread in self._threads:
            thread.join(JOIN_S)
        self.pool.close()
        self.store.close()
        self.db.close()


def build(settings: Settings) -> tuple[FastAPI, Parts]:
    """The application and its parts."""
    parts = Parts(settings)
    services = Services(
        db=parts.db, watch=parts.watch, hub=parts.hub, board=parts.board, store=parts.store, desk=parts.desk,
        settings=from_settings.web_settings(settings), clock=parts.clock, registry=parts.metrics.registry, ready=parts.ready, cards=parts.cards,
        rulebook=parts.rulebook, pool=parts.pool, watch_settings=settings.watch, workdays=parts.workdays, reach=wiring.reach(settings),
        provider=from_settings.provider(settings), forecast=None if parts.dispatcher is None else parts.dispatcher.forecast,
    )  # fmt: skip

    if parts.dispatcher is not None:
        parts.replies = Replies(services, inboxes(parts.dispatcher.channels), parts.dispatcher.nudge)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        parts.start()
        sending = asyncio.create_task(parts.hub.run(parts.clock))
        warming = asyncio.create_task(asyncio.to_thread(app.state.screens.warm))
        yield
        await warming
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        await asyncio.to_thread(parts.stop)

    return site.build(services, lifespan=lifespan), parts


class _Server(uvicorn.Server):
    """Says goodbye on the streams before it waits for connections to end."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._hub.close()
        super().handle_exit(sig, frame)


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. Raises StoreTakenError when another server holds the data folder, SettingsError for what cannot be used."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in ("apscheduler", "twilio", "httpx"):  # each logs every call at INFO
        logging.getLogger(name).setLevel(logging.WARNING)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    tune()
    with StoreLock(settings.data_dir):
        try:
            app, parts = build(settings)
        except ValueError as error:  # what a module says of a setting that it cannot use is a sentence
            raise SettingsError(f"按 server.yaml 起不来：{error}") from error
        server = _Server(site.listening(app, settings.host, settings.port), parts.hub)
        log.info("serving on http://%s", settings.listen)
        server.run()
    return 0 if server.started else 1
