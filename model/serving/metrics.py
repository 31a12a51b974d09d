"""The router's metrics, as Prometheus asks for them: sums over requests, from which no single one can be told."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from model.schema import EXPRESSIONS
from model.serving.measures import Measures
from model.serving.schema import STATUS

__all__ = ["CONTENT_TYPE_LATEST", "METRICS_PATH", "Metrics"]

METRICS_PATH: Final = "/metrics"

_SECONDS: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 10, 30)
_SHARES: Final = tuple(step / 10 for step in range(1, 11))
_PIXELS: Final = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192)
_COUNTS: Final = (0, 1, 2, 4, 8, 16, 32, 64)
_OK: Final = "ok"


class Metrics:
    """Counters of one router.

    Args:
        in_flight: requests under way, asked for at each look.
        limit: largest number of them.
        refused: whether the last change of the version was, asked for at each look.
    """

    def __init__(
        self, *, in_flight: Callable[[], int], limit: Callable[[], int], refused: Callable[[], bool] = lambda: False
    ) -> None:
        self._registry = own = CollectorRegistry()
        ProcessCollector(registry=own)
        Gauge("rmtl_requests_in_flight", "Requests waiting or worked on", registry=own).set_function(in_flight)
        Gauge("rmtl_requests_in_flight_limit", "Above it, requests are refused", registry=own).set_function(limit)
        Gauge("rmtl_change_refused", "Whether the last change of the version failed", registry=own).set_function(
            refused
        )
        self._ready = Gauge("rmtl_model_ready", "Whether TorchServe says that the model answers", registry=own)
        self._requests = Counter("rmtl_requests", "Requests by outcome: ok or an error code", ["code"], registry=own)
        self._answers = Counter("rmtl_answers", "Requests answered by each version", ["version"], registry=own)
        self._errors = Counter("rmtl_picture_errors", "Pictures without an answer", ["code"], registry=own)
        self._expressions = Counter("rmtl_faces", "Faces by apparent expression", ["expression"], registry=own)

        def histogram(name: str, text: str, edges: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, buckets=edges, registry=own)

        self._seconds = histogram("rmtl_request_seconds", "From head to answer, where the model answered", _SECONDS)
        self._batch = histogram("rmtl_batch_requests", "Requests that a worker got at once", _COUNTS)
        self._faces = histogram("rmtl_picture_faces", "Faces a picture", _COUNTS)
        self._brightness = histogram("rmtl_picture_brightness", "Mean brightness of a picture", _SHARES)
        self._sides = histogram("rmtl_picture_side_pixels", "Longer side of a picture", _PIXELS)
        self._face_sides = histogram("rmtl_face_side_pixels", "Square root of a face's area", _PIXELS)
        self._confidence = histogram("rmtl_face_confidence", "Mean confidence of a face's points", _SHARES)
        # From the start at 0: a rate needs a value before the first event.
        for code in (_OK, *STATUS):
            self._requests.labels(code)
        for expression in EXPRESSIONS:
            self._expressions.labels(expression)

    def refused(self, code: str) -> None:
        """Count a request that the router answered itself."""
        self._requests.labels(code).inc()

    def answered(self, version: str, seconds: float, seen: Measures | None) -> None:
        """Count a request that the model answered, and what its worker told about it."""
        self._answers.labels(version).inc()
        self._seconds.observe(seconds)
        self._requests.labels((seen.code if seen else "") or _OK).inc()
        if seen:
            self._observe(seen)

    def show(self, *, ready: bool) -> bytes:
        """All of them in Prometheus's text form, of type `CONTENT_TYPE_LATEST`."""
        self._ready.set(ready)
        return generate_latest(self._registry)

    def _observe(self, seen: Measures) -> None:
        self._batch.observe(seen.batch)
        for code in seen.errors:
            self._errors.labels(code).inc()
        for expression, number in seen.expressions.items():
            self._expressions.labels(expression).inc(number)
        for histogram, values in (
            (self._faces, seen.faces),
            (self._brightness, seen.brightness),
            (self._sides, seen.sides),
            (self._face_sides, seen.face_sides),
            (self._confidence, seen.confidence),
        ):
            for value in values:
                histogram.observe(value)
