"""The child process: one system, one workload, one result.

It is told what to do in one line of JSON on standard input and answers in lines of JSON on standard output:
``{"ready": true}`` once everything is imported (the parent puts it into its cgroup now, so that the interpreter is not
charged there, and writes an empty line), ``{"measure": …, "value": …}`` a sample (with ``"system"`` when it is of another one),
``{"ask": …}`` what only the parent can do (it writes what came of it, in JSON), ``{"note": …}``, and at the end ``{"wrong": null or a
sentence, "digest": of the result, "peak_rss": bytes}`` or ``{"error": a sentence}``. The child dies with its parent.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Returns the exit status; 0 also for a wrong result, which the parent is told of."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not end up between the answers

    def answer(**words: Any) -> None:
        answers.write(json.dumps(words) + "\n")

    try:
        order = json.loads(sys.stdin.readline())
        _work(order, answer)
    except KeyboardInterrupt:
        return 130
    except BaseException as error:
        answer(error=one_sentence(error))
        raise
    return 0


def _work(order: dict[str, Any], answer: Any) -> None:
    from . import dask_jobs, jobs, latency, overhead, stages, systems, workloads
    from .plan import Settings

    settings = Settings(**{**order["settings"], "scratch": Path(order["settings"]["scratch"])})
    system, workload = order["system"], order["workload"]
    systems.prepare(system, workload)

    def ask(what: str) -> dict[str, Any]:
        answer(ask=what)
        reply: dict[str, Any] = json.loads(sys.stdin.readline())
        return reply

    def report(measure: str, value: float, system: str = "") -> None:
        answer(measure=measure, value=value, **({"system": system} if system else {}))

    def begin() -> None:
        answer(ready=True)
        sys.stdin.readline()

    digest, told = "", {}
    if system == "dask":
        with dask_jobs.opened(settings) as client:
            begin()
            wrong, digest = dask_jobs.run(workload, client, settings, report)
    elif workload == "W11":
        begin()
        wrong = overhead.run_within(settings, report)
    else:
        begin()
        with systems.opened(system, workload, settings, ask) as memory:
            watched = stages.Watch(memory, report) if settings.profile else None
            reporter: workloads.Report = watched or report
            if workload in jobs.JOBS:
                wrong, digest = jobs.run(workload, memory, settings, reporter)
            elif workload == "W12":
                wrong = latency.run(memory, settings, reporter)
            else:
                wrong = workloads.run(workload, memory, settings, reporter)
            if memory.how:
                answer(note=memory.how)
            if watched:
                told["stages"] = watched.found
    answer(wrong=wrong, digest=digest, peak_rss=peak_rss(), **told)


def peak_rss() -> int:
    """Bytes, the most that were ever resident in this process. ``ru_maxrss`` would count the parent's before exec."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def one_sentence(error: BaseException) -> str:
    """The error's name and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
