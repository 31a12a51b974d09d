"""The router with a challenger beside the champion; both servers are stood in for."""

import asyncio
import json
import logging
from dataclasses import replace

import httpx
import pytest

from model.config import CanaryConfig
from model.serving import router as router_module
from model.serving.canary import Turns
from model.serving.router import Router, follow
from model.serving.settings import CanarySettings, parse_settings
from model.serving.upstream import Upstream as Connection
from tests.serving.test_comparison import answer, face
from tests.serving.test_router import KEY, URL
from tests.serving.test_router import SETTINGS as NARROW

LIMITS = CanaryConfig(min_requests=10, max_error_rate=0.2, max_disagreement=0.2, max_point_difference=0.1, shadow=0.5)
SETTINGS = replace(NARROW, max_in_flight=100)
CANARY = CanarySettings("server-2", "http://challenger", 0.25, LIMITS)
MANAGE = {"Authorization": "Bearer managing"}
TOKENS = {
    "token": "secret",
    "upstream_token": "inner",
    "management_token": "managing",
    "canary_token": "inner too",
}


class Model:
    """A TorchServe with one version; it answers, answers as TorchServe itself, or is gone."""

    def __init__(self, version, *faces):
        self.version, self.faces = version, faces
        self.seen = []
        self.mode = "answers"

    async def __call__(self, request):
        self.seen.append(request)
        if self.mode == "gone":
            raise httpx.ConnectError("refused")
        if self.mode == "busy":
            return httpx.Response(503, json={"code": 503})
        if self.mode == "slow":
            await asyncio.sleep(0.2)
        return httpx.Response(
            200, json=answer(*self.faces), headers={"X-Model-Version": self.version, "X-Data-Digest": "d"}
        )


class Endpoint:
    """A router in this process before two models."""

    def __init__(self, client, router, champion, challenger):
        self.client, self.router, self.champion, self.challenger = client, router, champion, challenger

    async def ask(self, number):
        """Versions that answered so many requests, one after the other."""
        answers = [await self.client.post(URL, content=b"x", headers=KEY) for _ in range(number)]
        assert [item.status_code for item in answers] == [200] * number
        return [item.headers["X-Model-Version"] for item in answers]

    async def report(self):
        """What is counted once nothing is under way."""
        while self.router._canary._tasks:
            await asyncio.sleep(0.01)
        found = await self.client.get("/management/canary", headers=MANAGE)
        assert found.status_code == 200
        return found.json()


@pytest.fixture
def talk(monkeypatch):
    """Runs `conversation(endpoint)`, by default against a challenger that answers as the champion does."""

    def start(conversation, *, canary=CANARY, challenger=None):
        models = {"http://upstream": Model("7", face()), "http://challenger": challenger or Model("8", face())}

        def connect(url, token, **limits):
            connection = Connection(url, token, **limits)
            connection.client._transport = httpx.MockTransport(models[url])
            return connection

        monkeypatch.setattr(router_module, "Upstream", connect)

        async def run():
            router = Router(replace(SETTINGS, canary=canary), **TOKENS)
            transport = httpx.ASGITransport(router.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await conversation(Endpoint(client, router, *models.values()))

        return asyncio.run(run())

    return start


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 1 / 3, 0.5, 0.7, 0.99])
def test_turns_keep_to_the_share_at_every_count(share):
    turns, chosen = Turns(share), 0
    for count in range(1, 1001):
        chosen += turns.choose()
        assert -1 - 1e-9 < chosen - count * share < 1e-9
    assert Turns(0).choose() is False
    assert Turns(1).choose() is True


def test_the_challenger_answers_its_share_and_says_so(talk):
    async def conversation(endpoint):
        return await endpoint.ask(200), await endpoint.report(), endpoint.challenger.seen[0]

    versions, report, seen = talk(conversation)
    assert (versions.count("8"), versions.count("7")) == (50, 150)
    assert versions[:8] == ["7", "7", "7", "8"] * 2
    assert (report["state"], report["reason"]) == ("running", None)
    assert seen.headers["Authorization"] == "Bearer inner too"


def test_shadowed_requests_reach_both_with_the_same_body_and_are_compared(talk):
    async def conversation(endpoint):
        await endpoint.ask(40)
        report = await endpoint.report()
        return report, [item.content for item in (*endpoint.champion.seen, *endpoint.challenger.seen)]

    moved = Model("8", face(shift=(3, 4)))
    report, bodies = talk(conversation, challenger=moved)
    assert (report["compared"], report["faces"], report["disagreement"]) == (20, 20, 0)
    assert report["point_difference"] == {"mean": pytest.approx(0.05), "max": pytest.approx(0.05)}
    # 40 answers to clients, 20 more to compare with them.
    assert report["champion"]["requests"] + report["challenger"]["requests"] == len(bodies) == 60
    assert set(bodies) == {b"x"}


def test_no_more_comparisons_are_begun_than_requests_may_be_under_way(talk):
    async def conversation(endpoint):
        endpoint.router._canary._most_shadows = 2
        endpoint.challenger.mode = "slow"
        await endpoint.ask(40)
        return await endpoint.report()

    assert talk(conversation, canary=replace(CANARY, share=0.01))["compared"] == 2


