"""The geometry of node representations, computed from the squared distances between them.

Distances suffice for PCA, Dirichlet energy and alignment: the components of centred points are the eigenvectors of
their doubly centred distance matrix (classical scaling, Torgerson 1952). Distances can also be averaged over contexts
with different words on the same nodes; the representations themselves could not.

The Dirichlet energy of Park et al. (arXiv 2501.00070) is E(X) = sum over i, j of A_ij ||x_i - x_j||^2. Here each edge
counts once (half that sum), so that a unit eigenvector of the Laplacian has its eigenvalue as energy.

Shapes: N nodes, P pairs of nodes (the order of `numpy.triu_indices`), K components; leading dimensions are free.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sys2ft.representations.graphs.graph import Floats

_SAME = 1e-9  # eigenvalues closer than this share an eigenspace


@lru_cache(maxsize=16)
def upper(nodes: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of the entries above the diagonal."""
    return np.triu_indices(nodes, k=1)


def pairs_of(matrix_NN: Floats) -> Floats:
    """The entries above the diagonal (..., P) of symmetric matrices (..., N, N)."""
    i, j = upper(matrix_NN.shape[-1])
    pairs: Floats = matrix_NN[..., i, j]
    return pairs


def matrix_of(values_P: npt.NDArray[np.floating], nodes: int) -> Floats:
    """Symmetric matrices (..., N, N) with a zero diagonal, from their entries above it."""
    matrix = np.zeros((*values_P.shape[:-1], nodes, nodes))
    i, j = upper(nodes)
    matrix[..., i, j] = matrix[..., j, i] = values_P
    return matrix


def laplacian(adjacency_NN: Floats) -> Floats:
    """Degree minus adjacency."""
    result: Floats = np.diag(adjacency_NN.sum(axis=1)) - adjacency_NN
    return result


def energy(distances_P: npt.NDArray[np.floating], adjacency_NN: Floats) -> Floats:
    """Dirichlet energy (...): the sum of squared distances over edges. NaN where a node is absent."""
    edges_P = pairs_of(adjacency_NN) > 0
    total: Floats = np.asarray(distances_P, dtype=np.float64)[..., edges_P].sum(axis=-1)
    return total


def normalised_energy(distances_P: npt.NDArray[np.floating], adjacency_NN: Floats) -> Floats:
    """Mean squared distance over edges divided by that over all pairs: 1 means no trace of the graph, at any scale.

    Absent nodes (NaN) are left out of both means. NaN where no edge remains.
    """
    distances_P = np.asarray(distances_P, dtype=np.float64)
    edges_P = pairs_of(adjacency_NN) > 0
    over_edges, over_pairs = _mean(distances_P[..., edges_P]), _mean(distances_P)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = np.where(over_pairs > 0, over_edges / over_pairs, np.nan)
    return result


def _mean(values_P: npt.NDArray[np.floating]) -> Floats:
    """Mean over the last axis, ignoring NaN; NaN where all values are NaN."""
    there = ~np.isnan(values_P)
    count = there.sum(axis=-1)
    total = np.where(there, values_P, 0.0).sum(axis=-1)
    result: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return result


@dataclass(frozen=True, slots=True)
class Components:
    """Principal components of node representations, largest variance first; absent nodes are NaN."""

    coordinates_NK: Floats
    """The coordinate of each node along each component."""
    variance_K: Floats
    """Sum of squares along each component."""

    @property
    def present_N(self) -> npt.NDArray[np.bool_]:
        present: npt.NDArray[np.bool_] = ~np.isnan(self.coordinates_NK[:, 0])
        return present

    @property
    def share_K(self) -> Floats:
        """Each component's share of the variance."""
        total = self.variance_K.sum()
        share: Floats = self.variance_K / total if total > 0 else np.zeros_like(self.variance_K)
        return share


def pca(distances_P: npt.NDArray[np.floating], nodes: int) -> Components | None:
    """Principal components (K = N - 1) of the points with these distances; None where fewer than 3 nodes are present.

    Nodes with unknown distances are left out.
    """
    distances_NN = matrix_of(np.asarray(distances_P, dtype=np.float64), nodes)
    present = np.arange(nodes)
    while len(present):
        unknown = np.isnan(distances_NN[np.ix_(present, present)]).sum(axis=1)
        if not unknown.any():
            break
        present = np.delete(present, int(unknown.argmax()))
    if len(present) < 3:
        return None
    square = distances_NN[np.ix_(present, present)]
    centred = square - square.mean(axis=0) - square.mean(axis=1)[:, None] + square.mean()
    values, vectors = np.linalg.eigh(-centred / 2)
    values, vectors = np.clip(values[::-1], 0.0, None)[: nodes - 1], vectors[:, ::-1][:, : nodes - 1]
    count = min(len(present), nodes - 1)
    coordinates = np.full((nodes, nodes - 1), np.nan)
    coordinates[present] = 0.0
    coordinates[present, :count] = (vectors * np.sqrt(values))[:, :count]
    variance = np.zeros(nodes - 1)
    variance[:count] = values[:count]
    return Components(coordinates, variance)


