"""A search ends with the best that its budget allows, whatever happens on the way, and loses or repeats no trial."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fennec.bench.cells import iter_records, write_record
from fennec.bench.protocols import Protocol
from fennec.bench.run import Job, note_tasks
from fennec.errors import FennecError, InputError, NothingToRecommendError, UnknownModelError
from fennec.evidence.matrix import TransferMatrix
from fennec.files import PARTIAL
from fennec.images.task_images import open_task
from fennec.space.recommender import Recommender
from fennec.trials import loop
from fennec.trials.loop import Hands, search
from tests.conftest import coloured

from .conftest import TRUTH, Lab, Look
from .killed import BUDGET, MOMENTS


def test_search__budget_of_models__tries_so_many_and_finds_a_good_one(look: Look) -> None:
    lab = Lab()
    found = look("4 models", lab)
    assert [trial.model for trial in found.trials] == lab.measured
    assert [trial.number for trial in found.trials] == [1, 2, 3, 4]
    assert found.winner is not None
    assert found.winner.value == max(TRUTH[model] for model in lab.measured) >= sorted(TRUTH.values())[-2]
    assert found.winner.noise == pytest.approx((found.winner.value * (1 - found.winner.value) / 4) ** 0.5)
    assert found.stopped == "the budget of 4 models is spent"
    assert found.chance is not None
    assert 0 <= found.chance <= 1
    assert found.trials[0].gain is None  # there was nothing to improve on
    assert json.loads(json.dumps(found.to_dict()))["winner"]["model"] == found.winner.model
    assert found.winner.model in str(found)


def test_search__enough_budget__tries_all_and_nothing_is_left_to_believe(look: Look) -> None:
    found = look("99 models", Lab())
    assert (len(found.trials), found.stopped) == (10, "every candidate was tried")
    assert (found.chance, found.winner and found.winner.model) == (0.0, "model09")


@pytest.mark.parametrize("stage", [0, 1, 3])
def test_search__interrupted__goes_on_where_it_was(look: Look, stage: int, tmp_path: Path) -> None:
    first = Lab(interrupted_at=stage)
    with pytest.raises(KeyboardInterrupt):
        look("4 models", first)
    assert len(list(iter_records(tmp_path / "out"))) == stage
    second, whole = Lab(), Lab()
    found = look("4 models", second)
    look("4 models", whole, out=tmp_path / "whole")
    assert first.measured + second.measured == whole.measured
    assert [trial.number for trial in found.trials] == [1, 2, 3, 4]
    third = Lab()
    assert look("4 models", third).trials == found.trials
    assert not third.measured
    more = Lab()
    assert len(look("6 models", more).trials) == 6
    assert len(more.measured) == 2


def test_search__killed_before_the_record_was_written__trial_is_repeated(
    look: Look, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(loop, "write_record", killed)
        with pytest.raises(SystemExit):
            look("2 models", Lab())
    lab = Lab()
    assert len(look("2 models", lab).trials) == 2
    assert len(lab.measured) == 2


@pytest.mark.parametrize("moment", MOMENTS)
def test_search__killed_by_the_system__goes_on_and_repeats_one_trial_at_most(
    look: Look, tmp_path: Path, moment: str
) -> None:
    command = [sys.executable, "-m", "tests.trials.killed", str(tmp_path), moment]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE) as killed:
        while not (tmp_path / "there").exists():
            assert killed.poll() is None, killed.stderr and killed.stderr.read().decode()
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
    assert len(list(iter_records(tmp_path / "out"))) == MOMENTS[moment]
    lab, whole = Lab(), Lab()
    found = look(BUDGET, lab)
    assert found.trials == look(BUDGET, whole, out=tmp_path / "whole").trials
    assert lab.measured == whole.measured[MOMENTS[moment] :]
    assert not list((tmp_path / "out").rglob(f"*{PARTIAL}"))


def test_search__earlier_cells__count_as_results_and_cost_nothing(look: Look, photos: Path, tmp_path: Path) -> None:
    job = Job("model05", "mine", str(photos), Protocol())
    note_tasks(tmp_path / "out", [job])
    write_record(tmp_path / "out", job.cell, Lab()(job, "cpu"))
    lab = Lab()
    found = look("2 models", lab)
    assert found.task == "mine"
    assert [(trial.model, trial.number) for trial in found.trials[:1]] == [("model05", 0)]
    assert len(lab.measured) == 2
    assert "model05" not in lab.measured


def test_search__two_at_once__every_model_measured_once(look: Look) -> None:
    lab = Lab()
    look("1 models", lab)  # files of one process have one name until they are whole: begin before there are two threads
    failures: list[BaseException] = []

    def one() -> None:
        try:
            look("99 models", lab)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(lab.measured) == sorted(TRUTH)


def test_search__failures__recorded_with_their_cost_and_the_search_goes_on(look: Look) -> None:
    best_first = tuple(trial.model for trial in look("2 models", Lab()).trials)
    lab = Lab(failing=best_first)
    found = look("4 models", lab, out="elsewhere")
    assert [(trial.error, trial.value) for trial in found.trials[:1]] == [("OutOfMemoryError", None)]
    assert found.winner is not None
    assert len(lab.measured) == 4
    again = Lab()
    look("9 models", again, out="elsewhere", models=[*best_first, found.winner.model])
    assert not again.measured


def test_search__retry__failed_models_are_tried_again(look: Look, hub: Recommender, photos: Path) -> None:
    with pytest.raises(FennecError, match="none of the 1 models tried could be measured"):
        look("1 models", Lab(failing=tuple(TRUTH)), out="r", models=["model03"])
    lab = Lab()
    hands = Hands("serial", measure=lab, retry=True)
    found = search(str(photos), "1 models", recommender=hub, models=["model03"], out="r", hands=hands)
    assert (lab.measured, found.winner and found.winner.model) == (["model03"], "model03")


def test_search__all_fail__one_clear_line_after_a_few(look: Look, tmp_path: Path) -> None:
    lab = Lab(failing=tuple(TRUTH))
    with pytest.raises(FennecError, match="5 trials in a row failed with OutOfMemoryError.*tried to allocate 900 GiB"):
        look("99 models", lab)
    assert len(lab.measured) == len(list(iter_records(tmp_path / "out"))) == 5


def test_search__folder_of_other_data__refused(look: Look, tmp_path: Path, photos: Path) -> None:
    look("1 models", Lab())
    other = coloured(tmp_path / "other", {"red": (200, 0, 0), "blue": (0, 0, 200)}, 10)
    with pytest.raises(InputError, match="holds results on 'photos' .*, not on '.*other'; give another folder"):
        look("1 models", Lab(), dataset=str(other))
    Image.new("RGB", (12, 12)).save(photos / "plum" / "new.png")
    monkey = next((tmp_path / "out").rglob("*.0.json"))
    record = json.loads(monkey.read_text())
    monkey.write_text(json.dumps({**record, "data": {"train": "photos: 16 pictures", "test": "photos: 4 pictures"}}))
    with pytest.raises(InputError, match="results on other images do not compare"):
        look("1 models", Lab())
    shutil.rmtree(tmp_path / "out")
    assert look("1 models", Lab()).trials
    monkey = next((tmp_path / "out").rglob("*.0.json"))
    monkey.write_text(json.dumps({**json.loads(monkey.read_text()), "data": open_task(str(photos)).identity()}))
    assert look("1 models", Lab()).trials
    for index, path in enumerate(sorted(photos.rglob("*.png"))):
        Image.new("RGB", (12, 12), (9 * index % 256, 80, 200)).save(path)
    with pytest.raises(InputError, match="holds results on other pictures, but now it is these"):
        look("2 models", Lab())


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("soon", "budget is 'soon'; expected a time such as 30m"),
        ("0m", "expected more than nothing"),
        ("3 passes", "a budget of 3 passes is too small for one trial: 'model00' needs about 252 passes"),
    ],
)
def test_search__budget_that_does_not_do__one_clear_line(look: Look, budget: str, message: str) -> None:
    lab = Lab()
    with pytest.raises(InputError, match=message):
        look(budget, lab)
    assert not lab.measured


def test_search__budget_of_time__too_small_or_spent(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "rated_seconds", lambda models, *_, **__: np.full(len(models), 40.0))
    with pytest.raises(InputError, match=r"a budget of 10 s is too small for one trial: 'model\d\d' needs about 40 s"):
        look("10s", Lab())
    found = look("1m", Lab())  # a trial took two seconds, as is soon learned
    assert len(found.trials) == 10
    again = Lab()
    assert look("21s", again).trials == found.trials  # ten trials took twenty
    assert not again.measured


def test_search__one_candidate__is_tried_and_wins(look: Look) -> None:
    found = look("3 models", Lab(), models=["model04"])
    assert (found.n_candidates, found.winner and found.winner.model) == (1, "model04")
    assert (found.runner_up, found.chance) == (None, 0.0)


def test_search__candidates_unknown_or_none__refused(look: Look) -> None:
    with pytest.raises(UnknownModelError, match="model44"):
        look("3 models", Lab(), models=["model44"])
    with pytest.raises(NothingToRecommendError, match="none of the models satisfies 'params < 1'"):
        look("3 models", Lab(), where="params < 1")


def test_search__no_labels__refused(look: Look, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    for index in range(4):
        Image.new("RGB", (12, 12), (index, 0, 0)).save(tmp_path / "plain" / f"{index}.png")
    with pytest.raises(InputError, match="without labels"):
        look("3 models", Lab(), dataset=str(tmp_path / "plain"))
    assert not (tmp_path / "out").exists()


def test_search__nothing_worth_a_trial__stops_early_and_says_so(look: Look) -> None:
    found = look("99 models", Lab(), worth=60.0)
    assert len(found.trials) == 1
    assert found.stopped.startswith("no trial is expected to gain 60 points (at most ")


@pytest.mark.parametrize("engine", ["process", pytest.param("ray", marks=pytest.mark.slow)])
def test_search__engines__same_results(bench: dict[str, str], engine: str) -> None:
    names, tasks = ("benchnets:small", "benchnets:wide"), ("a", "b")
    results = np.array([[0.7, 0.6], [0.5, 0.5]])
    matrix = TransferMatrix(results, names, tasks, tasks, ("top1",) * 2, "linear_probe", "own")
    space, effort = Recommender().fit(matrix, {}), Protocol("linear_probe", n_train=20, n_test=10)
    values = []
    for name in ("serial", engine):
        found = search(
            bench["fruit"],
            "2 models",
            protocol=effort,
            recommender=space,
            out=name,
            worth=0.0,
            hands=Hands(name, workers=1),
        )
        values.append([(trial.number, trial.model, trial.value) for trial in found.trials])
    assert values[0] == values[1]
    assert len(values[0]) == 2