def test_no_client_waits_for_the_other_answer(talk):
    async def conversation(endpoint):
        endpoint.challenger.mode = "slow"
        answers = [await asyncio.wait_for(endpoint.ask(1), 0.15) for _ in range(3)]
        return answers, await endpoint.report()

    answers, report = talk(conversation, canary=replace(CANARY, share=0.01))
    assert answers == [["7"]] * 3
    assert report["compared"] == 1


@pytest.mark.parametrize("mode", ["gone", "busy"])
def test_the_champion_answers_for_a_challenger_that_does_not(talk, mode):
    async def conversation(endpoint):
        endpoint.challenger.mode = mode
        return await endpoint.ask(12), await endpoint.report()

    versions, report = talk(conversation)
    assert versions == ["7"] * 12
    assert report["challenger"]["errors"] == report["challenger"]["requests"] > 0
    assert report["champion"]["errors"] == 0


def test_a_champion_that_fails_is_made_up_for_where_both_were_to_answer_alone(talk):
    async def conversation(endpoint):
        endpoint.champion.mode = "busy"
        return [(await endpoint.client.post(URL, content=b"x", headers=KEY)).status_code for _ in range(4)]

    # By their turns: champion, champion with shadow, champion, challenger with shadow.
    assert talk(conversation) == [503, 200, 503, 200]


@pytest.mark.parametrize(
    ("challenger", "bound", "limit"),
    [
        (Model("8", face(top="sad")), "max_disagreement", 0.2),
        (Model("8", face(shift=(20, 0))), "max_point_difference", 0.1),
    ],
)
def test_a_challenger_beyond_a_bound_gets_nothing_any_more(talk, caplog, challenger, bound, limit):
    async def conversation(endpoint):
        before = await endpoint.ask(40)
        first = await endpoint.report()
        asked = len(challenger.seen)
        return before, first, await endpoint.ask(40), await endpoint.report(), len(challenger.seen) - asked

    with caplog.at_level(logging.WARNING):
        before, first, after, report, asked = talk(conversation, challenger=challenger)
    assert "8" in before
    assert first["state"] == "rolled_back"
    assert (after, asked) == (["7"] * 40, 0)
    assert report == first
    assert (report["compared"], report["reason"]["bound"], report["reason"]["limit"]) == (10, bound, limit)
    assert report["reason"]["found"] > limit
    assert f"challenger 8 gets no more requests: {bound} is" in caplog.text


def test_errors_alone_end_a_canary_without_a_failed_request(talk):
    async def conversation(endpoint):
        endpoint.challenger.mode = "gone"
        return await endpoint.ask(100), await endpoint.report()

    versions, report = talk(conversation)
    assert versions == ["7"] * 100
    assert report["state"] == "rolled_back"
    assert LIMITS.min_requests <= report["challenger"]["requests"] < 60
    assert report["reason"] == {"bound": "max_error_rate", "found": 1.0, "limit": 0.2}


def test_answers_that_cannot_be_compared_are_told_without_their_text(talk, caplog):
    class Odd(Model):
        async def __call__(self, request):
            await super().__call__(request)
            return httpx.Response(200, content=b"secret", headers={"X-Model-Version": "8", "X-Data-Digest": "d"})

    async def conversation(endpoint):
        await endpoint.ask(4)
        return await endpoint.report()

    with caplog.at_level(logging.DEBUG):
        report = talk(conversation, challenger=Odd("8"))
    assert report["compared"] == 0
    assert "answers that cannot be compared" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("headers", [{}, KEY, {"Authorization": "Bearer "}, {"Authorization": "Bearer wrong"}])
def test_the_report_is_not_for_clients(talk, headers):
    async def conversation(endpoint):
        return await endpoint.client.get("/management/canary", headers=headers)

    assert talk(conversation).status_code == 401


def test_without_a_management_token_nobody_gets_a_report():
    async def run():
        router = Router(SETTINGS, token="secret", upstream_token="inner")
        transport = httpx.ASGITransport(router.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/management/canary", headers={"Authorization": "Bearer "})

    assert asyncio.run(run()).status_code == 401


def test_files_begin_keep_and_end_a_canary(talk, tmp_path):
    """A router that reads the same files again goes on counting; without a canary in them the champion answers."""

    def write(canary):
        for server in ("server-1", "server-2"):
            (tmp_path / server).mkdir(exist_ok=True)
            (tmp_path / server / "key_file.json").write_text('{"inference": {"key": "inner"}}')
        (tmp_path / "client_token").write_text("secret")
        (tmp_path / "management_token").write_text("managing")
        (tmp_path / "router.json").write_text(json.dumps(replace(SETTINGS, canary=canary).to_json()))

    async def conversation(endpoint):
        write(CANARY)
        await follow(endpoint.router, tmp_path)
        begun = await endpoint.ask(8)
        await follow(endpoint.router, tmp_path)
        kept = await endpoint.report()
        write(None)
        await follow(endpoint.router, tmp_path)
        ended = await endpoint.ask(8)
        shown = await endpoint.client.get("/management/canary", headers=MANAGE)
        return begun, kept, ended, shown.json()

    begun, kept, ended, shown = talk(conversation, canary=None)
    assert begun.count("8") == 2
    assert kept["compared"] == 4
    assert ended == ["7"] * 8
    assert shown == {"state": "none"}


@pytest.mark.parametrize("canary", [None, CANARY])
def test_settings_survive_their_file(canary):
    settings = replace(SETTINGS, canary=canary)
    assert parse_settings(json.loads(json.dumps(settings.to_json()))) == settings
    assert ("canary" in settings.to_json()) == (canary is not None)
