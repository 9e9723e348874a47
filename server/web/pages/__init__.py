"""The screens: what people see in a browser. They read the same stores as the API and send commands through the same door."""

from fastapi import APIRouter

from server.web.pages import actions, alarms, board, incidents, lists, room, sign_in


def router() -> APIRouter:
    """All pages."""
    whole = APIRouter(include_in_schema=False)
    for module in (sign_in, board, room, alarms, actions, incidents, lists):
        whole.include_router(module.router)
    return whole
