"""Published weights into models of ours, strictly, by a map of names.

A map says which published names are left out, and why; what is neither known to the model nor
left out by the map is an error that names it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from mama_train.models.weights import load_weights


@dataclass(frozen=True, kw_only=True)
class KeyMap:
    """How published names become ours.

    Attributes:
        prefix: in front of all published names (`module.` of DataParallel); optional in a file.
        renamed: published beginning -> ours.
        left_out: beginnings of published names that the model has no use for -> why.
        buffers: endings of names of constants that files of some versions hold.
        new: beginnings of our names that no published file holds; they keep their first values.
    """

    prefix: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    buffers: Collection[str] = ("position_ids", "relative_position_index", "num_batches_tracked")
    new: Collection[str] = ()

    def ours(self, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors that are taken, under our names."""
        found = {}
        for full_name, tensor in published.items():
            name = full_name.removeprefix(self.prefix)
            if name.startswith(tuple(self.left_out)) or name.endswith(tuple(self.buffers)):
                continue
            for theirs, own in self.renamed.items():
                if name.startswith(theirs):
                    name = own + name.removeprefix(theirs)
                    break
            found[name] = tensor
        return found


def load_published(
    model: nn.Module, published: Mapping[str, Tensor], key_map: KeyMap, *, source: str
) -> list[str]:
    """Put published weights into `model`; the names of parameters that stay new.

    Raises:
        InputError: a tensor is missing, left over or of another shape.
    """
    own = model.state_dict()
    constants = {
        name: tensor for name, tensor in own.items() if name.endswith(tuple(key_map.buffers))
    }
    given = {**constants, **key_map.ours(published)}
    new = [n for n in own if n not in given and n.startswith(tuple(key_map.new))]
    return load_weights(model, given, source=source, may_be_new=new)
