"""doctor, and a start with settings that cannot work: each says in a sentence what is wrong and what to do; nothing ends in a traceback."""

import json
from pathlib import Path

import pytest
import yaml

from server.cli import main
from server.store.session import Database
from server.store.tables import Journal, Unit
from tests.fresh import fresh

FAR = 4_000_000_000_000


@pytest.fixture
def site(tmp_path: Path, port_factory):
    """A folder with a migrated database, and what writes a server.yaml into it and runs a command with it."""
    (tmp_path / "data").mkdir()
    fresh(tmp_path / "data" / "archivewatch.db")
    base = {"data_dir": "data", "listen": f"127.0.0.1:{port_factory()}", "broker": {"port": port_factory()}}

    def run(*words: str, **changes) -> int:
        config = tmp_path / "server.yaml"
        config.write_text(yaml.safe_dump({**base, **changes}))
        return main([*words, "--config", str(config)])

    return run


def findings(site, capsys, **changes) -> tuple[int, dict[str, tuple[bool, str]]]:
    code = site("doctor", "--json", **changes)
    return code, {one["name"]: (one["ok"], one["sentence"]) for one in json.loads(capsys.readouterr().out)}


def test_what_is_missing_is_named_with_what_to_do(site, capsys):
    code, found = findings(site, capsys)
    assert code == 5
    assert {name for name, (ok, _) in found.items() if not ok} >= {"消息服务器", "通知", "服务"}
    assert "不会有人收到" in found["通知"][1]
    assert found["数据库"][0]
    assert found["规则"][0]


def test_a_real_broker_is_found(site, capsys, broker):
    assert findings(site, capsys, broker={"port": broker.port})[1]["消息服务器"][0]


@pytest.mark.parametrize(
    ("changes", "part", "words"),
    [
        ({"broker": {"password_file": "nothing-here"}}, "密码与证书文件", "nothing-here"),
        ({"broker": {"tls_ca": "no-authority.crt"}}, "密码与证书文件", "no-authority.crt"),
        ({"channels": [{"kind": "twilio_voice", "token_file": "no-token"}]}, "密码与证书文件", "no-token"),
        ({"channels": [{"kind": "webhook", "name": "desk"}]}, "通知", "base_url"),
        ({"escalation": "no-such.yaml"}, "通知", "no-such.yaml"),
        ({"rules": "no-rules.yaml"}, "规则", "no-rules.yaml"),
        ({"holidays": "no-days.txt"}, "节假日", "no-days.txt"),
        ({"series": {"kind": "influx", "url": "http://127.0.0.1:9"}}, "历史库", "没有应答"),
    ],
)
def test_a_setting_that_cannot_work_is_found_before_the_start(site, capsys, changes, part, words):
    ok, sentence = findings(site, capsys, **changes)[1][part]
    assert not ok
    assert words in sentence


def test_lines_that_name_a_unit_that_has_ended_are_found(site, capsys, tmp_path):
    db = Database(f"sqlite:///{tmp_path / 'data' / 'archivewatch.db'}")
    kept, merged, closed, unknown = "350102000000", "350103000000", "350104000000", "350199000000"
    with db.write() as session:
        for code, name, into in ((kept, "鼓楼分局", None), (merged, "台江分局", kept), (closed, "仓山分局", None)):
            ended = None if code == kept else 1
            session.add(Unit(code=code, parent=None, level=3, name=name, short_name=name[:4], merged_into=into, closed_at=ended))
    db.close()
    rule = "{{name: h{0}, kind: state, quantity: smoke, applies_to: {{unit: '{0}'}}, ladder: {{critical: {{equals: 1}}}}}}"
    (tmp_path / "own.yaml").write_text("# 350103000000 was here\nrules:\n" + "".join(f"  - {rule.format(code)}\n" for code in (kept, merged)))
    channel = {"kind": "webhook", "name": "desk", "base_url": "http://127.0.0.1:9", "to": ["350199000000"]}
    channels = [{**channel, "unit": closed}, {**channel, "name": "other", "unit": unknown}]
    ok, sentence = findings(site, capsys, rules="own.yaml", channels=channels)[1]["单位编号"]
    assert not ok
    assert "own.yaml 第 4 行：台江分局（350103000000）已并入 350102000000" in sentence, sentence
    assert "仓山分局（350104000000）已撤销" in sentence
    assert sentence.count("没有单位 350199000000") == 1, "a number that need not be a unit is left alone"
    assert sentence.count("行：") == 3
    ok, sentence = findings(site, capsys)[1]["单位编号"]
    assert ok
    assert "0 处" in sentence


def test_an_empty_password_is_no_password(site, capsys, tmp_path):
    (tmp_path / "empty").write_text("\n")
    ok, sentence = findings(site, capsys, broker={"password_file": "empty"})[1]["密码与证书文件"]
    assert (ok, "空的" in sentence) == (False, True)


def test_a_clock_behind_the_newest_record_is_found(site, capsys, tmp_path):
    assert findings(site, capsys)[1]["时钟"][0]
    db = Database(f"sqlite:///{tmp_path / 'data' / 'archivewatch.db'}")
    with db.write() as session:
        session.add(Journal(received_at=FAR, count=0, body=b""))
    db.close()
    ok, sentence = findings(site, capsys)[1]["时钟"]
    assert not ok
    assert "校时" in sentence


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"broker": {"password_file": "nothing-here"}}, "nothing-here"),
        ({"channels": [{"kind": "webhook", "name": "desk"}]}, "base_url"),
        ({"escalation": "no-such.yaml"}, "no-such.yaml"),
    ],
)
def test_a_start_that_cannot_work_ends_in_a_sentence(site, capsys, changes, words):
    assert site("serve", **changes) == 4
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


@pytest.mark.parametrize("kind", ["mosquitto", "nats"])
def test_no_broker_is_made_that_lets_anybody_in_as_the_server(site, capsys, tmp_path, kind):
    assert site("broker", "config", kind, "-o", str(tmp_path / "access")) == 4
    assert "password_file" in capsys.readouterr().err
    assert not (tmp_path / "access").exists()
    assert site("serve", gateways={"access": kind, "access_folder": "access"}) == 4
    assert not (tmp_path / "access").exists()


def test_further_anchor_folders_count_from_the_file(site, capsys, tmp_path):
    assert site("config", "show", anchor_folders=["mounted"]) == 0
    assert json.loads(capsys.readouterr().out)["anchor_folders"] == [str(tmp_path / "mounted")]
