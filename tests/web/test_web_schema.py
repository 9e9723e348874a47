"""The interface keeps its own description: whatever the OpenAPI document allows is asked (and what it forbids), with fixed seeds.

No request may end in a fault of ours, every answer has a status and a shape that the document names. Ids in paths are those of the town in every
other request, so that the routes get something to chew on.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from server.web import rights
from tests.web import walk_routes
from tests.web.house import SERVICE_KEY
from tests.web.town import Town

LEFT_OUT = {
    "GET /api/v1/stream": "never ends",
    "DELETE /api/v1/session": "ends the session that all others use",
    "POST /api/v1/backups": "writes into whatever folder it is told",
    "POST /api/v1/history-exports": "writes into whatever folder it is told",
}
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path)
    yield made
    made.close()


class Asking:
    """Asks every operation; `faults` are sentences, `statuses` counts what came back."""

    def __init__(self, town: Town, examples: int, mode: GenerationMode) -> None:
        self._town, self._mode = town, mode
        self._settings = settings(
            max_examples=examples, derandomize=True, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        )
        self.faults: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.asked: set[str] = set()

    def all(self) -> None:
        """Every operation of the document but those of LEFT_OUT."""
        schema = schemathesis.openapi.from_dict(self._town.app.openapi())
        schema.app = self._town.app
        routes = {route.key: route for route in walk_routes.routes(self._town.app)}
        for found in schema.get_all_operations():
            operation = found.ok()
            key = f"{operation.method.upper()} {operation.path}"
            if key not in LEFT_OUT:
                self._one(key, operation, routes[key])

    def _one(self, key: str, operation: Any, route: walk_routes.Route) -> None:
        headers, place, turn = self._headers(route), self._town.places["own"], iter(range(1_000_000))

        @self._settings
        @given(case=operation.as_strategy(generation_mode=self._mode))
        def ask(case: Any) -> None:
            if next(turn) % 2 == 0:
                for name in case.path_parameters:
                    example = walk_routes.value(route, name, place)
                    case.path_parameters[name] = example[0] if isinstance(example, list) else example
            answer = case.call(headers=headers)
            self.statuses[answer.status_code] += 1
            self.asked.add(key)
            try:
                case.validate_response(answer, checks=CHECKS)
            except schemathesis.core.failures.FailureGroup as failures:
                self.faults += [f"{key} {answer.status_code}: {failure}" for failure in failures.exceptions]

        try:
            ask()
        except Unsatisfiable:
            assert self._mode is GenerationMode.NEGATIVE, f"{key}: nothing that the document allows can be made"

    def _headers(self, route: walk_routes.Route) -> dict[str, str]:
        """The person in charge at the top, signed in; a program's key where his role may not."""
        if all(rights.allows("in_charge", action) for action in route.actions):
            return {"cookie": f"aw_session={self._town.token('province-in_charge')}", "sec-fetch-site": "same-origin"}
        return {"authorization": f"Bearer {SERVICE_KEY}"}


def checked(town: Town, examples: int, mode: GenerationMode) -> Asking:
    """Ask, and fail with everything that was found."""
    asking = Asking(town, examples, mode)
    asking.all()
    assert asking.faults == [], "\n".join(asking.faults[:20])
    return asking


@pytest.mark.long
def test_the_interface_keeps_its_description(town: Town) -> None:
    asking = checked(town, 2, GenerationMode.POSITIVE)
    assert len(asking.asked) > 100
    assert asking.statuses[200] > 80, asking.statuses


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_the_interface_keeps_its_description_at_length(town: Town, mode: GenerationMode) -> None:
    assert len(checked(town, 12, mode).asked) > 60


def test_what_breaks_the_description_is_found(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    document = town.app.openapi()
    kept = document["paths"]["/api/v1/session"]["get"]
    kept["responses"]["200"]["content"]["application/json"]["schema"] = {"type": "integer"}
    monkeypatch.setitem(document, "paths", {"/api/v1/session": {"get": kept}})
    asking = Asking(town, 1, GenerationMode.POSITIVE)
    asking.all()
    assert any("GET /api/v1/session 200" in fault for fault in asking.faults)
