"""The Influx family writing to a real VictoriaMetrics: what was written is there; what it cannot answer is an error, not silence."""

import json
import shutil
import socket
import subprocess
import time

import httpx
import pytest

from server.series import Row, SeriesError
from server.series.influx import InfluxStore

T0 = 1_760_000_000_000


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    program = shutil.which("victoria-metrics")
    if program is None:
        pytest.skip("victoria-metrics is not installed (Debian package victoria-metrics)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("victoria")
    arguments = ["-storageDataPath", str(folder), "-httpListenAddr", f"127.0.0.1:{port}", "-retentionPeriod=100y", "-memory.allowedBytes=256MB"]
    process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url, patience = f"http://127.0.0.1:{port}", time.monotonic() + 30
    while time.monotonic() < patience:
        try:
            httpx.get(f"{url}/health", trust_env=False).raise_for_status()
            break
        except httpx.HTTPError:
            time.sleep(0.05)
    yield url
    process.terminate()
    process.wait(20)


@pytest.fixture
def store(address):
    made = InfluxStore(address, bucket="archivewatch")
    yield made
    made.close()


def exported(address, name):
    """What VictoriaMetrics itself says it has: {point: [(time, value), …]}."""
    httpx.get(f"{address}/internal/force_flush", trust_env=False).raise_for_status()
    answer = httpx.get(f"{address}/api/v1/export", params={"match[]": name}, trust_env=False)
    answer.raise_for_status()
    series = [json.loads(line) for line in answer.text.splitlines()]
    return {each["metric"].get("point", ""): list(zip(each["timestamps"], each["values"], strict=True)) for each in series}


def test_every_sample_and_its_quality_arrive(store, address):
    rows = [Row(point, T0 + minute * 60_000, 20 + minute / 10, 2, T0 + minute * 60_000 + 700) for minute in range(300) for point in (1, 2, 300)]
    bad = Row(2, T0 + 300 * 60_000, None, 0, T0 + 300 * 60_000 + 5, 'crc "7"')
    assert store.write([*rows, bad], mark=41) == 901
    values, qualities = exported(address, "sample_v"), exported(address, "sample_q")
    assert {point: len(found) for point, found in values.items()} == {"1": 300, "2": 300, "300": 300}
    assert values["300"][7] == (T0 + 7 * 60_000, 20.7)
    assert qualities["2"][-1] == (T0 + 300 * 60_000, 0)  # the bad sample has a quality and no value
    assert exported(address, "sample_recv")["1"][0] == (T0, T0 + 700)
    assert [value for _, value in exported(address, "mark_id")[""]] == [41]


def test_writing_again_adds_nothing(store, address):
    rows = [Row(7, T0 + minute * 60_000, 1.5, 2, T0) for minute in range(50)]
    store.write(rows)
    store.write(rows)
    assert len(set(exported(address, 'sample_v{point="7"}')["7"])) == 50


def test_a_question_is_refused_and_not_answered_with_nothing(store):
    store.write([Row(9, T0, 1.5, 2, T0)])
    with pytest.raises(SeriesError, match="does not answer"):
        store.raw([9], T0, T0 + 1)
    with pytest.raises(SeriesError, match="does not answer"):
        store.mark()
