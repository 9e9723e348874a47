"""Life signs, for whoever supervises the server. Nothing that identifies a place, so no sign-in; counts go to known addresses alone."""

from typing import Literal

from fastapi import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from server.store import audit
from server.web import whence
from server.web.auth import ServicesOf
from server.web.problems import ProblemDocument, ProblemError
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


@router.get(
    "/metrics", operation_id="metrics", response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, 403: {"model": ProblemDocument, "description": "not an address of `metrics_networks`"}},
)  # fmt: skip
def metrics(request: Request, services: ServicesOf) -> Response:
    """Prometheus text format, for this machine and the networks of `metrics_networks`. Raises ProblemError 403."""
    settings = services.settings
    peer = request.client.host if request.client else ""
    # A proxy on this machine that nobody named brings the outside in under our own address.
    unnamed = "x-forwarded-for" in request.headers and not whence.is_trusted(peer, settings.trusted_proxies)
    if unnamed or not whence.is_trusted(audit.origin().address, settings.metrics_networks):
        raise ProblemError(403, "运行指标只给本机和 metrics_networks 里的地址。")
    return Response(generate_latest(services.registry), media_type=CONTENT_TYPE_LATEST)
