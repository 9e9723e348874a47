"""One alarm per subject and rule, whoever asks for it and how often: many threads, repeated and shuffled batches, one database."""

import random
import threading

from sqlalchemy import func, select

from contract.batch import Outbox
from contract.sample import PointKey, Sample
from server.store.tables import Alarm, AlarmMemory, Transition
from server.watch.inputs import GatewayData

POINTS, THREADS = 20, 8


def raises(made, total, seed):
    """`total` readings of fire from eight threads: each batch is sent twice, in whatever order the threads come."""
    metrics = [f"s{n}/smoke" for n in range(POINTS)]
    made.birth([(metric, made.ROOM) for metric in metrics])
    keys = [PointKey.of(made.GATEWAY, metric) for metric in metrics]
    made.now += 60_000
    sizes = 500

    def produce(thread):
        dice = random.Random(seed * 100 + thread)
        for number in range(total // THREADS // sizes):
            first = (number * THREADS + thread) * sizes + 1
            samples = tuple(Sample(dice.choice(keys), made.now - dice.randint(0, 20_000), 1) for _ in range(sizes))
            item = GatewayData(gateway=made.GATEWAY, received_at=made.now, samples=samples, outbox=Outbox(77, first, first + sizes - 1), urgent=True)
            for _ in range(2):
                made.watch.offer(item)

    threads = [threading.Thread(target=produce, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    committed = 0
    while any(thread.is_alive() for thread in threads) or len(made.watch.inbox):
        committed += made.watch.run_once(lambda: made.now, wait_ms=1)
    return committed


def check_unique(made, total):
    """Raise that many at once, and count what stands in the database."""
    assert raises(made, total, seed=3) == total
    with made.db.read() as session:
        per_subject = session.execute(select(Alarm.subject, func.count()).where(Alarm.rule == "smoke").group_by(Alarm.subject)).all()
        assert len(per_subject) == POINTS
        assert {count for _, count in per_subject} == {1}
        assert session.scalar(select(func.count()).select_from(Transition).where(Transition.name == "raised")) == POINTS
        assert session.scalar(select(func.count()).select_from(AlarmMemory).where(AlarmMemory.rule == "smoke")) == POINTS


def test_raises_at_once_are_one_alarm_per_point(slice_):
    check_unique(slice_, 16_000)
