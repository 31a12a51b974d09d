import asyncio
import json
import logging
from dataclasses import replace

import httpx
import pytest

from model.serving import router as router_module
from model.serving.entry import LONGEST_CONTENT_TYPE
from model.serving.router import Router, follow
from model.serving.settings import ACTIVE_FILE, RouterSettings, ask_switch, is_switched
from model.serving.upstream import Upstream as Connection

SETTINGS = RouterSettings(
    host="127.0.0.1",
    port=1,
    server="server-1",
    upstream="http://upstream",
    model="residual-mtl",
    max_body_bytes=1000,
    max_in_flight=2,
    retry_after_s=3,
    timeout_s=5.0,
)
URL = "/predictions/residual-mtl"
KEY = {"Authorization": "Bearer secret"}


class Upstream:
    """TorchServe as the router sees it; answers wait for `gate`."""

    def __init__(self):
        self.seen = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.status = 200
        self.headers = {"X-Model-Version": "7", "X-Data-Digest": "d"}

    async def __call__(self, request):
        self.seen.append(request)
        await self.gate.wait()
        return httpx.Response(self.status, json={"status": "Healthy", "faces": []}, headers=self.headers)


def talk(conversation):
    """Run `conversation(client, upstream)` against a router in this process."""

    async def run():
        upstream = Upstream()
        router = Router(SETTINGS, token="secret", upstream_token="inner")
        router._upstream.client._transport = httpx.MockTransport(upstream)
        transport = httpx.ASGITransport(router.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await conversation(client, upstream)

    return asyncio.run(run())


def test_a_request_goes_through_with_the_inner_token_and_as_octets():
    async def conversation(client, upstream):
        answer = await client.post(URL, content=b"x", headers={**KEY, "Content-Type": "application/json"})
        return answer, upstream.seen[0]

    answer, seen = talk(conversation)
    assert answer.status_code == 200
    assert (answer.headers["X-Model-Version"], answer.headers["X-Data-Digest"]) == ("7", "d")
    assert seen.headers["Authorization"] == "Bearer inner"
    assert seen.headers["Content-Type"] == "application/octet-stream"
    assert seen.headers["X-Body-Type"] == "application/json"


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer wrong", "Basic secret", "Bearer sécret"])
def test_a_wrong_token_never_reaches_the_model(given):
    """T44."""

    async def conversation(client, upstream):
        headers = {} if given is None else {"Authorization": given.encode()}
        return await client.post(URL, content=b"x", headers=headers), upstream.seen

    answer, seen = talk(conversation)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthorized"
    assert seen == []


def test_a_content_type_of_any_length_is_answered_and_a_long_one_never_reaches_the_model():
    """T37, T43: TorchServe would refuse it in its own words, which would count against a canary."""

    async def conversation(client, upstream):
        kinds = ["a" * LONGEST_CONTENT_TYPE, "a" * (LONGEST_CONTENT_TYPE + 1), "a" * 9000]
        answers = [await client.post(URL, content=b"x", headers={**KEY, "Content-Type": kind}) for kind in kinds]
        return answers, upstream.seen

    (allowed, *refused), seen = talk(conversation)
    assert allowed.status_code == 200
    assert [answer.status_code for answer in refused] == [400, 400]
    assert {answer.json()["error"]["code"] for answer in refused} == {"bad_request"}
    assert len(seen) == 1


@pytest.mark.parametrize("streamed", [False, True])
def test_a_large_body_is_refused_without_reading_it_all(streamed):
    sent = []

    async def pieces():
        for number in range(1000):
            sent.append(number)
            yield b"x" * 100

    async def conversation(client, upstream):
        headers = KEY if streamed else {**KEY, "Content-Length": "100000"}
        return await client.post(URL, content=pieces(), headers=headers), upstream.seen

    answer, seen = talk(conversation)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "body_too_large"
    assert seen == [] and len(sent) <= 1000


def test_requests_above_the_limit_are_told_to_come_back():
    async def conversation(client, upstream):
        upstream.gate.clear()
        waiting = [asyncio.create_task(client.post(URL, content=b"x", headers=KEY)) for _ in range(2)]
        while len(upstream.seen) < 2:
            await asyncio.sleep(0.01)
        refused = await client.post(URL, content=b"x", headers=KEY)
        upstream.gate.set()
        served = [task.status_code for task in await asyncio.gather(*waiting)]
        return refused, served, await client.post(URL, content=b"x", headers=KEY)

    refused, served, after = talk(conversation)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "3")
    assert refused.json()["error"]["code"] == "overloaded"
    assert served == [200, 200] and after.status_code == 200


def test_answers_of_torchserve_itself_become_overloaded():
    async def conversation(client, upstream):
        upstream.status, upstream.headers = 500, {}
        return await client.post(URL, content=b"x", headers=KEY)

    answer = talk(conversation)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "overloaded"


def test_errors_of_the_handler_keep_their_status():
    async def conversation(client, upstream):
        upstream.status = 413
        return await client.post(URL, content=b"x", headers=KEY)

    assert talk(conversation).status_code == 413


def test_other_addresses_answer_in_json():
    async def conversation(client, upstream):
        return [await client.get("/models"), await client.get(URL), await client.post("/predictions/../x")]

    answers = talk(conversation)
    assert [answer.status_code for answer in answers] == [404, 405, 404]
    assert answers[1].headers["Allow"] == "POST"
    assert all(answer.json()["error"]["code"] == "bad_request" for answer in answers)


def test_ping_tells_whether_the_model_is_ready():
    async def conversation(client, upstream):
        ready = await client.get("/ping")
        upstream.status = 500
        return ready.status_code, (await client.get("/ping")).status_code

    assert talk(conversation) == (200, 503)


