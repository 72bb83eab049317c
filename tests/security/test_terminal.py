"""Texts, names and concepts of a stranger on a terminal and in pages: shown, and never obeyed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mama_augment.core.shared.page import ACTED_UPON, Section, page
from mama_augment.core.shared.say import shown
from tests.augment.worlds import caption, clip, write_captions, write_clips

EVIL = (
    "a dog[/b][link=http://evil.example]x[/link] \x1b[2J\x1b[8m\x1b]52;c;cm0gLXJmIH4=\x07"
    "\x1b]0;title\x07\x9b31m\r\u202egnp.exe\u2066 \u2028{{7*7}}<script>alert(1)</script>"
)
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028]")
LINES = """
import sys
from mama_augment.cli import main as augment
from mama_train.cli import main as train
from mama_augment.core.shared import say
import json
for words in json.loads(sys.argv[1]):
    sys.argv = words
    try:
        (augment if words[0] == "mama-augment" else train)()
    except SystemExit as end:
        print("\\nEXIT", end.code or 0, words[1], flush=True)
    say.configure()
"""


@given(st.text(max_size=80))
def test_nothing_that_is_shown_is_obeyed(text: str) -> None:
    assert not OBEYED.search(shown(text))
    html = page(text, [Section(title="s", html="<p>x</p>")], made_by="a test", lead="x")
    assert not ACTED_UPON.search(html)


def test_every_command_shows_a_strangers_rows(tmp_path: Path) -> None:
    """Ids, texts, sources, paths, reasons and concepts of the worst kind, through one after the
    other; what they say is there, and no escape, no markup and no traceback."""
    evil_id = f"id {EVIL}"
    rows = [
        clip(f"{evil_id} {n}", (f"{EVIL} {n % 3}", EVIL, True), video=f"{EVIL}{n}.mp4")
        for n in range(12)
    ]
    clips = write_clips(tmp_path / "clips", rows)
    said = [caption(row["clip_id"], 0, EVIL, model=EVIL, prompt_name=EVIL) for row in rows]
    captions = write_captions(tmp_path / "captions", said)
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("dog\nexe\n")
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(json.dumps({"video": f"{EVIL}.mp4", "clip_id": evil_id, "text": EVIL}))
    shards, out = str(tmp_path / "shards"), str(tmp_path / "keyframes")
    concepts = ["--concepts", "vocabulary", "--vocabulary", str(vocabulary)]
    commands = [
        ["keyframes", str(manifest), "--out", out],
        ["status", out],
        ["inspect", clips],
        ["status", captions],
        ["concepts", clips, *concepts],
        ["plan", clips, "--budget", "20", "--out", str(tmp_path / "plan.parquet"), *concepts],
        ["balance", clips, captions, "--out", shards, "--dry-run", *concepts],
        ["balance", clips, captions, "--out", shards, *concepts],
        ["validate", shards, "--clips", clips],
        ["report", clips, captions, shards, "--out", str(tmp_path / "report.html")],
        ["status", f"nowhere {EVIL}".replace("\x00", "")],
    ]
    lines = [["mama-augment", *words] for words in commands]
    lines.append(["mama-train", "run", f"nowhere {EVIL}"])
    lines.append(["mama-train", "eval", f"nowhere {EVIL}", shards])
    result = subprocess.run(
        [sys.executable, "-c", LINES, json.dumps(lines)],
        env={**os.environ, "COLUMNS": "2000"},
        capture_output=True,
        text=True,
    )
    printed = result.stdout + result.stderr
    assert printed.count("EXIT") == len(lines), printed[-2000:]
    codes = set(re.findall(r"EXIT (\d+)", printed))
    assert codes <= {"0", "1", "2"}, printed
    assert "Traceback" not in printed, printed
    found = OBEYED.search(printed.replace("\n", ""))
    assert found is None, printed[max(0, found.start() - 200) : found.start() + 50]
    assert "[/b]" in printed
    assert "evil.example" in printed
    html = (tmp_path / "report.html").read_text()
    assert not OBEYED.search(html.replace("\n", "").replace("\u2028", ""))
    assert "<script>" not in html
    assert "{{7*7}}" in html


def test_pages_show_what_would_turn_them_around() -> None:
    html = page("a\u202eb", [Section(title="\x1b[2J", html="<p>\x07</p>")], made_by="a test")
    assert "a\\u202eb" in html
    assert "\\x1b[2J" in html
    assert "<p>\\x07</p>" in html


@pytest.mark.parametrize(
    "text", ["\u05e9\u05dc\u05d5\u05dd \u200f!", "e\u0301", "\U0001f469\u200d\U0001f4bb"]
)
def test_other_scripts_and_emoji_stay_in_pages(text: str) -> None:
    assert text in page("x", [Section(title="s", html=f"<p>{text}</p>")], made_by="a test")
