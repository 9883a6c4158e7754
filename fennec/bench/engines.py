"""Run many jobs: one after another, in processes of their own, or on a Ray cluster.

An engine only speeds up: the results are the same. In: a function of the top level of a module, `function(job,
device)`, and jobs that can be pickled, taken one by one as there is room for them. Out: pairs (job, result) as they
are done; a job whose worker died twice comes back with `WorkerDiedError`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from fennec.errors import FennecError, InputError, MissingExtraError, did_you_mean

Work = Callable[[Any, str], Any]
Pairs = Iterator[tuple[Any, Any]]
ATTEMPTS = 2


class WorkerDiedError(FennecError):
    """The process of a job was killed, most often for its memory."""


def run_jobs(
    function: Work,
    jobs: Iterable[Any],
    *,
    engine: str = "serial",
    workers: int = 1,
    devices: Sequence[str] = ("cpu",),
    address: str | None = None,
) -> Pairs:
    """Every job once, results in the order in which they are done.

    Args:
        function: what to do, `function(job, device)`; errors of the job itself are its own to record.
        jobs: what to do it with.
        engine: `serial`, `process` or `ray`.
        workers: jobs at a time. `serial` takes one, a Ray cluster as many as it has room for.
        devices: one for each worker, in turn.
        address: of a Ray cluster; that of `RAY_ADDRESS`, or else one of its own, when None.

    Raises:
        InputError: unknown engine, an address for another engine than `ray`, or fewer than one worker.
        MissingExtraError: `ray` is asked for and not installed.

    Example:
        >>> list(run_jobs(lambda job, device: job * 2, [1, 2]))
        [(1, 2), (2, 4)]
    """
    if engine not in ENGINES:
        raise InputError(f"unknown engine '{engine}'{did_you_mean(engine, ENGINES)}; there are {', '.join(ENGINES)}")
    if workers < 1:
        raise InputError(f"{workers} workers; expected at least 1")
    if engine == "ray":
        return _ray(function, iter(jobs), workers, devices, address)
    if address is not None:
        raise InputError(f"'{address}' is the address of a Ray cluster; give it with --engine ray")
    return ENGINES[engine](function, iter(jobs), workers, devices)


def _serial(function: Work, jobs: Iterator[Any], _: int, devices: Sequence[str]) -> Pairs:
    for job in jobs:
        yield job, function(job, devices[0])


def _process(function: Work, jobs: Iterator[Any], workers: int, devices: Sequence[str]) -> Pairs:
    """A process for every job, so that one that is killed takes no other with it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([function.__module__, "torch", "timm"])  # imported once, not by every job
    again: deque[tuple[Any, int]] = deque()
    free = deque(devices[slot % len(devices)] for slot in range(workers))
    running: dict[Connection, tuple[BaseProcess, Any, int, str]] = {}
    try:
        while True:
            while free:
                job, attempt = again.popleft() if again else (next(jobs, None), 1)
                if job is None:
                    break
                ours, theirs = context.Pipe(duplex=False)
                device = free.popleft()
                child: BaseProcess = context.Process(target=_child, args=(theirs, function, job, device), daemon=True)
                child.start()
                theirs.close()
                running[ours] = (child, job, attempt, device)
            if not running:
                return
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                process, job, attempt, device = running.pop(pipe)
                free.append(device)
                died = False
                try:
                    result = pipe.recv()
                except EOFError:
                    died = True
                process.join()
                pipe.close()
                if died and attempt < ATTEMPTS:
                    again.append((job, attempt + 1))
                    continue
                if died:
                    result = WorkerDiedError(f"the worker died {ATTEMPTS} times (exit code {process.exitcode})")
                yield job, result
    finally:
        for process, *_ in running.values():
            process.kill()


def _child(pipe: Connection, function: Work, job: Any, device: str) -> None:
    os.dup2(2, 1)  # standard output is the parent's, for results
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):  # the parent hears it as well and says so
        pipe.send(function(job, device))


def _end_with_parent() -> None:
    """A run that is killed leaves no worker behind on a core or a GPU."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _ray(
    function: Work, jobs: Iterator[Any], workers: int, devices: Sequence[str], address: str | None = None
) -> Pairs:
    """Ray retries the job of a killed worker by itself and counts one logical GPU for each job on a GPU."""
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("engine 'ray' needs ray; pip install 'fennec-recommender[ray]'") from error
    on_gpu = devices[0].startswith("cuda")
    started = not ray.is_initialized()
    if started:
        size: dict[str, Any] = {"num_cpus": workers, "num_gpus": workers * on_gpu}
        ray.init(include_dashboard=False, log_to_driver=False, address=address,
                 **({} if address or os.environ.get("RAY_ADDRESS") else size))  # fmt: skip
    try:
        room = int(ray.cluster_resources().get("GPU" if on_gpu else "CPU", 1))
        remote = ray.remote(num_cpus=1, num_gpus=int(on_gpu), max_retries=ATTEMPTS - 1)(function)
        running: dict[Any, Any] = {}
        while True:
            while len(running) < room and (job := next(jobs, None)) is not None:
                running[remote.remote(job, "cuda" if on_gpu else devices[0])] = job
            if not running:
                return
            (done, *_), _ = ray.wait(list(running), num_returns=1)
            job = running.pop(done)
            try:
                result = ray.get(done)
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
                result = WorkerDiedError(f"the worker died {ATTEMPTS} times ({type(error).__name__})")
            yield job, result
    finally:
        if started:
            ray.shutdown()


ENGINES: dict[str, Callable[..., Pairs]] = {"serial": _serial, "process": _process, "ray": _ray}
