"""Three hundred gateways come back within ten seconds after their server was killed; `benchmarks.reconnect` does it with a province of 1,300."""

import json

import pytest

from benchmarks import reconnect

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]


def test_after_a_kill_every_room_is_watched_again_with_no_false_alarm_and_none_lost(tmp_path, capsys):
    found = reconnect.measure(tmp_path, 300)
    with capsys.disabled():
        print(f"\nsoak: {json.dumps(found, ensure_ascii=False)}", flush=True)
    assert found["wrong"] == {}
