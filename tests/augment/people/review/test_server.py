"""The review answers whoever knows the token, saves each verdict, and loses none."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mama_augment.balance.source.inputs import Inputs
from mama_augment.concepts import ConceptConfig
from mama_augment.core.errors import InputError
from mama_augment.core.store.audit import audit
from mama_augment.core.store.step_dir import StepDir
from mama_augment.people.review.config import SampleConfig
from mama_augment.people.review.open import open_session
from mama_augment.people.review.server import bind
from mama_augment.people.review.session import Session
from tests.augment.people.review.pages import TOKEN, answer, open_world, served, write_world
from tests.augment.worlds import clip, write_clips


@pytest.fixture
def world(tmp_path: Path) -> tuple[str, str]:
    return write_world(tmp_path / "world", 24, videos=1)


def opened(world: tuple[str, str], tmp_path: Path) -> Session:
    sizes = SampleConfig(meta=9, val=3)
    return open_world(world, tmp_path / "reviews", tmp_path / "scratch", sizes)


def rows(tmp_path: Path) -> list[dict[str, Any]]:
    step_dir = StepDir.open(str(tmp_path / "reviews"))
    return [row for table in step_dir.tables() for row in table.to_pylist()]


@pytest.mark.parametrize(
    ("path", "headers", "token", "status"),
    [
        ("/", {}, TOKEN, 200),
        ("/", {}, "", 401),
        ("/", {}, "a-tokem", 401),
        ("/review.js", {}, "", 401),
        ("/api/progress", {}, "x", 401),
        ("/frames/c000/0.jpg", {}, "x", 401),
        ("/videos/c000", {}, "x", 401),
        ("/api/progress", {"Host": "evil.example"}, TOKEN, 400),
        ("/api/progress", {"Origin": "http://evil.example"}, TOKEN, 403),
        ("/frames/c000/9.jpg", {}, TOKEN, 404),
        ("/frames/nobody/0.jpg", {}, TOKEN, 404),
        ("/videos/c003", {}, TOKEN, 404),
        ("/videos/..%2F..%2Fetc%2Fpasswd", {}, TOKEN, 404),
        ("/api/items/99", {}, TOKEN, 404),
        ("/api/browse?min_words=x", {}, TOKEN, 400),
        ("/api/browse?sort=price", {}, TOKEN, 400),
    ],
)
def test_only_who_is_meant_is_answered(
    path: str,
    headers: dict[str, str],
    token: str,
    status: int,
    world: tuple[str, str],
    tmp_path: Path,
) -> None:
    with served(opened(world, tmp_path)) as address:
        found, content = answer(address, path, token=token, **headers)
        assert found == status, content


def test_it_listens_on_this_machine_alone_and_a_taken_port_is_named() -> None:
    with bind(0) as bound:
        host, port = bound.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(InputError, match=f"--port is {port}"):
            bind(port)


def test_a_video_is_sent_in_parts(world: tuple[str, str], tmp_path: Path) -> None:
    whole = (tmp_path / "world/v0.mp4").read_bytes()
    with served(opened(world, tmp_path)) as address:
        assert answer(address, "/videos/c000")[1] == whole
        assert answer(address, "/videos/c000", Range="bytes=5-9") == (206, whole[5:10])


def test_the_sample_is_even_over_concepts_and_the_rarest_comes_first(
    world: tuple[str, str], tmp_path: Path
) -> None:
    session = opened(world, tmp_path)
    items = session.progress()["items"]
    assert [item["concept"] for item in items[:3]] == ["horse", "cat", "dog"]
    assert Counter(item["concept"] for item in items) == {"horse": 4, "cat": 4, "dog": 4}
    assert Counter(item["split"] for item in items) == {"meta": 9, "val": 3}
    clips = [session.item(item["number"])["clip_id"] for item in items]
    assert len(set(clips)) == 12


def test_a_video_serves_one_split(tmp_path: Path) -> None:
    shown = [clip(f"c{i}", f"a dog {i}", video=f"v{i // 3}.mp4") for i in range(12)]
    clips = write_clips(tmp_path / "clips", shown)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    config = SampleConfig(meta=3, val=3)
    inputs = Inputs.sort([clips])
    concepts = ConceptConfig(min_texts=1)
    session = open_session(inputs, str(tmp_path / "r"), config, concepts, scratch)
    asked = [session.item(i["number"]) for i in session.progress()["items"]]
    splits: dict[str, set[str]] = {}
    for item in asked:
        splits.setdefault(item["video_uri"], set()).add(item["split"])
    assert len(asked) == 6
    assert all(len(some) == 1 for some in splits.values())


def test_verdicts_are_on_the_disk_when_they_are_answered(
    world: tuple[str, str], tmp_path: Path
) -> None:
    with served(opened(world, tmp_path)) as address:
        item = answer(address, "/api/items/0")[1]
        for number, body in enumerate(
            [
                {"verdict": "accepted", "seconds": 1.5},
                {"verdict": "edited", "text": "  A horse rests. "},
                {"verdict": "rejected", "reason": "wrong"},
            ]
        ):
            assert answer(address, f"/api/items/{number}/verdict", body)[0] == 200
            assert len(rows(tmp_path)) == number + 1
        found = rows(tmp_path)
        assert [row["verdict"] for row in found] == ["accepted", "edited", "rejected"]
        assert [row["status"] for row in found] == ["ok", "ok", "rejected"]
        assert found[0]["text"] == found[0]["raw_text"] == item["raw_text"]
        assert (found[1]["text"], found[2]["text"]) == ("A horse rests.", None)
        ledger = audit(StepDir.open(str(tmp_path / "reviews")), deep=True)
        assert (ledger.num_in, ledger.num_ok, ledger.num_rejected) == (12, 2, 1)
        assert (ledger.num_pending, ledger.holds) == (9, True)
        # Judged again, and undone.
        answer(address, "/api/items/2/verdict", {"verdict": "accepted"})
        assert [row["verdict"] for row in rows(tmp_path)] == ["accepted", "edited", "accepted"]
        assert answer(address, "/api/undo", {})[1]["number"] == 2
        assert len(rows(tmp_path)) == 2
    # Opened again, as after a crash: all is there, and a second attempt replaces the first.
    with served(opened(world, tmp_path)) as address:
        progress = answer(address, "/api/progress")[1]
        assert [i["verdict"] for i in progress["items"][:3]] == ["accepted", "edited", None]
        answer(address, "/api/items/0/verdict", {"verdict": "rejected", "reason": "vague"})
    assert [row["verdict"] for row in rows(tmp_path)] == ["rejected", "edited"]
    assert audit(StepDir.open(str(tmp_path / "reviews")), deep=True).problems == ()


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"verdict": "maybe"}, "accepted, edited, rejected"),
        ({"verdict": "rejected"}, "wrong, incomplete"),
        ({"verdict": "rejected", "reason": "ugly"}, "wrong, incomplete"),
        ({"verdict": "edited", "text": "  "}, "blank"),
        ({"verdict": "edited", "text": "x" * 10_001}, "longer"),
        ({"verdict": ["accepted"]}, "texts"),
        ([], "object"),
    ],
)
def test_what_is_not_a_verdict_is_refused(
    body: Any, word: str, world: tuple[str, str], tmp_path: Path
) -> None:
    with served(opened(world, tmp_path)) as address:
        status, content = answer(address, "/api/items/0/verdict", body)
        assert status == 400
        assert word in content["error"]
    assert rows(tmp_path) == []


def test_browsing_filters_sorts_and_takes_a_text_in(world: tuple[str, str], tmp_path: Path) -> None:
    with served(opened(world, tmp_path)) as address:
        about = answer(address, "/api/about")[1]
        assert about["num_texts"] == 25
        assert [(c["name"], c["num_texts"]) for c in about["concepts"]] == [
            ("dog", 12),
            ("cat", 8),
            ("horse", 4),
        ]
        assert about["filters"]["status"] == ["ok", "rejected"]
        found = answer(address, "/api/browse?text=CAT&sort=text&descending=1")[1]
        assert found["total"] == 8
        texts = [row["text"] for row in found["rows"]]
        assert texts == sorted(texts, reverse=True)
        assert {tuple(row["concepts"]) for row in found["rows"]} == {("cat",)}
        assert answer(address, "/api/browse?concept=2")[1]["total"] == 4
        (rejected,) = answer(address, "/api/browse?status==rejected")[1]["rows"]
        assert (rejected["reason"], rejected["raw_text"]) == ("empty", "I cannot see it.")
        assert answer(address, "/api/browse?reason==")[1]["total"] == 24
        assert answer(address, "/api/browse?max_words=3")[1]["total"] == 0
        assert answer(address, "/api/browse?text=number%201.")[1]["total"] == 1
        pages = [answer(address, f"/api/browse?offset={o}")[1] for o in (0, 24)]
        assert [len(page["rows"]) for page in pages] == [24, 1]
        assert sorted(r["number"] for p in pages for r in p["rows"]) == list(range(25))
        number = answer(address, f"/api/texts/{rejected['number']}/ask", {})[1]["number"]
        assert number == 12
        answer(address, "/api/items/12/verdict", {"verdict": "edited", "text": "A dog."})
        assert answer(address, f"/api/texts/{rejected['number']}/ask", {})[1]["number"] == 12
        known = answer(address, "/api/browse?status==rejected")[1]["rows"][0]
        assert known["verdict"] == "edited"
    with served(opened(world, tmp_path)) as address:
        items = answer(address, "/api/progress")[1]["items"]
        assert (len(items), items[12]["verdict"], items[12]["split"]) == (13, "edited", None)


def test_a_review_of_other_clips_is_not_continued(world: tuple[str, str], tmp_path: Path) -> None:
    opened(world, tmp_path)
    other = write_clips(tmp_path / "other", [clip(f"d{i}", "a dog") for i in range(9)])
    inputs, scratch = Inputs.sort([other]), tmp_path / "scratch"
    with pytest.raises(InputError, match="a review of the clips in"):
        open_session(inputs, str(tmp_path / "reviews"), SampleConfig(), ConceptConfig(), scratch)
    with pytest.raises(InputError, match="holds the output of `mama-augment keyframes`"):
        open_session(inputs, other, SampleConfig(), ConceptConfig(), scratch)
