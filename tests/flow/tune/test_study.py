"""Searches: cut off and resumed, with failures, within limits; and what becomes of designs."""

import json
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from systolith.config import ObjectiveName, load_experiment
from systolith.foundation import UsageError
from systolith.stages import open_run
from systolith.tune import Study, find_design, load_summary, summarize_study, write_pick
from systolith.tune import study as module
from systolith.tune.measuring import Measurement
from tests.flow.tune.inline import CONTENT, Inline, make_study
from tests.support.slow import first_few


class Ended(BaseException):
    """As if the program had been killed."""


def _trials(study: Study) -> list[tuple[Any, ...]]:
    return [
        (trial.number, trial.state, trial.params, trial.values, trial.user_attrs.get("outcome"))
        for trial in study.trials.of()
    ]


def _front(study: Study) -> list[tuple[str, Any]]:
    return [(design.name, design.values) for design in study.designs.front(study.designs.all())]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = make_study(tmp_path_factory.mktemp("finished"), Inline())
    study.run()
    return study


def test_a_search_trains_what_was_asked_for(finished: Study) -> None:
    assert len(finished.trials.complete) == 6
    origins = [trial.user_attrs.get("origin") for trial in finished.trials.complete]
    assert origins[:3] == ["dense", "uniform", "uniform"]
    outcomes = {trial.user_attrs["outcome"] for trial in finished.trials.asked}
    assert outcomes <= {"complete", "screened", "infeasible", "repeated"}
    assert "screened" in outcomes
    assert all(trial.state is not TrialState.RUNNING for trial in finished.trials.of())


def test_the_front_is_planned_exactly_and_estimated_well(finished: Study) -> None:
    front = finished.designs.front(finished.designs.all())
    estimated = {design.name: design for design in finished.designs.all(exact=False)}
    assert front
    for design in front:
        assert design.layout is not None
        before = estimated[design.name].values
        assert before.cycles == design.values.cycles == design.layout.cycles
        assert before.multipliers == design.values.multipliers
        assert design.values.latency > 1e6 * design.values.cycles / 1e9


@pytest.mark.parametrize("after", first_few([14, 3], 1))
def test_a_search_that_was_cut_off_ends_like_any_other(
    after: int, finished: Study, tmp_path: Path
) -> None:
    done: list[int] = []

    def end(count: int) -> None:
        if count == after and not done:
            done.append(count)
            raise Ended

    with pytest.raises(Ended):
        make_study(tmp_path, Inline(end)).run()
    study = make_study(tmp_path, Inline(end))
    study.run()
    assert _trials(study) == _trials(finished)
    assert _front(study) == _front(finished)
    measured = list((tmp_path / "evaluations").glob("*/measurement.json"))
    assert len(measured) == len(list((finished.results).glob("*/measurement.json")))


def test_what_was_measured_is_not_measured_again(finished: Study, tmp_path: Path) -> None:
    again = Inline()
    study = make_study(finished.folder, again)
    study.run()
    assert again.count == 0
    assert _trials(study) == _trials(finished)


def test_a_point_that_fails_ends_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.measure

    def measure(job: Any) -> Measurement:
        task, key = job
        bits = task.experiment.quantize.layers["6"].weight_bits
        if task.fidelity == 0.5 and bits == 8:
            return Measurement(key=key, accuracy=float("nan"), seconds=0.0)
        if task.fidelity == 0.5 and task.experiment.prune == ():
            raise ArithmeticError("it diverged")
        return real(job)

    monkeypatch.setattr(module, "measure", measure)
    study = make_study(tmp_path, Inline(), {"tune": {"points": 3}})
    study.run()
    reasons = {trial.user_attrs["reason"] for trial in study.trials.of(TrialState.FAIL)}
    assert "its accuracy is nan" in reasons
    assert all(trial.params["6 weight bits"] == 4 for trial in study.trials.complete)
    account = summarize_study(study, tmp_path)
    assert account["states"]["failed"] == len(account["failures"]) > 0


