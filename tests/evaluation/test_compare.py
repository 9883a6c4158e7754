"""The comparison with forward-pass metrics: planted metrics come out as planted, costs add up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fennec.bench.measured import load_measured_hub, measure_folder
from fennec.bench.metric_scores import FORWARD, NAMES, score_results
from fennec.cli.main import app
from fennec.errors import InputError
from fennec.evaluation.compare import CHOSEN_STAGE, TWO_STAGE, compare, summarise_comparison
from fennec.evidence.matrix import TransferMatrix
from fennec.forward.scoring import AUTO
from fennec.measures import MEASURES
from fennec.reports.compare_plots import plot_comparison
from fennec.tasks.proxy import Proxy
from tests.bench.conftest import jobs_of
from tests.conftest import coloured, planted

pytestmark = pytest.mark.usefixtures("no_published_results")

SECONDS = {FORWARD: 2.0, "logme": 0.5, "knn": 0.25, "regularised_h_score": 0.25, "perfect": 1.0, "partial": 0.0}


def score_table(matrix: TransferMatrix) -> pd.DataFrame:
    """A perfect metric, three that are noise, and one that knows half of the models."""
    generator = np.random.default_rng(0)
    rows = []
    for column, task in enumerate(matrix.tasks):
        for row, model in enumerate(matrix.models):
            for metric, seconds in SECONDS.items():
                score = matrix.performance[row, column] if metric in ("perfect", "partial") else generator.random()
                if metric == FORWARD or (metric == "partial" and row % 3):
                    score = None
                rows.append((task, model, metric, score, "", seconds, 100.0 + len(metric)))
    return pd.DataFrame(rows, columns=["task", "model", "metric", "score", "reason", "seconds", "peak_mb"])


@pytest.fixture(scope="module")
def results(no_published_results: None) -> pd.DataFrame:
    matrix, embeddings = planted(n_models=20, n_tasks=8)
    return compare(matrix, embeddings, score_table(matrix))


def test_compare__planted_metrics__order_and_measures(results: pd.DataFrame) -> None:
    means = results[results["measure"] == "tau_w"].groupby("method")["value"].mean()
    assert means["perfect"] == pytest.approx(1.0)
    assert means["fennec"] > means["static"] + 0.05 > means["random"] + 0.05
    assert abs(means["knn"]) < 0.5
    assert "partial" not in means  # it says nothing of most models
    assert set(results["measure"]) == set(MEASURES)
    assert set(results["task"]) == {f"task{index}" for index in range(8)}


def test_compare__costs__passes_and_seconds_add_up(results: pd.DataFrame) -> None:
    costs = results.groupby("method").first()
    parts = costs[["forward_s", "scoring_s", "ranking_s"]].sum(axis=1)
    np.testing.assert_allclose(costs["seconds"], parts)
    assert costs.loc["logme", "seconds"] == pytest.approx(20 * 2.5)
    assert costs.loc["logme", "forward_passes"] == 20
    assert costs.loc["logme", "peak_mb"] == 100.0 + len(FORWARD)
    assert costs.loc["fennec", "forward_passes"] == 1
    assert costs.loc["fennec", "ranking_s"] < 0.1
    assert costs.loc["static", "forward_passes"] == 0
    assert costs.loc[TWO_STAGE, "forward_passes"] == 6
    assert costs.loc[TWO_STAGE, "forward_s"] == pytest.approx(5 * 2.0)
    assert costs.loc[TWO_STAGE, "scoring_s"] == pytest.approx(5 * 1.0)


def test_compare__two_stages__only_the_best_change_places() -> None:
    matrix, embeddings = planted(n_models=20, n_tasks=6)
    table = score_table(matrix)
    plain = compare(matrix, embeddings, table, rerank=1)
    wide = plain.pivot_table(index=["task", "measure"], columns="method", values="value")
    by_order = wide[wide.index.get_level_values("measure") != "pearson"]  # positions are not on the scores' scale
    np.testing.assert_allclose(by_order[TWO_STAGE], by_order["fennec"])
    np.testing.assert_allclose(by_order[CHOSEN_STAGE], by_order["fennec"])
    perfect = compare(matrix, embeddings, table, rerank=20, metrics=["perfect"])
    means = perfect[perfect["measure"] == "tau_w"].groupby("method")["value"].mean()
    assert means["fennec"] < means[TWO_STAGE] < 1.0
    np.testing.assert_allclose(means[CHOSEN_STAGE], means[TWO_STAGE])  # the perfect metric was found


def test_compare__task_without_scores__left_out_and_still_history() -> None:
    matrix, embeddings = planted(n_models=12, n_tasks=6)
    table = score_table(matrix)
    found = compare(matrix, embeddings, table[table["task"] != "task2"])
    assert set(found["task"]) == {"task0", "task1", "task3", "task4", "task5"}


def test_summary__sorted_with_intervals_wins_and_costs(results: pd.DataFrame) -> None:
    summary = summarise_comparison(results)
    assert summary["method"].iloc[0] == "perfect"
    assert (summary["mean"].diff().dropna() <= 0).all()
    assert ((summary["low"] <= summary["mean"]) & (summary["mean"] <= summary["high"])).all()
    row = summary.set_index("method")
    assert row.loc["perfect", "win"] == 8
    assert (row.loc["fennec", "win"], row.loc["fennec", "loss"]) == (0, 0)
    assert row.loc["logme", "seconds"] == pytest.approx(50)


def test_plots__three_pictures(results: pd.DataFrame, tmp_path: Path) -> None:
    written = plot_comparison(results, tmp_path / "plots")
    assert [path.stem for path in written] == ["quality_against_time", "tasks", "critical_differences"]
    for path in written:
        assert path.read_bytes()[:4] == b"\x89PNG"
        assert path.stat().st_size > 8_000


def test_compare__too_little__one_clear_line() -> None:
    matrix, embeddings = planted(n_models=12, n_tasks=6)
    table = score_table(matrix)
    with pytest.raises(InputError, match="3 tasks have results, images and scores; a comparison needs at least 4"):
        compare(matrix, {name: embeddings[name] for name in ("task0", "task1", "task2")}, table)
    with pytest.raises(InputError, match="no scores of metric 'sfda' in the table"):
        compare(matrix, embeddings, table, metrics=["sfda"])
    with pytest.raises(InputError, match="hub 'vit13' has no scores of metrics"):
        load_measured_hub("vit13", proxy="fennec-mini")


def test_score_results__every_metric_once__resumed_and_failures_kept(bench: dict[str, str], tmp_path: Path) -> None:
    from fennec.bench.run import run_bench

    run_bench(tmp_path / "r", jobs_of(bench, "small", "plain"))
    messages: list[str] = []
    table = score_results(tmp_path / "r", bench, report=messages.append)
    assert len(messages) == 2
    assert set(table["metric"]) == {*NAMES, FORWARD}
    assert len(table) == 2 * 2 * (len(NAMES) + 1)
    assert (table.loc[table["metric"] == FORWARD, "seconds"] > 0).all()
    plain = table[(table["model"] == "benchnets:plain") & (table["metric"] == "leep")]
    assert plain["score"].notna().all()
    assert (table.loc[(table["model"] == "benchnets:small") & (table["metric"] == "leep"), "reason"]
            == "the model has no source head").all()  # fmt: skip
    again = score_results(tmp_path / "r", bench, report=messages.append)
    assert len(messages) == 2
    pd.testing.assert_frame_equal(again, table)


def test_cli__compare__folder_from_bench_to_pictures(bench: dict[str, str], tmp_path: Path) -> None:
    colours = {"one": (200, 40, 40), "two": (40, 200, 40), "three": (40, 40, 200)}
    for seed in range(3):
        bench[f"t{seed}"] = str(coloured(tmp_path / f"t{seed}", colours, 10 + seed, seed=seed + 5))
    runner = CliRunner()
    tasks = [option for name, source in bench.items() for option in ("--task", f"{name}={source}")]
    models = "benchnets:small,benchnets:wide,benchnets:plain"
    options = ["--protocol", "linear_probe", "--n-train", "20", "--engine", "serial", "--device", "cpu"]
    assert runner.invoke(app, ["bench", "own", "--models", models, *tasks, *options]).exit_code == 0
    done = runner.invoke(app, ["compare", "own", "--output", "out", "--json", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    rows = {row["method"]: row for row in json.loads(done.stdout)}
    assert {"fennec", TWO_STAGE, "static", "oracle", *AUTO} <= set(rows)
    assert rows["fennec"]["seconds"] > 0
    assert rows["logme"]["forward_passes"] == 3
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "comparison.csv", "comparison.json", "critical_differences.png", "quality_against_time.png", "tasks.png"
    ]  # fmt: skip
    with pytest.raises(InputError, match="either a folder of 'fennec bench' or --study"):
        runner.invoke(app, ["compare"], catch_exceptions=False)
    measured = measure_folder(Path("own"), proxy=Proxy.load("fennec-mini"), device="cpu")
    assert all(embedding.seconds > 0 for embedding in measured.embeddings.values())
