"""The backing services and the workers of one home: `up`, `down`, `status`."""

from deploy.stack.model import Missing, NotUp, Progress, Service, Stack, Status, WorkerSpec
from deploy.stack.operations import down, status, up

__all__ = [
    "Missing",
    "NotUp",
    "Progress",
    "Service",
    "Stack",
    "Status",
    "WorkerSpec",
    "down",
    "status",
    "up",
]
