"""The control API of a simulated world: a few plain HTTP calls for people, tests and the demo. Listens on 127.0.0.1 and has no login on purpose.

GET /healthz, /state, /scenarios; POST /rooms/{code}/override, /rooms/{code}/trigger, /rooms/{code}/clear, /scenario, /faults, /relays.
Errors: 404 for an unknown room, 422 for anything else that makes no sense; both with {"detail": sentence}.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from contract.quantities import UnknownQuantityError
from simulators import scenario
from simulators.faults import Fault
from simulators.rooms import UnknownRoomError


class Override(BaseModel):
    """A value to force; null gives the point back to the physics."""

    quantity: str
    value: float | None
    over: float = Field(default=0.0, ge=0, description="seconds of the world until the value is reached")


class Trigger(BaseModel):
    """An incident of simulators.rooms.INCIDENTS; seconds of the world."""

    incident: str
    over: float | None = None
    lasts: float | None = None


class ScenarioCall(BaseModel):
    """A scenario to play."""

    name: str
    room: str = ""
    variant: str = ""
    parameters: dict[str, str | float] = Field(default_factory=dict)


class FaultCall(BaseModel):
    """A fault of a Modbus unit (bus and unit), an MQTT device (device) or a camera (camera); kind null ends it."""

    bus: str = ""
    unit: int | None = None
    device: str = ""
    camera: str = ""
    kind: str | None
    code: int = 4
    delay_ms: int | None = None
    probability: float | None = None
    count: int | None = None

    def fault(self) -> Fault | None:
        """For a Modbus unit. Raises FaultError."""
        if self.kind is None:
            return None
        return Fault(self.kind, self.code, self.delay_ms, self.probability, self.count)


class RelayCall(BaseModel):
    """A line to cut or mend."""

    name: str
    mode: str


class Controlled(Protocol):
    """What the API needs of a world."""

    def state(self) -> dict[str, Any]:
        """The truth about everything."""
        ...

    def ramp(self, room: str, quantity: str, to: float | None, over_ms: int) -> None:
        """Force or release a value."""
        ...

    def trigger(self, room: str, kind: str, over_ms: int | None, lasts_ms: int | None) -> None:
        """Begin an incident."""
        ...

    def clear(self, room: str) -> None:
        """End what was done to a room."""
        ...

    def play(self, name: str, room: str, variant: str = "", parameters: dict[str, Any] | None = None) -> scenario.Script:
        """Begin a scenario."""
        ...

    def unit_fault(self, bus: str, unit: int, fault: Fault | None) -> None:
        """Switch the fault of a Modbus unit."""
        ...

    def device_fault(self, name: str, kind: str | None) -> None:
        """Switch the fault of an MQTT device."""
        ...

    def camera_fault(self, name: str, kind: str | None) -> None:
        """Switch the fault of a camera."""
        ...

    def set_relay(self, name: str, mode: str) -> None:
        """Switch a line."""
        ...


def application(world: Controlled) -> FastAPI:
    """The ASGI application over a world."""
    app = FastAPI(title="ArchiveWatch simulated world", telemetry={"auto_configure": False}, docs_url=None, redoc_url=None)
    app.middleware("http")(_refusals)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/state")
    async def state() -> dict[str, Any]:
        return world.state()

    @app.get("/scenarios")
    async def scenarios() -> dict[str, Any]:
        return {name: scenario.load(name).get("title") for name in scenario.names()}

    @app.post("/rooms/{code}/override")
    async def override(code: str, body: Override) -> dict[str, Any]:
        world.ramp(code, body.quantity, body.value, round(body.over * 1000))
        return {"room": code, "quantity": body.quantity, "value": body.value}

    @app.post("/rooms/{code}/trigger")
    async def trigger(code: str, body: Trigger) -> dict[str, Any]:
        world.trigger(code, body.incident, _ms(body.over), _ms(body.lasts))
        return {"room": code, "incident": body.incident}

    @app.post("/rooms/{code}/clear")
    async def clear(code: str) -> dict[str, Any]:
        world.clear(code)
        return {"room": code}

    @app.post("/scenario")
    async def play(body: ScenarioCall) -> dict[str, Any]:
        script = world.play(body.name, body.room, body.variant, dict(body.parameters))
        steps = [{"at_ms": s.at, "room": s.room, "action": s.action, "details": s.details} for s in script.steps]
        return {"name": script.name, "room": script.room, "length_ms": script.length_ms, "steps": steps}

    @app.post("/faults")
    async def faults(body: FaultCall) -> dict[str, Any]:
        if body.device:
            world.device_fault(body.device, body.kind)
        elif body.camera:
            world.camera_fault(body.camera, body.kind)
        else:
            world.unit_fault(body.bus, -1 if body.unit is None else body.unit, body.fault())
        return {"kind": body.kind}

    @app.post("/relays")
    async def relays(body: RelayCall) -> dict[str, Any]:
        world.set_relay(body.name, body.mode)
        return {"name": body.name, "mode": body.mode}

    return app


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


async def _refusals(request: Request, proceed: Callable[[Request], Awaitable[Any]]) -> Any:
    """A sentence with the right status for what the world refuses."""
    try:
        return await proceed(request)
    except UnknownRoomError as error:
        return JSONResponse({"detail": str(error)}, 404)
    except (ValueError, UnknownQuantityError) as error:
        return JSONResponse({"detail": str(error)}, 422)
