"""Graphs to trace, built from a name such as grid:4x4 or read from a file of edges.

Only this module imports networkx: for its lattices and trees, and to accept any networkx graph.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sys2ft.errors import SettingsError

if TYPE_CHECKING:
    import networkx as nx

Floats = npt.NDArray[np.float64]

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip
_KNOWN = "grid:ROWSxCOLUMNS, ring:NODES, hex:ROWSxCOLUMNS, tree:BRANCHESxDEPTH, days, months, or a file of edges"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A connected undirected graph on nodes 0 to n - 1.

    `prior` is the adjacency of a structure that the words already have from pretraining (the ring of the week or of the
    year); `words` are then fixed to their nodes. Both are empty where words are placed at random.
    """

    name: str
    adjacency: Floats
    words: tuple[str, ...] = ()
    prior: Floats | None = None

    @property
    def nodes(self) -> int:
        return len(self.adjacency)

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Each edge once, as (smaller, larger) node."""
        return [(int(i), int(j)) for i, j in np.argwhere(np.triu(self.adjacency) > 0)]

    @property
    def slug(self) -> str:
        """The name in a form that is safe as a folder name."""
        return re.sub(r"[^A-Za-z0-9]+", "-", self.name).strip("-")

    def to_dict(self) -> dict[str, Any]:
        """The form in which a study's plan.json stores it."""
        return {
            "name": self.name,
            "slug": self.slug,
            "nodes": self.nodes,
            "edges": [list(edge) for edge in self.edges],
            "words": list(self.words),
            "prior": None if self.prior is None else np.argwhere(np.triu(self.prior) > 0).tolist(),
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Graph:
        """The inverse of `to_dict`."""

        def matrix(edges: Sequence[Sequence[int]]) -> Floats:
            adjacency = np.zeros((row["nodes"], row["nodes"]))
            for i, j in edges:
                adjacency[i, j] = adjacency[j, i] = 1.0
            return adjacency

        prior = None if row["prior"] is None else matrix(row["prior"])
        return cls(name=row["name"], adjacency=matrix(row["edges"]), words=tuple(row["words"]), prior=prior)

    def neighbours(self, node: int) -> list[int]:
        return [int(j) for j in np.flatnonzero(self.adjacency[node])]

    def distances(self) -> npt.NDArray[np.int64]:
        """Length of the shortest path between any two nodes."""
        steps = np.full((self.nodes, self.nodes), self.nodes, dtype=np.int64)
        reached = np.eye(self.nodes, dtype=bool)
        steps[reached] = 0
        for step in range(1, self.nodes):
            further = (reached.astype(float) @ self.adjacency > 0) & (steps == self.nodes)
            steps[further] = step
            reached = further
        return steps


def make_graph(spec: str) -> Graph:
    """The graph called `spec`. Raises SettingsError if it is unknown, not connected, or too small."""
    if spec in ("days", "months"):
        return _against_prior(spec, DAYS if spec == "days" else MONTHS)
    kind, _, size = spec.partition(":")
    if kind in _MAKERS and size:
        return from_networkx(spec, _MAKERS[kind](spec, _sizes(spec, kind, size)))
    path = Path(spec).expanduser()
    if path.is_file():
        return from_networkx(path.stem, _read_edges(path))
    raise SettingsError(
        f"graph {spec!r}, which is neither a known form nor a file", expected=_KNOWN, fix="correct --graph"
    )


def from_networkx(name: str, graph: nx.Graph) -> Graph:
    """A networkx graph, taken as undirected; self-loops and weights are ignored."""
    import networkx as nx

    # Keeps the graph's own node order: row by row for a grid, in order of appearance for a file.
    adjacency = (nx.to_numpy_array(graph.to_undirected(), weight=None) > 0).astype(np.float64)
    np.fill_diagonal(adjacency, 0.0)
    if len(adjacency) < 3:
        raise SettingsError(f"graph {name} has {len(adjacency)} nodes", expected="at least 3", fix="use a larger graph")
    if not nx.is_connected(nx.from_numpy_array(adjacency)):
        parts = sorted((len(part) for part in nx.connected_components(nx.from_numpy_array(adjacency))), reverse=True)
        raise SettingsError(
            f"graph {name} is not connected: it falls into parts of {', '.join(map(str, parts))} nodes",
            expected="a connected graph, which a walk can cover",
            fix="add edges between the parts, or trace each part separately",
        )
    return Graph(name=name, adjacency=adjacency)


def _against_prior(name: str, words: Sequence[str]) -> Graph:
    """A ring of the words in an order far from their usual one.

    Each word is linked to the two that are `step` positions away in the usual order: 3 for the days (Mon, Thu, Sun,
    ...), 5 for the months.
    """
    count = len(words)
    step = 3 if count == 7 else 5
    order = [(step * k) % count for k in range(count)]
    ring = np.roll(np.eye(count), 1, axis=0) + np.roll(np.eye(count), -1, axis=0)
    place = np.argsort(order)  # position in the new ring of each word of the usual order
    prior = np.zeros_like(ring)
    for word in range(count):
        a, b = place[word], place[(word + 1) % count]
        prior[a, b] = prior[b, a] = 1.0
    return Graph(name=name, adjacency=ring, words=tuple(words[i] for i in order), prior=prior)


def _sizes(spec: str, kind: str, size: str) -> list[int]:
    wanted = 1 if kind == "ring" else 2
    parts = size.split("x")
    if len(parts) != wanted or not all(part.isdecimal() and 1 <= int(part) <= 1000 for part in parts):
        raise SettingsError(f"graph {spec!r}", expected=f"whole numbers from 1, as in {_KNOWN}", fix="correct --graph")
    return [int(part) for part in parts]


def _grid(spec: str, sizes: list[int]) -> nx.Graph:
    import networkx as nx

    return nx.grid_2d_graph(*sizes)


def _ring(spec: str, sizes: list[int]) -> nx.Graph:
    import networkx as nx

    return nx.cycle_graph(*sizes)


def _hexagons(spec: str, sizes: list[int]) -> nx.Graph:
    import networkx as nx

    return nx.hexagonal_lattice_graph(*sizes)


def _tree(spec: str, sizes: list[int]) -> nx.Graph:
    import networkx as nx

    return nx.balanced_tree(*sizes)


_MAKERS: dict[str, Callable[[str, list[int]], nx.Graph]] = {
    "grid": _grid, "ring": _ring, "hex": _hexagons, "tree": _tree,
}  # fmt: skip


def _read_edges(path: Path) -> nx.Graph:
    import networkx as nx

    graph = nx.Graph()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        parts = line.split("#", 1)[0].replace(",", " ").split()
        if parts and len(parts) != 2:
            raise SettingsError(
                f"{path}, line {number}: {line.strip()!r}",
                expected="two node names, separated by a space or a comma",
                fix="correct the line",
            )
        if parts:
            graph.add_edge(*parts)
    return graph
