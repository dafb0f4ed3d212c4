"""A notebook's kernel under ``hotswap run``: a real ipykernel, driven as a notebook server does."""

import json
import os
import sys
import threading
import time
from importlib.util import find_spec

import pytest
from support import SOURCES

import hotswap

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("ipykernel", "jupyter_client")),
    reason="ipykernel is not installed; make examples installs it",
)


class Notebook:
    """What a notebook server has of a kernel."""

    def __init__(self, manager, client):
        self.manager, self.client = manager, client

    def cell(self, code, seconds=40):
        """What running the code prints; of an exception its name."""
        printed = []

        def hear(message):
            content = message["content"]
            if message["header"]["msg_type"] == "stream":
                printed.append(content["text"])

        reply = self.client.execute_interactive(code, timeout=seconds, output_hook=hear)["content"]
        return reply["ename"] if reply["status"] == "error" else "".join(printed)


@pytest.fixture
def notebook(scratch, monkeypatch):
    from jupyter_client.manager import start_new_kernel

    kernel = scratch / "kernels" / "swapped"
    kernel.mkdir(parents=True)
    words = ["-m", "hotswap", "run", "--limit", "16M", "--swap", f"{scratch}/a.swap:256M", "--"]
    words = [sys.executable, *words, sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": words, "display_name": "swapped", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(scratch))
    monkeypatch.setenv("IPYTHONDIR", str(scratch / "ipython"))
    path = os.pathsep.join(filter(None, [str(SOURCES), os.environ.get("PYTHONPATH")]))
    manager, client = start_new_kernel(startup_timeout=40, kernel_name="swapped", env={**os.environ, "PYTHONPATH": path})
    yield Notebook(manager, client)
    client.stop_channels()
    if manager.is_alive():
        manager.shutdown_kernel(now=True)


def test_a_kernel_computes_past_its_limit_is_interrupted_and_ends(notebook, scratch):
    assert notebook.cell("%load_ext hotswap").startswith("hotswap: large arrays are swappable, ")
    assert f"areas: {scratch}/a.swap" in notebook.cell("%reload_ext hotswap")
    assert notebook.cell("import numpy as np\nkept = [np.arange(1 << 20) + number for number in range(8)]") == ""
    assert notebook.cell("print([int(array[5]) for array in kept])") == "[5, 6, 7, 8, 9, 10, 11, 12]\n"
    assert notebook.cell("import hotswap\nprint(hotswap.swaps()[0].used > 32 << 20)") == "True\n"

    assert notebook.cell("import time\nprint('ready')") == "ready\n"
    interrupter = threading.Thread(target=lambda: (time.sleep(1), notebook.manager.interrupt_kernel()))
    interrupter.start()
    assert notebook.cell("while True: kept[0] += 1") == "KeyboardInterrupt"
    interrupter.join()
    assert notebook.cell("print([int(array[5]) for array in kept[1:]])") == "[6, 7, 8, 9, 10, 11, 12]\n"

    notebook.manager.shutdown_kernel()
    assert not notebook.manager.is_alive()
    with hotswap.Space("4M"):  # what was the kernel's area is locked no more
        hotswap.swapon(f"{scratch}/a.swap")
        hotswap.swapoff(f"{scratch}/a.swap")
