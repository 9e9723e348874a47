"""The server's clock was ahead and has been put back: nothing may wait until it is there again.

What is stored with an instant of the time that was taken back is corrected in the database as well, or the next start would read it again.
"""

import logging

from sqlalchemy import select, update

from server.live.facts import ClockFact
from server.store.tables import Alarm, Transition
from server.store.tables_watch import ServerOutage
from server.watch.commit import Transaction
from server.watch.infos import Memory
from server.watch.ledger import Ledger
from server.watch.state import World
from server.watch.works import Works

log = logging.getLogger("server.watch")


def put_back(world: World, tx: Transaction, ledger: Ledger, people: Works, by: int) -> None:
    """Correct by so many ms what is remembered, what is stored and what is shown."""
    log.error("the clock went back by %.0f s; nothing waits until it is there again", by / 1000)
    tx.facts.append(ClockFact(by))
    tx.escalation.rewind(tx.now, by)
    ledger.rewind(tx.now, by)
    outages = update(ServerOutage).where(ServerOutage.ended > tx.now)
    tx.session.execute(outages.values(began=ServerOutage.began - by, ended=ServerOutage.ended - by))
    people.rewind(by)
    before = {key: memory.state for key, memory in world.memory.items()}
    for memory in world.memory.values():
        _shelf(tx, memory, by)
    world.rewind(tx.now, by)
    for key, memory in list(world.memory.items()):
        if memory.state != before[key]:
            tx.keep(key, memory)


def _shelf(tx: Transaction, memory: Memory, by: int) -> None:
    """A shelf of the time that was taken back lasts as long as was said."""
    until = memory.state.shelved_until
    if until is None or memory.alarm is None:
        return
    shelved = select(Transition.at).where(Transition.alarm == memory.alarm, Transition.name == "shelved").order_by(Transition.id.desc()).limit(1)
    if (tx.session.scalar(shelved) or 0) > tx.now:
        memory.state = memory.state._replace(shelved_until=until - by)
        alarm = tx.session.get_one(Alarm, memory.alarm)
        alarm.shelved_until = until - by
        tx.say(alarm)
