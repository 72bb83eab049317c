"""Train a model of your own: a torch module with two methods, what it sees, and its tokenizer.

mama-augment shapes shards --kind features
python examples/train_own_model.py shards runs/own

The run has all that the others have: the margin, learned weights with the exact meta step,
checkpoints that continue, metrics. Frames instead of vectors: `sees=FrameSpec(num_frames=12,
size_px=224)`; `embed_video` then gets them normalised, [B,T,3,H,W].
"""

from __future__ import annotations

import sys

import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from mama_train import FeatureSpec, OwnModel, TextTokenizer, TrainConfig, load_model, train


class Mine(nn.Module):
    """The mean of a clip's vectors through two layers, the mean of a text's words through one."""

    def __init__(self, width: int, num_words: int, dim: int = 64) -> None:
        super().__init__()
        self.video = nn.Sequential(nn.Linear(width, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.words = nn.Embedding(num_words, dim)
        self.text = nn.Linear(dim, dim)

    def embed_video(self, video: Tensor) -> Tensor:
        """[B,T,width] to [B,D]; the trainer makes them unit vectors."""
        return self.video(video.mean(dim=1))

    def embed_text(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Token ids [B,S] and their mask to [B,D]."""
        words = self.words(input_ids) * mask[..., None]
        return self.text(words.sum(dim=1) / mask.sum(dim=1, keepdim=True))


def own_model(shards: str) -> OwnModel:
    """Sizes and words as the shards have them."""
    rows = pq.read_table(f"{shards}/train", columns=["features", "captions"]).to_pylist()
    width = len(rows[0]["features"][0])
    texts = [caption["text"] for row in rows for caption in row["captions"]]
    words = TextTokenizer.of_words(texts, max_tokens=32)
    return OwnModel(
        module=Mine(width, words.vocab_size),
        sees=FeatureSpec(num_frames=1, width=width),
        tokenizer=words,
        from_nothing=True,
    )


def main(shards: str, out: str, steps: str = "300") -> None:
    """Train, then bring the best checkpoint back and embed a text with it."""
    torch.manual_seed(0)
    own = own_model(shards)
    config = TrainConfig.of(shards=shards, out=out, steps=int(steps), batch_size=64)
    result = train(config, model=own)
    print(f"t→v R@1 {result.metrics['test']['text_to_video']['R@1']:.1f} %")
    model, tokenizer = load_model(out, model=own)
    print(model.eval().embed_text(*tokenizer.encode(["a dog runs"])).shape)


if __name__ == "__main__":
    main(*sys.argv[1:])
