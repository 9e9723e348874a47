"""kill -9 of the dispatcher at every point where a message could be lost or doubled; the gateway and the database tell what really happened."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter

import pytest

from server.duty.escalation import default_escalation
from server.notify.channels.twilio_sms import TwilioSms
from server.notify.dispatch import Dispatcher

DISPATCHER = """
import os, signal, sys
from sqlalchemy import event
from server.duty.escalation import default_escalation
from server.notify.channels.twilio_sms import TwilioSms
from server.notify.dispatch import Dispatcher, DispatchSettings
from server.store.session import Database

url, base, account, token, now, point, nth, timeout = sys.argv[1:]
seen = {}

def here(name):
    seen[name] = seen.get(name, 0) + 1
    if name == point and seen[name] == int(nth):
        os.kill(os.getpid(), signal.SIGKILL)

class Mortal(TwilioSms):
    def send(self, message):
        here("claimed")
        receipt = super().send(message)
        here("accepted")
        return receipt

    def lookup(self, message):
        here("looking up")
        return super().lookup(message)

db = Database(url)
event.listen(db.engine, "commit", lambda connection: here("before commit"))
event.listen(db.engine, "checkin", lambda connection, record: here("after commit"))
channel = Mortal(account_sid=account, token=token, sender="+8613900009999", base_url=base, timeout_s=float(timeout))
Dispatcher(db, [channel], default_escalation(), settings=DispatchSettings(workers=1)).run_once(int(now))
"""
POINTS = [
    *[("claimed", n) for n in (1, 2)],
    *[("accepted", n) for n in (1, 2)],
    *[("before commit", n) for n in range(1, 7)],
    *[("after commit", n) for n in range(2, 9)],
    *[("looking up", n) for n in (1, 2)],
]


def launch(desk, sms, point, nth, timeout=5.0):
    words = (desk.url, sms.url, sms.account, sms.token, desk.now, point, nth, timeout)
    return subprocess.Popen([sys.executable, "-c", DISPATCHER, *map(str, words)], stderr=subprocess.PIPE)


def drain(desk, sms):
    """The server is up again and stays up."""
    channel = TwilioSms(account_sid=sms.account, token=sms.token, sender="+8613900009999", base_url=sms.url, timeout_s=5)
    dispatcher = Dispatcher(desk.db, [channel], default_escalation())
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
@pytest.mark.timeout(300)
def test_kill_at_every_point_loses_and_doubles_nothing(desk, sms):
    died = 0
    for minute, (point, nth) in enumerate(POINTS):
        desk.annunciate(key=str(minute), at=desk.now - minute)
        process = launch(desk, sms, point, nth)
        _, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
        died += process.returncode == -signal.SIGKILL
        desk.now += 31_000
    drain(desk, sms)
    assert died >= 15
    assert verdict(desk, sms) == (0, 0, 0)
    assert len(sms.messages()) >= 2 * len(POINTS)
    assert {note.state for note in desk.notes()} <= {"sent", "delivered"}
    assert len({note.provider_id for note in desk.notes()}) == len(desk.notes())


@pytest.mark.faults
def test_kill_while_the_provider_has_the_request(desk, sms):
    """The worst instant: accepted, no answer yet. Only the look-up can tell."""
    for round_ in range(3):
        who = desk.phone("wang")
        before = len(sms.messages(to=who))
        sms.order("timeout_after", to=who)
        desk.annunciate(key=str(round_), at=desk.now - round_)
        process = launch(desk, sms, "never", 0, timeout=30)
        pause = threading.Event()
        while len(sms.messages(to=who)) == before:
            assert process.poll() is None
            pause.wait(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        desk.now += 31_000
    drain(desk, sms)
    assert verdict(desk, sms) == (0, 0, 0)


@pytest.mark.faults
def test_two_dispatchers_on_one_outbox_send_once(desk, sms):
    """Both race for every step and every message."""
    for number in range(10):
        desk.annunciate(key=str(number), at=desk.now - number)
    racing = [launch(desk, sms, "never", 0) for _ in range(2)]
    for process in racing:
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
    assert len(desk.notes()) == len(sms.messages()) == 20
    assert verdict(desk, sms) == (0, 0, 0)
