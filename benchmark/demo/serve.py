"""Starts Streamlit with the page, on this machine alone unless told otherwise, without telemetry."""

from __future__ import annotations

import gc
import importlib.util
import os
import socket
from pathlib import Path

from benchmark.console import say
from benchmark.demo import shelf
from benchmark.errors import UserError

PAGE = Path(__file__).with_name("page.py")
MAX_UPLOAD_MB = 64
"""The largest radiographs of MIMIC-CXR, as uncompressed DICOM files, have about 20."""
LOCAL = ("localhost", "127.0.0.1", "::1")


def serve(results: Path, address: str, port: int) -> None:
    """Serve the page until it is interrupted.

    Raises UserError where Streamlit is not installed, nothing is trained or the port is taken.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise UserError("The demo needs Streamlit: pip install 'cxr-report-bench[app]'.")
    # Read when torch is loaded. Threads that wait for one another in a busy loop take the processor from the page and
    # its other visitors: with two cores at work elsewhere a report of 49 tokens took 1.5 s in place of .1.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not shelf.look(results).models:
        raise UserError(f"No model that reads images has been trained in {results} yet: run `bench train vgpt2` first.")
    _check_free(address, port)
    from starlette.formparsers import MultiPartParser
    from streamlit.web import bootstrap

    MultiPartParser.spool_max_size = MAX_UPLOAD_MB << 20  # larger uploads would lie in temporary files meanwhile
    options = {
        "server_headless": True,
        "server_address": address,
        "server_port": port,
        "server_maxUploadSize": MAX_UPLOAD_MB,
        "server_fileWatcherType": "none",
        "runner_magicEnabled": False,
        "browser_gatherUsageStats": False,
        "client_toolbarMode": "minimal",
        "client_showErrorDetails": "none",
        "global_developmentMode": False,
        # Its welcome would ask a server elsewhere for this machine's public address.
        "logger_hideWelcomeMessage": True,
    }
    bootstrap.load_config_options(options)
    say(f"The demo is at http://{address}:{port} (Ctrl-C ends it).")
    if address not in LOCAL:
        say("Everybody who reaches this machine can use it: it asks for no password.")
    # Streamlit looks for garbage (a visitor's pictures among it) after each script, and all visitors wait meanwhile:
    # half a second, were all searched that torch and transformers hold. That stays, so it is passed over.
    gc.collect()
    gc.freeze()
    bootstrap.run(str(PAGE), False, [], options)


def _check_free(address: str, port: int) -> None:
    try:
        with socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET):
            pass
    except OSError as error:
        raise UserError(f"The demo cannot listen at {address}:{port} ({error}): choose another --port.") from None
