"""Leave one study out: who is judged, on what, and that nothing of a left-out study counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fennec.errors import InputError
from fennec.evaluation import leave_one_study_out as evaluate
from fennec.evaluation.leave_one_study_out import MIN_STUDY, STUDY_METHODS, judged_studies, summarise_studies
from fennec.evidence.scores import load_scores, study_name
from fennec.evidence.studies import load_evidence
from fennec.tasks.embedding_files import load_known_embeddings

JUDGED, OTHERS = "sfda_selfsup_resnet50", ("sfda_supervised_cnn", "emms_vit", "aitlas_arena")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Four studies in place of all: a fit takes a second."""
    names = {study_name(name) for name in (JUDGED, *OTHERS)}
    scores = load_scores()[load_scores()["study"].isin(names)].reset_index(drop=True)
    monkeypatch.setattr(evaluate, "load_scores", lambda: scores)
    return scores


def test_judged_studies__all__large_enough_and_not_of_imagenet() -> None:
    cases = judged_studies()
    assert len({case.study for case in cases}) > 20
    assert all(len(case.models) >= MIN_STUDY and case.protocol != "eval" for case in cases)
    for case in cases:
        assert len(case.image_sets) == case.table.shape[1]
        assert case.table.notna().any(axis=None)


def test_judged_studies__one_cell__as_in_the_evidence() -> None:
    case = judged_studies([JUDGED])[0]
    evidence = load_evidence().astype({"study": str, "weights": str, "image_set": str, "protocol": str})
    own = evidence[evidence["study"].eq(JUDGED) & evidence["protocol"].eq(case.protocol)]
    for name, image_set in zip(case.table, case.image_sets, strict=True):
        cells = own[own["image_set"].eq(image_set)].set_index("weights")["value"]
        for model in case.models[:3]:
            assert case.table.loc[model, name] in np.atleast_1d(cells.loc[model])


def test_judged_studies__unknown_or_small__input_error() -> None:
    with pytest.raises(InputError, match="no study 'sfda_selfsup' .*did you mean 'sfda_selfsup_resnet50'"):
        judged_studies(["sfda_selfsup"])


def test_leave_one_study_out__its_results_changed__same_scores_and_other_marks(few: pd.DataFrame) -> None:
    cases = judged_studies([JUDGED])
    embeddings = load_known_embeddings()
    one = evaluate.leave_one_study_out(cases, embeddings)
    for case in cases:
        case.table[:] = case.table.to_numpy()[::-1]
    own = few["study"].eq(study_name(JUDGED))
    few.loc[own, "score"] = -few.loc[own, "score"]
    two = evaluate.leave_one_study_out(cases, embeddings)
    assert set(one["method"]) <= set(STUDY_METHODS)
    seen = {name: (one[one["method"].eq(name)], two[two["method"].eq(name)]) for name in one["method"].unique()}
    assert {"fennec", "fennec-no-images", "params", "own-history"} <= set(seen)
    # models backwards, results backwards: the same scores are judged against other results
    assert not np.allclose(seen["fennec"][0]["value"], seen["fennec"][1]["value"])
    for case in cases:
        case.table[:] = case.table.to_numpy()[::-1]
    again = evaluate.leave_one_study_out(cases, embeddings, methods=["fennec", "fennec-no-images"])
    for name in ("fennec", "fennec-no-images"):
        np.testing.assert_allclose(again.loc[again["method"].eq(name), "value"], seen[name][0]["value"])


def test_leave_one_study_out__own_history__knows_its_own_study_best(few: pd.DataFrame) -> None:
    table = evaluate.leave_one_study_out(judged_studies([JUDGED]), load_known_embeddings())
    means = summarise_studies(table).set_index("method")
    assert means.loc["own-history", "tau_w"] == means["tau_w"].max()
    assert means["tau_w"].between(-1, 1).all()
    assert (means["regret@5"] <= means["regret@1"] + 1e-12).all()
    assert (means["n_columns"] == judged_studies([JUDGED])[0].table.shape[1]).all()


def test_leave_one_study_out__unknown_method__input_error() -> None:
    with pytest.raises(InputError, match="unknown method 'fenec'; did you mean 'fennec'"):
        evaluate.leave_one_study_out(judged_studies([JUDGED]), {}, methods=["fenec"])
