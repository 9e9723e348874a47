"""A rule of an operator's file that names no source says whose it is."""

from server import from_settings
from server.settings import Settings
from server.web.i18n import Words

OWN = """
rules:
  - name: damp
    kind: threshold
    quantity: humidity
    ladder: {alarm: {above: 65}}
    by_medium: {film: {ladder: {alarm: {above: 50}}}}
  - {name: hot, kind: threshold, quantity: temperature, ladder: {alarm: {above: 30}}, source: "DA/T 84"}
"""


def test_a_rule_of_the_operators_file_says_so(tmp_path):
    file = tmp_path / "ours.yaml"
    file.write_text(OWN, "utf-8")
    rules = {rule.name: rule for rule in from_settings.rules(Settings(rules=file)).rules}
    assert rules["damp"].source == "单位自定规则文件 ours.yaml"
    assert rules["damp"].variant("film").source == "单位自定规则文件 ours.yaml"
    assert Words("en").source(rules["damp"].source) == "Own rule file ours.yaml"
    assert Words("zh").source(rules["damp"].source) == rules["damp"].source
    assert rules["hot"].source == "DA/T 84"
    assert all(rule.source for rule in from_settings.rules(Settings()).rules)
