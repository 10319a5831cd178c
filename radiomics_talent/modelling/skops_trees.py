"""What is in a skops file that native code would take at its word: arrays, and the nodes of decision trees.

scikit-learn follows the child and feature numbers of a tree without looking whether they are there, so that a file made
for it ends the process, or reads beyond its memory.
"""

from __future__ import annotations

import json
import math
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MOST_BYTES = 2**30
"""A model unpacks to no more."""
_DEEPEST = 200


def refuse_malformed(data: bytes) -> None:
    """Look through a skops file before any of it is made.

    Parameters
    ----------
    data : bytes
        The file.

    Raises
    ------
    ValueError
        It unpacks to more than a model, or an array or tree is not as numpy and scikit-learn write it.
    Exception
        Whatever a damaged archive or schema leads to.
    """
    with zipfile.ZipFile(BytesIO(data)) as archive:
        if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
            raise ValueError(f"it unpacks to more than {MOST_BYTES // 2**20} MiB")
        for member in archive.infolist():
            if member.filename.endswith(".npy"):
                _refuse_claims(archive.read(member), member.filename)
        schema = json.loads(archive.read("schema.json"))
        for node in _trees(schema):
            _refuse_tree(node, archive)


def _refuse_claims(data: bytes, name: str) -> None:
    """Compare the shape of an array with the bytes that there are."""
    file = BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError(f"the array {name} does not hold what its header says")


def _trees(node: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Find every decision tree, wherever it is."""
    if depth > _DEEPEST:
        raise ValueError("its schema is nested too deeply")
    if isinstance(node, dict):
        if node.get("__loader__") == "TreeNode":
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from _trees(inner, depth + 1)


def _refuse_tree(node: dict[str, Any], archive: zipfile.ZipFile) -> None:
    n_features, n_classes, n_outputs = (_value(one, archive) for one in node["__reduce__"]["args"]["content"])
    content = {name: _value(one, archive) for name, one in node["content"]["content"].items()}
    nodes, values = content["nodes"], content["values"]
    n = len(nodes)
    sound = (
        _is_count(n_features)
        and _is_count(n_outputs)
        and _is_count(content["node_count"])
        and isinstance(content["max_depth"], int)
        and n == content["node_count"]
        and n_classes.dtype == np.int64
        and n_classes.shape == (n_outputs,)
        and bool((n_classes >= 1).all())
        and values.dtype == np.float64
        and values.shape == (n, n_outputs, int(n_classes.max()))
        and nodes.shape == (n,)
        and _leads_down(nodes, n_features)
    )
    if not sound:
        raise ValueError("a decision tree is not as scikit-learn writes it")


def _leads_down(nodes: NDArray[Any], n_features: int) -> bool:
    """Whether every inner node leads to later nodes that are there, by a feature that is there."""
    place = np.arange(len(nodes))
    left, right, feature = nodes["left_child"], nodes["right_child"], nodes["feature"]
    leaf = (left == -1) & (right == -1)
    inner = (left > place) & (left < len(nodes)) & (right > place) & (right < len(nodes))
    return bool((leaf | (inner & (feature >= 0) & (feature < n_features))).all())


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31


def _value(node: dict[str, Any], archive: zipfile.ZipFile) -> Any:
    """Return a number or array of the schema; nothing else belongs to a tree."""
    if node["__loader__"] == "JsonNode":
        return json.loads(node["content"])
    if node["__loader__"] == "NdArrayNode" and node["type"] == "numpy":
        return np.load(BytesIO(archive.read(node["file"])), allow_pickle=False)
    raise ValueError("a decision tree is not as scikit-learn writes it")
