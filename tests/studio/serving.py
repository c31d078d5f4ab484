"""A studio on a port of this machine, for tests that take one."""

import socket
import threading
from contextlib import contextmanager

from gravlensdiffusion.cli.studio import serve
from gravlensdiffusion.studio.server import HOST, build_app


@contextmanager
def served(shown, turns=None):
    """Serve a studio from a thread, and yield its address."""
    with socket.create_server((HOST, 0)) as listener:
        server = serve(build_app(shown, turns))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://{HOST}:{listener.getsockname()[1]}/"
        server.should_exit = True
        thread.join()