def spectral_embedding(adjacency_NN: Floats, dimensions: int) -> Floats:
    """Eigenvectors (N, K) of the Laplacian for the smallest nonzero eigenvalues (zero belongs to the constant vector).

    K is `dimensions`, or larger where it would split an eigenspace, whose vectors come in arbitrary order.
    """
    values, vectors = np.linalg.eigh(laplacian(adjacency_NN))
    last = dimensions
    while last + 1 < len(values) and values[last + 1] - values[last] < _SAME * max(1.0, values[-1]):
        last += 1
    embedding: Floats = vectors[:, 1 : last + 1]
    return embedding


def procrustes(coordinates_NK: Floats, reference_NM: Floats) -> float:
    """Procrustes distance, from 0 (equal up to translation, rotation, reflection and scale) to 1.

    The reference's columns are orthonormal; if it has more columns than there are coordinates, the best-fitting
    subspace is used. Source: Gower 1975; the distance is one minus the squared correlation of the matched sets.
    """
    x, y = _matched(coordinates_NK, reference_NM)
    norm = np.linalg.norm(x)
    if norm == 0:
        return 1.0
    found = np.linalg.svd(x.T @ y, compute_uv=False)
    return float(1.0 - np.clip(found.sum() / (norm * np.sqrt(len(found))), 0.0, 1.0) ** 2)


def procrustes_by_chance(coordinates_NK: Floats, reference_NM: Floats, count: int, seed: int) -> float:
    """Mean Procrustes distance over `count` shuffles of the present nodes."""
    x, y = _matched(coordinates_NK, reference_NM)
    rng = np.random.default_rng(seed)
    orders_SN = np.array([rng.permutation(len(x)) for _ in range(count)])
    found_S = np.linalg.svd(x[orders_SN].mT @ y, compute_uv=False).sum(axis=1)
    columns = min(x.shape[1], y.shape[1])
    return float(np.mean(1.0 - np.clip(found_S / (np.linalg.norm(x) * np.sqrt(columns)), 0.0, 1.0) ** 2))


def aligned(coordinates_NK: Floats, reference_NK: Floats) -> Floats:
    """The coordinates rotated and reflected to match the reference as closely as possible, at the reference's size.

    NaN stay NaN. The size is not fitted: a poor match would shrink to a point.
    """
    x, y = _matched(coordinates_NK, reference_NK, orthonormal=False)
    u, _, vt = np.linalg.svd(x.T @ y)
    scale = float(np.linalg.norm(y) / max(np.linalg.norm(x), 1e-300))
    present = ~np.isnan(coordinates_NK[:, 0])
    middle = coordinates_NK[present].mean(axis=0)
    turned: Floats = (coordinates_NK - middle) @ (u @ vt[: u.shape[0]]) * scale + reference_NK[present].mean(axis=0)
    return turned


def subspace_angles(coordinates_NK: Floats, reference_NM: Floats) -> Floats:
    """Principal angles in degrees between the column spaces, smallest first (Bjorck & Golub 1973)."""
    x, y = _matched(coordinates_NK, reference_NM)
    if np.linalg.matrix_rank(x) < x.shape[1]:
        return np.full(x.shape[1], 90.0)
    cosines = np.linalg.svd(np.linalg.qr(x)[0].T @ y, compute_uv=False)
    angles: Floats = np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))
    return angles


def _matched(x: Floats, y: Floats, *, orthonormal: bool = True) -> tuple[Floats, Floats]:
    """Both point sets restricted to the nodes present in the first, centred; the second re-orthonormalised."""
    present = ~np.isnan(x[:, 0])
    x, y = x[present] - x[present].mean(axis=0), y[present] - y[present].mean(axis=0)
    return x, np.linalg.qr(y)[0] if orthonormal else y


def component_energy(components: Components, adjacency_NN: Floats) -> Floats:
    """Normalised energy (K) along each component: 1 means no trace of the graph, NaN means no variance."""
    result = np.full(len(components.variance_K), np.nan)
    for k, variance in enumerate(components.variance_K):
        if variance > 1e-12 * components.variance_K[0]:
            along = components.coordinates_NK[:, k]
            result[k] = normalised_energy(pairs_of(np.square(along[:, None] - along[None])), adjacency_NN)
    return result


def shuffled(adjacency_NN: Floats, count: int, seed: int) -> Floats:
    """The graph with shuffled node labels, `count` times (count, N, N): energies on these are the null distribution."""
    rng = np.random.default_rng(seed)
    orders = np.array([rng.permutation(len(adjacency_NN)) for _ in range(count)])
    matrices: Floats = adjacency_NN[orders[:, :, None], orders[:, None, :]]
    return matrices


def mixed_distances(weights_NN: Floats) -> Floats:
    """Expected squared distances (P) of random vectors after mixing: x_i = g_i + sum over j of weights_ij g_j.

    The g are independent with unit expected square. If each row of the weights is a mean over neighbours, this is the
    null model of one round of neighbour mixing. It needs no language model, and its PCA already shows a grid.
    """
    rows = np.eye(len(weights_NN)) + weights_NN
    return pairs_of(np.square(rows[:, None] - rows[None]).sum(axis=-1))


def neighbour_means(adjacency_NN: Floats) -> Floats:
    """Weights of the mean over each node's neighbours."""
    weights: Floats = adjacency_NN / adjacency_NN.sum(axis=1, keepdims=True)
    return weights
