"""From a run folder to a cell's numbers: every value worked out by hand, and what counts as collapsed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import RunRefused
from bnf_lab.core.judgements import Judgement, Message, Verdict
from bnf_lab.experiments.measures import MEASURES
from bnf_lab.experiments.recipes import Cell
from bnf_lab.experiments.records import CellResult, CurvePoint, SampleAnswer
from bnf_lab.experiments.results import COLLAPSE, read_cell
from bnf_lab.runs.folder import RunFolder
from bnf_lab.runs.records import (
    LARGEST_FALL,
    AnswerPoint,
    MetricPoint,
    ProbeResponse,
    RunState,
    RunStatus,
    TokenHeader,
    TokenSnapshot,
)
from bnf_lab.runs.verdict import BROKEN_SHARE

CELL = Cell("demo:short_answers", {"method": "bnf"}, RunConfig())
FINISHED = RunStatus(RunState.FINISHED, step=4, total_steps=4, started_at=100.0, ended_at=112.34)


def make_folder(path: Path, status: RunStatus = FINISHED, judgements: Sequence[Judgement] = ()) -> RunFolder:
    folder = RunFolder.create(path / "run", CELL.config, judgements)
    folder.write_status(status)
    return folder


def probe(step: int, **values: Any) -> MetricPoint:
    return MetricPoint(step, 1.0, "probe", **values)


def answer(folder: RunFolder, step: int, prompt: str, text: str, *, repeats: bool = False) -> None:
    folder.append_answer(AnswerPoint(step, prompt, text, 3, is_empty=not text, is_repeating=repeats))


def read(folder: RunFolder) -> CellResult:
    result = read_cell(CELL, folder)
    assert result.values.keys() <= MEASURES.keys()
    return result


def response(name: str, prompt: str, n: int) -> ProbeResponse:
    verdict = "preferred" if name.startswith("+") else "dispreferred"
    return ProbeResponse(name, verdict, prompt, ("x",) * n, (-1.0,) * n, (0.0,) * n)


def judgement(name: str, prompt: str, before: str = "Hello.") -> Judgement:
    verdict = Verdict.PREFERRED if name.startswith("+") else Verdict.DISPREFERRED
    return Judgement((Message("user", before), Message("user", prompt)), "x", verdict, id=name)


def snapshot(step: int, *logps: tuple[float, ...]) -> TokenSnapshot:
    return TokenSnapshot(step, logps, logps, logps)


def test_a_whole_run_becomes_exact_values(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    for step, loss, norm in ((1, 1.0, 2.0), (2, 2.0, 3.0), (3, 3.0, 4.0), (4, 6.0, 7.0)):
        folder.append_metric(MetricPoint(step, 1.0, "train", loss=loss, grad_norm=norm))
    folder.append_metric(
        probe(
            0,
            preferred_logp=-2.0,
            preferred_logp_reference=-2.0,
            dispreferred_logp=-3.0,
            dispreferred_logp_reference=-3.0,
            accuracy=0.5,
            margin=1.0,
            kl=0.0,
        )
    )
    folder.append_metric(
        probe(
            4,
            preferred_logp=-1.5,
            preferred_logp_reference=-2.0,
            dispreferred_logp=-4.0,
            dispreferred_logp_reference=-3.0,
            accuracy=0.75,
            margin=2.5,
            accuracy_shift=1.0,
            margin_shift=1.5,
            kl=0.25,
            preferred_entropy=1.75,
            dispreferred_entropy=9.0,
            preferred_target_logit_shift=0.1,
            preferred_logsumexp_shift=0.2,
            preferred_other_logits_shift=0.3,
            dispreferred_target_logit_shift=-0.1,
            dispreferred_logsumexp_shift=-0.2,
            dispreferred_other_logits_shift=-0.3,
        )
    )
    answer(folder, 0, "Hi?", "One two.")
    answer(folder, 0, "Ho?", "Three.")
    answer(folder, 2, "Hi?", "too early")
    answer(folder, 4, "Hi?", "a b c d")
    answer(folder, 4, "Ho?", "no no no no no no", repeats=True)
    answer(folder, 4, "New?", "e f")
    result = read(folder)
    assert (result.cell, result.state, result.problem, result.step) == (CELL, "finished", None, 4)
    assert result.values == pytest.approx(
        {
            "accuracy": 0.75,
            "margin": 2.5,
            "accuracy_shift": 1.0,
            "margin_shift": 1.5,
            "kl": 0.25,
            "entropy": 1.75,
            "preferred_shift": 0.5,
            "dispreferred_shift": -1.0,
            "preferred_target_logit_shift": 0.1,
            "preferred_logsumexp_shift": 0.2,
            "preferred_other_logits_shift": 0.3,
            "dispreferred_target_logit_shift": -0.1,
            "dispreferred_logsumexp_shift": -0.2,
            "dispreferred_other_logits_shift": -0.3,
            "loss_variance": 3.5,
            "grad_norm": 4.0,
            "broken_answers": 1 / 3,
            "answer_words": 4.0,
            "repetition": 0.25,
            "seconds": 12.3,
            "collapsed": 0.0,
        }
    )
    assert set(result.values) == set(MEASURES)
    assert result.base_accuracy == 0.5
    assert result.curve == (CurvePoint(0, 0.0, 0.0, 0.5), CurvePoint(4, 0.5, -1.0, 0.75))
    assert result.answers == (
        SampleAnswer("Hi?", "One two.", "a b c d", False),
        SampleAnswer("Ho?", "Three.", "no no no no no no", True),
        SampleAnswer("New?", "", "e f", False),
    )


def test_margins_are_taken_within_a_prompt_from_the_last_snapshot(tmp_path: Path) -> None:
    names = [("+a", "p", 2), ("-b", "p", 1), ("-c", "p", 3), ("+d", "q", 1), ("-e", "q", 2), ("+f", "alone", 1)]
    folder = make_folder(tmp_path, judgements=[judgement(name, prompt) for name, prompt, _ in names])
    folder.append_tokens(TokenHeader(tuple(response(*n) for n in names)))
    folder.append_tokens(snapshot(0, (-9.0, -9.0), (-9.0,), (-9.0,) * 3, (-9.0,), (-9.0, -9.0), (-9.0,)))
    folder.append_tokens(snapshot(4, (-1.0, -2.0), (-3.0,), (-1.0, -1.0, -4.0), (-5.0,), (-4.0, -4.5), (-0.1,)))
    assert read(folder).pair_margins == pytest.approx((1.5, 0.5, -0.75))


def test_conversations_that_end_alike_are_other_prompts(tmp_path: Path) -> None:
    judgements = [judgement("+a", "Go on.", "Tell me of the sea."), judgement("-b", "Go on.", "Tell me of the sky.")]
    folder = make_folder(tmp_path, judgements=judgements)
    folder.append_tokens(TokenHeader((response("+a", "Go on.", 1), response("-b", "Go on.", 1))))
    folder.append_tokens(snapshot(4, (-1.0,), (-2.0,)))
    assert read(folder).pair_margins == ()


def test_a_run_that_has_only_begun_has_no_values(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, RunStatus(RunState.QUEUED))
    result = read(folder)
    assert (result.state, result.values) == ("queued", {})
    assert (result.pair_margins, result.curve, result.answers) == ((), (), ())
    assert result.base_accuracy is None
    folder.append_metric(MetricPoint(1, 1.0, "train", loss=1.0))
    assert read(folder).values == {}  # one loss has no variance
    answer(folder, 0, "Hi?", "")
    assert read(folder).answers == ()  # step 0 is the base model's, not the cell's
    folder.append_tokens(TokenHeader((response("+a", "p", 1), response("-b", "p", 1))))
    assert read(folder).pair_margins == ()


def test_singles_have_shifts_but_no_pairs(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    folder.append_metric(probe(4, preferred_logp=-1.0, preferred_logp_reference=-2.0))
    result = read(folder)
    assert result.values["preferred_shift"] == 1.0
    assert result.values.keys().isdisjoint({"accuracy", "margin", "dispreferred_shift"})
    assert (result.base_accuracy, result.curve) == (None, (CurvePoint(4, 1.0, None, None),))


def test_what_the_guard_or_a_failure_said_is_the_problem(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, replace(FINISHED, notice="Step 4: answers came out empty."))
    assert read(folder).problem == "Step 4: answers came out empty."
    folder.write_status(replace(FINISHED, state=RunState.FAILED, notice="Odd.", failure="No model."))
    assert (read(folder).state, read(folder).problem) == ("failed", "No model.")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunRefused, match=r"status\.json"):
        read_cell(CELL, RunFolder(tmp_path / "nothing"))


# -- collapse


def fall(folder: RunFolder, by: float) -> None:
    folder.append_metric(probe(0, preferred_logp=-2.0, preferred_logp_reference=-2.0))
    folder.append_metric(probe(4, preferred_logp=-2.0 - by, preferred_logp_reference=-2.0))


def answers(folder: RunFolder, n_broken: int, n: int = 4) -> None:
    for i in range(n):
        answer(folder, 0, f"p{i}", "")
        answer(folder, 4, f"p{i}", "" if i < n_broken else "Fine.")


@pytest.mark.parametrize(("by", "expected"), [(-3.0, 0.0), (0.0, 0.0), (LARGEST_FALL, 0.0), (LARGEST_FALL + 0.01, 1.0)])
def test_a_likelihood_that_fell_too_far_is_a_collapse(tmp_path: Path, by: float, expected: float) -> None:
    folder = make_folder(tmp_path)
    fall(folder, by)
    answers(folder, 0)
    assert read(folder).values["collapsed"] == expected


@pytest.mark.parametrize(("n_broken", "expected"), [(0, 0.0), (1, 0.0), (2, 1.0), (4, 1.0)])
def test_half_of_the_answers_broken_is_a_collapse(tmp_path: Path, n_broken: int, expected: float) -> None:
    folder = make_folder(tmp_path)
    fall(folder, 0.0)
    answers(folder, n_broken)
    result = read(folder)
    assert result.values["broken_answers"] == n_broken / 4
    assert result.values["collapsed"] == expected
    assert BROKEN_SHARE == 0.5


def test_a_repeating_answer_is_as_broken_as_an_empty_one(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    answer(folder, 4, "p", "no no no no no", repeats=True)
    assert (read(folder).values["broken_answers"], read(folder).values["collapsed"]) == (1.0, 1.0)


def test_a_likelihood_that_is_no_longer_a_number_is_a_collapse(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    folder.append_metric(probe(0, preferred_logp=-2.0, preferred_logp_reference=-2.0))
    folder.append_metric(probe(4))  # what is not finite is not written
    assert read(folder).values == {"seconds": 12.3, "collapsed": 1.0}


def test_a_run_that_diverged_has_collapsed_and_no_other_score(tmp_path: Path) -> None:
    status = replace(FINISHED, state=RunState.STOPPED, is_diverged=True, notice="The loss became nan at step 3.")
    folder = make_folder(tmp_path, status)
    fall(folder, -1.0)
    answers(folder, 0)
    folder.append_metric(MetricPoint(1, 1.0, "train", loss=1.0, grad_norm=2.0))
    result = read(folder)
    assert result.values == {"seconds": 12.3, "collapsed": 1.0, "grad_norm": 2.0}
    assert (result.state, result.answers, result.pair_margins, len(result.curve)) == ("stopped", (), (), 2)
    assert "nan at step 3" in result.problem
    assert all(words in COLLAPSE for words in ("no longer finite", "more than 1 nat/token", "half of its sample"))


@pytest.mark.parametrize("state", [s for s in RunState if s is not RunState.FINISHED])
def test_an_unfinished_run_is_not_judged(tmp_path: Path, state: RunState) -> None:
    folder = make_folder(tmp_path, replace(FINISHED, state=state))
    fall(folder, 9.0)
    answers(folder, 4)
    folder.append_metric(MetricPoint(1, 1.0, "train", loss=1.0, grad_norm=2.0))
    result = read(folder)
    assert result.values == {"seconds": 12.3}
    assert (result.answers, result.pair_margins, len(result.curve)) == ((), (), 2)


def test_a_finished_run_without_probe_and_answers_has_not_collapsed(tmp_path: Path) -> None:
    assert read(make_folder(tmp_path)).values == {"seconds": 12.3, "collapsed": 0.0}
