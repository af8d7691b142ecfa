"""The HTTP side: REST, health, metrics, a simple page. One module per resource; `routes.py` lists them all."""

from gateway.api.app import make_app
from gateway.api.deps import ApiDeps, CallReader, FakeCalls, HealthReport, HealthState
from gateway.api.exposure import ExposureError, check_exposure
from gateway.api.server import ApiServer

__all__ = [
    "ApiDeps",
    "ApiServer",
    "CallReader",
    "ExposureError",
    "FakeCalls",
    "HealthReport",
    "HealthState",
    "check_exposure",
    "make_app",
]
