"""The child process: one system, one workload, one result.

It is told what to do in one line of JSON on standard input and answers in lines of JSON on standard output:
``{"ready": true}`` once everything is imported (the parent puts it into its cgroup now, so that the interpreter is not
charged there, and writes an empty line), ``{"measure": …, "value": …}`` a sample, and at the end ``{"wrong": null or a
sentence, "peak_rss": bytes}`` or ``{"error": a sentence}``. The child dies with its parent.
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
    from . import systems, workloads
    from .plan import Settings

    settings = Settings(**{**order["settings"], "scratch": Path(order["settings"]["scratch"])})
    system, workload = order["system"], order["workload"]
    systems.prepare(system)
    answer(ready=True)
    sys.stdin.readline()
    with systems.opened(system, workload, settings) as memory:
        wrong = workloads.run(workload, memory, settings, lambda m, v: answer(measure=m, value=v))
    answer(wrong=wrong, peak_rss=peak_rss())


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
