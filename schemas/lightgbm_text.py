"""LightGBM's own files, which are text: how they are read, and what their header says of the model."""

import msgspec

from schemas.boosted_model import BoostedModel, classification, regression
from schemas.events.registry import Tensor

_MAGIC, _TREE, _END = "tree", "Tree=", "end of trees"
_MAX_COLUMNS = 1_000_000
_MAX_GROUPS = 100_000
_MULTICLASS = frozenset({"multiclass", "multiclassova"})


class LightgbmText(msgspec.Struct, frozen=True, kw_only=True):
    """`groups` is the number of trees in a round; header and trees are fields as the file writes them."""

    columns: int
    groups: int
    header: dict[str, str]
    trees: tuple[dict[str, str], ...]

    @property
    def objective(self) -> tuple[str, ...]:
        """Its name and parameters, such as `num_class:3`; empty of a model that was trained by a function."""
        return tuple(self.header.get("objective", "").split())

    def described(self) -> BoostedModel:
        """Return what follows for a signature."""
        names = tuple(self.header["feature_names"].split(" "))
        return BoostedModel(
            library="LightGBM", columns=self.columns, names=names, datatype="FP64", outputs=self._outputs()
        )

    def _outputs(self) -> tuple[Tensor, ...]:
        name = self.objective[0] if self.objective else ""
        if name in _MULTICLASS:
            return classification(classes=self.groups)
        if name == "binary":
            return classification(classes=2)
        return regression(targets=self.groups, datatype="FP64")


def read_text(content: bytes) -> LightgbmText:
    """Read a file up to the end of its trees; what follows is for people.

    Raises:
        ValueError: LightGBM did not write it.
    """
    lines = content.decode().split("\n")
    if lines[0] != _MAGIC or _END not in lines:
        raise ValueError("it does not begin and end like a LightGBM file")
    sections: list[dict[str, str]] = [{}]
    for line in lines[1 : lines.index(_END)]:
        if line == f"{_TREE}{len(sections) - 1}":
            sections.append({})
            continue
        name, _, value = line.partition("=")
        if name in sections[-1] or line.startswith(_TREE):
            raise ValueError(f"it has {name[:100]!r} where it should not")
        if name:
            sections[-1][name] = value
    header, *trees = sections
    columns, groups = int(header.get("max_feature_idx", "")) + 1, int(header.get("num_tree_per_iteration", ""))
    if not 0 < columns <= _MAX_COLUMNS or not 0 < groups <= _MAX_GROUPS:
        raise ValueError(f"it has {columns} columns and {groups} groups, which is not valid")
    if len(header.get("feature_names", "").split(" ")) != columns:
        raise ValueError("it does not name its columns")
    return LightgbmText(columns=columns, groups=groups, header=header, trees=tuple(trees))
