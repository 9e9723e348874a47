"""Cameras over HTTP: pictures that decode and differ with the room, logins, and every way they fail."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Sequence

import httpx
import numpy as np
import pytest
from PIL import Image

from simulators.camera import CAMERA_FAULTS, Cameras, CameraSpec
from simulators.faults import FaultError
from simulators.picture import View, jpeg, render
from simulators.plant import Plant
from simulators.rooms import RoomSpec, UnknownRoomError
from simulators.serving import WebServer

NIGHT = 1_763_830_800_000  # a Sunday, nobody comes


def plant() -> Plant:
    return Plant([RoomSpec("R1"), RoomSpec("R2")], seed=1, start_ms=NIGHT)


def grey(body: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(body))
    image.load()
    return np.asarray(image.convert("L"), dtype=float)


def serve(cameras: Cameras, story: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async def run() -> None:
        server = WebServer(cameras.app)
        await server.start()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=10) as client:
            await story(client)
        await server.stop()

    asyncio.run(run())


def site(specs: Sequence[CameraSpec] = (CameraSpec("c1", "R1"), CameraSpec("c2", "R2"))) -> tuple[Cameras, Plant]:
    truth = plant()
    return Cameras(specs, truth, lambda: NIGHT), truth


def test_pictures_show_the_room() -> None:
    base = View("R1", "2026-11-22 18:30:00")
    normal = np.asarray(render(base), dtype=float)
    assert normal.shape == (360, 640, 3)

    def differs(view: View, box: tuple[slice, slice]) -> float:
        return float(np.abs(np.asarray(render(view), dtype=float)[box] - normal[box]).mean())

    door, floor, all_of_it = (slice(80, 280), slice(515, 600)), (slice(305, 345), slice(220, 440)), (slice(None), slice(None))
    assert differs(View("R1", base.clock, door_open=True), door) > 30
    assert differs(View("R1", base.clock, leak=True), floor) > 10
    assert differs(View("R1", base.clock, smoke=0.5), all_of_it) > 10
    assert differs(View("R1", base.clock, light=False), all_of_it) > 60
    assert differs(View("R1", base.clock, person=True), all_of_it) > 2
    assert differs(View("R1", "2026-11-22 18:31:00"), (slice(0, 30), slice(0, 220))) > 1
    assert differs(View("R2", base.clock), (slice(40, 300), slice(24, 470))) > 10
    assert np.array_equal(np.asarray(render(base), dtype=float), normal), "the same view is the same picture"


def test_spoilt_pictures_have_their_marks() -> None:
    def figures(view: View) -> tuple[float, float, float]:
        thumb = np.asarray(render(view).convert("L").resize((64, 36)), dtype=float)
        edges = np.abs(np.diff(thumb, axis=1)).mean()
        return float(thumb.mean()), float(thumb.std()), float(edges)

    normal = figures(View("R1", "x"))
    assert normal[1] > 20
    black, white, covered = (figures(View("R1", "x", **{k: True})) for k in ("black", "white", "covered"))
    assert black[0] < 12
    assert black[1] < 6
    assert white[0] > 245
    assert covered[1] < 8
    assert figures(View("R1", "x", blurred=True))[2] < normal[2] / 2
    assert len(jpeg(View("R1", "x"))) > 3000


def test_three_ways_to_a_picture_and_the_truth_in_it() -> None:
    cameras, truth = site()

    async def story(client: httpx.AsyncClient) -> None:
        bodies = {}
        for path in ("/c1/snapshot.jpg", "/snapshot.jpg", "/ISAPI/Streaming/channels/101/picture", "/ISAPI/Streaming/channels/201/picture"):
            reply = await client.get(path)
            assert reply.status_code == 200
            assert reply.headers["content-type"] == "image/jpeg"
            assert reply.content.endswith(b"\xff\xd9")
            bodies[path] = reply.content
        assert len(set(bodies.values())) == 4, "a living camera never repeats a picture"
        dark = grey(bodies["/c1/snapshot.jpg"])
        truth.override("R1", "illuminance", 200.0)
        assert grey((await client.get("/c1/snapshot.jpg")).content).mean() > dark.mean() + 40
        assert (await client.get("/c9/snapshot.jpg")).status_code == 404
        assert (await client.get("/ISAPI/Streaming/channels/301/picture")).status_code == 404
        assert (await client.get("/ISAPI/Streaming/channels/zero/picture")).status_code == 404

    serve(cameras, story)


def test_logins() -> None:
    specs = [CameraSpec("b", "R1", auth="basic", user="u", password="p"), CameraSpec("d", "R1", auth="digest", user="u", password="p")]
    cameras, _ = site(specs)

    async def story(client: httpx.AsyncClient) -> None:
        for name, auth in (("b", httpx.BasicAuth), ("d", httpx.DigestAuth)):
            path = f"/{name}/snapshot.jpg"
            refused = await client.get(path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith({"b": "Basic", "d": "Digest"}[name])
            assert (await client.get(path, auth=auth("u", "p"))).status_code == 200
            assert (await client.get(path, auth=auth("u", "wrong"))).status_code == 401
            assert (await client.get(path, auth=auth("other", "p"))).status_code == 401
        assert (await client.get("/b/snapshot.jpg", headers={"Authorization": "Basic ***"})).status_code == 401
        assert (await client.get("/d/snapshot.jpg", headers={"Authorization": "Digest x"})).status_code == 401

    serve(cameras, story)


def test_every_fault_shows() -> None:
    cameras, _ = site()

    async def story(client: httpx.AsyncClient) -> None:
        async def fetch(kind: str | None) -> httpx.Response:
            cameras.set_fault("c1", kind)
            return await client.get("/c1/snapshot.jpg")

        good = grey((await fetch(None)).content)
        assert grey((await fetch("black")).content).mean() < 12
        assert grey((await fetch("white")).content).mean() > 245
        assert grey((await fetch("covered")).content).std() < 8
        assert np.abs(np.diff(grey((await fetch("blurred")).content))).mean() < np.abs(np.diff(good)).mean() / 2
        assert np.corrcoef(grey((await fetch("moved")).content).ravel(), good.ravel())[0, 1] < 0.5
        assert (await fetch("frozen")).content == (await client.get("/c1/snapshot.jpg")).content
        assert (await fetch("error")).status_code == 500
        assert (await fetch("wrong_type")).headers["content-type"].startswith("text/html")
        broken = (await fetch("truncated")).content
        assert not broken.endswith(b"\xff\xd9")
        with pytest.raises(OSError, match="truncated"):
            grey(broken)
        cameras.set_fault("c1", "slow")
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/c1/snapshot.jpg", timeout=0.5)
        assert cameras.faults == {"c1": "slow"}
        assert (await fetch(None)).status_code == 200
        assert cameras.faults == {}

    serve(cameras, story)


def test_refuses_nonsense() -> None:
    cameras, _ = site()
    with pytest.raises(FaultError):
        cameras.set_fault("c1", "asleep")
    with pytest.raises(FaultError):
        cameras.set_fault("c9", CAMERA_FAULTS[0])
    with pytest.raises(ValueError, match="one name"):
        site([CameraSpec("c", "R1"), CameraSpec("c", "R2")])
    with pytest.raises(UnknownRoomError):
        site([CameraSpec("c", "R9")])
