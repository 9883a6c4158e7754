"""What is typed: conditions on the catalog, and every option of every command with every kind of wrong value."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from typer.main import get_command

from fennec.architectures.vectors import load_known_vectors
from fennec.checkpoints.catalog import load_catalog
from fennec.cli import main as cli

from .judge import Case, Reached, command, warm_up
from .pictures import good_folder

ATOMS = (
    "params", "family", "license", "official", "counted", "gmacs", "terms", "id", "1e6", "30", "-1", "'mit'",
    '"x"', "open",
    "nan", "None", "True", "inf", "1e999", "0x" + "f" * 400, "9" * 400, "parms", "['a', 1]", "('mit',)", "{}",
    "b'x'", "1j", "...",
    "f'{id}'", "params.isna()", "family.str.startswith('a')", "id.str.contains('(a+)+$')", "family.str.len()",
    "license.isin(['mit'])", "__import__('os').system('true')", "params.__class__", "id.str.cat", "lambda: 1",
    "[x for x in id]", "id[0]", "open('x')", "id.str.repeat(10**9)", "(x := 3)", "@params", "`id`", "id.to_csv('x')",
    "id.str.startswith(id)", "family.str.upper()", "license.isin(id)", "params.mean()", "*id", "await id", "id.str",
    "\u0131d", "p\u0430rams", "1" + "0" * 30, "''", "\"\\ud800\"", "'" + "x" * 5000 + "'", "0/0", "1/0", "params/0",
)  # fmt: skip
OPERATORS = ("<", ">", "<=", ">=", "==", "!=", " and ", " or ", " in ", " not in ", " is ", "+", "-", "*", "/",
"//", "%", "**",
             "<<", "&", "|", "^", "=", "&&", ";", ",", "\n", "\0", " if 1 else ", "@", " AND ", "<>")  # fmt: skip


def condition(rng: random.Random) -> str:
    """A condition as people write it, or nothing of the kind."""
    if rng.random() < 0.06:
        n = rng.choice((100, 5000, 60_000))
        many = ("(" * n + "params<3" + ")" * n, "not " * n + "(params<3)", "-" * n + "params<3",
        "params<3 and " * n + "params<3",
                "params" + ".str.lower()" * n + "=='a'", "params<" + "9" * n, "params <" * n + "3", "'" * n, "\\" * n,
                "id in [" + "'a'," * n + "]", "id == '" + "(" * n + "'", "a" * n, "[" * n, "params<3" + " " * n,
                "{" * n)  # fmt: skip
        return rng.choice(many)
    parts = [rng.choice(ATOMS)]
    for _ in range(rng.choice((0, 1, 1, 1, 3, 6))):
        parts += [rng.choice(OPERATORS[:8] if rng.random() < 0.6 else OPERATORS), rng.choice(ATOMS)]
    text = "".join(parts)
    if rng.random() < 0.2:
        text = rng.choice(("not ", "~", "-", "(", "((", "")) + text + rng.choice((")", "", "\\", "#", " \t"))
    if rng.random() < 0.1:
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(("\0", "\n", "'", "(", "\ud800", "\x1b", "9" * 99, "é", "  ")) + text[at:]
    return text


def conditions(rng: random.Random, folder: Path) -> Case:
    """Ids of models, one line that says why not, or that there are none."""
    text = condition(rng)
    return Case(text[:300], lambda: command("models", "--where", text, rng.choice(("-q", "--csv"))).wrong)


NUMBERS = ("-1", "0", "1", "nan", "inf", "-inf", "0.5", "1e3", "²", "٣", "9" * 30, "9" * 5000, "", " ", "x",
"0x10", "1_000",
           "1000000", "99999", "--", "\ud800")  # fmt: skip
TEXTS = (
    "", " ", ",", ",,", "=", "a=", "=b", "a=b", "x" * 5000, "[/x]", "\x1b[31m", "\udcff", "../..", "/", ".",
    "nowhere", "pipe", "n" * 300, "a\nb", "-", "--", "²/²", "0/1", "2/1", "1/0", "1/99999999999999999999", "-1/2",
    "1/1/1", "hf:", "hf-hub:", "hf-hub:/", "hf:a/b/c",
    "timm:", "timm:nope", "timm:resnet18.nope", "torchvision:VisionDataset", "torchvision:LSUN", "torchvision:",
    "torchvision:nope",
    "torchvision:FakeData", "torchvision:resnet18.nope", "open_clip:", "open_clip:x.y", "local-dir:",
    "local-dir:nowhere", "sklearn:",
    "sklearn:iris", "~nobodyhere/x", "torchvision:get_model", "timm:create_model", "hf:../..", "timm:../x",
    "torch:abort", "os:abort", "sys:exit", "builtins:breakpoint", "os:_exit", "builtins:exit", "posix:abort",
    "antigravity:x", "antigravity.x:y",
    "json:loads", "os.path:join", "mine:exits", "mine:raises", "mine:nothing", "mine:nope", "mine:", ":x", "a:b:c",
    "exits:net",
    "https://", "https://huggingface.co/x", "http://[", "logme(", "logme()", "ped(ped(logme))", "sfda(pca_dim=-1)",
    "sfda(pca_dim=" + "9" * 500 + ")", "ped(" * 300 + "logme" + ")" * 300, "cpu:99", "cuda", "cuda:-1", "mps",
    "meta", "xla", "cpu,cpu",
    "photos?split=", "photos?x=y", "photos?", "params < 3", "params < 9**9**9", "(" * 3000, "finetune",
    "finetune,finetune", "eval", "all",
    "default", "here", "{0}", "%s", "'", '"', "\\", "nan", "-1", "0.5", "inf", "9" * 30, "1e-3,nan", "0,0", "1,-1",
    "-0.5", "1e400", "²",
)  # fmt: skip
# What each command needs to come as far as its options; what would take minutes or wait for people is not done.
BASES: dict[str, tuple[str, ...]] = {
    "recommend": ("photos", "-n", "1"),
    "explain": ("photos", "timm:resnet18.a1_in1k"),
    "score": ("photos", "--models", "mine:net", "--metric", "ncc"),
    "models": (),
    "similar": ("timm:resnet18",),
    "add-model": ("mine:net",),
    "tasks": (),
    "studies": (),
    "hubs": (),
    "embed": ("photos", "-o", "made.safetensors"),
    "fit": ("made", "--results", "ours.csv"),
    "calibrate": ("--seconds", "0.01"),
    "bench": ("measured", "--models", "mine:net", "--task", "a=photos"),
    "compare": ("measured",),
    "evaluate": ("--study", "cnn11"),
    "search": ("photos", "--budget", "1 models", "--out", "found"),
    "evidence export": ("all",),
    "evidence html": ("page.html",),
    "evidence check": ("ours.csv",),
    "evidence add": ("theirs.csv", "--title", "a", "--paper", "b", "--licence", "MIT", "-o", "out"),
    "push": ("nowhere", "a/b"),
    "pull": ("a/b", "pulled"),
    "ui": ("--no-browser",),
    "doctor": (),
}
STOPS = (
    "fennec.bench.run.run_bench",
    "fennec.bench.calibrate._seconds_here",
    "fennec.evaluation.leave_one_task_out.leave_one_task_out",
    "fennec.evaluation.leave_one_study_out.leave_one_study_out",
    "fennec.space.recommender.Recommender.fit",
    "fennec.space.sharing.push",
    "fennec.trials.loop._Loop.run",
    "fennec.evidence.export.export_evidence",
    "fennec.reports.leaderboard.leaderboard_html",
    "fennec.reports.ui.serve",
    "fennec.tasks.known_tasks._open",
)
# With what is at hand in order, exit status 1 is for values that name something that is there, and for the machine.
THERE = {"pipe", "/", ".", "../..", "photos?", "exits:net", "mine:exits", "mine:raises", "mine:nothing"}
OF_MACHINE = ("accepted", "cannot reach the Hub", "cannot download", "cannot get 'hf:")
MINE = """
import sys
from torch import nn
def net():
    return nn.Sequential(nn.Conv2d(3, 3, 1), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 3))
