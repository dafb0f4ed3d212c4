"""``hotswap metrics``: figures for Prometheus, printed, served or kept in a file (as node_exporter's textfile collector reads it)."""

import os
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click

from .. import steering
from ..errors import HotswapError, SteeringError
from ..steering.metrics import text
from .steered import Steered

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LOOPBACK = "127.0.0.1"


def _address(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, int] | None:
    """ADDR:PORT, [ADDR]:PORT or PORT."""
    if value is None:
        return None
    host, _, port = value.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"{value!r} is not an address; give a port, or an address and a port as in 127.0.0.1:9100.")
    return host.strip("[]") or _LOOPBACK, int(port)


@click.command(cls=Steered)
@click.argument("pid", type=int, required=False)
@click.option(
    "--listen",
    callback=_address,
    metavar="[ADDR:]PORT",
    help="Serve them over HTTP until Ctrl-C; whoever can connect can read them.  [default address: 127.0.0.1]",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write them to this file, all at once.")
@click.option("--every", type=click.FloatRange(min=0.1), help="And again every so many seconds, until Ctrl-C.")
def metrics(pid: int | None, listen: tuple[str, int] | None, output: Path | None, every: float | None) -> None:
    """Print the figures of process PID (of all that are yours) in the text format of Prometheus."""
    if (listen and output) or (every and not output):
        raise _usage("--listen and --output exclude each other, and --every belongs to --output; give one of them.")
    if listen:
        serve(pid, *listen)
    elif output:
        write(output, gather(pid))
        while every:
            time.sleep(every)
            write(output, gather(pid))
    else:
        click.echo(gather(pid), nl=False)


def _usage(sentence: str) -> click.UsageError:
    error = click.UsageError(sentence)
    error.exit_code = steering.Exit.USAGE  # type: ignore[misc]  # click's own way to say it
    return error


def gather(pid: int | None) -> str:
    """Of one process, which must be there, or of all that are there."""
    looks = []
    for one in steering.processes() if pid is None else [pid]:
        try:
            with steering.connect(one) as channel:
                looks.append(steering.look(channel))
        except SteeringError:
            if pid is not None:
                raise
    return text(looks)


def write(path: Path, figures: str) -> None:
    """In one go: whoever reads meanwhile finds the old figures or the new."""
    fd, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(fd, "w") as file:
            file.write(figures)
            os.fchmod(fd, 0o644)  # another user's collector reads it
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise


def serve(pid: int | None, host: str, port: int) -> None:
    """Until Ctrl-C."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in ("/", "/metrics"):
                self.send_error(404)
                return
            try:
                status, body = 200, gather(pid)
            except HotswapError as error:
                status, body = 503, f"{error}\n"
            self.send_response(status)
            self.send_header("Content-Type", _TYPE if status == 200 else "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments: object) -> None:
            """Nothing: a scrape every few seconds is not worth a line."""

    if pid is not None:
        steering.connect(pid).__exit__()
    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise SteeringError(
            f"{host}:{port} cannot be listened on: {error.strerror}; choose another port or address.", 1
        ) from None
    with server:
        click.echo(f"serving http://{host}:{server.server_address[1]}/metrics, Ctrl-C ends it", err=True)
        server.serve_forever()
