"""The benchmark of the whole job: the plain script does what a run did, and the table compares like with like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.context import Context
from benchmarks.jobs import job, job_order
from benchmarks.parts import job as whole_job
from benchmarks.runner import OURS, Outcome
from sys2ft.generators import EngineGenerator, Request, SamplingParams
from sys2ft.models import Message

pytestmark = pytest.mark.slow

ASKED = ("What is Paris?", "What had 12 people?")


@pytest.mark.filterwarnings("default")
def test_the_plain_script_does_what_a_run_did(talking_model_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="pip install -r requirements-bench.txt")
    context = Context(str(talking_model_dir), dtype="float32", device="cpu")
    ours = job.ours(context, news=2, tokens=800, folder=str(tmp_path))
    asked = ours["work"]
    assert asked["samples"] > 0
    assert asked["elements"] > 0
    assert ours["seconds"] == pytest.approx(sum(ours["phases"].values()))
    assert all(ours["phases"][name] > 0 for name in job.STAGES)
    order = json.loads(Path(ours["order"]).read_text())
    # Texts to judge, and greedy replies: the tiny model's are kept too rarely for a run of this size to have any.
    call = next(one for one in order["generate"] if "prompts" in one)
    answered = order["evaluate"][0]
    judged = {"options": answered["options"][:6], "likelihoods": answered["likelihoods"][:6]}
    order["generate"] = [
        {**call, "prompts": call["prompts"][:9], "texts": call["texts"][:9], "tokens": call["tokens"][:9]},
        judged,
    ]
    model = context.load()
    greedy = EngineGenerator(model).generate(
        [Request(messages=(Message("user", text),), seed=0) for text in ASKED],
        SamplingParams(temperature=0.0, max_new_tokens=24, stops=("?",)),
    )
    order["generate"].append(
        {
            **call,
            "prompts": [model.chat.prompt_ids([Message("user", text)]) for text in ASKED],
            "temperature": 0.0,
            "max_new_tokens": 24,
            "stops": ["?"],
            "texts": [one.text for one in greedy.replies],
            "tokens": [one.tokens for one in greedy.replies],
        }
    )
    file = tmp_path / "order.json"
    file.write_text(json.dumps(order))
    found = job.plain(context, order=str(file), sizes=(2, 4))
    assert set(found["best"]) == {"generate", "score"}
    theirs = job.plain(context, order=str(file), size=found["best"])
    assert (theirs["greedy_same"], theirs["greedy"]) == (2, 2)
    assert 9 <= theirs["sampled"] <= 9 * call["max_new_tokens"] + 48
    assert (theirs["steps"], theirs["trained"]) == (asked["steps"], asked["train"])
    assert theirs["loss"] == pytest.approx(theirs["loss_ours"], rel=0.1)
    assert max(one["largest"] for one in theirs["difference"].values()) < 1e-4
    assert all(theirs["phases"][name] > 0 for name in job.PHASES)

    swapped = {**order, "evaluate": [{**one, "adapter": None} for one in order["evaluate"]], "generate": []}
    file.write_text(json.dumps(swapped))
    off = job.plain(context, order=str(file), size=found["best"])["difference"]["evaluate"]["largest"]
    assert off > 1e-3, "the adapters matter"


def test_a_share_of_the_work_is_whole_batches_from_all_over_it() -> None:
    call = {"prompts": [[1] * (n + 1) for n in range(100)], "texts": ["a"] * 100, "tokens": [*range(100)]}
    options = [[[n // 4, 7, 8, n % 4], 1] for n in range(400)]
    asked = {"adapter": None, "options": options, "likelihoods": [*range(400)]}
    examples = [{"input_ids": [1] * (n + 1), "labels": [1] * (n + 1)} for n in range(64)]
    order = {
        "generate": [call] * 5 + [{"options": options, "likelihoods": [*range(400)]}],
        "train": {"naive": {"examples": examples, "batch_size": 8, "epochs": 2.0}},
        "evaluate": [asked] * 4,
    }
    size = {"generate": 10, "score": 5}
    assert job_order.sampled(order, 1.0, size) == order
    part, whole = job_order.sampled(order, 0.2, size), job_order.work_of(order)
    work = job_order.work_of(part)
    for name in ("samples", "judged", "options", "generate", "judge", "evaluate", "train"):
        assert work[name] == pytest.approx(0.2 * whole[name], rel=0.3), name
    assert (work["elements"], work["steps"], whole["steps"]) == (16, 4, 16)
    for own in part["generate"][:-1]:
        assert len(own["prompts"]) % 10 == 0
        assert own["tokens"] == [len(ids) - 1 for ids in own["prompts"]], "results stay with their prompts"
    for own in part["evaluate"]:
        assert len(own["options"]) % 20 == 0, "options that share a pass stay together"
        assert [options[i] for i in own["likelihoods"]] == own["options"]


def test_a_job_scaled_from_a_share_keeps_the_phases_apart() -> None:
    def runs(seconds: float, tokens: int, **more: Any) -> list[dict[str, Any]]:
        phases = {"generate": seconds, "train": 2 * seconds, "evaluate": 3 * seconds, "rest": 1.0}
        counts = ("samples", "sampled", "judged", "options", "elements", "supervised", "steps", *job.PHASES)
        own = {"work": dict.fromkeys(counts, tokens), "phases": phases, "cpu": phases, "tasks": {"evaluate": 1.0}}
        return [{**own, "dtype": "float32", "peak_bytes": 2**30, **more}]

    theirs = {"sampled": 21, "greedy": 10, "greedy_same": 9, "steps": 20, "trained": 20}
    theirs |= {"loss": {"naive": 9.0}, "loss_ours": {"naive": 1.0}, "difference": {"judged": {"largest": 1e-5}}}
    outcome = Outcome(runs={OURS: runs(4.0, 100), "plain": runs(8.0, 20, **theirs)})
    outcome.runs["plain"][0]["phases"] = {**outcome.runs["plain"][0]["phases"], "judge": 2.0}
    outcome.runs["plain"][0]["work"] = {**outcome.runs["plain"][0]["work"], "judge": 10}
    part = whole_job._part(outcome, 25, 0.2)
    assert part.figures["faster"]["generate"]["median"] == (8.0 * 5 + 2.0 * 10) / 4.0
    assert part.figures["faster"]["seconds"]["median"] == (48 * 5 + 20 + 1) / 25
    assert part.figures["faster_cpu"]["seconds"]["median"] == (48 * 5 + 1) / 25
    assert all(part.checks.values()), "losses of other elements are not compared"
    assert not all(whole_job._part(outcome, 25, 1.0).checks.values())
    assert {len(row) for row in part.rows} == {len(part.columns)}

    outcome.missing["plain"] = "not installed"
    outcome.runs["plain"] = []
    part = whole_job._part(outcome, 25, 0.2)
    assert "plain: not installed" in part.notes
    assert part.checks == {}
