"""Graphs, words, contexts, baselines, phases and verdicts, on cases with known answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from sys2ft.errors import SettingsError
from sys2ft.representations import (
    Graph,
    analyse,
    baselines,
    choose_words,
    from_networkx,
    make_graph,
    make_prompt,
    study_tables,
    write_study_page,
)
from sys2ft.representations.analyses.findings import findings
from sys2ft.representations.analyses.transitions import mean_over_walks, power_law, two_phases
from sys2ft.representations.graphs.prompts import opening
from sys2ft.representations.measuring.learn import edge_news
from sys2ft.representations.pages.figures import power_law_figure
from tracing import pretend_study, word_tokenizer

# --- graphs, words, contexts


pytestmark = pytest.mark.slow


def test_named_graphs_have_the_right_nodes_and_edges() -> None:
    grid = make_graph("grid:4x4")
    assert (grid.nodes, len(grid.edges), grid.slug) == (16, 24, "grid-4x4")
    assert grid.neighbours(0) == [1, 4]
    assert sorted(grid.neighbours(5)) == [1, 4, 6, 9]
    assert make_graph("ring:7").adjacency.sum(axis=1).tolist() == [2.0] * 7
    assert (make_graph("hex:2x2").nodes, len(make_graph("hex:2x2").edges)) == (16, 19)
    assert (make_graph("tree:2x3").nodes, len(make_graph("tree:2x3").edges)) == (15, 14)
    steps = grid.distances()
    assert (steps[0, 15], steps[0, 1], steps[5, 5]) == (6, 1, 0)
    assert (steps == steps.T).all()


@pytest.mark.parametrize(("name", "step"), [("days", 3), ("months", 5)])
def test_the_week_and_the_year_are_linked_out_of_order(name: str, step: int) -> None:
    graph = make_graph(name)
    assert graph.prior is not None
    usual = make_graph(f"ring:{graph.nodes}").adjacency
    named = sorted(range(graph.nodes), key=lambda node: _place(name, graph.words[node]))
    assert (graph.prior[np.ix_(named, named)] == usual).all(), "the prior is the usual ring of the words"
    assert not (graph.prior * graph.adjacency).any(), "no usual neighbours are linked"
    reordered = graph.adjacency[np.ix_(named, named)]
    assert all(reordered[i, (i + step) % graph.nodes] for i in range(graph.nodes))


def _place(name: str, word: str) -> int:
    from sys2ft.representations.graphs.graph import DAYS, MONTHS

    return (DAYS if name == "days" else MONTHS).index(word)


def test_a_file_of_edges_and_any_networkx_graph(tmp_path: Path) -> None:
    file = tmp_path / "petals.txt"
    file.write_text("# a comment\na b\nb, c\nc a  # back\n\nc d\n")
    graph = make_graph(str(file))
    assert (graph.name, graph.nodes, graph.edges) == ("petals", 4, [(0, 1), (0, 2), (1, 2), (2, 3)])
    assert from_networkx("p", nx.petersen_graph()).nodes == 10
    weighted = nx.DiGraph([("a", "b"), ("b", "c"), ("c", "c")])
    assert from_networkx("w", weighted).edges == [(0, 1), (1, 2)]
    for graph in (make_graph("days"), make_graph("hex:2x2")):
        again = Graph.from_dict(json.loads(json.dumps(graph.to_dict())))
        assert again.to_dict() == graph.to_dict()
        assert (again.adjacency == graph.adjacency).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a b\nc d\n", "is not connected: it falls into parts of 2, 2 nodes"),
        ("a b\n", "has 2 nodes"),
        ("a b c\n", "line 1: 'a b c'"),
    ],
)
def test_bad_files_of_edges(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "g.txt").write_text(text)
    with pytest.raises(SettingsError, match=said):
        make_graph(str(tmp_path / "g.txt"))


@pytest.mark.parametrize("name", ["grid:4", "grid:0x4", "ring:", "ring:x", "sphere:4x4", "nothing.txt"])
def test_unknown_graphs(name: str) -> None:
    with pytest.raises(SettingsError, match="grid:ROWSxCOLUMNS"):
        make_graph(name)


def test_chosen_words_are_single_tokens_in_running_text() -> None:
    tokenizer = word_tokenizer()
    found = choose_words(tokenizer, 16)
    for word, token in found.items():
        assert tokenizer.decode([token]) == f" {word}"
    assert "whale" not in found, "it is several tokens of this tokenizer"
    assert set(choose_words(tokenizer, 3, ["apple", "bird", "car", "egg"])) == {"apple", "bird", "car", "egg"}
    with pytest.raises(SettingsError, match="1 words are not one token of this model: 'whale' is "):
        choose_words(tokenizer, 3, ["apple", "bird", "whale"])
    with pytest.raises(SettingsError, match="2 different words of 3 given, the graph has 3 nodes"):
        choose_words(tokenizer, 3, ["apple", "bird", "bird"])
    with pytest.raises(SettingsError, match="40 of 193 common words are one token of this model"):
        choose_words(tokenizer, 41)


def a_prompt(
    order: Any, walk: int = 0, graph: str = "grid:3x3", draw: int = 0, seed: int = 0, start: str = "none"
) -> Any:
    tokenizer = word_tokenizer()
    of = make_graph(graph)
    usable = choose_words(tokenizer, of.nodes, of.words)
    return make_prompt(of, usable, tokenizer, words=301, order=order, seed=seed, walk=walk, draw=draw, start=start)


@pytest.mark.parametrize(("start", "begins"), [("auto", "<|im_end|>"), ("none", ""), ("apple:", "apple:")])
def test_text_starts_with_a_token_that_is_no_word(start: str, begins: str) -> None:
    """The first token is an attention sink: if it were a word, all its occurrences would be affected."""
    prompt, plain = a_prompt("walk", start=start), a_prompt("walk")
    tokenizer = word_tokenizer()
    assert tokenizer.decode(prompt.tokens) == begins + tokenizer.decode(plain.tokens)
    before = len(prompt.tokens) - len(plain.tokens)
    assert (prompt.places_W == plain.places_W + before).all()
    assert prompt.nodes_W.tolist() == plain.nodes_W.tolist()
    assert len(prompt.head(20).tokens) == 20 + before


def test_a_tokenizers_own_first_token_is_enough() -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = word_tokenizer()
    assert opening(tokenizer, "auto") == [tokenizer.eos_token_id]
    pad = tokenizer.pad_token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{pad} $A", special_tokens=[(pad, tokenizer.pad_token_id)]
    )
    assert opening(tokenizer, "auto") == opening(tokenizer, "none") == [tokenizer.pad_token_id]
    assert len(opening(tokenizer, "apple")) == 1 + len(opening(word_tokenizer(), "apple"))


def test_a_walk_follows_edges_and_its_tokens_decode_to_its_words() -> None:
    prompt = a_prompt("walk", walk=4)
    nodes = prompt.nodes_W
    assert nodes[0] == 4
    assert prompt.graph.adjacency[nodes[:-1], nodes[1:]].all()
    assert set(nodes) == set(range(9))
    assert word_tokenizer().decode(prompt.tokens) == "".join(f" {prompt.words[node]}" for node in nodes)
    assert prompt.asks_W.all()
    cut = prompt.head(20)
    assert (len(cut.tokens), cut.nodes_W.tolist()) == (20, nodes[:20].tolist())


def test_pairs_are_neighbours_separated_by_commas() -> None:
    prompt = a_prompt("pairs")
    pairs = prompt.nodes_W[:300].reshape(-1, 2)
    assert prompt.graph.adjacency[pairs[:, 0], pairs[:, 1]].all()
    assert len({tuple(pair) for pair in pairs.tolist()}) == 24, "every edge, both ways"
    assert prompt.asks_W[:4].tolist() == [True, False, True, False]
    words = [prompt.words[node] for node in prompt.nodes_W]
    text = ",".join(f" {a} {b}" for a, b in zip(words[:300:2], words[1:300:2], strict=True)) + f", {words[300]}"
    assert word_tokenizer().decode(prompt.tokens) == text
    assert prompt.places_W[:5].tolist() == [0, 1, 3, 4, 6]


def test_random_order_is_independent_of_the_graph() -> None:
    prompt = a_prompt("random")
    nodes = prompt.nodes_W
    assert (nodes[1:] != nodes[:-1]).all()
    along = prompt.graph.adjacency[nodes[:-1], nodes[1:]].mean()
    assert along == pytest.approx(24 / 72, abs=0.1)
    assert prompt.words == a_prompt("walk").words, "same placement as on the walk"
    assert nodes.tolist() != a_prompt("random", draw=1).nodes_W.tolist()


def test_contexts_are_determined_by_their_seeds() -> None:
    assert a_prompt("walk", 1).tokens == a_prompt("walk", 1).tokens
    assert a_prompt("walk", 1).words != a_prompt("walk", 2).words
    assert a_prompt("walk", 1).words != a_prompt("walk", 1, seed=1).words
    assert a_prompt("walk", 0, "days").words == a_prompt("walk", 5, "days").words == make_graph("days").words


def test_questions_about_edges_have_one_right_choice() -> None:
    prompt = a_prompt("walk")
    news = edge_news(prompt, "grid-00", seed=0)
    assert len(news) == 12
    place = {word: node for node, word in enumerate(prompt.words)}
    for item in news:
        (question,) = item.questions
        asked = next(w for w in prompt.words if f"the word {w} linked" in question.text)
        linked = [prompt.graph.adjacency[place[asked], place[choice]] for choice in question.choices]
        assert linked == [1.0, 0.0, 0.0, 0.0]
        assert question.choices[0] == question.answer
        assert asked in item.text
        assert question.answer in item.text


# --- baselines


def test_successor_tables() -> None:
    graph = make_graph("ring:4")
    nodes = np.array([0, 1, 0, 1, 2, 1, 0, 1])
    asks = np.ones(8, dtype=bool)
    #             0    1    0    1    2    1    0    1: seen before, with what followed?
    one = [0.5, 0.5, 1.0, 1.0, 0.5, 1.0, 1.0, 1.0]
    # pairs      -    01   10   01   12   21   10   01
    two = [0.5, 0.5, 0.5, 1.0, 0.5, 0.5, 1.0, 1.0]
    assert baselines.memorisation(graph, nodes, asks, 1).tolist() == one
    assert baselines.memorisation(graph, nodes, asks, 2).tolist() == two
    asks[::2] = False
    assert np.isnan(baselines.memorisation(graph, nodes, asks, 1)[::2]).all()


def test_accuracy_is_the_probability_of_neighbours_over_the_window() -> None:
    graph = make_graph("ring:4")
    said = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], [np.nan] * 4])
    found = baselines.accuracy(graph, np.array([0, 1, 2]), said)
    assert found[:2] == pytest.approx([0.6, 0.6])
    assert np.isnan(found[2])
    values = np.array([1.0, 0.0, np.nan, 1.0, 1.0])
    assert baselines.trailing(values, [1, 2, 3, 5], 2) == pytest.approx([1.0, 0.5, 0.0, 1.0])
    assert np.isnan(baselines.trailing(values, [3], 1)).all()


def test_mixing_uses_the_previous_words() -> None:
    nodes = np.array([0, 1, 2, 3, 0, 1, 2, 3])
    found = baselines.mixing(nodes, 4, [8, 3], window=8, skip=0)
    step = np.eye(4) + np.roll(np.eye(4), 1, axis=0)[:, [0, 1, 2, 3]]
    rows = np.eye(4) + np.eye(4)[[3, 0, 1, 2]]
    expected = np.square(rows[:, None] - rows[None]).sum(-1)[np.triu_indices(4, k=1)]
    assert found[0] == pytest.approx(expected), step
    assert np.isnan(found[1]).sum() == 5, "of three words, two have one before them"


# --- phases, power laws, intervals


def curves(onset: float, saturation: float, walks: int, seed: int, noise: float = 0.03) -> tuple[Any, Any]:
    lengths = np.unique(np.geomspace(4, 1400, 50).round())
    x = np.log10(lengths)
    rise = np.clip(x, np.log10(onset), np.log10(saturation)) - np.log10(onset)
    rng = np.random.default_rng(seed)
    return lengths, 0.2 + 0.5 * rise + noise * rng.standard_normal((walks, len(x)))


def test_phases_are_found_at_their_true_positions() -> None:
    lengths, values = curves(30, 300, 8, seed=0)
    found = two_phases(lengths, values)
    assert found is not None
    assert found.onset is not None
    assert found.saturation is not None
    assert found.onset.estimate == pytest.approx(30, rel=0.25)
    assert found.saturation.estimate == pytest.approx(300, rel=0.25)
    assert found.slopes == pytest.approx([0.0, 0.5, 0.0], abs=0.1)
    assert found.explained["two breaks"] > found.explained["one break"] > found.explained["line"]
    falling = two_phases(lengths, 1 - values)
    assert falling is not None
    assert falling.onset is not None
    assert falling.onset.estimate == found.onset.estimate, "a fall has its phases as a rise has"


def test_one_break_and_none() -> None:
    lengths, rising = curves(60, 10_000, 8, seed=1)
    found = two_phases(lengths, rising)
    assert found is not None
    assert found.onset is not None
    assert found.onset.estimate == pytest.approx(60, rel=0.3)
    assert found.saturation is None
    straight = 0.1 * np.log10(lengths) + 0.01 * np.random.default_rng(2).standard_normal((8, len(lengths)))
    none = two_phases(lengths, straight)
    assert none is not None
    assert (none.onset, none.saturation, none.breaks) == (None, None, ())
    assert two_phases(lengths[:8], rising[:, :8]) is None
    assert two_phases(lengths, np.ones((8, len(lengths)))) is None


def test_intervals_of_the_onset_have_their_nominal_coverage() -> None:
    inside = 0
    for seed in range(25):
        found = two_phases(*curves(30, 300, 8, seed=100 + seed, noise=0.05))
        assert found is not None
        if found.onset is not None and found.onset.low is not None and found.onset.high is not None:
            inside += found.onset.low <= 30 <= found.onset.high
    assert inside >= 21


def test_few_walks_give_no_interval_of_a_break_and_students_interval_of_a_mean() -> None:
    lengths, values = curves(30, 300, 4, seed=0)
    found = two_phases(lengths, values)
    assert found is not None
    assert found.onset is not None
    assert (found.onset.low, found.onset.high, found.onset.n) == (None, None, 4)
    few = mean_over_walks([1.0, 2.0, 3.0])
    assert few is not None
    assert few.high == pytest.approx(2.0 + 4.303 / np.sqrt(3), rel=1e-3)
    alone = mean_over_walks([1.0, np.nan])
    assert alone is not None
    assert (alone.estimate, alone.low, alone.n) == (1.0, None, 1)
    assert mean_over_walks([np.nan]) is None


def test_a_power_law_is_found_with_its_interval() -> None:
    nodes = [9, 12, 16, 20, 25, 36]
    sizes = [3.0 * n**1.5 for n in nodes]
    draws = [
        np.log10(size) + 0.02 * np.random.default_rng(n).standard_normal(500)
        for n, size in zip(nodes, sizes, strict=True)
    ]
    law = power_law(nodes, sizes, draws)
    assert law is not None
    assert law.exponent.estimate == pytest.approx(1.5)
    assert law.factor == pytest.approx(3.0)
    assert law.explained == pytest.approx(1.0)
    low, high = law.by_walks
    assert low is not None
    assert high is not None
    assert low < 1.5 < high
    assert power_law([9, 9, 16], sizes[:3], draws[:3]) is None


# --- verdicts on simulated studies


def verdicts(results: Any) -> dict[str, str]:
    return {row["claim"].split(" (")[0]: row["verdict"] for row in results["findings"]}


def test_present_structure_is_found(tmp_path: Path) -> None:
    pretend_study(tmp_path, ["grid:3x3"])
    results = analyse(tmp_path)
    found = verdicts(results)
    assert found["the energy falls as the context grows"] == "yes"
    assert found["the energy is below that of shuffled nodes"] == "yes"
    assert found["the first components match the graph's shape better than chance"] == "yes"
    assert found["averaged over walks, the first components match the graph's shape better than chance"] == "yes"
    assert results["graphs"][0]["ends"]["pooled_procrustes"]["estimate"] < 0.2
    assert results["graphs"][0]["massive"] == [0.0, 1 / 1000, 2 / 1000]
    assert found["the energy's onset comes before the accuracy's"] == "yes"
    assert found["the accuracy is above a one-step table's"] == "no"
    (graph,) = results["graphs"]
    assert graph["transitions"]["energy"]["onset"]["estimate"] == pytest.approx(30, rel=0.5)
    assert graph["transitions"]["accuracy"]["onset"]["estimate"] == pytest.approx(100, rel=0.5)
    assert [row["p"] < 0.01 for row in graph["components"][:3]] == [True, True, False]
    by_layer = [row["estimate"] for row in graph["energy_by_layer"]]
    assert by_layer[0] == pytest.approx(1.0, abs=0.15)
    assert max(by_layer[1:]) < 0.6
    assert results["missing"] == []


def test_absent_structure_is_not_found(tmp_path: Path) -> None:
    pretend_study(tmp_path, ["grid:3x3", "days"], strength=0.0)
    results = analyse(tmp_path)
    geometric = [row for row in results["findings"] if "energy" in row["claim"] or "components" in row["claim"]]
    assert len(geometric) >= 8
    assert [row["claim"] for row in geometric if row["verdict"] == "yes"] == []
    assert all(row["p"] > 0.001 for row in results["graphs"][0]["components"])


def test_the_contexts_structure_is_found_in_higher_components_than_the_words_own(tmp_path: Path) -> None:
    pretend_study(tmp_path, ["days"])
    results = analyse(tmp_path)
    row = next(row for row in results["findings"] if "higher components" in row["claim"])
    assert row["verdict"] == "yes"
    assert "the usual order shows in component 1, the context's in component 3" in row["claim"]
    assert row["estimate"] >= 1


def test_critical_sizes_follow_a_power_law_of_the_graph_size(tmp_path: Path) -> None:
    names = ["grid:2x3", "grid:3x3", "grid:3x4", "grid:4x4", "grid:4x5", "grid:5x5"]
    pretend_study(tmp_path, names, scaling=1.0, walks=6, context=1400)
    results = analyse(tmp_path)
    law = results["power_laws"]["accuracy onset"]
    assert law["exponent"]["n"] >= 5
    assert law["exponent"]["low"] < 1.0 < law["exponent"]["high"]
    assert law["exponent"]["low"] > 0.4
    drawn = power_law_figure(results)
    assert drawn is not None
    assert "accuracy onset" in drawn


def test_an_unfinished_study_lists_what_is_missing(tmp_path: Path) -> None:
    pretend_study(tmp_path, ["grid:3x3", "ring:6"], walks=3)
    for file in (tmp_path / "represent" / "ring-6").iterdir():
        file.unlink()
    (tmp_path / "represent" / "grid-3x3" / "walk-02.json").unlink()
    results = analyse(tmp_path)
    assert results["missing"] == ["grid:3x3: 1 contexts", "ring:6: 3 contexts"]
    assert [graph["walks"] for graph in results["graphs"]] == [2]
    assert "This study is not finished" in write_study_page(tmp_path).read_text(encoding="utf-8")
    assert findings(results) == results["findings"]
    assert len(study_tables(results)) == 3


def test_the_page_is_a_function_of_the_folder_and_escapes_its_content(tmp_path: Path) -> None:
    pretend_study(tmp_path, ["days"], walks=3)
    evil, slug = "</script><script>alert(1)</script>", "script-script-alert-1-script"
    for name in ("run.json", "represent/plan.json"):
        file = tmp_path / name
        file.write_text(
            file.read_text()
            .replace("pretended", evil)
            .replace('"name": "days"', f'"name": {json.dumps(evil)}')
            .replace("Monday", evil)
            .replace('"slug": "days"', f'"slug": "{slug}"')
        )
    (tmp_path / "represent" / "days").rename(tmp_path / "represent" / slug)
    analyse(tmp_path)
    page = write_study_page(tmp_path).read_text(encoding="utf-8")
    assert page == write_study_page(tmp_path).read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert page.count("</script>") == 3, "two players' data and the page's own script"
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "default-src 'none'" in page
    assert page.count("<svg") >= 6
    kept = json.loads(page.split('<script type="application/json">')[1].split("</script>")[0])
    assert kept["words"][0] == evil
    assert len(kept["places"]) == len(kept["layers"]) == 3
