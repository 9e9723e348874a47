"""Life signs, for whoever supervises the server. Counts only, nothing that identifies a place, so no sign-in."""

from typing import Literal

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from server.web.auth import ServicesOf
from server.web.routers import bare_router

router = bare_router("health")


class Health(BaseModel):
    """Alive."""

    status: Literal["ok"]


class Readiness(BaseModel):
    """Whether the server can do its work, and what keeps it from that."""

    status: Literal["ready", "not_ready"]
    reasons: dict[str, str]


@router.get("/healthz", operation_id="health")
async def alive() -> Health:
    """The process answers; nothing else is asked."""
    return Health(status="ok")


@router.get("/readyz", operation_id="readiness", responses={503: {"model": Readiness, "description": "not ready"}})
def ready(response: Response, services: ServicesOf) -> Readiness:
    """503 with reasons while some part is not ready."""
    reasons = dict(services.ready())
    response.status_code = 503 if reasons else 200
    return Readiness(status="not_ready" if reasons else "ready", reasons=reasons)


@router.get("/metrics", operation_id="metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(services: ServicesOf) -> Response:
    """Prometheus text format."""
    return Response(generate_latest(services.registry), media_type=CONTENT_TYPE_LATEST)
