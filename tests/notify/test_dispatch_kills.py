"""kill -9 of the dispatcher at every point where a message could be lost or doubled; the gateway and the database tell what really happened."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter

import pytest

from server.notify.channels.twilio_sms import TwilioSms
from server.notify.dispatch import Dispatcher
from tests.duty.ladders import ten_minutes

# One process imports everything once and forks a dispatcher for each line it reads: `url base account token now point nth timeout`. It answers
# with the child's id at once and with its exit code at the end.
NURSERY = """
import os, signal, sys
from sqlalchemy import event
from tests.duty.ladders import ten_minutes
from server.notify.channels.twilio_sms import TwilioSms
from server.notify.dispatch import Dispatcher, DispatchSettings
from server.store.session import Database

class Mortal(TwilioSms):
    def send(self, message):
        here("claimed")
        receipt = super().send(message)
        here("accepted")
        return receipt

    def lookup(self, message):
        here("looking up")
        return super().lookup(message)

def here(name):
    seen[name] = seen.get(name, 0) + 1
    if name == point and seen[name] == int(nth):
        os.kill(os.getpid(), signal.SIGKILL)

def live(url, base, account, token, now, timeout):
    db = Database(url)
    event.listen(db.engine, "commit", lambda connection: here("before commit"))
    event.listen(db.engine, "checkin", lambda connection, record: here("after commit"))
    channel = Mortal(account_sid=account, token=token, sender="+8613900009999", base_url=base, timeout_s=float(timeout))
    Dispatcher(db, [channel], ten_minutes(), settings=DispatchSettings(workers=1)).run_once(int(now))

print("ready", flush=True)
for line in sys.stdin:
    url, base, account, token, now, point, nth, timeout = line.split("\\t")
    seen, child = {}, os.fork()
    if child == 0:
        live(url, base, account, token, now, timeout)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
POINTS = [
    *[("claimed", n) for n in (1, 2)],
    *[("accepted", n) for n in (1, 2)],
    *[("before commit", n) for n in range(1, 7)],
    *[("after commit", n) for n in range(2, 9)],
    *[("looking up", n) for n in (1, 2)],
]


class Nursery:
    """Dispatchers that can be killed, one after the other."""

    def __init__(self, desk, sms):
        self.desk, self.sms = desk, sms
        self.process = subprocess.Popen([sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def launch(self, point="never", nth=0, timeout=5.0):
        """Start a dispatcher; returns its process id."""
        words = (self.desk.url, self.sms.url, self.sms.account, self.sms.token, self.desk.now, point, nth, timeout)
        self.process.stdin.write("\t".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self):
        """The exit code of the dispatcher launched last, when it has one."""
        return int(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def nursery(desk, sms):
    made = Nursery(desk, sms)
    yield made
    made.close()


def drain(desk, sms):
    """The server is up again and stays up."""
    channel = TwilioSms(account_sid=sms.account, token=sms.token, sender="+8613900009999", base_url=sms.url, timeout_s=5)
    dispatcher = Dispatcher(desk.db, [channel], ten_minutes())
    for _ in range(30):
        dispatcher.run_once(desk.now)
        desk.now += 5_000
    dispatcher.close()


def verdict(desk, sms):
    """(lost, doubled, foreign): messages of the outbox that never came, that came more than once, and what came without a row."""
    wanted = Counter((note.phone, note.text) for note in desk.notes())
    came = Counter((message["to"], message["body"]) for message in sms.messages())
    assert max(wanted.values()) == 1
    return sum((wanted - came).values()), sum(count - 1 for count in came.values()), sum((came - wanted).values())


@pytest.mark.faults
def test_kill_at_every_point_loses_and_doubles_nothing(desk, sms, nursery):
    died = 0
    for minute, (point, nth) in enumerate(POINTS):
        desk.annunciate(key=str(minute), at=desk.now - minute)
        nursery.launch(point, nth)
        code = nursery.end()
        assert code in (0, -signal.SIGKILL)
        died += code == -signal.SIGKILL
        desk.now += 31_000
    drain(desk, sms)
    assert died >= 15
    assert verdict(desk, sms) == (0, 0, 0)
    assert len(sms.messages()) >= 2 * len(POINTS)
    assert {note.state for note in desk.notes()} <= {"sent", "delivered"}
    assert len({note.provider_id for note in desk.notes()}) == len(desk.notes())


@pytest.mark.faults
def test_kill_while_the_provider_has_the_request(desk, sms, nursery):
    """The worst instant: accepted, no answer yet. Only the look-up can tell."""
    for round_ in range(3):
        who = desk.phone("wang")
        before = len(sms.messages(to=who))
        sms.order("timeout_after", to=who)
        desk.annunciate(key=str(round_), at=desk.now - round_)
        ident = nursery.launch(timeout=30)
        pause = threading.Event()
        while len(sms.messages(to=who)) == before:
            pause.wait(0.01)
        os.kill(ident, signal.SIGKILL)
        assert nursery.end() == -signal.SIGKILL
        desk.now += 31_000
    drain(desk, sms)
    assert verdict(desk, sms) == (0, 0, 0)


@pytest.mark.faults
def test_two_dispatchers_on_one_outbox_send_once(desk, sms):
    """Both race for every step and every message."""
    for number in range(10):
        desk.annunciate(key=str(number), at=desk.now - number)
    racing = [Nursery(desk, sms) for _ in range(2)]
    for one in racing:
        one.launch()
    assert [one.end() for one in racing] == [0, 0]
    for one in racing:
        one.close()
    assert len(desk.notes()) == len(sms.messages()) == 20
    assert verdict(desk, sms) == (0, 0, 0)