def test_limits_keep_designs_from_the_front(finished: Study, tmp_path: Path) -> None:
    (tmp_path / "dense").symlink_to(finished.folder / "dense")
    (tmp_path / "evaluations").symlink_to(finished.results)
    luts = sorted(design.values.luts for design in finished.designs.all(exact=False))
    most = luts[len(luts) // 2]
    study = make_study(tmp_path, Inline(), {"tune": {"limits": {"luts": float(most)}}})
    study.run()
    designs = study.designs.all()
    assert any(design.values.luts > most for design in designs)
    assert all(design.feasible == (design.values.luts <= most) for design in designs)
    assert all(design.values.luts <= most for design in study.designs.front(designs))


@pytest.mark.parametrize("sampler", first_few(["nsga3", "tpe", "random", "gp"], 3))
def test_every_sampler_searches(sampler: str, finished: Study, tmp_path: Path) -> None:
    (tmp_path / "dense").symlink_to(finished.folder / "dense")
    (tmp_path / "evaluations").symlink_to(finished.results)
    study = make_study(tmp_path, Inline(), {"tune": {"sampler": sampler, "points": 8}})
    study.run(plan_front=False)
    assert len(study.trials.complete) == 8


def test_a_folder_with_another_study_is_refused(finished: Study) -> None:
    with pytest.raises(UsageError, match="of other settings"):
        make_study(finished.folder, Inline(), {"seed": 5})
    with pytest.raises(UsageError, match="of other settings"):
        make_study(finished.folder, Inline(), {"tune": {"objectives": ["accuracy", "dsps"]}})


def test_a_store_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    from systolith.config import check_experiment

    experiment = check_experiment(CONTENT, tmp_path / "tiny.toml")
    with pytest.raises(UsageError, match="the study cannot be kept in nonsense://"):
        Study(CONTENT, experiment, tmp_path, tmp_path, Inline(), storage="nonsense://")  # type: ignore[arg-type]


def test_a_picked_design_is_what_the_study_said(finished: Study, tmp_path: Path) -> None:
    text = "# kept\nname = 'tiny'\n[model]\nfactory = 'tests.flow.tune.inline:tiny_model'\n"
    text += "[data]\nfactory = 'tests.flow.tune.inline:tiny_data'\n"
    text += "[train]\nfloat_epochs = 2\nprune_epochs = 2\nquantize_epochs = 1\nbatch_size = 32\n"
    text += (
        "[hardware]\ndevice = 'ecp5-25f'\n[tune]\nlayers = [{layers = '2', weight_bits = [8]}]\n"
    )
    summary = summarize_study(finished, finished.folder)
    account = {**summary, "experiment": {"path": str(finished.folder / "tiny.toml"), "text": text}}
    (tmp_path / "study.json").write_text(json.dumps(account))
    for wanted in ("fps", "luts", account["points"][0]["number"]):
        design = find_design(load_summary(tmp_path), wanted)
        path = tmp_path / f"{wanted}.toml"
        write_pick(account, design, path, build=False)
        assert "# kept" in path.read_text()
        assert load_experiment(path).tune is None
        report = open_run(path, tmp_path / f"run-{wanted}").run("estimate")
        if design["exact"]:
            assert report.performance is not None
            assert report.performance.cycles_per_frame == design["values"]["cycles"]


def test_a_design_that_is_not_there_is_named(finished: Study, tmp_path: Path) -> None:
    account = summarize_study(finished, finished.folder)
    with pytest.raises(UsageError, match=r"no design '99.9'; of its front: "):
        find_design(account, "99.9")
    with pytest.raises(UsageError, match="no study.json"):
        load_summary(tmp_path)


def test_values_of_all_objectives_are_told(finished: Study) -> None:
    account = summarize_study(finished, finished.folder)
    names = {name.value for name in ObjectiveName}
    assert all(set(point["values"]) == names for point in account["points"])
    layers = account["points"][0]["layers"]
    assert [layer["layer"] for layer in layers] == ["0", "2", "6"]
    assert json.loads(json.dumps(account)) == account
