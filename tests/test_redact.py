from __future__ import annotations

import pytest

from kleio.core.redact import GONE, command, is_secret, text, variables

KEY = "sk-" + "a1B2" * 8


@pytest.mark.parametrize(
    "name", ["--api-key", "HF_TOKEN", "password", "--db-password", "accessToken", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY"]
)
def test_secret_names(name):
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["TOKENIZERS_PARALLELISM", "--max-tokens", "--pad-token-id", "--token-dropout", "--key", "--tokens", "monkey", "--author"],
)
def test_harmless_names(name):
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("argv", "safe"),
    [
        (["t", "--api-key", "X", "y"], ("t", "--api-key", GONE, "y")),
        (["t", "--password=X"], ("t", f"--password={GONE}")),
        (["t", "db.password=X"], ("t", f"db.password={GONE}")),
        (["t", "mongodb://me:pw@h/d"], ("t", f"mongodb://me:{GONE}@h/d")),
        (["t", KEY], ("t", GONE)),
        (["t", "--password", "--lr", "1"], ("t", "--password", "--lr", "1")),
        (["t", "--lr", "0.1"], ("t", "--lr", "0.1")),
    ],
)
def test_command(argv, safe):
    assert command(argv) == safe


def test_variables_and_text():
    assert variables({"HF_TOKEN": "x", "LANG": "C"}) == {"HF_TOKEN": GONE, "LANG": "C"}
    assert "pw" not in text("see mongodb://me:pw@host/db and more")
