"""The HTML report: its numbers are the files' numbers, it is self-contained, a browser likes it."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from mama_augment.balance.config import BalanceStep
from mama_augment.balance.keep.settings import BalanceConfig
from mama_augment.concepts import ConceptConfig
from mama_augment.core.errors import InputError
from mama_augment.core.shared.page import Section
from mama_augment.people.report.build import build_report, sort_directories
from mama_augment.runtime import RuntimeConfig
from tests.augment.steps import run_balance
from tests.augment.worlds import caption, clip, write_captions, write_clips, write_scores


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    path = tmp_path_factory.mktemp("report")
    (path / "phrases.txt").write_text("red\ngreen\nblue\nunseen")
    colours = ["red"] * 8 + ["green", "blue"]
    rows, captions = [], []
    for i in range(100):
        colour = colours[i % 10]
        text = (f"a <{colour}> ball & {i}", "human", True)
        rows.append(clip(f"c{i:02d}", text, num_frames=12 if i % 2 else 5))
        captions.append(caption(f"c{i:02d}", 0, f"the {colour} ball {i}" if i else None))
    clips = write_clips(path / "clips", rows)
    generated = write_captions(path / "captions", captions)
    vocabulary = ConceptConfig(assigner="vocabulary", vocabulary=str(path / "phrases.txt"))
    step = BalanceStep(concepts=vocabulary, balance=BalanceConfig(cap=30.0))
    run_balance(clips, [generated], str(path / "shards"), step, RuntimeConfig())
    return clips, generated, str(path / "shards")


def build(directories: tuple[str, str, str], path: Path, **options: object) -> str:
    clips, captions, shards = directories
    build_report(str(path), clips, [captions], shards, **options)  # type: ignore[arg-type]
    return path.read_text()


class Outline(HTMLParser):
    """Headings, images, ids and links of a page, and whether every tag is closed."""

    VOID = frozenset(("meta", "link", "img", "br", "line", "rect", "polyline"))

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[int] = []
        self.images: list[dict[str, str | None]] = []
        self.ids: list[str] = []
        self.hrefs: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "img":
            self.images.append(values)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.hrefs += [values["href"] or ""] if "href" in values else []

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag, (tag, self.getpos())


def test_the_page_is_well_formed_self_contained_and_readable_aloud(
    directories: tuple[str, str, str], tmp_path: Path
) -> None:
    extra = [Section(title="Loss & R@1", html="<p>x</p>")]
    page = build(directories, tmp_path / "report.html", extra_sections=extra)
    outline = Outline(page)
    assert outline.open == []
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    steps = zip(outline.headings, outline.headings[1:], strict=False)
    assert all(after - before <= 1 for before, after in steps)
    assert len(outline.ids) == len(set(outline.ids))
    assert all(image["alt"] for image in outline.images)
    assert {h[1:] for h in outline.hrefs if h.startswith("#")} <= set(outline.ids)
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert "Loss &amp; R@1" in page
    assert "<red>" not in page, "texts must be escaped"


def test_its_numbers_are_the_files_numbers(
    directories: tuple[str, str, str], tmp_path: Path
) -> None:
    page = re.sub(r"\s+", " ", build(directories, tmp_path / "report.html"))
    assert "From 100 videos to" in page
    assert re.search(r'<th scope="row">captions asked of the model</th><td>100</td>', page)
    assert re.search(r'<th scope="row">captions accepted</th><td>99</td>', page)
    assert "balance: <strong>head_dropped</strong>" in page
    assert "caption: <strong>empty</strong>, 1 rejected" in page
    assert "Never visited in training (1): unseen" in page
    assert re.search(r'<th scope="row">clips in the input</th><td>100</td>', page)
    assert "Clips of 100 videos have key frames" in page


def test_rare_samples_that_agree_little_are_marked(tmp_path: Path) -> None:
    rows = [clip(f"c{i}", "a dog" if i else "a cat") for i in range(30)]
    clips = write_clips(tmp_path / "clips", rows)
    (tmp_path / "words.txt").write_text("cat\ndog\n")
    found = {(f"c{i}", "a dog" if i else "a cat"): i / 100 for i in range(30)}
    step = BalanceStep(
        concepts=ConceptConfig(assigner="vocabulary", vocabulary=str(tmp_path / "words.txt")),
        balance=BalanceConfig(cap=float("inf")),
        scores=write_scores(tmp_path / "scores", found),
    )
    run_balance(clips, [], str(tmp_path / "shards"), step, RuntimeConfig())
    build_report(str(tmp_path / "r.html"), clips, [], str(tmp_path / "shards"))
    page = re.sub(r"\s+", " ", (tmp_path / "r.html").read_text())
    assert page.count("doubtful: agrees less") == 1
    assert re.search(r"doubtful: agrees less[^<]*</span>a cat</p>", page), "the rarest is wrong"


def test_rejected_captions_stand_with_their_frames_and_cleaned_ones_before_and_after(
    tmp_path: Path,
) -> None:
    rows = [clip(f"c{i}", "a red dog", video=f"/videos/holiday {i}.mp4") for i in range(6)]
    refused = {"status": "rejected", "reason": "refusal", "text": None}
    captions = [
        caption("c0", 0, "a dog runs", raw_text="Caption: a dog <runs>"),
        *(caption(f"c{i}", 0, None, raw_text=f"I cannot {i}") | refused for i in range(1, 5)),
        caption("c5", 0, "a dog"),
    ]
    clips = write_clips(tmp_path / "clips", rows)
    generated = write_captions(tmp_path / "captions", captions)
    step = BalanceStep(concepts=ConceptConfig(min_texts=1))
    run_balance(clips, [generated], str(tmp_path / "shards"), step, RuntimeConfig())
    page = build((clips, generated, str(tmp_path / "shards")), tmp_path / "report.html")
    assert page.count('<p class="rejected">') == 2, "two of a reason"
    assert "I cannot 1" in page
    assert "holiday 1.mp4 · clip c1" in page
    assert "Caption: a dog &lt;runs&gt;</td>" in page
    flat = re.sub(r"\s+", " ", page)
    assert '<td class="left">a dog runs</td>' in flat
    assert "mama-augment review" in page
    outline = Outline(page)
    alts = [image["alt"] for image in outline.images]
    assert len(set(alts)) == len(alts)
    assert all(image["src"].startswith("data:image/jpeg") for image in outline.images)  # type: ignore[union-attr]


def test_sample_grids_show_the_frames_in_order(
    directories: tuple[str, str, str], tmp_path: Path
) -> None:
    page = build(directories, tmp_path / "report.html")
    images = Outline(page).images
    uris = [i["src"] or "" for i in images if "rejected" not in (i["alt"] or "")]
    assert len(uris) == 3, "one clip for each concept that is visited"
    sizes = set()
    for uri in uris:
        data = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
        grid = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert grid is not None
        sizes.add(grid.shape)
    assert sizes <= {(360, 640, 3), (240, 640, 3)}


def test_directories_are_told_apart_by_what_they_hold(directories: tuple[str, str, str]) -> None:
    clips, captions, shards = directories
    inputs, found = sort_directories([shards, captions, clips])
    assert [d.folder.uri for d in (*inputs.dirs, found)] == [clips, captions, shards]
    with pytest.raises(InputError, match="exactly one"):
        sort_directories([clips, captions])


def test_texts_of_their_own_and_shared_wordings_are_counted_apart(tmp_path: Path) -> None:
    """Ten clips say one thing, four another, and three each something of their own."""
    texts = ["the man cooks"] * 10 + ["A dog!", "a dog", "the dog", "dog"]
    texts += ["one bird", "two birds", "three birds"]
    clips = write_clips(tmp_path / "clips", [clip(f"c{i}", text) for i, text in enumerate(texts)])
    step = BalanceStep(balance=BalanceConfig(cap=float("inf")))
    run_balance(clips, [], str(tmp_path / "shards"), step, RuntimeConfig())
    build_report(str(tmp_path / "r.html"), clips, [], str(tmp_path / "shards"))
    page = (tmp_path / "r.html").read_text()
    assert "3 of 17 training texts say what no other text says; the other 14 share 2 word" in page


def test_directories_that_do_not_belong_together_are_refused(
    directories: tuple[str, str, str], tmp_path: Path
) -> None:
    clips, captions, shards = directories
    out = str(tmp_path / "report.html")
    with pytest.raises(InputError, match=r"holds captions \(generated:tiny\), and no captions"):
        build_report(out, clips, [], shards)
    other = write_clips(tmp_path / "clips", [clip("c00", "a <red> ball & 0")])
    with pytest.raises(InputError, match="captions other clips than"):
        build_report(out, other, [captions], shards)
    more = write_captions(tmp_path / "more", [caption("c01", 1, "another red ball")])
    with pytest.raises(InputError, match="was not made from the clips and captions given"):
        build_report(out, clips, [captions, more], shards)
    again = str(tmp_path / "again")
    step = BalanceStep(balance=BalanceConfig(cap=30.0))
    run_balance(clips, [more, captions], again, step, RuntimeConfig())
    build_report(out, clips, [captions, more], again)
    assert Path(out).exists(), "captions may be given in any order"


@pytest.mark.parametrize("name", ["concepts.json", "stats.json"])
def test_a_lost_or_damaged_sidecar_is_a_clear_error(
    directories: tuple[str, str, str], tmp_path: Path, name: str
) -> None:
    clips, captions, shards = directories
    copy = tmp_path / "shards"
    shutil.copytree(shards, copy)
    (copy / name).write_text("{")
    with pytest.raises(InputError, match=rf"{name}' is damaged"):
        build_report(str(tmp_path / "r.html"), clips, [captions], str(copy))
    (copy / name).unlink()
    with pytest.raises(InputError, match=rf"{name}' is missing; run the same"):
        build_report(str(tmp_path / "r.html"), clips, [captions], str(copy))


@pytest.mark.slow
def test_headless_chromium_shows_it_without_a_console_message(
    directories: tuple[str, str, str], tmp_path: Path
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")

    def console_of(path: Path) -> list[str]:
        flags = "--headless --no-sandbox --disable-gpu --disable-background-networking"
        result = subprocess.run(
            [
                browser,
                *flags.split(),
                "--no-first-run",
                f"--user-data-dir={tmp_path / 'profile'}",
                "--enable-logging=stderr",
                "--dump-dom",
                path.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "</html>" in result.stdout
        return [line for line in result.stderr.splitlines() if ":CONSOLE" in line]

    broken = tmp_path / "broken.html"
    broken.write_text('<!doctype html><html><body><img src="nowhere.png"><script>x()</script>')
    assert console_of(broken), "the check must be able to fail"
    build(directories, tmp_path / "report.html")
    assert console_of(tmp_path / "report.html") == []
