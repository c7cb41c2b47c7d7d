"""Which project a directory belongs to, without looking at its files."""

from __future__ import annotations

import os

from kleio.core.identity import normalised_remote
from kleio.core.redact import address
from kleio.core.repository import Repository, root_commit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kleio.core.config import Config


def project_here(config: Config) -> str:
    """The setting, else the origin remote, else the root commit, else the directory."""
    if config["project"]:
        return str(config["project"])
    repository = Repository.around(config.cwd, config["patience"])
    if repository is None:
        return os.path.dirname(config.project_file) if config.project_file else config.cwd
    remote = repository.remote()
    if remote:
        return normalised_remote(address(remote))
    return root_commit(repository)