def write_files(folder, settings, token="secret"):
    (folder / settings.server).mkdir(exist_ok=True)
    (folder / settings.server / "key_file.json").write_text(
        json.dumps({"inference": {"key": f"inner {settings.server}"}})
    )
    (folder / "client_token").write_text(token)
    (folder / "router.json").write_text(json.dumps(settings.to_json()))


@pytest.fixture
def servers(monkeypatch):
    """Two TorchServes by address, and routers ask them."""
    servers = {"http://upstream": Upstream(), "http://next": Upstream()}
    servers["http://next"].headers = {"X-Model-Version": "8", "X-Data-Digest": "d"}

    def connect(url, token, **limits):
        connection = Connection(url, token, **limits)
        connection.client._transport = httpx.MockTransport(servers[url])
        return connection

    monkeypatch.setattr(router_module, "Upstream", connect)
    return servers


def test_a_switch_sends_on_what_comes_and_waits_for_what_was_asked(tmp_path, servers):
    """T42: the answer under way comes from the former server, the next one from the new, and none is lost."""

    async def conversation():
        router = Router(SETTINGS, token="secret", upstream_token="inner")
        former, coming = servers.values()
        former.gate.clear()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(router.app), base_url="http://test") as client:
            first = asyncio.create_task(client.post(URL, content=b"x", headers=KEY))
            while not former.seen:
                await asyncio.sleep(0)
            write_files(tmp_path, replace(SETTINGS, server="server-2", upstream="http://next"), token="another")
            mark = ask_switch(tmp_path)
            following = asyncio.create_task(follow(router, tmp_path))
            while router._settings.server == "server-1":
                await asyncio.sleep(0)
            assert (await client.post(URL, content=b"x", headers=KEY)).status_code == 401
            second = await client.post(URL, content=b"x", headers={"Authorization": "Bearer another"})
            assert not is_switched(tmp_path, mark)
            former.gate.set()
            await asyncio.wait_for(following, 5)
            assert is_switched(tmp_path, mark)
            return (await first).headers, second.headers, coming.seen[0].headers

    first, second, asked = asyncio.run(conversation())
    assert (first["X-Model-Version"], second["X-Model-Version"]) == ("7", "8")
    assert asked["Authorization"] == "Bearer inner server-2"


@pytest.mark.parametrize("first_ended", ["former", "coming"])
def test_a_switch_that_is_backed_out_waits_for_the_server_that_it_leaves(first_ended, tmp_path, servers):
    """T43: what the switch before it waits for ends first, or last; the next server may be closed only afterwards."""

    async def conversation():
        router = Router(SETTINGS, token="secret", upstream_token="inner")
        ends = dict(zip(("former", "coming"), servers.values(), strict=True))
        asked, following = [], []
        async with httpx.AsyncClient(transport=httpx.ASGITransport(router.app), base_url="http://test") as client:
            for settings, side in (
                (replace(SETTINGS, server="server-2", upstream="http://next"), ends["former"]),
                (SETTINGS, ends["coming"]),
            ):
                side.gate.clear()
                asked.append(asyncio.create_task(client.post(URL, content=b"x", headers=KEY)))
                while not side.seen:
                    await asyncio.sleep(0)
                write_files(tmp_path, settings)
                mark = ask_switch(tmp_path)
                following.append(asyncio.create_task(follow(router, tmp_path)))
                while router._settings.server != settings.server:
                    await asyncio.sleep(0)
            ends.pop(first_ended).gate.set()
            done, _ = await asyncio.wait(following, return_when="FIRST_COMPLETED", timeout=5)
            told = is_switched(tmp_path, mark)
            for side in ends.values():
                side.gate.set()
            await asyncio.gather(*following, *asked)
            return len(done), told, is_switched(tmp_path, mark)

    assert asyncio.run(conversation()) == (1, first_ended == "coming", True)


def test_a_router_of_a_former_version_is_understood(tmp_path):
    """It names the server alone."""
    mark = ask_switch(tmp_path)
    assert not is_switched(tmp_path, mark)
    (tmp_path / ACTIVE_FILE).write_text("server-2")
    assert is_switched(tmp_path, mark)
    assert not is_switched(tmp_path, ask_switch(tmp_path))


@pytest.mark.parametrize(("size", "status"), [(1, 503), (100_000, 200)])
def test_an_endpoint_that_answers_nothing_is_not_ready(size, status, monkeypatch):
    """T41: a large request may take its time."""
    monkeypatch.setattr("model.serving.upstream.SILENCE_S", 0.05)
    monkeypatch.setattr("model.serving.upstream.SLOWEST_BYTES_A_SECOND", 1000)

    async def conversation(client, upstream):
        before = await client.get("/ping")
        upstream.gate.clear()
        waiting = asyncio.create_task(client.post(URL, content=bytes(size), headers=KEY))
        await asyncio.sleep(0.2)
        pinging = asyncio.create_task(client.get("/ping"))
        await asyncio.sleep(0.1)
        upstream.gate.set()
        during = await pinging
        await waiting
        return [answer.status_code for answer in (before, during, await client.get("/ping"))]

    assert talk(conversation) == [200, status, 200]


@pytest.mark.parametrize("spoiled", ["router.json", "client_token", "server-1/key_file.json"])
def test_with_unreadable_files_all_stays_as_it_is(tmp_path, caplog, spoiled):
    write_files(tmp_path, SETTINGS)
    (tmp_path / spoiled).unlink()
    router = Router(SETTINGS, token="secret", upstream_token="inner")
    with caplog.at_level(logging.ERROR):
        asyncio.run(follow(router, tmp_path))
    assert "settings not taken over" in caplog.text
    assert not (tmp_path / ACTIVE_FILE).exists()
