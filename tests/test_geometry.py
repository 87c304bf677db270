"""Theorems of the geometry: Dirichlet energy, spectral embeddings, PCA from distances, and the null models."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from sys2ft.representations import geometry, make_graph
from sys2ft.representations.geometry import matrix_of, pairs_of

GRAPHS = ("grid:4x4", "ring:9", "hex:2x2", "tree:2x3", "days")


def distances(points: Any) -> Any:
    return pairs_of(np.square(points[:, None] - points[None]).sum(axis=-1))


def some_points(nodes: int, seed: int, size: int = 40) -> Any:
    return np.random.default_rng(seed).standard_normal((nodes, size))


def rotation(size: int, seed: int) -> Any:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]


@pytest.mark.parametrize("name", GRAPHS)
def test_the_energy_of_laplacian_eigenvectors_is_their_eigenvalue(name: str) -> None:
    graph = make_graph(name)
    values, vectors = np.linalg.eigh(geometry.laplacian(graph.adjacency))
    for k in range(graph.nodes):
        assert geometry.energy(distances(vectors[:, [k]]), graph.adjacency) == pytest.approx(values[k], abs=1e-9)
    assert geometry.energy(distances(vectors[:, 1:4]), graph.adjacency) == pytest.approx(values[1:4].sum())


@pytest.mark.parametrize("name", GRAPHS)
def test_the_energy_is_half_the_sum_over_ordered_pairs(name: str) -> None:
    graph = make_graph(name)
    points = some_points(graph.nodes, 1)
    total = sum(
        graph.adjacency[i, j] * np.square(points[i] - points[j]).sum()
        for i in range(graph.nodes)
        for j in range(graph.nodes)
    )
    assert geometry.energy(distances(points), graph.adjacency) == pytest.approx(total / 2)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100.0))
def test_energy_is_invariant_to_rotation_and_normalised_energy_to_scale(seed: int, scale: float) -> None:
    graph = make_graph("grid:3x3")
    points = some_points(9, seed)
    moved = points @ rotation(40, seed) + 5.0
    assert geometry.energy(distances(moved), graph.adjacency) == pytest.approx(
        geometry.energy(distances(points), graph.adjacency), rel=1e-6
    )
    assert geometry.normalised_energy(distances(scale * moved), graph.adjacency) == pytest.approx(
        geometry.normalised_energy(distances(points), graph.adjacency), rel=1e-6
    )


def test_shuffled_nodes_have_a_normalised_energy_of_one_on_average() -> None:
    adjacency = make_graph("grid:2x3").adjacency
    apart = distances(some_points(6, 3, size=2))
    every = [
        geometry.normalised_energy(apart, adjacency[np.ix_(order, order)]) for order in itertools.permutations(range(6))
    ]
    assert np.std(every) > 0.05
    assert np.mean(every) == pytest.approx(1.0)
    drawn = [geometry.normalised_energy(apart, one) for one in geometry.shuffled(adjacency, 2000, seed=0)]
    assert np.mean(drawn) == pytest.approx(1.0, abs=0.02)


def test_absent_nodes_are_left_out_of_the_normalised_energy() -> None:
    graph = make_graph("grid:3x3")
    points = some_points(9, 4)
    rest = [0, 1, 2, 3, 4, 5]
    partial = points.copy()
    partial[6:] = np.nan
    found = geometry.normalised_energy(distances(partial), graph.adjacency)
    assert found == pytest.approx(
        geometry.normalised_energy(distances(points[rest]), graph.adjacency[np.ix_(rest, rest)])
    )
    assert np.isnan(geometry.energy(distances(partial), graph.adjacency))
    partial[1:] = np.nan
    assert np.isnan(geometry.normalised_energy(distances(partial), graph.adjacency))


def test_pca_of_distances_is_pca_of_the_points() -> None:
    points = some_points(12, 5)
    u, s, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    found = geometry.pca(distances(points), 12)
    assert found is not None
    assert found.variance_K == pytest.approx(np.square(s[:11]), abs=1e-9)
    for k in range(11):
        assert abs(found.coordinates_NK[:, k] @ (u * s)[:, k]) == pytest.approx(s[k] ** 2)
    assert found.share_K.sum() == pytest.approx(1.0)


def test_pca_leaves_absent_nodes_out() -> None:
    points = some_points(8, 6)
    points[[2, 5]] = np.nan
    found = geometry.pca(distances(points), 8)
    assert found is not None
    assert found.present_N.tolist() == [True, True, False, True, True, False, True, True]
    alone = geometry.pca(distances(np.delete(points, [2, 5], axis=0)), 6)
    assert alone is not None
    assert found.variance_K[:5] == pytest.approx(alone.variance_K)
    points[3:] = np.nan
    assert geometry.pca(distances(points), 8) is None


def test_pca_of_the_minimum_energy_embedding_is_the_spectral_one() -> None:
    """Minimise the energy over embeddings with given variances: the components are the eigenvectors."""
    graph = make_graph("grid:3x4")
    laplacian = geometry.laplacian(graph.adjacency)
    sizes = np.array([3.0, 2.0, 1.0])
    rng = np.random.default_rng(7)
    centre = np.eye(12) - 1 / 12
    q = np.linalg.qr(centre @ rng.standard_normal((12, 3)))[0]
    begun = geometry.energy(distances(q * sizes), graph.adjacency)
    for _ in range(6000):
        q = np.linalg.qr(centre @ (q - 0.01 * laplacian @ q * np.square(sizes)))[0]
    # Rotated in a space of many dimensions, like a residual stream.
    embedding = (q * sizes) @ rotation(30, 8)[:3]
    values, vectors = np.linalg.eigh(laplacian)
    reached = geometry.energy(distances(embedding), graph.adjacency)
    assert reached == pytest.approx(np.square(sizes) @ values[1:4], rel=1e-6)
    assert reached < begun / 2
    found = geometry.pca(distances(embedding), 12)
    assert found is not None
    for k in range(3):
        direction = found.coordinates_NK[:, k] / np.linalg.norm(found.coordinates_NK[:, k])
        assert abs(direction @ vectors[:, k + 1]) == pytest.approx(1.0, abs=1e-6)


def test_an_eigenspace_is_not_split() -> None:
    assert geometry.spectral_embedding(make_graph("ring:6").adjacency, 1).shape == (6, 2)
    assert geometry.spectral_embedding(make_graph("ring:6").adjacency, 2).shape == (6, 2)
    assert geometry.spectral_embedding(make_graph("grid:3x4").adjacency, 1).shape == (12, 1)


@pytest.mark.parametrize("name", GRAPHS)
def test_procrustes_depends_on_shape_only(name: str) -> None:
    reference = geometry.spectral_embedding(make_graph(name).adjacency, 2)[:, :2]
    turned = 7.0 * reference @ rotation(2, 9) + 3.0
    assert geometry.procrustes(turned, reference) == pytest.approx(0.0, abs=1e-9)
    assert geometry.procrustes(turned * [1, -1], reference) == pytest.approx(0.0, abs=1e-9)
    assert geometry.subspace_angles(turned, reference) == pytest.approx([0.0, 0.0], abs=1e-4)
    noisy = turned + 0.3 * some_points(len(turned), 10, 2)
    shuffled = np.random.default_rng(2).permutation(turned)
    assert 0.0 < geometry.procrustes(noisy, reference) < geometry.procrustes(shuffled, reference)
    other = np.linalg.eigh(geometry.laplacian(make_graph(name).adjacency))[1][:, -2:]
    assert geometry.procrustes(other, reference) == pytest.approx(1.0)
    assert geometry.subspace_angles(other, reference) == pytest.approx([90.0, 90.0])


def test_the_distance_by_chance_is_the_mean_over_shuffles() -> None:
    reference = geometry.spectral_embedding(make_graph("grid:2x3").adjacency, 2)
    every = [geometry.procrustes(reference[list(o)], reference) for o in itertools.permutations(range(6))]
    assert geometry.procrustes_by_chance(reference, reference, 4000, seed=0) == pytest.approx(np.mean(every), abs=0.02)


def test_alignment_matches_the_graph_and_preserves_shape() -> None:
    reference = geometry.spectral_embedding(make_graph("grid:4x4").adjacency, 2)
    turned = 5.0 * reference @ rotation(2, 11) + 1.0
    assert geometry.aligned(turned, reference) == pytest.approx(reference - reference.mean(axis=0))
    other = some_points(16, 12, 2)
    fitted = geometry.aligned(other, reference)
    assert np.ptp(distances(fitted) / distances(other)) == pytest.approx(0.0, abs=1e-9)
    assert np.linalg.norm(fitted) == pytest.approx(np.linalg.norm(reference))


@pytest.mark.slow
def test_mixing_with_neighbours_alone_shows_the_grid() -> None:
    """The null model of one round of neighbour mixing: expected distances match random vectors, and show the grid."""
    graph = make_graph("grid:4x4")
    weights = geometry.neighbour_means(graph.adjacency)
    expected = geometry.mixed_distances(weights)
    vectors = np.random.default_rng(13).standard_normal((16, 200_000)) / np.sqrt(200_000)
    assert distances(vectors + weights @ vectors) == pytest.approx(expected, rel=0.05)
    reference = geometry.spectral_embedding(graph.adjacency, 2)
    mixed, plain = (geometry.pca(d, 16) for d in (expected, distances(some_points(16, 14, 4096))))
    assert mixed is not None
    assert plain is not None
    assert geometry.procrustes(mixed.coordinates_NK[:, :2], reference) < 0.05
    assert geometry.procrustes(plain.coordinates_NK[:, :2], reference) > 0.5
    assert geometry.normalised_energy(expected, graph.adjacency) < 0.8
    assert geometry.normalised_energy(distances(vectors), graph.adjacency) == pytest.approx(1.0, abs=0.02)


def test_each_component_has_its_own_energy() -> None:
    """The week is in the first two components, the context's ring in the next two."""
    graph = make_graph("days")
    assert graph.prior is not None
    own = geometry.spectral_embedding(graph.prior, 2)
    context = geometry.spectral_embedding(graph.adjacency, 2)
    points = np.concatenate([5 * own, 2 * context], axis=1) @ rotation(20, 15)[:4]
    found = geometry.pca(distances(points), 7)
    assert found is not None
    on_context = geometry.component_energy(found, graph.adjacency)
    on_prior = geometry.component_energy(found, graph.prior)
    assert on_prior[:2] == pytest.approx([on_prior[0]] * 2)
    assert (on_prior[:2] < 0.5).all()
    assert (on_context[:2] > 1.0).all()
    assert (on_context[2:4] < 0.5).all()
    assert np.isnan(on_context[4:]).all()
    whole = geometry.energy(distances(points), graph.adjacency)
    along = [geometry.energy(distances(found.coordinates_NK[:, [k]]), graph.adjacency) for k in range(4)]
    assert sum(along) == pytest.approx(whole)


def test_matrices_and_pairs_round_trip() -> None:
    pairs = np.arange(15.0)
    assert pairs_of(matrix_of(pairs, 6)).tolist() == pairs.tolist()
    assert (matrix_of(pairs, 6) == matrix_of(pairs, 6).T).all()
