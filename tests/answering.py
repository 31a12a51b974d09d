"""An endpoint in this process that names the origin it is told to name."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from model.serving.predictor import Predictor
from model.serving.schema import Origin


@contextmanager
def answering(predictor: Predictor, header: Origin, body: Origin | None = None) -> Iterator[str]:
    """The address of a server that answers as the predictor does; header and body name these origins."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({"status": "ready"})

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            boxes = None
            if self.headers["Content-Type"] == "application/json":
                (instance,) = json.loads(content)["instances"]
                content, boxes = base64.b64decode(instance["image"]), instance["boxes"]
            version, data = body or header
            self._send(predictor.predict(content, boxes) | {"model_version": version, "data_digest": data})

        def log_message(self, *_: object) -> None:
            pass

        def _send(self, answer: dict) -> None:
            self.send_response(200)
            self.send_header("X-Model-Version", header.version)
            self.send_header("X-Data-Digest", header.data_digest)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
