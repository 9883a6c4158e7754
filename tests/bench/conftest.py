"""Quick protocols, jobs with them, and what of the records must be equal."""

from __future__ import annotations

from pathlib import Path

from fennec.bench.cells import iter_records
from fennec.bench.protocols import Protocol
from fennec.bench.run import Job, make_jobs

QUICK = Protocol(n_train=40, n_test=20, epochs=4, batch_size=8, learning_rates=(3e-2, 3e-3), weight_decays=(0.0, 0.1))
PROBE = Protocol("linear_probe", n_train=40, n_test=20)


def jobs_of(bench: dict[str, str], *names: str, protocol: Protocol = PROBE) -> list[Job]:
    return make_jobs([f"benchnets:{name}" for name in names], bench, [protocol])


def comparable(folder: Path) -> dict[str, dict[str, object]]:
    """Records without what differs between runs: time, memory, device."""
    return {
        f"{record['model']} {record['task']} {record['protocol_name']} {record['seed']}": {
            key: value for key, value in record.items() if key not in ("seconds", "peak_mb", "device")
        }
        for record in iter_records(folder)
    }
