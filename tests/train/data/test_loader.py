"""From shards to batches: decoding, workers, positions, sources."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mama_train.data.batch import Batch, keys, same_text
from mama_train.data.config import DataConfig
from mama_train.data.frames import augment, choose_frames, decode_frames
from mama_train.data.index import read_index
from mama_train.data.loader import Loader, Position
from mama_train.data.rows import all_agreements, all_texts
from mama_train.models.specs import FrameSpec
from mama_train.models.tokenizer import TextTokenizer
from tests.train.shards_helper import NAMES, frames_of, write_shards

SPEC = FrameSpec(num_frames=3, size_px=16)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"), {"train": 40}, row_group=5)


def loader(shards: Path, **changes: Any) -> Loader:
    index = read_index(str(shards), "train")
    tokenizer = TextTokenizer.of_words(all_texts(index), max_tokens=12)
    fields: dict[str, Any] = {"batch_size": 8, "window_clips": 10, "augment": 0.0, "cache_bytes": 0}
    return Loader(index, SPEC, tokenizer, {0: 5}, DataConfig(**fields | changes), seed=0)


def decode_clip(files: list[bytes], spec: FrameSpec, clip_id: str) -> Any:
    which = choose_frames(len(files), spec.num_frames)
    return decode_frames(files, which, spec, clip_id=clip_id)


def same(a: Batch, b: Batch) -> bool:
    return a.clip_ids == b.clip_ids and all(
        torch.equal(x, y)
        for x, y in (
            (a.video, b.video),
            (a.input_ids_BS, b.input_ids_BS),
            (a.text_key_B, b.text_key_B),
        )
    )


def test_streamed_by_workers_is_the_same_as_from_memory(shards: Path) -> None:
    memory = list(islice(loader(shards, cache_bytes=2**30, augment=0.1).batches(), 14))
    for workers in (0, 2):
        streamed = loader(shards, num_workers=workers, augment=0.1)
        assert not streamed.in_memory
        found = list(islice(streamed.batches(), 14))
        assert all(p == q and same(a, b) for (p, a), (q, b) in zip(memory, found, strict=True))


def test_workers_are_started_once_and_draw_nothing_from_the_steps(shards: Path) -> None:
    """Over three epochs of ten batches, and from any position."""
    alone = list(islice(loader(shards, batch_size=9, augment=0.1).batches(), 30))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    for start in (None, 12):
        first = Position() if start is None else alone[start - 1][0]
        found = loader(shards, batch_size=9, num_workers=2, prefetch_factor=3, augment=0.1)
        batches = found.batches(first)
        seen = [next(batches)]
        workers = {process.pid for process in multiprocessing.active_children()}
        assert len(workers) == 2
        seen += islice(batches, 29 - (start or 0))
        assert {process.pid for process in multiprocessing.active_children()} == workers
        for (position, batch), (expected, of_one) in zip(seen, alone[start or 0 :], strict=True):
            assert position == expected
            assert same(batch, of_one)
        del batches
        assert not multiprocessing.active_children()
    assert torch.equal(torch.get_rng_state(), state)


def test_workers_leave_ctrl_c_to_their_process(shards: Path) -> None:
    """A terminal sends SIGINT to them too; without them the step could not be finished."""
    batches = loader(shards, num_workers=1).batches()
    next(batches)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGINT)
    for _ in islice(batches, 6):
        assert worker.is_alive()


def test_an_epoch_without_visits_is_an_error(shards: Path) -> None:
    human = loader(shards, human_share=0.0)
    human.index = human.index.only("human")
    with pytest.raises(ValueError, match=r"no train captions to visit \(human_share 0.0"):
        next(human.batches())


def test_continuing_from_any_position_gives_the_rest(shards: Path) -> None:
    whole = list(islice(loader(shards).batches(), 24))  # more than two epochs of ten batches
    for i in (0, 4, 9, 13, 19):
        rest = list(islice(loader(shards).batches(whole[i][0]), 4))
        expected = whole[i + 1 : i + 5]
        assert all(p == q and same(a, b) for (p, a), (q, b) in zip(rest, expected, strict=True))
    assert whole[9][0] == Position(epoch=1)


def test_continuing_takes_the_carried_visits_along(shards: Path) -> None:
    """80 captions in batches of 7: three are left over, and open the next epoch."""
    whole = list(islice(loader(shards, batch_size=7).batches(), 40))
    assert {len(batch) for _, batch in whole} == {7}
    assert {len(position.carried) for position, _ in whole} == {0, 3, 6}
    for i in (3, 10, 11, 25, 33):
        stored = json.loads(json.dumps(dataclasses.asdict(whole[i][0])))
        rest = list(islice(loader(shards, batch_size=7).batches(Position.of_json(stored)), 3))
        expected = whole[i + 1 : i + 4]
        assert all(p == q and same(a, b) for (p, a), (q, b) in zip(rest, expected, strict=True))


def test_batches_by_concept_are_of_the_captions_concepts(shards: Path) -> None:
    found = loader(shards, batches="by-concept", batch_size=8, window_clips=40)
    texts = [batch.text_key_B.tolist() for _, batch in islice(found.batches(), 5)]
    plain = [batch.text_key_B.tolist() for _, batch in islice(loader(shards).batches(), 5)]
    assert np.mean([len(set(t)) for t in texts]) < np.mean([len(set(t)) for t in plain])


def test_weighted_visits_are_as_many_as_the_probabilities_say(tmp_path: Path) -> None:
    made = write_shards(tmp_path / "made", {"train": 200})
    for path in sorted((made / "train").glob("*.parquet")):
        table = pq.read_table(path)
        rows = table["captions"].to_pylist()
        for i, captions in enumerate(rows):
            for caption in captions:
                caption["keep_probability"] = 1.0 if i % 2 else 0.25
        place = table.schema.get_field_index("captions")
        column = pa.array(rows, table.schema.field("captions").type)
        pq.write_table(table.set_column(place, table.schema.field(place), column), path)
    found = loader(made, visit="weighted", batch_size=8, remainder="drop")
    keep = found.keep_C
    assert keep is not None
    visits = np.zeros(len(keep))
    place_of = {
        (c, j): i
        for i, (c, j) in enumerate(
            zip(found.index.clip_C.tolist(), found.index.caption_C.tolist(), strict=True)
        )
    }
    for epoch in range(30):
        for c, j in found.epoch(epoch).visits.tolist():
            visits[place_of[c, j]] += 1
    rates = [visits[keep == p].mean() / 30 for p in (0.25, 1.0)]
    # A batch of 8 may be left over in each epoch, of about 125 visits or more.
    assert rates[0] == pytest.approx(0.25, abs=0.03)
    assert rates[1] > 0.9
    assert found.epoch(0).visits.tolist() != found.epoch(1).visits.tolist()
    again = loader(made, visit="weighted", batch_size=8, remainder="drop")
    assert again.epoch(3).visits.tolist() == found.epoch(3).visits.tolist()


def test_a_process_without_rows_has_one_empty_chunk(shards: Path) -> None:
    _, batch = next(loader(shards).batches())
    nothing = dataclasses.replace(
        batch,
        video=batch.video[:0],
        input_ids_BS=batch.input_ids_BS[:0],
        mask_BS=batch.mask_BS[:0],
    )
    assert [len(part) for part in nothing.chunks(3)] == [0]
    assert [len(part) for part in batch.chunks(3)] == [3, 3, 2]


def test_a_row_group_is_read_once_per_epoch(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    read: list[int] = []
    original = pq.ParquetFile.read_row_group

    def counted(self: Any, number: int, **kwargs: Any) -> Any:
        read.append(number)
        return original(self, number, **kwargs)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    streamed = loader(shards)
    list(islice(streamed.batches(), len(streamed.epoch(0))))
    assert len(read) == len(streamed.index.groups)


def test_frames_are_spread_evenly_and_repeated_when_few() -> None:
    rng = np.random.default_rng(0)
    files = frames_of("red left", rng, 5)
    clip = decode_clip(files, SPEC, clip_id="c")
    assert clip.shape == (3, 16, 16, 3)
    alone = [decode_clip([f], SPEC, clip_id="c")[0] for f in files]
    assert all(np.array_equal(clip[i], alone[j]) for i, j in enumerate((0, 2, 4)))
    assert (decode_clip(files[:1], SPEC, clip_id="c") == alone[0]).all()
    assert clip[0, ..., 0].max() > 180 > clip[0, ..., 2].max()  # red is first: RGB


def test_crop_keeps_the_middle_and_stretch_keeps_all() -> None:
    import cv2

    image = np.zeros((40, 20, 3), np.uint8)
    image[:8] = 255
    jpeg = [cv2.imencode(".jpg", image)[1].tobytes()]
    crop = decode_clip(jpeg, FrameSpec(num_frames=1, size_px=16), clip_id="c")
    stretch = decode_clip(jpeg, FrameSpec(num_frames=1, size_px=16, fit="stretch"), clip_id="c")
    assert crop.max() < 60
    assert stretch[0, 0].min() > 200


def test_drawn_frames_are_one_of_each_stretch() -> None:
    drawn = {tuple(choose_frames(12, 6, draw).tolist()) for draw in range(200)}
    assert len(drawn) > 30
    assert all([i // 2 for i in some] == [0, 1, 2, 3, 4, 5] for some in drawn)
    assert choose_frames(3, 6, 1).tolist() == choose_frames(3, 6).tolist()


def test_augmenting_moves_all_frames_of_a_clip_alike() -> None:
    clip = np.zeros((3, 32, 32, 3), np.uint8)
    clip[:, 12:20, 12:20] = 100
    found = augment(clip, 0.2, draw=5)
    assert not np.array_equal(found, clip)
    assert all(np.array_equal(f, found[0]) for f in found)
    assert np.array_equal(augment(clip, 0.2, draw=5), found)
    assert not np.array_equal(augment(clip, 0.2, draw=6), found)
    assert np.array_equal(augment(clip, 0.0, draw=5), clip)


def test_broken_frames_name_the_clip() -> None:
    with pytest.raises(ValueError, match="clip-7"):
        decode_clip([b"no jpeg"], SPEC, clip_id="clip-7")
    with pytest.raises(ValueError, match="clip-7"):
        decode_clip([], SPEC, clip_id="clip-7")


def test_keys_and_frequencies(shards: Path) -> None:
    _, batch = next(loader(shards).batches())
    assert len(set(batch.clip_key_B.tolist())) == len(batch)
    assert torch.equal(keys(["a", "b", "a"])[[0, 1]], keys(["a", "b"]))
    assert same_text("A red  Square ") == "a red square"
    known = batch.frequency_B[~batch.frequency_B.isnan()]
    assert set(known.tolist()) <= {0.0, 5.0}


def test_agreement_is_where_a_caption_stands_among_all(shards: Path, tmp_path: Path) -> None:
    scored = write_shards(tmp_path / "scored", {"train": 10}, with_agreement=True)
    index = read_index(str(scored), "train")
    scores = all_agreements(index)
    assert scores.tolist() == pytest.approx([0.2] * 8 + [0.3] * 8)
    tokenizer = TextTokenizer.of_words(all_texts(index), max_tokens=12)
    data = DataConfig(batch_size=20, augment=0.0)
    found = Loader(index, SPEC, tokenizer, {}, data, seed=0, agreements=scores)
    for _, batch in islice(found.batches(), 2):
        assert batch.agreement_B is not None
        for clip_id, share in zip(batch.clip_ids, batch.agreement_B.tolist(), strict=True):
            if int(clip_id[-4:]) % 5 == 4:
                assert np.isnan(share)
            else:
                assert share in (0.25, 0.75)
    with pytest.raises(ValueError, match="another --margin-rule"):
        all_agreements(read_index(str(shards), "train"))


def test_words_unseen_and_texts_too_long_still_end_with_the_end() -> None:
    tokenizer = TextTokenizer.of_words([f"a {n}" for n in NAMES], max_tokens=6)
    ids, mask = tokenizer.encode(["a zebra", "a red left red left red left red left"])
    end = tokenizer.vocab_size - 1
    assert ids.shape == mask.shape == (2, 6)
    assert ids[1, -1] == end
    assert ids[0].tolist()[3] == end
    assert mask.sum(1).tolist() == [4, 6]
    assert ids.argmax(1).tolist() == [3, 5]


def test_leftovers_of_a_killed_balance_are_not_read(tmp_path: Path) -> None:
    """Only files that a commit record names count, where there are such records."""
    from mama_augment.core.manifest import Manifest
    from mama_augment.core.store.step_dir import StepDir
    from mama_train.data.index import shard_files

    manifest = Manifest(
        step="balance", config={}, input_fingerprint="", units={"u": 0}, versions={}
    )
    step = StepDir.create_or_resume(str(tmp_path), manifest)
    step.commit("u", None)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "u-0123.parquet").write_bytes(b"torn")
    assert shard_files(step.folder.uri)["train"] == []
