"""MLflow's own client, loaded so that it talks to nobody but the store it is given."""

from __future__ import annotations

import os
from contextlib import contextmanager

from kleio.core.errors import KleioError, told
from kleio.core.extras import needed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

VARIABLES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",  # directories are read and written, though new ones are advised against
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # else a server that is gone is waited for for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
OWN = ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT")
"""Those that are only defaults: what the user says counts."""
_DATABASES = ("sqlite", "mysql", "postgresql", "mssql")


def client(uri: str, need: str) -> Any:
    """An ``MlflowClient`` of the store at ``uri``. Raises KleioError that begins with ``need`` where there is no MLflow."""
    for name, value in VARIABLES.items():
        if name not in OWN or name not in os.environ:
            os.environ[name] = value
    needed("mlflow", "mlflow", need)
    if uri.partition("://")[0].partition("+")[0] in _DATABASES:
        needed("sqlalchemy", "mlflow-sql", f"{need[: -len(' needs')]} from a database needs")
        needed("alembic", "mlflow-sql", f"{need[: -len(' needs')]} from a database needs")
    import logging

    from mlflow.tracking import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with in_words(uri):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def in_words(uri: str) -> Iterator[None]:
    """What MLflow raises, and what the libraries do that it is made of, as one line."""
    try:
        yield
    except KleioError:
        raise
    except Exception as error:  # noqa: BLE001 - requests, SQLAlchemy, protobuf …: each has errors of its own
        from kleio.core.redact import text

        said = (told(error).strip().splitlines() or [type(error).__name__])[0]
        said = "nobody answers" if "ConnectionPool(" in said else text(said[:300])
        raise KleioError(f"MLflow at {text(uri)}: {said}") from None