def exits():
    sys.exit(0)
def raises():
    raise KeyError
def nothing():
    return None
"""


def _place(folder: Path) -> None:
    good_folder(folder / "photos", 6)
    (folder / "mine.py").write_text(MINE)
    (folder / "exits.py").write_text("raise SystemExit(7)")
    (folder / "ours.csv").write_text("model,task,value\nmine:a,pets,0.5\nmine:b,pets,0.6\n")
    rows = [f"mine:{name},dtd,0.{n}" for n, name in enumerate("abcd", start=5)]
    (folder / "theirs.csv").write_text("\n".join(["model,task,value", *rows]))
    os.mkfifo(folder / "pipe")


@cache
def options() -> list[tuple[str, Any]]:
    """Every parameter of every command, as typer knows them."""
    commands = dict(get_command(cli.app).commands)  # type: ignore[attr-defined]
    for name, group in tuple(commands.items()):
        if hasattr(group, "commands"):
            del commands[name]
            commands |= {f"{name} {each}": one for each, one in group.commands.items()}
    return [(name, each) for name, one in sorted(commands.items()) for each in one.params]


def typed(rng: random.Random, folder: Path) -> list[str]:
    """A command line with a wrong value, of an option or an argument."""
    name, parameter = rng.choice(options())
    base = list(BASES.get(name, ()))
    value = rng.choice(NUMBERS if parameter.min is not None or rng.random() < 0.3 else TEXTS)
    if parameter.param_type_name == "argument":
        arguments = [each for other, each in options() if other == name and each.param_type_name == "argument"]
        at = arguments.index(parameter)
        return [*name.split(), *base[:at], value, *base[at + 1 :]]
    if getattr(parameter, "is_flag", False):
        return [*name.split(), *base, parameter.opts[0], *rng.choice(([], [value], [parameter.opts[0]]))]
    return [*name.split(), *base, parameter.opts[0], value, *rng.choice(([], [], ["--json"], ["--csv"], ["-q"]))]


def commands(rng: random.Random, folder: Path) -> Case:
    """One clear line, or what was asked for."""
    warm_up()
    folder.mkdir(parents=True)
    _place(folder)
    line = typed(rng, folder)

    def try_it() -> str:
        with _stopped(folder / "home"), contextlib.chdir(folder):
            seen = command(*line)
        if seen.status == 1 and not (THERE & set(line) or any(mark in seen.err for mark in OF_MACHINE)):
            return f"exit status 1, and what is wrong is what was typed: {seen.err[-300:]}"
        return seen.wrong_json if "--json" in line and seen.status == 0 else seen.wrong

    return Case(" ".join(line)[:300], try_it)


@contextlib.contextmanager
def _stopped(home: Path) -> Iterator[None]:
    """Nothing that takes minutes is begun; that it would have been is an answer. Models are added to a home alone."""
    with contextlib.ExitStack() as stack:
        for name in STOPS:
            stack.enter_context(mock.patch(name, side_effect=Reached("accepted")))
        stack.enter_context(mock.patch.dict(os.environ, {"HF_HUB_OFFLINE": "1", "FENNEC_DEVICE": "cpu"}))
        stack.enter_context(mock.patch.dict(os.environ, {"FENNEC_HOME": str(home)}))
        for cached in (load_catalog, load_known_vectors) if home.exists() else ():
            cached.cache_clear()
        yield
